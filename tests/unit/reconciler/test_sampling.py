"""Samples: drawn evenly and repeatably, with intervals that hold as often as they claim."""

from __future__ import annotations

import math
import random

import pytest

from streamwarden.errors import ConfigurationError
from streamwarden.reconciler.sampling import Sample, clopper_pearson, drawer, estimates


@pytest.mark.parametrize(
    ("found", "drawn", "low", "high"),
    [
        (0, 100, 0.0, 1 - 0.025 ** (1 / 100)),
        (100, 100, 0.025 ** (1 / 100), 1.0),
        (1, 1, 0.025, 1.0),
        (10, 100, 0.04900469, 0.17622260),  # as R's binom.test says
        (3, 10, 0.06673951, 0.65245285),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_of_clopper_and_pearson(
    found: int, drawn: int, low: float, high: float
) -> None:
    """Against closed forms and what statistics packages say."""
    assert clopper_pearson(found, drawn) == pytest.approx((low, high), abs=1e-7)


@pytest.mark.parametrize(("drawn", "share"), [(20, 0.05), (60, 0.5), (200, 0.01)])
def test_the_interval_holds_at_least_as_often_as_it_claims(drawn: int, share: float) -> None:
    """Over all outcomes, each weighed by how likely it is."""
    held = sum(
        math.comb(drawn, found) * share**found * (1 - share) ** (drawn - found)
        for found in range(drawn + 1)
        if clopper_pearson(found, drawn)[0] <= share <= clopper_pearson(found, drawn)[1]
    )

    assert held >= 0.95


def test_large_numbers_are_no_trouble() -> None:
    """Neither overflow nor lost digits."""
    low, high = clopper_pearson(5_000_000, 10_000_000)

    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(10_000_000), rel=1e-2)


def test_each_event_is_drawn_by_its_own_coordinates() -> None:
    """About as many as asked for, in every partition others, and always the same."""
    chosen = [{o for o in range(50_000) if drawer(0.1, "t", p)(o)} for p in range(3)]

    for drawn in chosen:
        assert abs(len(drawn) - 5_000) < 5 * math.sqrt(50_000 * 0.09)
    assert abs(len(chosen[0] & chosen[1]) - 500) < 5 * math.sqrt(500)
    again = drawer(0.1, "t", 0)
    order = list(range(50_000))
    random.Random(1).shuffle(order)
    assert {offset for offset in order if again(offset)} == chosen[0]
    assert all(drawer(1.0, "t", 0)(offset) for offset in range(1000))


def test_bounds_never_deny_what_was_seen() -> None:
    """At least what was found is there, and at most all but what was seen to be fine."""
    said = estimates({"forged": 2, "unchecked": 0}, 10, 12)

    assert said["forged"]["low"] >= 2
    assert said["forged"]["high"] <= 4
    assert (said["unchecked"]["low"], said["unchecked"]["high"]) == (0, 2)
    assert estimates({"forged": 0}, 0, 5)["forged"] == {
        "found": 0,
        "estimate": None,
        "low": 0,
        "high": 5,
    }


def test_samples_as_people_write_them() -> None:
    """A share, or a number out of what there is."""
    assert Sample.parse("5%").rate_of(1000) == 0.05
    assert Sample.parse("0.1 %").rate_of(10) == pytest.approx(0.001)
    assert Sample.parse("50").rate_of(1000) == 0.05
    assert Sample.parse("50").rate_of(10) == 1.0
    for wrong in ("", "0", "0%", "101%", "-1", "1e3", "five"):
        with pytest.raises(ConfigurationError, match="is no sample"):
            Sample.parse(wrong)
