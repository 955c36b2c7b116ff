"""A guard with one policy of every effect, for tests that send events through it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError

from streamwarden.policy.guard import Guard

__all__ = [
    "BAD",
    "CARD",
    "CLEAN",
    "LARGE",
    "SHADY",
    "Told",
    "event",
    "guard_for",
    "write_policy",
]

_POLICY = """
policy: limits
owner: payments-risk
topics: [{topics}]
rules:
  - id: over-limit
    when: value.amount > 50000
    effect: hold
    approvals: {{need: {need}, from: [senior-adjuster]}}
    reason: amount {{value.amount}} exceeds 50,000
  - id: currency-known
    require: value.currency in ["USD", "EUR"]
    effect: reject
    reason: unknown currency
  - id: card-number
    when: has(value.card)
    effect: mask
    mask: [{{field: value.card, with: last4}}]
  - id: shady
    when: has(value.shady)
    effect: warn
"""


def event(**fields: Any) -> bytes:
    """A value that passes, with `fields` added or changed."""
    return json.dumps({"amount": 10, "currency": "USD", **fields}).encode()


CLEAN = event()
LARGE = event(amount=60_000)  # held
BAD = event(currency="XXX")  # rejected
CARD = event(card="4111111111111111")  # masked
SHADY = event(shady=True)  # warned about


def write_policy(
    folder: Path, *topics: str, need: int = 1, bundle: str = "", policy: str = ""
) -> Path:
    """The policy in `folder`, for `topics`; `bundle` and `policy` are what follows in each."""
    folder.mkdir(parents=True, exist_ok=True)
    quoted = ", ".join(json.dumps(topic) for topic in topics)
    (folder / "limits.yaml").write_text(_POLICY.format(topics=quoted, need=need) + policy)
    (folder / "bundle.yaml").write_text(f"bundle: limits\n{bundle}")
    return folder


def guard_for(
    folder: Path,
    *topics: str,
    need: int = 1,
    bundle: str = "",
    policy: str = "",
    **settings: Any,
) -> Guard:
    """A guard by that policy."""
    written = write_policy(folder, *topics, need=need, bundle=bundle, policy=policy)
    return Guard.from_directory(written, **settings)


@dataclass
class Told:
    """Collects delivery reports."""

    reports: list[tuple[KafkaError | None, Any]] = field(
        default_factory=list[tuple[KafkaError | None, Any]]
    )

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        self.reports.append((error, message))

    @property
    def errors(self) -> list[KafkaError | None]:
        return [error for error, _ in self.reports]
