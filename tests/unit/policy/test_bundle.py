"""Bundles: identity, the stored form, and which policies apply where and when."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import StoreError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.canonical import canonical_json
from streamwarden.policy.fields import parse_time
from streamwarden.policy.loader import load_directories

POLICY = """\
policy: limits
owner: risk
topics: [payments, "payments.*", exact.only]
effective: {from: 2026-03-01, until: 2027-01-01}
sensitive: [message.card, key]
rules:
  - id: over
    when: value.amount > 50000
    require: value.country in lists.home
    effect: hold
    reason: amount {value.amount} is {{high}}
  - id: card
    where: [{field: value.card.number, operator: exists}]
    effect: mask
    mask: [{field: value.card.number, with: last4}]
"""
SETTINGS = """\
bundle: payments
tombstones: check
guarded_from: {payments: 2026-06-01, "pay*": 2026-07-01}
topics:
  "*": {value: json}
  "pay*": {value: avro}
  payments: {value: text, key: bytes}
lists: {home: home.csv}
"""


def make(directory: Path, **files: str) -> Bundle:
    """The bundle of a directory with these files; `__` in a name is a slash."""
    files = {"limits.yaml": POLICY, "bundle.yaml": SETTINGS, "home.csv": "US\nCA\n"} | files
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load_directories([directory])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The bundle of the two documents above."""
    return make(tmp_path)


# ------------------------------------------------------------------- identity


def test_the_digest_is_that_of_the_documented_form(bundle: Bundle) -> None:
    """SHA-256 over the canonical JSON of the object that the module describes, and only that."""
    expected = {
        "format": 1,
        "language": 1,
        "name": "payments",
        "settings": {
            "tombstones": "check",
            "guarded_from": {"payments": "2026-06-01", "pay*": "2026-07-01"},
            "topics": {
                "*": {"value": "json"},
                "pay*": {"value": "avro"},
                "payments": {"value": "text", "key": "bytes"},
            },
        },
        "policies": [
            {
                "policy": "limits",
                "owner": "risk",
                "topics": ["payments", "payments.*", "exact.only"],
                "effective": {"from": "2026-03-01", "until": "2027-01-01"},
                "sensitive": ["message.card", "key"],
                "rules": [
                    {
                        "id": "over",
                        "when": "value.amount > 50000",
                        "require": "value.country in lists.home",
                        "effect": "hold",
                        "reason": "amount {value.amount} is {{high}}",
                    },
                    {
                        "id": "card",
                        "where": [{"field": "value.card.number", "operator": "exists"}],
                        "effect": "mask",
                        "mask": [{"field": "value.card.number", "with": "last4"}],
                    },
                ],
            }
        ],
        "lists": {"home": ["US", "CA"]},
    }

    assert bundle.documents == expected
    assert bundle.digest == hashlib.sha256(canonical_json(expected)).hexdigest()


def test_the_digest_is_pinned() -> None:
    """A change here is a change of every bundle's identity: raise the format instead."""
    assert Bundle.empty("none").digest == (
        "09b2ebebab9adac040e3792338e57cab2bcace86c4e2e7ec1005a2b34343c1da"
    )


def test_files_comments_and_quoting_do_not_count(tmp_path: Path, bundle: Bundle) -> None:
    """The same documents, named and written in another way, with tests beside them."""
    directory = tmp_path / "other"
    lines = POLICY.splitlines(keepends=True)
    rearranged = ["# why\n", lines[0], lines[2], "owner: 'risk'   # who\n", *lines[3:]]

    other = make(
        directory,
        **{
            "limits.yaml": "tests: limits\ncases: [{topic: t, expect: {effect: none}}]\n",
            "deeper__p.yml": "".join(rearranged),
            "bundle.yaml": SETTINGS.replace("home.csv", "lists/h.json") + "ignore: ['*.csv']\n",
            "lists__h.json": '["US", "CA"]',
        },
    )

    assert other.digest == bundle.digest
    assert len(other.tests) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("50000", "50001"),
        ("owner: risk", "owner: desk"),
        ("with: last4", "with: hash"),
        ("sensitive: [message.card, key]\n", ""),
        ("sensitive: [message.card, key]", "sensitive: [value.card, key]"),
    ],
)
def test_whatever_a_policy_says_counts(tmp_path: Path, bundle: Bundle, old: str, new: str) -> None:
    """Documents are digested as written, also where they mean the same."""
    assert old in POLICY

    other = make(tmp_path / "other", **{"limits.yaml": POLICY.replace(old, new)})

    assert other.digest != bundle.digest


def test_settings_lists_and_name_count(tmp_path: Path, bundle: Bundle) -> None:
    """Each of them changes the digest; so do 1 and 1.0, which plain canonical JSON conflates."""
    where = "when: [{field: value.a, operator: equals, value: 1}]"
    variants = [
        make(tmp_path / "a", **{"bundle.yaml": SETTINGS.replace("check", "reject")}),
        make(tmp_path / "b", **{"bundle.yaml": SETTINGS.replace(": payments\n", ": orders\n")}),
        make(tmp_path / "c", **{"home.csv": "US\nMX\n"}),
        make(tmp_path / "d", **{"home.csv": "CA\nUS\n"}),
        make(
            tmp_path / "e", **{"limits.yaml": POLICY.replace("when: value.amount > 50000", where)}
        ),
        make(
            tmp_path / "f",
            **{"limits.yaml": POLICY.replace("when: value.amount > 50000", f"{where[:-2]}.0}}]")},
        ),
    ]

    assert len({bundle.digest, *(variant.digest for variant in variants)}) == 7


# ---------------------------------------------------------------- stored form


def test_the_stored_form_comes_back(bundle: Bundle) -> None:
    """Everything but the tests and the names of files is as before."""
    numbered = bundle.with_number(15)

    again = Bundle.from_json(numbered.to_json())

    assert again.label == "payments@15"
    assert again.digest == bundle.digest
    assert again.settings == bundle.settings
    assert again.lists == bundle.lists
    assert again.documents == bundle.documents
    assert [policy.rules for policy in again.policies] == [p.rules for p in bundle.policies]
    assert again.to_json() == numbered.to_json()


def test_a_bundle_can_be_sent_to_another_process(bundle: Bundle) -> None:
    """Pickling, as pools of processes do it."""
    assert pickle.loads(pickle.dumps(bundle)) == bundle


def changed(bundle: Bundle, **entries: object) -> bytes:
    """The stored form with other entries, and the digest that fits them unless one is given."""
    content: dict[str, Any] = {**json.loads(bundle.to_json()), **entries}
    digested = {key: content[key] for key in content if key not in ("number", "digest", "extra")}
    fitting = hashlib.sha256(canonical_json(digested)).hexdigest()
    return json.dumps({**content, "digest": entries.get("digest", fitting)}).encode()


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ({"format": 2}, "SW190"),
        ({"language": 2}, "SW190"),
        ({"digest": "0" * 64}, "SW191"),
        ({"name": "orders", "digest": "0" * 64}, "SW191"),
        ({"digest": None}, "SW192"),
        ({"number": -1}, "SW192"),
        ({"number": "1"}, "SW192"),
        ({"number": True}, "SW192"),
        ({"format": 0}, "SW192"),
        ({"language": None}, "SW192"),
        ({"name": "../x"}, "SW192"),
        ({"extra": 1}, "SW192"),
        ({"policies": [1]}, "SW192"),
        ({"policies": {}}, "SW192"),
        ({"policies": [{"policy": "p"}]}, "SW192"),
        ({"settings": {"mode": "off"}}, "SW192"),
        ({"settings": {"lists": {"a": "/etc/passwd"}}}, "SW192"),
        ({"lists": {}}, "SW192"),
        ({"lists": {"home": {"$other": 1}}}, "SW192"),
    ],
)
def test_what_was_changed_or_is_newer_is_refused(
    bundle: Bundle, entries: dict[str, object], code: str
) -> None:
    """StoreError with a code, and something to do about it."""
    with pytest.raises(StoreError) as caught:
        Bundle.from_json(changed(bundle, **entries))

    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"{}", b"null"])
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    """Torn and foreign bytes are a StoreError, never a traceback."""
    with pytest.raises(StoreError) as caught:
        Bundle.from_json(data)

    assert caught.value.code == "SW192"


def test_a_torn_bundle_is_refused(bundle: Bundle) -> None:
    """Whatever is cut off."""
    data = bundle.to_json()

    for length in range(0, len(data), 7):
        with pytest.raises(StoreError):
            Bundle.from_json(data[:length])


# ---------------------------------------------------------------------- scope


MARCH, JANUARY = parse_time("2026-03-01"), parse_time("2027-01-01")


@pytest.mark.parametrize(
    ("topic", "stage", "at", "applies"),
    [
        ("payments", "produce", MARCH, True),
        ("payments", "produce", MARCH - 1, False),
        ("payments", "produce", JANUARY - 1, True),
        ("payments", "produce", JANUARY, False),
        ("payments", "produce", None, True),
        ("payments", "reconcile", MARCH, False),
        ("payments.eu", "consume", MARCH, True),
        ("payments.eu.card", "consume", MARCH, True),
        ("payments.log", "consume", MARCH, False),
        ("payment", "consume", MARCH, False),
        ("payments2", "consume", MARCH, False),
    ],
)
def test_policies_apply_by_topic_stage_and_time(
    bundle: Bundle, topic: str, stage: str, at: int | None, applies: bool
) -> None:
    """Exact names and globs (`*` crosses dots), dates from inclusive and until exclusive."""
    found = bundle.policies_for(topic, stage, at, excluded={"payments.log"})

    assert bool(found) is applies


def test_globs_leave_parking_topics_alone(tmp_path: Path) -> None:
    """A glob never matches what quarantine and held topics are named, an exact name does."""
    bundle = make(
        tmp_path,
        **{
            "limits.yaml": POLICY.replace('"payments.*"', '"*", held.x'),
            "bundle.yaml": SETTINGS + "quarantine: '{topic}-dlt'\n",
        },
    )
    topics = ["orders", "orders-dlt", "held.orders", "held.x", "held.", "-dlt"]

    assert [bool(bundle.covering(topic)) for topic in topics] == [
        *(True, False, False, True, True, True)
    ]
    assert bundle.quarantine_topic("orders") == "orders-dlt"
    assert bundle.held_topic("orders") == "held.orders"


def test_formats_and_dates_of_topics(bundle: Bundle) -> None:
    """Exact before glob, longer glob before shorter."""
    assert bundle.formats("payments") == ("text", "bytes")
    assert bundle.formats("payments.eu") == ("avro", "auto")
    assert bundle.formats("orders") == ("json", "auto")
    assert bundle.guarded_from("payments") == parse_time("2026-06-01")
    assert bundle.guarded_from("payments.eu") == parse_time("2026-07-01")
    assert bundle.guarded_from("orders") is None
    assert Bundle.empty("x").formats("payments") == ("auto", "auto")


def test_message_is_value_in_paths(bundle: Bundle) -> None:
    """Readers of sensitive paths and reasons need to know one name only."""
    policy = bundle.policies[0]

    assert policy.sensitive == (("value", "card"), ("key",))
    assert [part.text for part in policy.rules[0].reason] == [
        "amount ",
        "value.amount",
        " is {high}",
    ]


def test_conditions_are_one_tree(bundle: Bundle) -> None:
    """`when && !require`, and structured conditions, as CEL text."""
    texts = [rule.condition.text for rule in bundle.policies[0].rules if rule.condition]

    assert texts == [
        "value.amount > 50000 && !(value.country in lists.home)",
        "has(value.card) && value.card != null && has(value.card.number)",
    ]
