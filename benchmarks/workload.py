"""The events and the ten rules that the benchmarks share: 600 bytes of JSON, mostly clean."""

from __future__ import annotations

import json
import random
from pathlib import Path

__all__ = ["KEY_POLICY", "POLICY", "TOPIC", "events", "write_policies"]

TOPIC = "orders"

POLICY = """\
policy: order-rules
owner: orders
topics: [orders, orders-history, orders-long-history]
rules:
  - {id: tenant, when: 'value.tenant_id == ""', effect: reject}
  - {id: positive, when: 'value.amount <= 0.0', effect: reject}
  - {id: ceiling, when: 'value.amount >= 1000000.0', effect: hold}
  - {id: currency, require: 'value.currency in ["USD", "EUR", "GBP", "JPY", "CAD"]', effect: reject}
  - {id: country, require: 'value.country in ["US", "DE", "FR", "GB", "JP", "CA"]', effect: reject}
  - {id: email, require: 'value.email.matches("^[a-z0-9.]+@[a-z0-9.]+$")', effect: warn}
  - {id: quantity, when: 'value.quantity < 1', effect: reject}
  - {id: status, require: 'value.status in ["new", "paid", "sent"]', effect: reject}
  - {id: version, when: 'value.event_version < 2', effect: reject}
  - {id: no-test, when: 'value.is_test == true', effect: reject}
"""

#: Rules for which no value has to be decoded.
KEY_POLICY = """\
policy: order-keys
owner: orders
topics: [orders]
rules:
  - {id: keyed, when: 'key == null || key == ""', effect: reject}
  - {id: prefix, require: 'key.startsWith("order-")', effect: reject}
  - {id: tenant, when: '"tenant" in headers && headers["tenant"] == ""', effect: reject}
  - {id: source, when: '"source" in headers && headers["source"] == "test"', effect: reject}
"""


def write_policies(folder: Path, text: str = POLICY) -> Path:
    """Write the ten rules, or `text`, as a directory of policies."""
    (folder / "orders.yaml").write_text(text)
    return folder


def events(count: int, *, refused: float = 0.0, seed: int = 3) -> list[bytes]:
    """`count` values of about 600 bytes; the share `refused` breaks one rule."""
    rng = random.Random(seed)
    made: list[bytes] = []
    for number in range(count):
        event = {
            "event_id": f"evt-{number:012d}",
            "event_version": 3,
            "tenant_id": f"tenant-{rng.randrange(50)}",
            "created_at": "2026-03-01T12:00:00.000Z",
            "amount": round(rng.uniform(1, 9000), 2),
            "currency": rng.choice(["USD", "EUR", "GBP"]),
            "country": rng.choice(["US", "DE", "FR"]),
            "email": f"user{rng.randrange(9999)}@example.org",
            "quantity": rng.randrange(1, 20),
            "status": rng.choice(["new", "paid", "sent"]),
            "is_test": False,
            "tags": ["web", "summer", "returning"],
            "address": {"street": "1 Long Street", "city": "Springfield", "zip": "12345"},
            "note": "x" * 180,
        }
        if rng.random() < refused:
            event["currency"] = "XXX"
        made.append(json.dumps(event, separators=(",", ":")).encode())
    return made
