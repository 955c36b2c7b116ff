"""The stamp is byte-stable, parsed within bounds, and binds what it was signed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarden.policy.keys import KeyRing
from streamwarden.policy.model import Effect
from streamwarden.policy.stamp import Stamp, StampError, find_stamps, sign, verify
from tests.guards import BAD, CLEAN, guard_for

_RING = KeyRing({"k2": b"2" * 32, "k1": b"1" * 32})
_STAMP = Stamp("payments", 15, "9f3a1c2b7d4e", Effect.ALLOW, "produce")

_ids = st.text("abcXYZ019_-", min_size=1, max_size=64)
_stamps = st.builds(
    Stamp,
    bundle=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    number=st.integers(0, 10**15),
    digest12=st.text("0123456789abcdef", min_size=12, max_size=12),
    effect=st.sampled_from(Effect),
    stage=st.sampled_from(["produce", "consume", "reconcile"]),
    id=st.none() | _ids,
    at=st.none() | st.integers(0, 10**15),
    mode=st.none() | st.sampled_from(["shadow", "off"]),
    ov=st.none() | _ids,
    ap=st.none() | _ids,
)


def test_a_plain_stamp_is_the_documented_bytes() -> None:
    """Without optional fields the header is constant for a plan."""
    assert _STAMP.encode() == b"1;payments@15;9f3a1c2b7d4e;allow;produce"


@given(_stamps, st.booleans())
def test_what_is_written_is_read_again(stamp: Stamp, signed: bool) -> None:
    """parse(encode(stamp)) is stamp, with every combination of optional fields."""
    if signed:
        stamp = sign(stamp, _RING, "t", b"k", b"v")

    assert Stamp.parse(stamp.encode()) == stamp


@given(st.binary(max_size=80) | st.from_regex(rb"1;[a-z@0-9;=.]{0,60}", fullmatch=True))
def test_hostile_bytes_are_refused_or_read_exactly(data: bytes) -> None:
    """Whatever parses is what encode would have written; all else is a StampError."""
    try:
        stamp = Stamp.parse(data)
    except StampError:
        return
    assert stamp.encode() == data


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"1;payments@15;9f3a1c2b7d4e;allow;produce;",
        b"1;payments@15;9f3a1c2b7d4e;allow;produce;mode=shadow;at=5",  # out of order
        b"1;payments@015;9f3a1c2b7d4e;allow;produce",  # not canonical
        b"2;payments@15;9f3a1c2b7d4e;allow;produce",
        b"1;payments@15;9f3a1c2b7d4e;pass;produce",
        b"1;payments@15;9f3a1c2b7d4e;allow;publish",
        b"1;payments@15;9F3A1C2B7D4E;allow;produce",
        b"1;payments@15;9f3a1c2b7d4e;allow;produce\n",
        b"1;" + b"a" * 2000,
    ],
)
def test_what_is_no_stamp_is_refused(data: bytes | None) -> None:
    """Only the canonical form of format 1 is a stamp."""
    with pytest.raises(StampError):
        Stamp.parse(data)


def test_a_signature_binds_topic_key_value_and_stamp() -> None:
    """Any part changed makes it invalid; an unknown key is told apart from a wrong mac."""
    signed = sign(_STAMP, _RING, "payments", b"k", b"v")
    changed = Stamp("payments", 16, "9f3a1c2b7d4e", Effect.ALLOW, "produce", mac=signed.mac)

    assert signed.mac is not None
    assert signed.mac[0] == "k2"
    assert verify(signed, _RING, "payments", b"k", b"v") == "valid"
    assert verify(signed, _RING, "other", b"k", b"v") == "invalid"
    assert verify(signed, _RING, "payments", None, b"v") == "invalid"
    assert verify(signed, _RING, "payments", b"", b"v") == "invalid"
    assert verify(signed, _RING, "payments", b"k", None) == "invalid"
    assert verify(changed, _RING, "payments", b"k", b"v") == "invalid"
    assert verify(_STAMP, _RING, "payments", b"k", b"v") == "unsigned"
    assert verify(signed, KeyRing({"k9": b"9" * 32}), "payments", b"k", b"v") == "unknown-key"


def test_a_rotated_key_still_verifies() -> None:
    """Every key of the ring is known, not only the first."""
    old = sign(_STAMP, KeyRing({"k1": b"1" * 32}), "t", None, b"v")

    assert verify(old, _RING, "t", None, b"v") == "valid"


def test_every_stamp_header_is_found() -> None:
    """Doubled stamps are both seen; expanded headers are not stamps."""
    headers = [("streamwarden", b"a"), ("streamwarden-effect", b"x"), ("streamwarden", None)]

    assert find_stamps(headers) == [b"a", None]


def test_the_expanded_form_adds_one_header_a_field() -> None:
    """For tools that filter on headers."""
    assert _STAMP.headers(expanded=True) == [
        ("streamwarden", b"1;payments@15;9f3a1c2b7d4e;allow;produce"),
        ("streamwarden-bundle", b"payments@15"),
        ("streamwarden-digest", b"9f3a1c2b7d4e"),
        ("streamwarden-effect", b"allow"),
        ("streamwarden-stage", b"produce"),
    ]


@pytest.mark.parametrize("expanded", [False, True])
def test_a_guard_adds_a_bounded_number_of_small_headers(tmp_path: Path, expanded: bool) -> None:
    """However long names, keys and reasons are; the event's own stay as they came."""
    own: list[tuple[str, bytes | None]] = [("h" * 500, b"x" * 5000), ("h" * 500, None)]
    settings: dict[str, Any] = {"stamp_keys": {"k" * 32: b"s" * 32}}
    bundle = "stamp: expanded\n" if expanded else ""
    guard = guard_for(tmp_path, "t" * 249, bundle=bundle, **settings)
    long = "v" * 20_000
    event: dict[str, Any] = {"topic": "t" * 249, "headers": own, "key": long, "timestamp": 1}

    passing = guard.route(value=CLEAN, **event).records[0].headers
    parked = guard.route(
        value=b'{"amount": 99999, "currency": "' + long.encode() + b'"}',
        stage="consume",
        partition=2**31 - 1,
        offset=2**62,
        group="g" * 249,
        **event,
    )

    assert passing[:2] == own
    assert parked.records[0].headers[:2] == own
    for added, size_max in ((passing[2:], 1500), (parked.records[0].headers[2:], 6000)):
        assert len(added) <= 10
        assert sum(len(name) + len(value or b"") for name, value in added) <= size_max


@pytest.mark.parametrize(
    "name", ["__rule.name", "__rule.disable", "__rule.mode", "__dlq.errors.topic"]
)
def test_no_header_disables_anything(tmp_path: Path, name: str) -> None:
    """Other systems give such names a meaning; here they are data, and go on as they came."""
    guard = guard_for(tmp_path, "payments")
    headers: list[tuple[str, bytes | None]] = [(name, b"currency-known"), (name, b"off")]

    for stage in ("produce", "consume"):
        decision = guard.decide(topic="payments", value=BAD, headers=headers, stage=stage)
        assert [match.rule for match in decision.matches] == ["currency-known"]
        assert not decision.passes
    if name.startswith("__rule"):
        assert (
            guard.route(topic="payments", value=CLEAN, headers=headers).records[0].headers[:2]
            == headers
        )
