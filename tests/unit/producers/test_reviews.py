"""What people decided is read back as it was written, and is not taken from anybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamwarden.policy.keys import KeyRing
from streamwarden.producers.reviews import (
    Review,
    Signature,
    encode_review,
    is_review,
    parse_review,
)

REVIEW = Review(
    action="released",
    partition=3,
    offset=17,
    at=1_700_000_000_000,
    signatures=(Signature("alice", "checked by phone"), Signature("bøb", "…")),
    id="abc-1",
    to="payments",
    effect="hold",
    bundle="payments@15",
    forced=True,
)
KEYS = KeyRing({"k1": b"k" * 16})
OTHER = KeyRing({"k2": b"o" * 16})


def test_a_review_is_read_back_as_it_was_written() -> None:
    """Without keys nothing is known about its writer."""
    value, headers = encode_review(REVIEW, "held.payments", None)

    assert is_review(headers)
    assert parse_review(value, headers, "held.payments", None) == REVIEW


def test_a_signed_review_is_verified() -> None:
    """The mac binds it to its topic."""
    value, headers = encode_review(REVIEW, "held.payments", KEYS)

    assert parse_review(value, headers, "held.payments", KEYS) == replace(REVIEW, verified=True)
    elsewhere = parse_review(value, headers, "held.refunds", KEYS)
    assert elsewhere is not None
    assert elsewhere.verified is False


@pytest.mark.parametrize("keys", [None, OTHER])
def test_a_review_without_the_keys_mac_is_not_verified(keys: KeyRing | None) -> None:
    """Whoever can write to the topic could otherwise approve in any name."""
    value, headers = encode_review(REVIEW, "held.payments", keys)

    found = parse_review(value, headers, "held.payments", KEYS)

    assert found is not None
    assert found.verified is False


@pytest.mark.parametrize(
    "value",
    [None, b"", b"[]", b"{}", b"not json", b'{"action":"blessed"}', b'{"action":"released"}', b"1"],
)
def test_what_is_no_review_is_none(value: bytes | None) -> None:
    """Records of topics are hostile input."""
    assert parse_review(value, [("streamwarden-review", b"1")], "t", None) is None


def test_a_parked_event_is_no_review() -> None:
    """They share a topic."""
    assert not is_review([("streamwarden-decision", b"{}"), ("a", None)])
