"""A realistic mix of rules, of any number, and the events for them, as JSON and as framed Avro.

The rules read the fields that real policies read: limits by tenant, blocked customers, patterns,
dates, nested records, lines of an order. Few of them fire; both formats carry the same values.
"""

from __future__ import annotations

import io
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro

__all__ = ["SCHEMA", "SCHEMA_ID", "avro_values", "json_values", "mixed_rules"]

SCHEMA_ID = 1
_PREFIX = b"\0" + SCHEMA_ID.to_bytes(4, "big")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK", "PLN")
_COUNTRIES = ("DE", "FR", "IT", "ES", "NL", "US", "GB", "PL", "SE", "CH")


def _record(name: str, **fields: object) -> dict[str, Any]:
    listed = [{"name": field, "type": type_} for field, type_ in fields.items()]
    return {"type": "record", "name": name, "fields": listed}


SCHEMA: dict[str, Any] = _record(
    "Order",
    id="string",
    kind="string",
    tenant="string",
    occurred_at="string",
    amount="double",
    currency="string",
    retries="int",
    customer=_record(
        "Customer",
        id="string",
        email="string",
        country="string",
        age="int",
        address=_record("Address", street="string", city="string", zip="string"),
    ),
    lines={"type": "array", "items": _record("Line", sku="string", quantity="int", price="double")},
    risk=_record("Risk", score="double", model="string"),
    approval=["null", _record("Approval", level="int", by="string")],
    tags={"type": "array", "items": "string"},
    note="string",
)

#: {n} tells rules of a kind apart; the others are what differs between them in real policies.
_KINDS = (
    'message.tenant == "tenant-{tenant}" && message.amount > {high}',
    'message.customer.id == "c-{n}"',
    'message.currency == "{currency}" && message.amount > {highest}',
    'message.customer.email.matches("^[a-z.]+@corp{n}[.]example[.]com$")',
    'message.customer.country in ["X{n}", "Y{n}", "Z{n}"]',
    "message.lines.exists(line, line.quantity > {many})",
    'timestamp(message.occurred_at) < timestamp("{then}Z")',
    "message.approval != null && message.approval.level < {level} && message.amount > {top}",
    'message.id.startsWith("test-{n}-")',
    "!message.lines.all(line, line.price < {price})",
    "message.risk.score > {risky} && message.customer.age < 21",
    '"hold-{n}" in message.tags',
    'message.customer.address.city == "City {n}" || message.customer.address.zip == "Z{n}"',
    'message.kind == "order.{n}" && size(message.tags) > 3 && message.retries >= 2',
    "message.amount * message.risk.score > {most} && message.retries >= 2",
    'size(message.note) > {long} || message.note.contains("secret-{n}")',
)


def mixed_rules(count: int) -> list[str]:
    """`count` conditions in CEL, true where the rule fires, kinds in turn and no two alike."""
    return [_KINDS[n % len(_KINDS)].format(**_parameters(n)) for n in range(count)]


def _parameters(n: int) -> dict[str, object]:
    return {
        "n": n,
        "tenant": n % 500,
        "high": 4500 + n / 20,
        "top": 4990 + n / 1000,
        "highest": 5000 + n / 8,
        "currency": _CURRENCIES[n % len(_CURRENCIES)],
        "many": 20 + n,
        "then": (_EPOCH + n * timedelta(hours=20, seconds=1)).strftime("%Y-%m-%dT%H:%M:%S"),
        "level": 1 + n % 2,
        "price": 201 + n / 4,
        "risky": f"{0.9998 + n / 100_000_000:.8f}",
        "most": 4_990 + n / 10,
        "long": 400 + n,
    }


def json_values(count: int) -> list[bytes]:
    """`count` events of about 800 bytes of JSON; one and the same list for the same count."""
    return [json.dumps(event, separators=(",", ":")).encode() for event in _events(count)]


def avro_values(count: int) -> list[bytes]:
    """The same events as Avro, framed by the id SCHEMA_ID."""
    schema = fastavro.parse_schema(SCHEMA)
    made: list[bytes] = []
    for event in _events(count):
        out = io.BytesIO(_PREFIX)
        out.seek(len(_PREFIX))
        fastavro.schemaless_writer(out, schema, event)
        made.append(out.getvalue())
    return made


def _events(count: int) -> list[dict[str, Any]]:
    draw = random.Random(11)
    return [_event(number, draw) for number in range(count)]


def _event(number: int, draw: random.Random) -> dict[str, Any]:
    return {
        "id": f"order-{number:012d}",
        "kind": f"order.{draw.choice(('placed', 'paid', 'sent', 'returned'))}",
        "tenant": f"tenant-{draw.randrange(500)}",
        "occurred_at": f"2026-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}T12:34:56.789Z",
        "amount": draw.randrange(500_000) / 100 + 0.001,
        "currency": draw.choice(_CURRENCIES),
        "retries": draw.randrange(4),
        "customer": {
            "id": f"c-{draw.randrange(10_000)}",
            "email": f"jane.doe@corp{draw.randrange(100_000)}.example.com",
            "country": draw.choice(_COUNTRIES),
            "age": draw.randint(18, 95),
            "address": {"street": "1 Long Street", "city": "Springfield", "zip": "12345"},
        },
        "lines": [
            {
                "sku": f"A-{draw.randrange(10_000)}",
                "quantity": draw.randint(1, 20),
                "price": draw.randrange(20_000) / 100 + 0.001,
            }
            for _ in range(3)
        ],
        "risk": {"score": draw.randrange(10_000) / 10_000 + 0.00001, "model": "v4"},
        "approval": {"level": draw.randint(1, 5), "by": "u-77"} if draw.random() < 0.5 else None,
        "tags": draw.sample(("web", "vip", "mobile", "retry", "gift"), draw.randint(1, 4)),
        "note": "x" * draw.randint(120, 240),
    }
