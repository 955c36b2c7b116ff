"""Times in structured conditions: written as text, compared as times where the field is one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streamwarden import Guard
from streamwarden.policy.english import in_words
from streamwarden.policy.loader import check_directories, load_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.framing import with_id
from streamwarden.schemas.schema_directory import DirectorySource

from .document_cases import HEAD

DAY = "2026-01-01T00:00:00Z"
DAY_MS = 1_767_225_600_000
EVENT = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "text", "type": "string"},
        {"name": "count", "type": "int"},
    ],
}


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A directory with the subject `event`."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "event.avsc").write_text(json.dumps(EVENT))
    return folder


def written(folder: Path, condition: str, schema: str = "") -> Path:
    """A directory with one rule, `r`, that has the structured condition."""
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    head = HEAD.replace("topics", f"schema: {schema}\ntopics") if schema else HEAD
    (policies / "p.yaml").write_text(
        f"{head}  - {{id: r, effect: reject, when: [{{{condition}}}]}}"
    )
    return policies


@pytest.mark.parametrize(
    ("operator", "sign", "rises"),
    [
        ("greater_than", ">", (False, False, True)),
        ("greater_or_equal", ">=", (False, True, True)),
        ("less_than", "<", (True, False, False)),
        ("less_or_equal", "<=", (True, True, False)),
        ("equals", "==", (False, True, False)),
        ("not_equals", "!=", (True, False, True)),
    ],
)
@pytest.mark.parametrize("variable", ["timestamp", "now"])
def test_the_time_of_an_event_and_now(
    tmp_path: Path, variable: str, operator: str, sign: str, rises: tuple[bool, ...]
) -> None:
    """Are compared with RFC 3339 text; what it means is shown as CEL."""
    policies = written(tmp_path, f"field: {variable}, operator: {operator}, value: '{DAY}'")

    condition = load_directories(policies).policies[0].rules[0].condition
    times = [DAY_MS - 1, DAY_MS, DAY_MS + 1]
    fired: list[bool] = []
    for time in times:
        guard = Guard.from_directory(policies, clock=lambda ms=time: ms * 10**6)
        fired.append(bool(guard.decide(topic="t", value=b"{}", timestamp=time).matches))

    assert condition is not None
    assert condition.text == f'{variable} {sign} timestamp("{DAY}")'
    assert tuple(fired) == rises


def test_times_in_a_list(tmp_path: Path) -> None:
    """Each of them is a time."""
    policies = written(tmp_path, f"field: timestamp, operator: in, value: ['{DAY}']")

    guard = Guard.from_directory(policies)

    assert guard.decide(topic="t", value=b"{}", timestamp=DAY_MS).matches
    assert not guard.decide(topic="t", value=b"{}", timestamp=DAY_MS + 1).matches


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("field", ["at", "seen", "text"])
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f"operator: greater_than, value: '{DAY}'", (False, False, True)),
        (f"operator: greater_or_equal, value: '{DAY}'", (False, True, True)),
        (f"operator: less_than, value: '{DAY}'", (True, False, False)),
        (f"operator: less_or_equal, value: '{DAY}'", (True, True, False)),
        (f"operator: equals, value: '{DAY}'", (False, True, False)),
        (f"operator: not_equals, value: '{DAY}'", (True, False, True)),
        (f"operator: in, value: ['{DAY}', other]", (False, True, False)),
        (f"operator: not_in, value: ['{DAY}']", (True, False, True)),
    ],
)
def test_fields_are_compared_as_what_they_are(
    tmp_path: Path,
    schemas: Path,
    field: str,
    typed: bool,
    condition: str,
    expected: tuple[bool, ...],
) -> None:
    """Timestamps as times and text as text, whether or not the policy names the schema."""
    policies = written(tmp_path, f"field: value.{field}, {condition}", "event" if typed else "")
    (schemas / "t-value.avsc").write_text(json.dumps(EVENT))
    guard = Guard.from_directory(policies, schemas=schemas)
    texts = ["2025-12-31T00:00:00Z", DAY, "2026-01-02T00:00:00Z"]

    fired = [
        bool(guard.decide(topic="t", value=avro(at=ms, seen=ms, text=text, count=1)).matches)
        for ms, text in zip((DAY_MS - 1, DAY_MS, DAY_MS + 1), texts, strict=True)
    ]

    assert tuple(fired) == expected


def test_text_that_is_no_time_is_compared_as_text(tmp_path: Path) -> None:
    """A field whose text is no RFC 3339 does not fail the condition."""
    policies = written(tmp_path, f"field: value.day, operator: greater_than, value: '{DAY}'")
    guard = Guard.from_directory(policies)

    decisions = [
        guard.decide(topic="t", value=json.dumps({"day": day}).encode())
        for day in ("2026-05", "2025-05", "x")
    ]

    assert [bool(decision.matches) for decision in decisions] == [True, False, True]
    assert not any(match.error for decision in decisions for match in decision.matches)


@pytest.mark.parametrize(
    ("condition", "code", "message", "remedy"),
    [
        (
            "field: timestamp, operator: greater_than, value: 2026-01-01",
            "SW152",
            "`timestamp` is compared with a time, and `2026-01-01` is none",
            f'write it as in RFC 3339: `"{DAY}"`',
        ),
        ("field: now, operator: in, value: [soon]", "SW152", "`soon` is none", DAY),
        (
            "field: value.at, operator: greater_than, value: 2026-01-01",
            "SW123",
            "does not take timestamp and string",
            f'write `"{DAY}"`',
        ),
        (f"field: value.count, operator: less_than, value: '{DAY}'", "SW123", "int and", ""),
        (f"field: value.count, operator: equals, value: '{DAY}'", "SW123", "an int is never", ""),
        (f"field: value.count, operator: in, value: ['{DAY}', x]", "SW123", "an int is never", ""),
        ("field: timestamp, operator: less_than, value: 5", "SW123", "timestamp and int", ""),
    ],
)
def test_what_is_no_time(
    tmp_path: Path, schemas: Path, condition: str, code: str, message: str, remedy: str
) -> None:
    """Is told with a text that is one, as it is written in YAML."""
    types = SchemaTypes(DirectorySource(schemas))

    (problem,) = check_directories(
        written(tmp_path, condition, "event"), value_types=types.value_type
    )

    assert (problem.code, problem.severity) == (code, "error")
    assert message in problem.message
    assert remedy in problem.remedy
    assert "timestamp(" not in problem.remedy


def test_a_time_that_may_be_null_is_warned_about(tmp_path: Path, schemas: Path) -> None:
    """As with other fields; on_error or a condition beside it says what is to happen."""
    types = SchemaTypes(DirectorySource(schemas))
    condition = f"field: value.seen, operator: less_than, value: '{DAY}'"
    policies = written(tmp_path, condition, "event")

    (problem,) = check_directories(policies, value_types=types.value_type)

    assert (problem.code, problem.severity) == ("SW132", "warning")


def test_a_time_that_is_asked_for_is_there(tmp_path: Path, schemas: Path) -> None:
    """`equals` and `in` are guards with times as with other values."""
    types = SchemaTypes(DirectorySource(schemas))
    condition = (
        f"field: value.seen, operator: equals, value: '{DAY}'}}, "
        "{field: value.seen, operator: less_than, value: '2027-01-01T00:00:00Z'"
    )

    policies = written(tmp_path, condition, "event")

    assert check_directories(policies, value_types=types.value_type) == []


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (f"operator: greater_than, value: '{DAY}'", f'at is greater than "{DAY}"'),
        (f"operator: equals, value: '{DAY}'", f'at is "{DAY}"'),
        (f"operator: not_in, value: ['{DAY}', x]", f'at is not one of ("{DAY}", "x")'),
    ],
)
def test_the_words_are_those_of_the_document(tmp_path: Path, condition: str, words: str) -> None:
    """People read the time, and nothing of how it is compared."""
    bundle = load_directories(written(tmp_path, f"field: value.at, {condition}"))

    found = bundle.policies[0].rules[0].condition
    assert found is not None
    assert in_words(found.expr) == words


def avro(**value: Any) -> bytes:
    """An event in the framing of registries."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(EVENT), value)
    return with_id(1, out.getvalue())
