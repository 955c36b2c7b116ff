"""A part of history instead of all of it, and what may be said of the whole from it.

Every event is drawn or not by a hash of its coordinates, each with the same probability and
whatever the others: runs repeat, however the work is divided. So of n events drawn, the number k
with some finding is binomial, and the interval of Clopper and Pearson holds with at least the
confidence it claims, for rare findings too, where those that go by the normal curve are too narrow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from streamwarden.errors import ConfigurationError

__all__ = ["CONFIDENCE", "METHOD", "Sample", "clopper_pearson", "drawer", "estimates"]

CONFIDENCE = 0.95
METHOD = "Clopper-Pearson"

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Sample:
    """Draw each event with probability `rate`; or, where that is None, about `events` in all."""

    asked: str
    rate: float | None = None
    events: int | None = None

    @classmethod
    def parse(cls, text: str) -> Sample:
        """`5%`, or a number of events. Raises ConfigurationError."""
        text = text.strip()
        percent = _PERCENT.fullmatch(text)
        if percent is not None and 0 < float(percent[1]) <= 100:
            return cls(text, rate=float(percent[1]) / 100)
        if text.isascii() and text.isdigit() and 0 < int(text) < 10**15:
            return cls(text, events=int(text))
        raise ConfigurationError(
            f"`{text}` is no sample", remedy="write such as `5%`, or a number of events"
        )

    def rate_of(self, offsets: int) -> float:
        """The probability with which each event is drawn, out of so many offsets."""
        if self.rate is not None:
            return self.rate
        assert self.events is not None
        return min(1.0, self.events / offsets) if offsets else 1.0


def drawer(rate: float, topic: str, partition: int) -> Callable[[int | None], bool]:
    """Says for the offsets of a partition which are drawn."""
    digest = blake2b(f"{partition} {topic}".encode(), digest_size=8).digest()
    seed, limit = int.from_bytes(digest), int(rate * 2**64)

    def drawn(offset: int | None) -> bool:
        # splitmix64: every bit of the offset reaches every bit of the result.
        mixed = (seed + (offset or 0) * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31) < limit

    return drawn


def estimates(counts: Mapping[str, int], drawn: int, population: int) -> dict[str, dict[str, Any]]:
    """For each kind what was found among `drawn` events, and what that says of `population`.

    `low` and `high` bound the number in the whole, each kind by itself, with CONFIDENCE.
    """
    said: dict[str, dict[str, Any]] = {}
    for kind, found in counts.items():
        low, high = clopper_pearson(found, drawn)
        said[kind] = {
            "found": found,
            "estimate": round(population * found / drawn) if drawn else None,
            # What was seen is there, and what was seen to be fine is not.
            "low": max(found, math.floor(low * population)),
            "high": min(population - (drawn - found), math.ceil(high * population)),
        }
    return said


def clopper_pearson(found: int, drawn: int) -> tuple[float, float]:
    """The interval that has, by CONFIDENCE, the share of which `found` of `drawn` are an instance."""
    if drawn == 0:
        return 0.0, 1.0
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if found == 0 else _solve(found, drawn - found + 1, tail)
    high = 1.0 if found == drawn else _solve(found + 1, drawn - found, 1 - tail)
    return low, high


def _solve(a: int, b: int, wanted: float) -> float:
    """Where the distribution function of Beta(a, b) is `wanted`."""
    low, high = 0.0, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high) or high - low < 1e-12 * high:
            return middle
        if _beta(a, b, middle) < wanted:
            low = middle
        else:
            high = middle


def _beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by its continued fraction."""
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # The fraction converges fast on this side of the mean, and the function is symmetric.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d or tiny)
    total = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + step * d or tiny)
            c = 1.0 + step / c or tiny
            total *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return total
