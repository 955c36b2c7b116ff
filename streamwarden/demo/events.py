"""Made-up payments for the demo: the same ones for the same seed, some of them bad on purpose."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Payment", "payments"]


class Payment(NamedTuple):
    """One event to publish: value and key as bytes, headers as the client takes them."""

    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


_COUNTRIES = ("US", "US", "CA", "DE", "FR", "GB", "JP", "BR")
_CURRENCIES = ("USD", "EUR", "CAD", "GBP")
_MERCHANTS = ("books & more", "corner café", "north air", "green grocer", "city transit")


def payments(count: int, seed: int = 7) -> Iterator[Payment]:
    """`count` payments; about one in twenty is bad in one of nine ways."""
    rng = random.Random(seed)  # noqa: S311 — the same payments for the same seed
    for number in range(count):
        event = _payment(rng, number)
        headers: list[tuple[str, bytes]] = []
        if event["kind"] == "internal":
            headers.append(("source", b"treasury"))
        key = f"customer-{rng.randrange(400):03d}".encode()
        value: bytes | None = _encode(event)
        if rng.random() < 0.05:
            value = _spoil(rng, event)
        yield Payment(key, value, headers)


def _payment(rng: random.Random, number: int) -> dict[str, object]:
    kind = rng.choices(("card", "transfer", "internal"), (7, 2, 1))[0]
    amount = round(rng.lognormvariate(5.0, 1.6), 2)
    event: dict[str, object] = {
        "id": f"pay-{number:06d}",
        "kind": kind,
        "amount": amount * 400 if kind == "internal" else amount,
        "currency": rng.choice(_CURRENCIES),
        "country": rng.choice(_COUNTRIES),
        "merchant": rng.choice(_MERCHANTS),
        "customer": {
            "tier": rng.choice(("basic", "gold")),
            "email": f"c{number % 400}@example.org",
        },
    }
    if kind == "card":
        event["card_number"] = "4" + "".join(rng.choices("0123456789", k=15))
    return event


def _spoil(rng: random.Random, event: dict[str, object]) -> bytes | None:
    """One of the ways in which real events go wrong."""
    way = rng.randrange(9)
    if way == 0:
        return _encode(event)[: rng.randrange(5, 60)]  # cut off on the way
    if way == 1:
        return None  # a tombstone
    if way == 2:
        return b""
    if way == 3:
        event.pop("amount")
    elif way == 4:
        event["amount"] = str(event["amount"])
    elif way == 5:
        event["country"] = rng.choice(("KP", "SY"))
    elif way == 6:
        event.update(kind="card", currency="XBT")
    elif way == 7:
        event.update(amount=round(rng.uniform(50_001, 400_000), 2), country="DE")
    else:
        event.update(amount=round(rng.uniform(10_001, 49_999), 2), country="FR", kind="transfer")
    return _encode(event)


def _encode(event: dict[str, object]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
