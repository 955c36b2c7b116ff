"""What stands in a record: framing, JSON, Avro, stamps, and the headers of parked events."""

# ruff: noqa: PT017 - whether there is an error depends on the bytes

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamwarden.policy.keys import KeyRing
from streamwarden.policy.model import Effect
from streamwarden.policy.parking import (
    DECISION_HEADER,
    DECISION_MAC_HEADER,
    decision_is_signed,
    parse_parked,
)
from streamwarden.policy.stamp import Stamp, StampError, sign, verify
from streamwarden.policy.waiting import (
    KeyPlace,
    Parked,
    closed_record,
    parked_record,
    read_record,
    released_header,
    released_of,
)
from streamwarden.schemas.avro_projection import AvroProjection
from streamwarden.schemas.avro_splice import AvroMask, AvroSplicer, UnmaskableError
from streamwarden.schemas.avro_types import AvroType, SchemaError, parse_schema
from streamwarden.schemas.avro_wire import AvroError
from streamwarden.schemas.event import Event
from streamwarden.schemas.framing import Frame, frame_of, schema_id, with_id
from streamwarden.schemas.json_projection import DecodeError, JsonProjection, Shape, decode_json
from streamwarden.schemas.json_splice import Edit, splice
from streamwarden.schemas.views import header_value, key_view, value_view
from tests.property.avro_schemas import agrees, is_dict, same

from .damage import damaged, damaged_text

KEYS = KeyRing({"k1": b"0123456789abcdef"})
JSON = (
    b'{"amount": 61250.5, "card": "4111 1111", "tags": [1, {"deep": null}], "n": -9007199254740993}',
    b'[{"card": "x\\u00e9\\n"}, true, 1e10, ""]',
    b'"text"',
)
SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Payment",
        "fields": [
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9}},
            {"name": "card", "type": ["null", "string"], "default": None},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {"name": "more", "type": {"type": "map", "values": ["null", "long", "Payment"]}},
            {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
)
ROOT = parse_schema(SCHEMA).root
AVRO = (
    b"\x04\x00\x64\x02\x0841..\x04\x02a\x02b\x00\x02\x02x\x02\x0e\x00\x02\x80\x80\x01",
    b"\x02\x00\x00\x01\x04\x04x\x00\x02\x02x\x00\x00\x00\x00",
)
FRAMED = (*(with_id(7, data) for data in AVRO), b"\x01" + bytes(16) + AVRO[0])
STAMP = Stamp("payments", 15, "9f3a1c2b7d4e", Effect.ALLOW, "produce")
STAMPS = (
    b"1;payments@15;9f3a1c2b7d4e;allow;produce",
    b"1;payments@15;9f3a1c2b7d4e;mask;consume;id=01J;at=1767225600000;mode=shadow;ov=o;ap=a",
    b"1;payments@15;9f3a1c2b7d4e;allow;produce;mac=k1.AAAAAAAAAAAAAAAAAAAAAA",
)
DECISION = (
    b'{"v":1,"id":"x","at":1767225600000,"effect":"reject","kind":"held","matches":[{"rule":"r"}]}'
)
NUMBERS = (b"0", b"12", b"1767225600000")
WHOLE = JsonProjection(Shape(whole=True))
FORMATS = ("auto", "json", "text", "bytes", "avro")
UNSEEN = ("not valid UTF-8", "number that is out of range", "symbol that the enum does not have")
#: The reason for what nobody has thought of.
FALLBACK = "the Avro bytes cannot be read"


@given(damaged(*FRAMED), st.none() | damaged(FRAMED[0][:5], FRAMED[2][:17]))
def test_framing(data: bytes, named: bytes | None) -> None:
    """A frame whose content is inside the bytes, a reason, or none."""
    headers = [] if named is None else [("__value_schema_id", named)]

    found = frame_of(data, headers)

    if isinstance(found, Frame):
        assert 0 <= found.start <= len(data)
        schema_id(found.identity)
    else:
        assert found is None or isinstance(found, AvroError)


@given(damaged(*JSON))
def test_json(data: bytes) -> None:
    """The parts that rules read are those of the whole value; what is no JSON has none."""
    shape = Shape.of([("card",), ("tags",)], [("n",)])
    whole = _or_refusal(lambda: _shown(WHOLE, data))
    decoded = _or_refusal(lambda: decode_json(data))
    part = _or_refusal(lambda: _shown(JsonProjection(shape), data))

    assert repr(whole) == repr(decoded)  # NaN is not equal to itself, nor are errors
    if isinstance(whole, DecodeError):
        assert isinstance(part, DecodeError) or _is_unseen(whole)
    elif is_dict(whole):
        assert is_dict(part)
        for name in ("card", "tags", "n"):
            assert (name in part) == (name in whole)
        if not isinstance(whole.get("card"), list | dict):
            assert repr(part.get("card")) == repr(whole.get("card"))


@given(damaged(*JSON))
def test_json_masks(data: bytes) -> None:
    """What is masked is gone and the rest is as it was; what is no JSON is refused."""
    edits: list[Edit] = [(("card",), _starred), (("tags", None), _dropped)]
    wanted = _or_refusal(lambda: decode_json(data))
    masked = _or_refusal(lambda: splice(data, edits))

    if isinstance(wanted, DecodeError):
        assert isinstance(masked, DecodeError) or _is_unseen(wanted)
        return
    if is_dict(wanted):
        wanted |= {"card": "***"} if "card" in wanted else {}
        wanted |= {"tags": []} if type(wanted.get("tags")) is list else {}
    assert isinstance(masked, bytes)
    assert repr(decode_json(masked)) == repr(wanted)


@given(damaged(*AVRO))
def test_avro(data: bytes) -> None:
    """Read strictly and loosely, all and in part, it is the same value; what is none is refused."""
    shape = Shape.of([("card",), ("more", "x")])
    part = JsonProjection(shape)
    whole = _avro(ROOT, data)
    strictly, loosely = (
        AvroProjection(ROOT, part.root, strict=strict).decode(data, 0) for strict in (True, False)
    )

    if isinstance(whole, AvroError):
        assert whole.reason != FALLBACK
        assert isinstance(strictly, AvroError)
        return
    assert agrees(part.plain(strictly), whole, shape)
    assert same(part.plain(loosely), part.plain(strictly))


@given(damaged(*AVRO))
def test_avro_masks(data: bytes) -> None:
    """What is masked is gone and the rest is as it was; what the schema does not say is refused."""
    masks = [AvroMask(("card",), "text", lambda _: "***"), AvroMask(("tags", None), "redact")]
    whole: Any = _avro(ROOT, data)
    masked = _or_refusal(lambda: AvroSplicer(ROOT, masks).splice(data, 0))

    if isinstance(whole, AvroError):
        assert isinstance(masked, DecodeError) or _is_unseen(whole)
        return
    assert isinstance(masked, bytes)
    card = None if whole["card"] is None else "***"
    assert same(_avro(ROOT, masked), {**whole, "card": card, "tags": [""] * len(whole["tags"])})


@given(damaged_text(SCHEMA))
def test_avro_schemas(text: str) -> None:
    """A type that can be read by, or why it is none."""
    try:
        root = parse_schema(text).root
    except SchemaError as error:
        assert str(error)
        return

    found = _avro(root, AVRO[0])

    assert not isinstance(found, AvroError) or found.reason != FALLBACK


@given(damaged(*JSON, *FRAMED, b"plain text"))
def test_keys_and_headers(data: bytes) -> None:
    """What rules see of a key, a header and a value that is no JSON."""
    seen = header_value(data)
    json_of = repr(_or_refusal(lambda: decode_json(data)))
    framed = data.startswith(b"\0")

    assert data == (seen.encode() if isinstance(seen, str) else seen)
    for view, auto, text in (
        (key_view, repr(seen), repr(seen)),
        (value_view, json_of, repr(seen) if isinstance(seen, str) else None),
    ):
        said = {name: _or_refusal(partial(view, data, name)) for name in FORMATS}
        assert said["bytes"] == data
        assert repr(said["json"]) == json_of
        assert isinstance(said["avro"], DecodeError)
        assert isinstance(said["text"], DecodeError) if text is None else repr(said["text"]) == text
        assert isinstance(said["auto"], DecodeError) if framed else repr(said["auto"]) == auto


@given(damaged(*STAMPS, sign(STAMP, KEYS, "t", b"k", b"v").encode()))
def test_stamps(data: bytes) -> None:
    """What is a stamp reads back as itself; what is verified was not changed."""
    try:
        stamp = Stamp.parse(data)
    except StampError as error:
        assert data[:40].decode("latin-1") not in str(error) or not data
        return
    assert Stamp.parse(stamp.encode()) == stamp
    json.dumps(stamp.to_dict())
    if verify(stamp, KEYS, "t", b"k", b"v") == "valid":
        assert data == sign(STAMP, KEYS, "t", b"k", b"v").encode()


@given(
    damaged(DECISION),
    damaged(b"k1.AAAAAAAAAAAAAAAAAAAAAA", "k1.é".encode()),
    damaged(b"payments"),
    damaged(*NUMBERS),
    damaged(*NUMBERS),
)
def test_headers_of_parked_events(
    decision: bytes, mac: bytes, topic: bytes, number: bytes, timestamp: bytes
) -> None:
    """Claims, or what is missing of them; never signed by chance."""
    headers: list[tuple[str, bytes | None]] = [
        ("__dlq.errors.topic", topic),
        ("__dlq.errors.partition", number),
        ("__dlq.errors.offset", number),
        ("__dlq.errors.timestamp", timestamp),
        ("__dlq.errors.group", topic),
        ("__dlq.errors.message", decision),
        (DECISION_HEADER, decision),
        (DECISION_MAC_HEADER, mac),
    ]

    parked = parse_parked(headers)

    assert parked is not None
    assert parked.kind in ("quarantined", "held", "handler")
    assert parked.origin_offset is None or parked.origin_offset >= 0
    assert not decision_is_signed(headers, KEYS, parked.origin_topic, b"k", b"v")


def _starred(_: bytes) -> bytes:
    return b'"***"'


def _dropped(_: bytes) -> None:
    return None


def _or_refusal(parse: Callable[[], object]) -> object:
    """What it gives, or the error by which it refuses the bytes."""
    try:
        return parse()
    except (DecodeError, UnmaskableError) as error:
        return error


def _is_unseen(error: DecodeError | AvroError) -> bool:
    """True for what is wrong inside a single value, which is not looked into without need."""
    return any(reason in str(error) for reason in UNSEEN)


def _shown(projection: JsonProjection, data: bytes) -> object:
    return projection.plain(projection.decode(data))


def _avro(root: AvroType, data: bytes) -> object:
    return AvroProjection(root, WHOLE.root, strict=True).decode(data, 0)


PLACE = KeyPlace("g", 3, "0" * 32)
WAITING = (parked_record(PLACE, Parked(5, 9, 3)), closed_record(PLACE, 5))


@given(
    damaged(*(key for key, _ in WAITING)),
    st.none() | damaged(*(value or b"" for _, value in WAITING)),
)
def test_what_is_written_down_of_waiting_keys(key: bytes, value: bytes | None) -> None:
    """Gives what it says, or nothing."""
    read = read_record(key, value)

    if read is not None:
        place, kind, said = read
        write = parked_record if isinstance(said, Parked) or kind == "parked" else closed_record
        assert read_record(*write(place, said)) == read  # type: ignore[arg-type]


@given(damaged(released_header("g", 3, 5)[1]))
def test_the_header_of_what_was_released(data: bytes) -> None:
    """Gives an offset that can be compared, or nothing."""
    header = released_header("g", 3, 5)[0], data
    found = released_of(Event("t", b"", None, [header], None, 0, 3, 20), "g")

    assert found is None or 0 <= found < 10**19
