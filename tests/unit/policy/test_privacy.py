"""Nothing sensitive leaves through trails, reasons, errors or headers; only booleans pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.bound import Secrets
from streamwarden.policy.cel import parse
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Effect
from streamwarden.policy.parking import parse_parked
from streamwarden.policy.privacy import Privacy, show_text

_SECRETS = ("4111222233334444", "ann@secret.example", "s3cr3t-key", "0.424242")

POLICIES = """
policy: p
owner: team
topics: [t]
sensitive: [value.customer.email, key, facts.score]
rules:
  - {id: number, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}
  - {id: plain, when: 'value.card.startsWith("4")', effect: warn, reason: "card {value.card}"}
  - {id: derived, when: 'value.card + "x" != ""', effect: warn, reason: "all {value}"}
  - {id: failing, when: int(value.customer.email) > 3, effect: warn}
  - {id: listed, when: 'value.cards.exists(c, c.n != value.card)', effect: warn}
  - {id: indexed, when: 'value["customer"]["email"] != ""', effect: warn}
  - {id: whole, when: size(value.customer) > 0, effect: warn, reason: "of {value.customer}"}
  - {id: aliased, when: message.card != "", effect: warn, reason: "card {message.card}"}
  - {id: keyed, when: 'key != ""', effect: warn, reason: "key {key}"}
  - {id: known, when: facts.score > 0.1, effect: warn, reason: "score {facts.score}"}
  - {id: chosen, when: '(value.refuse ? "" : value.card) != "x"', effect: warn}
  - {id: refused, when: value.refuse, effect: reject, reason: "{value.customer.email}"}
"""


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    """A guard whose rules try every way to show what is sensitive."""
    (tmp_path / "p.yaml").write_text(POLICIES)
    return Guard.from_directory(tmp_path)


def _event(*, refuse: bool) -> dict[str, Any]:
    card, email, key, _ = _SECRETS
    value = {
        "card": card,
        "cards": [{"n": "none"}],
        "customer": {"email": email},
        "refuse": refuse,
    }
    return {
        "topic": "t",
        "value": json.dumps(value).encode(),
        "key": key.encode(),
        "facts": {"score": 0.424242},
    }


def test_no_secret_is_in_a_decision_of_a_passing_event(guard: Guard) -> None:
    """All rules fire; not one of the planted secrets shows."""
    decision = guard.decide(**_event(refuse=False))

    text = json.dumps(decision.to_dict()) + decision.reasons() + repr(decision.matches)

    assert decision.effect is Effect.MASK
    assert len(decision.matches) == 11
    assert [secret for secret in _SECRETS if secret in text] == []


def test_no_secret_is_in_the_headers_of_a_parked_record(guard: Guard) -> None:
    """The record itself is unmasked, byte for byte; what is said about it is not."""
    event = _event(refuse=True)

    (record,) = guard.route(**event).records

    headers = b"".join(value or b"" for _, value in record.headers).decode()
    assert (record.value, record.key) == (event["value"], event["key"])
    assert [secret for secret in _SECRETS if secret in headers] == []
    parked = parse_parked(record.headers)
    assert parked is not None
    assert parked.message == "p/refused: ***"


@pytest.mark.parametrize(
    ("expression", "tainted"),
    [
        ("value.card", True),
        ("value.card + 'x'", True),
        ("size(value.card)", True),
        ("value", True),
        ("value.other", False),
        ("value.list.map(x, x.a)", False),
        ("value.secrets.map(x, x.a)", True),
        ("value.list.map(x, value.card)", True),
        ("value[facts.name]", True),
        ("value.items[0].price", True),
        ("value.items[0].name", False),
        ("value.items[value.i].price", True),
        ("message.card", True),
        ("headers['a']", False),
        ("[1, 2].map(value, value)", False),
        ("value.list[value.card]", True),
    ],
)
def test_what_is_derived_from_a_sensitive_path_is_sensitive(
    expression: str, *, tainted: bool
) -> None:
    """Above, below and through computations and comprehensions; other paths are free."""
    privacy = Privacy([("value", "card"), ("value", "secrets"), ("value", "items", None, "price")])

    assert Secrets(privacy).taint(parse(expression)) is tainted


@pytest.mark.parametrize(
    ("expression", "tainted"),
    [
        ("value.items.exists(i, i.name == 'x')", False),
        ("value.items.exists(i, i.price > 1)", True),
        ("value.items.filter(i, i.name == 'x')", True),
        ("value.items.map(i, i.name)", True),
        ("value.secrets.all(s, true)", True),
        ("cel.bind(s, value.card, s == 'x')", True),
        ("cel.bind(s, value.other, s == 'x')", False),
    ],
)
def test_a_trail_knows_what_is_read_of_elements(expression: str, *, tainted: bool) -> None:
    """Of a list that has something sensitive in it, other fields are free, but not its elements."""
    privacy = Privacy([("value", "card"), ("value", "secrets"), ("value", "items", None, "price")])

    assert Secrets(privacy).taint(parse(expression)) is tainted


def test_text_in_a_sentence_cannot_forge_lines() -> None:
    """Control characters of events are escaped in reasons and logs."""
    assert show_text("a\nb\x1b[31m\u202e") == "a\\nb\\x1b[31m\\u202e"


def test_what_may_be_absent_is_shown_as_its_value(tmp_path: Path) -> None:
    """An optional is its value in a trail, and null where it is absent."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\n"
        'rules: [{id: gone, when: value.?state.orValue("deleted") == "deleted", effect: warn}]\n'
    )
    guard = Guard.from_directory(tmp_path)

    shown = [
        json.dumps(guard.decide(topic="t", value=value).to_dict()["matches"][0]["why"])
        for value in (b'{"state": "deleted"}', b"{}")
    ]

    assert all('"?"' not in text for text in shown)
    assert '"value": null' in shown[1]
