"""What is unknown of an event, and what still is known about fields that masks hide."""

from __future__ import annotations

from typing import Any, cast

import pytest

from streamwarden.policy.cel import Unknown, parse
from streamwarden.policy.compiler.reads import reads_of
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.masking import mask_value
from streamwarden.policy.model import MaskField, Path
from streamwarden.reconciler.unknowns import Unknowns, looks_masked
from streamwarden.reconciler.worlds import Hidden
from streamwarden.schemas.json_projection import decode_json

from .histories import as_bytes

_KEYS = KeyRing.load({"k1": b"0123456789abcdef"})


def masks(*fields: tuple[Path, str]) -> list[MaskField]:
    """Masks of fields under `value`."""
    return [MaskField(path, how, "value") for path, how in fields]


def hidden(value: Any, *fields: tuple[Path, str]) -> Any:
    """The value as rules see it, with `?` for what is unknown."""
    seen, _ = Unknowns.of(masks(*fields)).over({}, value, {})
    return shown(seen["value"])


def shown(value: object) -> Any:
    """`?` for unknowns."""
    if isinstance(value, Unknown):
        return "?"
    if isinstance(value, dict):
        return {key: shown(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [shown(item) for item in cast("list[object]", value)]
    return value


@pytest.mark.parametrize("how", ["last4", "hash", "redact"])
@pytest.mark.parametrize(
    "value", ["4111111111111111", "short", "", "naïve café ☕☕", 12, 1.5, True, [1], {"a": 1}]
)
def test_whatever_a_mask_makes_looks_masked(how: str, value: object) -> None:
    """Else an honest event would be taken for an unmasked one."""
    masked = mask_value(as_bytes({"a": value}) or b"", "json", masks((("a",), how)), _KEYS)
    decoded: Any = decode_json(masked)

    assert looks_masked(decoded["a"], [how]) or (how, value, decoded["a"]) == ("last4", "", "")


@pytest.mark.parametrize("value", ["4111", "h:k1:short", "**1", 7, None, ["***"], {"a": "***"}])
def test_what_no_mask_makes_does_not(value: object) -> None:
    """Values that stand there as they were."""
    assert not looks_masked(value, ["last4", "hash", "redact"])


@pytest.mark.parametrize(
    ("value", "fields", "expected"),
    [
        ({"a": "***", "b": 1}, [(("a",), "redact")], {"a": "?", "b": 1}),
        ({"a": "plain"}, [(("a",), "redact")], {"a": "plain"}),
        ({"b": 1}, [(("a",), "redact")], {"b": 1}),
        ({"b": 1}, [(("a",), "drop")], {"a": "?", "b": 1}),
        ({"x": {"a": "****"}}, [(("x", "a"), "last4")], {"x": {"a": "?"}}),
        ({"x": 1}, [(("x", "a"), "drop")], {"x": 1}),
        ({"l": ["***", "b"]}, [(("l", None), "redact")], {"l": ["?", "b"]}),
        ({"l": ["a", "b"]}, [(("l", None), "drop")], {"l": "?"}),
        ({"l": [{"a": "***"}, {}]}, [(("l", None, "a"), "redact")], {"l": [{"a": "?"}, {}]}),
        ({"l": ["***", "***"]}, [(("l", 1), "redact")], {"l": ["***", "?"]}),
        ({"l": ["***"]}, [(("l", 5), "redact")], {"l": ["***"]}),
        (None, [(("a",), "redact")], None),
        ("text", [(("a",), "redact")], "text"),
    ],
)
def test_fields_that_look_masked_are_unknown(
    value: object, fields: list[tuple[Path, str]], expected: object
) -> None:
    """Those that masks name, and no others."""
    assert hidden(value, *fields) == expected


def test_where_masks_have_no_look_every_named_field_is_unknown() -> None:
    """Avro has no stars: a redacted number is a zero."""
    seen, _ = Unknowns.of(masks((("a",), "redact"))).over({}, {"a": 0, "b": 0}, {}, telling=False)

    assert shown(seen["value"]) == {"a": "?", "b": 0}


@pytest.mark.parametrize(
    ("how", "known"),
    [
        ("last4", Hidden(absent=False, null=False)),
        ("hash", Hidden(absent=False, null=False)),
        ("redact", Hidden(absent=False, null=True)),
    ],
)
def test_a_masked_field_was_there(how: str, known: Hidden) -> None:
    """Masks make nothing of nothing; stars and hashes nothing of null."""
    masked = mask_value(b'{"a": "4111111111111111"}', "json", masks((("a",), how)), _KEYS)
    _, fields = Unknowns.of(masks((("a",), how))).over({}, decode_json(masked), {})

    assert fields == {("value", ("a",)): known}


@pytest.mark.parametrize(
    ("text", "touched"),
    [
        ("client.id == 'a'", True),
        ("facts.score > 3", True),
        ("has(stamp.effect)", True),
        ("value.card == 'x'", True),
        ("has(value.card)", True),
        ("value.card.number == 'x'", True),
        ("size(value) > 3", True),
        ("value.items.exists(i, i.secret == 1)", True),
        ("value.items[0].secret == 1", True),
        ("value.items[0].public == 1", False),
        ("value.cards == 'x'", False),
        ("key == 'x' && headers['facts'] == 'x'", False),
        ("['facts'].exists(facts, facts == 'x')", False),
    ],
)
def test_rules_that_hang_on_unknowns(text: str, touched: bool) -> None:
    """Those that read something unknown, above it or below it."""
    unknowns = Unknowns.of(masks((("card",), "last4"), (("items", None, "secret"), "hash")))

    assert unknowns.touch(reads_of(parse(text))) is touched


def test_what_was_kept_is_known() -> None:
    """A decision that logged its facts leaves them known."""
    seen, _ = Unknowns.of([]).over({}, None, {"facts": {"score": 3}})

    assert seen["facts"] == {"score": 3}
    assert isinstance(seen["client"], Unknown)
