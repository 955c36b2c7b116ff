"""What reports know of the rules behind findings."""

from __future__ import annotations

import pytest

from streamwarden.policy.guard import Guard
from streamwarden.reconciler.catalogue import catalogue_of

from .histories import NOON, make_bundle, policy

RULE = "{id: over, when: value.amount > 50, effect: reject}"


@pytest.mark.parametrize(
    ("settings", "event", "words"),
    [
        ("", {"topic": "t", "value": b"{"}, "bytes cannot be read"),
        ("tombstones: reject\n", {"topic": "t", "value": None}, "an event without a value"),
        ("uncovered: reject\n", {"topic": "u", "value": b"{}"}, "a topic that no policy covers"),
    ],
)
def test_what_a_bundle_says_itself_has_words(
    settings: str, event: dict[str, object], words: str
) -> None:
    """Findings that no rule is behind tell people more than the name of a setting."""
    bundle = make_bundle(policy(RULE), settings=settings)
    match = Guard(bundle, clock=lambda: NOON).decide(stage="produce", **event).matches[-1]  # type: ignore[arg-type]

    known = catalogue_of([bundle], [f"{match.policy}/{match.rule}", "limits/over", "nobody/knows"])

    said = known[f"b/{match.rule}"]
    assert words in said["sentence"]
    assert (said["severity"], said["class"], said["owner"]) == (match.severity, match.class_, "")
    assert set(known) == {f"b/{match.rule}", "limits/over"}
    assert set(said) == set(known["limits/over"])


def test_a_policy_that_is_called_like_the_bundle_comes_first() -> None:
    """A rule of one's own is told as it was written."""
    bundle = make_bundle(policy(RULE.replace("over", "tombstone"), name="b"))

    known = catalogue_of([bundle], ["b/tombstone"])

    assert known["b/tombstone"]["owner"] == "team"
