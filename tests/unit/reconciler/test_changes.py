"""What made the difference between two versions, in a few words."""

from __future__ import annotations

import pytest

from streamwarden.policy.guard import Guard
from streamwarden.reconciler.changes import change_between

from .histories import NOON, as_bytes, make_bundle, policy

OVER = "{id: over, when: value.amount > 50, effect: reject}"
QUIET = "{id: quiet, when: 'false', effect: warn}"
EXEMPT = "{id: trusted, when: value.trusted, exempts: [over]}"


def changed(old: str, new: str) -> str:
    """A rule with one part of it replaced."""
    assert old in OVER
    return OVER.replace(old, new)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([changed("50", "90")], [OVER], "over: 90 → 50"),
        ([OVER], [changed("50", "90")], "over: 50 → 90"),
        ([QUIET], [OVER], "over: added"),
        ([OVER], [QUIET], "over: removed"),
        ([changed("reject", "warn")], [OVER], "over: warn → reject"),
        ([changed("reject", "hold")], [OVER], "over: hold → reject"),
        ([changed("reject", "reject, mode: shadow")], [OVER], "over: mode shadow → enforce"),
        (
            [changed("value.amount > 50", "'value.amount > 90 && value.amount > 5'")],
            [changed("value.amount > 50", "'value.amount > 60 && value.amount > 7'")],
            "over: 90 → 60; over: 5 → 7",
        ),
        (
            [changed("value.amount > 50", "'value.amount == 3'")],
            [OVER],
            "over: value.amount == 3 → value.amount > 50",
        ),
        (
            [changed("value.amount > 50", "'value.kind in [\"a\"]'")],
            [changed("value.amount > 50", '\'value.kind in ["a", "b"]\'')],
            'over: ["a"] → ["a", "b"]',
        ),
        ([OVER, EXEMPT], [OVER, QUIET], "trusted: removed"),
        (
            [OVER, EXEMPT],
            [OVER, EXEMPT.replace("value.trusted", "'!value.trusted'")],
            "trusted: value.trusted → !value.trusted",
        ),
        ([OVER, EXEMPT], [changed("50", "20"), QUIET], "trusted: removed"),
        ([changed("50", "20"), QUIET], [OVER, EXEMPT], "trusted: added"),
        (
            [changed("reject", "reject, mode: shadow")],
            [changed("50", "20")],
            "over: mode shadow → enforce",
        ),
        (
            [changed("> 50, effect: reject", "> 90, effect: reject, mode: shadow")],
            [OVER],
            "over: mode shadow → enforce; over: 90 → 50",
        ),
        (
            ["{id: m, effect: mask, mask: [{field: value.kind, with: hash}]}"],
            [OVER, "{id: m, effect: mask, mask: [{field: value.kind, with: hash}]}"],
            "over: added",
        ),
    ],
)
def test_rules_that_changed(before: list[str], after: list[str], words: str) -> None:
    """The rule behind the stricter decision, and what is different about it."""
    assert change_of(before, after) == words


def change_of(
    before: list[str], after: list[str], *, old: str = "", new: str = "", more: str = ""
) -> str:
    """The change between two versions for one event."""
    one = make_bundle(policy(*before), number=1, settings=old)
    two = make_bundle(policy(*after, more=more), number=2, settings=new)
    event = {"amount": 70, "kind": "b", "trusted": True}
    keys = {"k1": b"0123456789abcdef"}
    then, now = (
        Guard(bundle, clock=lambda: NOON, mask_keys=keys).decide(topic="t", value=as_bytes(event))
        for bundle in (one, two)
    )
    return change_between(then, now, one, two)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("effective: {from: 2026-03-02}\n", "limits: effective always → from 2026-03-02"),
        ("stages: [consume]\n", "limits: stages produce, consume → consume"),
        ("mode: 'off'\n", "over: no longer in force"),
    ],
)
def test_policies_that_apply_no_longer(more: str, words: str) -> None:
    """The rule is still there; its policy does not say anything here any more."""
    assert change_of([OVER], [OVER], more=more) == words


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mode: shadow\n", "", "over: mode shadow → enforce"),
        ("", "mode: shadow\n", "over: mode enforce → shadow"),
    ],
)
def test_settings_that_changed(old: str, new: str, words: str) -> None:
    """What the bundle itself says."""
    assert change_of([OVER], [OVER], old=old, new=new) == words


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_a_guard_that_only_tried_the_policy_is_told(mode: str) -> None:
    """The policy says the same; the guard did not act on it."""
    bundle = make_bundle(policy(OVER))
    event = {"topic": "t", "value": b'{"amount": 70}'}
    then = Guard(bundle, clock=lambda: NOON, mode=mode).decide(**event)  # type: ignore[arg-type]
    now = Guard(bundle, clock=lambda: NOON).decide(**event)  # type: ignore[arg-type]

    assert change_between(then, now, bundle, bundle) == f"guard: mode {mode} → enforce"


def test_another_stage_is_told() -> None:
    """A rule for consumers says nothing where events are produced."""
    bundle = make_bundle(policy(OVER, more="stages: [consume]\n"))
    then, now = (
        Guard(bundle, clock=lambda: NOON).decide(
            topic="t", value=b'{"amount": 70}', stage=stage, partition=0, offset=0
        )
        for stage in ("produce", "consume")
    )

    words = change_between(then, now, bundle, bundle)

    assert words == "over: judged at stage consume, not produce"


def test_the_bundle_has_its_say() -> None:
    """Decisions that no rule made: undecodable bytes and tombstones."""
    lax = make_bundle(policy(OVER), number=1, settings="undecodable: allow\n")
    strict = make_bundle(policy(OVER), number=2)
    then, now = (
        Guard(bundle, clock=lambda: NOON).decide(topic="t", value=b"{") for bundle in (lax, strict)
    )

    assert change_between(then, now, lax, strict) == "undecodable: allow → reject"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("", "tombstones: reject\n", "other: tombstones allow → reject"),
        ("tombstones: check\n", "tombstones: reject\n", "other: tombstones check → reject"),
        (None, "tombstones: reject\n", "other: added, with tombstones: reject"),
        ("tombstones: reject\n", None, "other: removed, with tombstones: reject"),
        (
            "tombstones: reject\neffective: {from: 2026-03-02}\n",
            "tombstones: reject\n",
            "other: effective from 2026-03-02 → always",
        ),
        ("mode: 'off'\ntombstones: reject\n", "tombstones: reject\n", "other: mode off → enforce"),
        (
            "mode: shadow\ntombstones: reject\n",
            "tombstones: reject\n",
            "other: mode shadow → enforce",
        ),
    ],
)
def test_policies_have_their_say_on_tombstones(
    before: str | None, after: str | None, words: str
) -> None:
    """Which policy refuses events without a value in one version, and lets them pass in the other."""
    one, two = (
        make_bundle(
            policy(OVER),
            *([] if more is None else [policy(QUIET, name="other", more=more)]),
            number=number,
        )
        for number, more in ((1, before), (2, after))
    )
    then, now = (
        Guard(bundle, clock=lambda: NOON).decide(topic="t", value=None) for bundle in (one, two)
    )

    assert then.passes is not now.passes
    assert change_between(then, now, one, two) == words


def test_without_the_version_nothing_is_claimed() -> None:
    """A version that is not at hand cannot be compared."""
    bundle = make_bundle(policy(OVER))
    now = Guard(bundle, clock=lambda: NOON).decide(topic="t", value=b'{"amount": 70}')

    assert change_between(None, now, None, bundle) == ""
