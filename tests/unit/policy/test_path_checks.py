"""Paths of masks and of `sensitive` that hide nothing are told before any event goes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from streamwarden import Guard
from streamwarden.errors import PolicyError, Problem
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.lint.advice import adviser
from streamwarden.policy.loader import load_directories, read_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.schema_directory import DirectorySource

MAN = {"type": "record", "name": "Man", "fields": [{"name": "ssn", "type": "string"}]}
FIRM = {"type": "record", "name": "Firm", "fields": [{"name": "vat", "type": "string"}]}
PROBE = {
    "type": "record",
    "name": "Probe",
    "fields": [{"name": "c", "type": "string"}, {"name": "next", "type": ["null", "Probe"]}],
}
AVRO = {
    "type": "record",
    "name": "Reading",
    "fields": [
        {"name": "operator", "type": ["null", "string"]},
        {"name": "probes", "type": {"type": "array", "items": PROBE}},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
        {"name": "who", "type": ["null", MAN, FIRM]},
    ],
}
JSON = {
    "type": "object",
    "title": "Reading",
    "additionalProperties": False,
    "properties": {
        "operator": {"type": ["string", "null"]},
        "probes": {"type": "array", "items": {"$ref": "#/$defs/probe"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "who": {
            "oneOf": [
                {
                    "title": "Man",
                    "additionalProperties": False,
                    "properties": {"ssn": {"type": "string"}},
                },
                {
                    "title": "Firm",
                    "additionalProperties": False,
                    "properties": {"vat": {"type": "string"}},
                },
            ]
        },
        "open": {"properties": {"known": {"type": "string"}}},
    },
    "$defs": {
        "probe": {
            "title": "Probe",
            "additionalProperties": False,
            "properties": {"c": {"type": "string"}, "next": {"$ref": "#/$defs/probe"}},
        }
    },
}
KEY = {"type": "record", "name": "Key", "fields": [{"name": "patient", "type": "string"}]}


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A directory with the subjects `avro` and `json`, and the key and value of the topic `t`."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    for name, schema in (("avro", AVRO), ("t-value", AVRO), ("t-key", KEY)):
        (folder / f"{name}.avsc").write_text(json.dumps(schema))
    (folder / "json.schema.json").write_text(json.dumps(JSON))
    return folder


def policies(
    schemas: Path, *, mask: str = "", hidden: str = "", head: str = "topics: [t]\n", rule: str = ""
) -> Path:
    """A policy with a mask, or a sensitive path, in double quotes."""
    if hidden:
        head += f"sensitive: [{json.dumps(hidden)}]\n"
    rule = rule or "effect: warn"
    if mask:
        rule = f"effect: mask, mask: [{{field: {json.dumps(mask)}, with: redact}}]"
    folder = schemas.parent / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "p.yaml").write_text(
        f"policy: p\nowner: o\n{head}rules:\n  - {{id: r, reason: x, severity: low, {rule}}}\n"
    )
    return folder


def found(folder: Path, schemas: Path, *, advised: bool = False) -> list[Problem]:
    """The problems of a directory."""
    types = SchemaTypes(DirectorySource(schemas))
    advisers = [adviser()] if advised else []
    return read_directories(folder, value_types=types.value_type, advisers=advisers)[1]


WRONG = [
    ("value.opertor", "SW125", "no field `opertor` in `Reading`", "did you mean `operator`?"),
    ("value.who.ssm", "SW125", "no field `ssm` in `Man` or `Firm`", "it has `ssn`, `vat`"),
    ("value.probes[].next.next.d", "SW125", "no field `d` in `Probe`", "it has `c`, `next`"),
    ("value.probes[0].nxt.c", "SW125", "no field `nxt` in `Probe`", "did you mean `next`?"),
    ("value.probes.c", "SW123", "has no fields", "for every element write `value.probes[].c`"),
    ("value.operator.x", "SW123", "a string has no fields", "end the path at `value.operator`"),
    ("value.operator[].x", "SW123", "`value.operator` is no list", "end the path at"),
    ("value.labels.a.b", "SW123", "a string has no fields", "end the path at `value.labels.a`"),
    ("value.labels[3]", "SW123", "nothing is at `[3]`", "name the entry, or the whole map"),
    ("value[\"opera tor\"]", "SW125", "no field `opera tor`", "did you mean `operator`?"),
]  # fmt: skip
FINE = [
    *("value.operator", "value.who", "value.who.ssn", "value.who.vat", "value.probes"),
    *("value.probes[].c", "value.probes[7].next.next.next.c", "value.labels.anything"),
    *("value.labels", 'value.labels["odd name"]', "value.probes[]"),
]


@pytest.mark.parametrize("subject", ["avro", "json"])
@pytest.mark.parametrize(("path", "code", "message", "remedy"), WRONG)
def test_a_path_that_leads_nowhere_is_refused(
    schemas: Path, subject: str, path: str, code: str, message: str, remedy: str
) -> None:
    """In masks and in `sensitive`, where it is written; no guard starts with it."""
    head = f"topics: [t]\nschema: {subject}\n"
    for given, what, line in (("mask", "the mask", 6), ("hidden", "`sensitive`", 5)):
        folder = policies(schemas, head=head, **{given: path})

        (problem,) = found(folder, schemas)

        assert (problem.code, problem.severity) == (code, "error")
        assert problem.message.startswith(f"a path of {what}: ")
        assert message in problem.message
        assert problem.remedy.startswith(remedy)
        place = problem.location
        text = (folder / "p.yaml").read_text().splitlines()[place.line - 1]
        assert place.line == line
        assert text[place.column - 1 :].startswith(json.dumps(path))
        with pytest.raises(PolicyError):
            Guard.from_directory(folder, schemas=schemas)


@pytest.mark.parametrize("subject", ["avro", "json"])
@pytest.mark.parametrize("path", FINE)
def test_nothing_is_said_of_paths_that_some_event_has(
    schemas: Path, subject: str, path: str
) -> None:
    """In one branch of a union, at any depth, and in maps whatever the name; whole records too."""
    head = f"topics: [t]\nschema: {subject}\n"
    for given in ("mask", "hidden"):
        assert found(policies(schemas, head=head, **{given: path}), schemas) == []


def test_what_a_loop_visits_can_be_sensitive_but_not_masked(schemas: Path) -> None:
    """A mask passes by the entries of maps that it does not name."""
    head = "topics: [t]\nschema: avro\n"

    assert found(policies(schemas, head=head, hidden="value.labels[]"), schemas) == []
    assert found(policies(schemas, head=head, hidden="value.who[]"), schemas) == []
    assert found(policies(schemas, head=head, hidden="message.who.vat"), schemas) == []
    (entries,) = found(policies(schemas, head=head, mask="value.labels[]"), schemas)
    assert (entries.code, entries.remedy) == ("SW123", "name the entry, or the whole map")
    (record,) = found(policies(schemas, head=head, mask="value.who[].ssn"), schemas)
    assert (record.code, record.remedy) == ("SW123", "write `value.who.ssn`")


def test_an_open_schema_gives_a_warning(schemas: Path) -> None:
    """Events may have what it does not name."""
    head = "topics: [t]\nschema: json\n"
    for given in ("mask", "hidden"):
        folder = policies(schemas, head=head, **{given: "value.open.knwon"})
        (problem,) = found(folder, schemas)
        assert (problem.code, problem.severity) == ("SW125", "warning")
        assert problem.remedy == "did you mean `known`?"


def test_other_variables_are_looked_at_too(schemas: Path) -> None:
    """As conditions may name them; a header has any name, and of facts nothing is known."""
    for path in ('headers["x-card"]', "facts.score", "key.anything", "client.labels.team", "now"):
        assert found(policies(schemas, hidden=path), schemas) == []
    for path, code, remedy in (
        ("client.lables", "SW125", "did you mean `labels`?"),
        ("lists.pins", "SW163", "name it under `lists:` of the bundle"),
        ("topic.name", "SW123", "end the path at `topic`"),
    ):
        (problem,) = found(policies(schemas, hidden=path), schemas)
        assert (problem.code, problem.remedy) == (code, remedy)


# ------------------------------------------------------ by the schemas of topics


def test_topics_own_schemas_give_warnings(schemas: Path) -> None:
    """Where the policy names none, as for conditions; keys have schemas only so."""
    for given, path, by in (
        ("mask", "value.opertor", "by the schema of the topic `t`: a path of the mask: "),
        ("hidden", "value.opertor", "by the schema of the topic `t`: a path of `sensitive`: "),
        ("hidden", "key.patint", "by the schema of the keys of the topic `t`: a path of "),
    ):
        (problem,) = found(policies(schemas, **{given: path}), schemas, advised=True)
        assert (problem.code, problem.severity) == ("SW125", "warning")
        assert problem.message.startswith(by)
        assert problem.remedy.startswith("did you mean `")
    for path in ("value.operator", "key.patient", "key"):
        assert found(policies(schemas, hidden=path), schemas, advised=True) == []


def test_a_path_of_one_topic_of_several_is_fine(schemas: Path) -> None:
    """Nothing is said where a topic's schema is not known, nor of a name that one of them has."""
    (schemas / "u-value.avsc").write_text(json.dumps(MAN))
    (schemas / "u-key.avsc").write_text(json.dumps("string"))

    for path, topics, wrong in (
        ("value.ssn", "[t, u]", False),
        ("value.operator", "[t, u]", False),
        ("key.patient", "[t, u]", False),
        ("value.ssm", "[t, u]", True),
        ("key.patint", "[t, u]", True),
        ("value.ssm", "[t, 'u*']", False),
        ("value.ssm", "[t, unknown]", False),
    ):
        folder = policies(schemas, hidden=path, head=f"topics: {topics}\n")
        problems = found(folder, schemas, advised=True)
        assert [problem.code for problem in problems] == (["SW125"] if wrong else []), path
        assert all("of its topics: " in problem.message for problem in problems)


def test_what_was_published_stays_readable(schemas: Path) -> None:
    """A stored bundle is not refused for a path that hides nothing."""
    with pytest.raises(PolicyError):
        load_directories(policies(schemas, hidden="client.lables"))
    fine = load_directories(policies(schemas, hidden="client.labels"))
    written = cast("dict[str, Any]", fine.documents)["policies"][0]
    stored = Bundle.make(
        fine.settings, [(fine.policies[0], {**written, "sensitive": ["client.lables"]})]
    )

    assert Bundle.from_json(stored.to_json()).policies[0].sensitive == (("client", "lables"),)
