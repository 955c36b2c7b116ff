"""Why nothing in a bundle judges the events of a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .bundle import Bundle
from .problems import closest

__all__ = ["unjudged"]

#: Topics that are named where none is meant.
_NAMED_MAX: Final = 5


def unjudged(
    bundles: Sequence[Bundle], topic: str, stage: str, at_ns: int | None = None
) -> str | None:
    """Why nothing in `bundles` judges events of `topic`, with what to do; None where something does.

    `at_ns` is the clock of policies with effective dates; None is any time.
    """
    if any(bundle.policies_for(topic, stage, at_ns) for bundle in bundles):
        return None
    if any(bundle.covering(topic) for bundle in bundles):
        return (
            f"the policies that cover topic `{topic}` do not apply at stage {stage} now: nothing "
            "judges its events; see their `stages:` and effective dates"
        )
    return f"no policy covers topic `{topic}`: nothing judges its events{_hint(bundles, topic)}"


def _hint(bundles: Sequence[Bundle], topic: str) -> str:
    """`; did you mean …?`, else the topics that there are."""
    named = sorted({name for each in bundles for policy in each.policies for name in policy.topics})
    meant = closest(topic, named)
    if meant or not named:
        return f"; {meant}" if meant else ""
    shown = ", ".join(f"`{name}`" for name in named[:_NAMED_MAX])
    more = f" and {len(named) - _NAMED_MAX:,} more" if len(named) > _NAMED_MAX else ""
    return f"; policies cover {shown}{more}"
