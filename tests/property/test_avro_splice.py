"""Splicing masks into Avro: exact on what is masked, invisible everywhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.schemas.avro_projection import AvroProjection, Instant
from streamwarden.schemas.avro_splice import AvroMask, AvroSplicer, UnmaskableError
from streamwarden.schemas.avro_types import Array, AvroType, Map, Record, Union, parse_schema
from streamwarden.schemas.avro_wire import AvroError
from streamwarden.schemas.json_projection import DecodeError, JsonProjection, Shape
from streamwarden.schemas.json_splice import Path

from .avro_schemas import SCHEMAS, Json, encodings, is_dict, is_list, places_in, same
from .test_avro_projection import broken

WHOLE = JsonProjection(Shape(whole=True)).root
#: What is wrong inside a single value, which is not looked into unless it is masked.
UNSEEN = ("not valid UTF-8", "a symbol that the enum does not have", "neither 0 nor 1")


def starred(text: str) -> str:
    return "*" + text


@st.composite
def paths_of(draw: st.DrawFn, type_: AvroType) -> Path:
    """A path for a mask, mostly one that leads somewhere; some name one item of a list."""
    places = places_in(type_)
    path: Path = draw(st.sampled_from(places)) if places else ("a",)
    return tuple(
        draw(st.sampled_from([None, None, 0, 1])) if segment is None else segment
        for segment in path
    )


@st.composite
def masks_of(draw: st.DrawFn, type_: AvroType) -> list[AvroMask]:
    made: list[AvroMask] = []
    for path in draw(st.lists(paths_of(type_), min_size=1, max_size=4)):
        how = draw(st.sampled_from(["redact", "drop", "text"]))
        made.append(AvroMask(path, how, starred if how == "text" else None))
    return made


def decoded(type_: AvroType, data: bytes) -> Any:
    return AvroProjection(type_, WHOLE, strict=True).decode(data, 0)


@settings(max_examples=600)
@given(draw=st.data(), schema=SCHEMAS)
def test_splicing_is_masking_the_decoded_value(draw: st.DataObject, schema: Json) -> None:
    """What is masked is masked, the rest is as it was, and readers of the schema still read it."""
    type_ = parse_schema(json.dumps(schema)).root
    data = draw.draw(encodings(type_))
    masks = draw.draw(masks_of(type_))
    splicer = AvroSplicer(type_, masks)

    try:
        result = splicer.splice(data, 0)
    except UnmaskableError as refused:
        problem = str(refused)
        assert problem in splicer.problems
        return

    before, after = decoded(type_, data), decoded(type_, result)
    assert not isinstance(after, AvroError)
    assert masked(type_, before, after, [(mask.path, mask) for mask in masks])
    assert (result is data) == (result == data)


@settings(max_examples=300)
@given(draw=st.data(), schema=SCHEMAS)
def test_what_is_not_masked_stays_byte_for_byte(draw: st.DataObject, schema: Json) -> None:
    """Undoing the replacements gives back the bytes that came in; without any, the same object."""
    type_ = parse_schema(json.dumps(schema)).root
    data = draw.draw(encodings(type_, canonical=True))
    paths = draw.draw(st.lists(paths_of(type_), max_size=3))

    def splice(data: bytes, text: Callable[[str], str]) -> bytes:
        try:
            return AvroSplicer(type_, [AvroMask(path, "text", text) for path in paths]).splice(
                data, 0
            )
        except UnmaskableError:
            return data

    assert splice(data, lambda text: text) is data
    assert splice(splice(data, starred), lambda text: text[1:]) == data


@settings(max_examples=300)
@given(draw=st.data(), schema=SCHEMAS)
def test_broken_bytes_are_refused(draw: st.DataObject, schema: Json) -> None:
    """What is passed on as masked is masked, and readers refused at most a value in it."""
    type_ = parse_schema(json.dumps(schema)).root
    data = draw.draw(encodings(type_).flatmap(broken))
    masks = draw.draw(masks_of(type_))

    try:
        result = AvroSplicer(type_, masks).splice(data, 0)
    except (DecodeError, UnmaskableError):
        return

    found = decoded(type_, data)
    if isinstance(found, AvroError):
        assert any(reason in found.reason for reason in UNSEEN), found.reason
    else:
        assert masked(type_, found, decoded(type_, result), [(m.path, m) for m in masks])


_Left: TypeAlias = Sequence[tuple[Path, AvroMask]]


def masked(type_: AvroType, before: Any, after: Any, masks: _Left) -> bool:
    """Whether `after` is `before` under masks whose paths are what is left of them."""
    here = [mask for path, mask in masks if not path]
    if here:
        return replaced(before, after, here[0])
    inner = branch_of(type_, before)
    if isinstance(inner, Record):
        return list(before) == list(after) and all(
            masked(field.type, before[field.name], after[field.name], under(masks, field.name))
            for field in inner.fields
        )
    if isinstance(inner, Map):
        kept = {key: item for key, item in before.items() if not dropped(under(masks, key))}
        return list(kept) == list(after) and all(
            masked(inner.values, item, after[key], under(masks, key)) for key, item in kept.items()
        )
    if isinstance(inner, Array):
        places = [(place, item) for place, item in enumerate(before)]
        stay = [(p, item) for p, item in places if not dropped(under(masks, p, None))]
        return len(stay) == len(after) and all(
            masked(inner.items, item, new, under(masks, place, None))
            for (place, item), new in zip(stay, after, strict=True)
        )
    return same(before, after)


def under(masks: _Left, *names: str | int | None) -> _Left:
    return [(path[1:], mask) for path, mask in masks if any(_is(path[0], name) for name in names)]


def _is(one: object, two: object) -> bool:
    return type(one) is type(two) and one == two


def dropped(masks: _Left) -> bool:
    here = [mask for path, mask in masks if not path]
    return bool(here) and here[0].how == "drop"


def replaced(before: Any, after: Any, mask: AvroMask) -> bool:
    if mask.how == "text":
        return after is None if before is None else after == starred(before)
    if mask.how == "drop":
        return after is None
    return is_zero(after)


def is_zero(value: Any) -> bool:
    if is_dict(value):
        return all(is_zero(item) for item in value.values())
    if isinstance(value, bytes):
        return not any(value)
    if is_list(value):
        return not value
    plain = (None, False, 0, 0.0, "", "RED", Decimal(0), Instant(0))
    return value in plain or value == "00000000-0000-0000-0000-000000000000"


def branch_of(type_: AvroType, value: Any) -> AvroType | None:
    """The container that a value is of, by what it looks like."""
    for each in type_.branches if isinstance(type_, Union) else (type_,):
        match each:
            case Record() if is_dict(value) and [f.name for f in each.fields] == list(value):
                return each
            case Map() if is_dict(value):
                return each
            case Array() if is_list(value):
                return each
            case _:
                continue
    return None
