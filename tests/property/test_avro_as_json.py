"""What is decided on an event in Avro is what is decided on the same value as JSON."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.policy.decision import Decision
from streamwarden.policy.guard import Guard
from streamwarden.policy.paths import format_path
from streamwarden.schemas.avro_projection import Instant
from streamwarden.schemas.avro_types import (
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
)
from streamwarden.schemas.framing import with_id

from .avro_schemas import SCHEMAS, Json, is_dict, is_list, read, values_of, write
from .test_avro_rules import NUMBERED, OneSchema

_NOW_NS = 1_760_000_000 * 10**9
_PLACES_MAX = 300
_SEGMENTS_MAX = 4
_NAMES = ("a", "card", "é")

#: What means the same on a type and on its form in JSON, where times are text, decimals doubles.
_CONDITIONS: dict[str, tuple[str, ...]] = {
    "time": (
        "timestamp({0}) < now",
        'timestamp({0}) == timestamp("1970-01-01T00:00:00Z")',
        'timestamp({0}) - timestamp("2020-01-01T00:00:00Z") > duration("1h")',
        "{0} != null",
    ),
    "decimal": ("{0} > 2.5", "{0} == 3", "{0} in [1.0, 3]", "!({0} <= -1.5)", "{0} != null"),
    "number": (
        *("{0} > 2", "{0} >= 2.5", "{0} == 3", "{0} == 1.0", "{0} in [1, 2, 3]", "{0} + 1 > 2"),
        *("{0} * 2 <= 20", "-{0} < 1", "{0} % 2 == 0", "{0} / 2 == 1", "type({0}) == int"),
        *("{0} > 9007199254740992.0", "!({0} < 0)", 'string({0}) == "1"', "{0} == true"),
    ),
    "string": (
        *('{0} == "RED"', '{0}.startsWith("a")', "size({0}) > 3", '{0}.matches("^[a-zA-Z]+$")'),
        *('{0} < "b"', '{0} in ["a", "BLUE"]', "{0} > 2", "{0} == null"),
    ),
    "boolean": ("{0}", "!{0}", "{0} == true", "{0} == 1"),
    "list": ("size({0}) > 1", "{0}[0] == 1", "{0}.exists(v, v == 1)", '"a" in {0}', "{0} == []"),
    "object": (
        *("has({0}.a)", "size({0}) > 1", '"card" in {0}', "{0}.b != null", "{0} == null"),
        *('{0}.?card.orValue("z") == "a"', "has({0}.items) && size({0}.items) > 1"),
    ),
    "null": ("{0} == null", "{0} != null"),
}
#: Types of which the form in JSON is of another.
_CHANGED = {"time", "decimal", "bytes"}


def _kind(type_: AvroType) -> str:
    match type_:
        case Primitive(logical="decimal") | Fixed(logical="decimal"):
            return "decimal"
        case Fixed(logical="uuid") | Enum():
            return "string"
        case Fixed():
            return "bytes"
        case Primitive(name="int" | "long", logical=str(logical)) if "timestamp" in logical:
            return "time"
        case Primitive(logical="date"):
            return "time"
        case Primitive(name="int" | "long" | "float" | "double"):
            return "number"
        case Primitive():
            return type_.name
        case Array():
            return "list"
        case _:
            return "object"


def _places(root: AvroType) -> dict[str, set[str]]:
    """What there may be at each place of a value, the nearest places first."""
    found: dict[str, set[str]] = {}
    pending: list[tuple[AvroType, tuple[str | int, ...]]] = [(root, ("value",))]
    while pending:
        type_, path = pending.pop(0)
        if isinstance(type_, Union):
            pending = [(branch, path) for branch in type_.branches] + pending
            continue
        place = format_path(path)
        if place not in found and len(found) >= _PLACES_MAX:
            break
        found.setdefault(place, set()).add(_kind(type_))
        if len(path) <= _SEGMENTS_MAX:
            pending += [(inner, (*path, segment)) for segment, inner in _parts(type_)]
    return found


def _parts(type_: AvroType) -> Iterator[tuple[str | int, AvroType]]:
    match type_:
        case Record():
            yield from ((field.name, field.type) for field in type_.fields)
        case Map():
            yield from ((name, type_.values) for name in _NAMES)
        case Array():
            yield 0, type_.items
        case _:
            return


@st.composite
def _rules(draw: st.DrawFn, root: AvroType) -> list[str]:
    """Conditions on places where nothing is of another type in JSON than they expect."""
    if isinstance(root, Primitive) and root.name == "bytes":
        return ["value == null"]  # a whole value that is bytes has no length, and no logical type
    places = _places(root)
    told = [
        (place, sorted(kinds - {"bytes"}))
        for place, kinds in places.items()
        if not (kinds & _CHANGED and len(kinds - {"null"}) > 1) and "bytes" not in kinds
    ]
    conditions: list[str] = []
    for _ in range(draw(st.integers(1, 8)) if told else 0):
        place, kinds = draw(st.sampled_from(told))
        texts = _CONDITIONS[draw(st.sampled_from(kinds))]
        if _CHANGED & places.get(f"{place}.items", set()):
            texts = tuple(text for text in texts if ".items" not in text)
        conditions.append(draw(st.sampled_from(texts)).format(place))
    return conditions or ["value == null"]


class _NotInJsonError(Exception):
    """JSON, or its times, cannot express a value."""


def _as_json(value: object) -> Json:
    if is_dict(value):
        return {name: _as_json(item) for name, item in value.items()}
    if is_list(value):
        return [_as_json(item) for item in value]
    match value:
        case Instant():
            return _moment(value.ns)
        case Decimal():
            value = float(value)
        case bytes():
            return "bytes, which no rule reads"
        case _:
            pass
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotInJsonError
    return value


def _moment(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    try:
        day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        raise _NotInJsonError from None
    return f"{day.replace(tzinfo=None).isoformat()}.{rest:09d}Z"


def _said(decision: Decision) -> object:
    matches = [(each.rule, each.effect, each.error is not None) for each in decision.matches]
    return decision.effect, matches, decision.undecodable is not None


@settings(max_examples=80)
@given(draw=st.data(), schema=SCHEMAS, strict=st.booleans())
def test_decisions_on_avro_are_those_on_json(
    draw: st.DataObject, schema: Json, strict: bool
) -> None:
    """Effects, matches and errors alike, for every type that JSON has a form of."""
    source = OneSchema(json.dumps(schema))
    assert source.found.avro is not None
    conditions = draw.draw(_rules(source.found.avro.root))
    with tempfile.TemporaryDirectory() as folder:
        guard = _guard(Path(folder), conditions, source, strict)
    for _ in range(3):
        data = write(schema, draw.draw(values_of(schema)))
        try:
            text = json.dumps(_as_json(read(schema, data)[0])).encode()
        except _NotInJsonError:
            continue

        in_avro = guard.decide(topic="t", value=with_id(NUMBERED, data))
        in_json = guard.decide(topic="t", value=text)

        assert _said(in_avro) == _said(in_json)


def _guard(folder: Path, conditions: list[str], source: OneSchema, strict: bool) -> Guard:
    effects = ("reject", "hold", "warn")
    rules = [
        {"id": f"r{number}", "when": condition, "effect": effects[number % 3]}
        for number, condition in enumerate(conditions)
    ]
    policy = {"policy": "p", "owner": "o", "topics": ["t"], "rules": rules}
    (folder / "p.yaml").write_text(json.dumps(policy, ensure_ascii=False))
    (folder / "bundle.yaml").write_text(f"bundle: b\nstrict_values: {str(strict).lower()}\n")
    return Guard.from_directory(folder, schemas=source, clock=lambda: _NOW_NS)
