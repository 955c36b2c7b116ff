"""What an estimate knows of a value: how large it is at most, and what it has cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

from .arithmetic import SIZE_MAX

__all__ = ["ELEMENT_UNITS", "Measure", "Rule", "Spent", "Value", "combined", "either"]

#: The smallest element of a JSON list with its comma: `0,`. Made lists are measured alike.
ELEMENT_UNITS: Final = 2


@dataclass(slots=True)
class Spent:
    """Units: once per evaluation of the node, and shared by all iterations over a variable.

    A shared amount is a pair: for the whole loop, and for one iteration, whichever is less.
    """

    once: float = 0.0
    shared: dict[str, list[tuple[float, float]]] = field(
        default_factory=dict[str, list[tuple[float, float]]]
    )

    def add(self, other: Spent, times: float = 1.0) -> None:
        """Count `other` so many times as well."""
        self.once += other.once * times
        for variable, amounts in other.shared.items():
            mine = self.shared.setdefault(variable, [])
            mine += [(whole * times, each * times) for whole, each in amounts]

    def charge(self, owner: str | None, whole: float, each: float) -> None:
        """Count an amount that the iterations over `owner` share, if it is not None."""
        if owner is None:
            self.once += whole
        else:
            self.shared.setdefault(owner, []).append((whole, each))

    def total(self) -> float:
        """For an expression outside of every loop, where nothing is shared any more."""
        return self.once + sum(whole for amounts in self.shared.values() for whole, _ in amounts)


class Measure(NamedTuple):
    """How large a value is at most.

    `size`: characters of a text, elements of a list; `elements`: of what may be a list;
    `content`: both of everything inside, with at least two units for an element; `item`: the
    content of one element; `least`: the fewest characters, of a text that a rule writes down.
    """

    size: float
    elements: float
    content: float
    item: float
    least: int = 0


@dataclass(slots=True)
class Value:
    """The most that is known of a value.

    `owner` is the macro's variable that it is a part of: then `size` and `content` are what all
    iterations have together, and `size_each` and `content_each` what one has. `path` is where it
    stands in the event. `counted`: `size` counts elements, not bytes. `scalar`: it is no text, list
    or map for certain, and neither is a sum of it with anything.
    """

    spent: Spent
    size: float = 1.0
    size_each: float = math.inf
    owner: str | None = None
    path: str = ""
    counted: bool = False
    content: float = 1.0
    content_each: float = math.inf
    item: float = math.inf
    least: int = 0
    scalar: bool = False

    def elements(self, element_units: int = ELEMENT_UNITS) -> tuple[float, float]:
        """The elements of all iterations together, and of one."""
        if self.counted:
            return self.size, self.size_each
        return self.size / element_units, self.size_each / element_units

    def whole(self) -> Measure:
        """Of all iterations together."""
        item = min(self.item, self.content)
        return Measure(self.size, self.elements()[0], self.content, item, self.least)

    def each(self) -> Measure:
        """Of one iteration."""
        if self.owner is None:
            return self.whole()
        size = min(self.size, self.size_each)
        elements = min(self.elements())
        content = min(self.content, self.content_each)
        return Measure(size, elements, content, min(self.item, content), self.least)

    def kept(self, spent: Spent) -> Value:
        """What is no larger than this one, and has the same elements."""
        # A list that a bundle carries has an index; what is made of it has none.
        path = "" if self.path.startswith("lists.") else self.path
        return replace(self, spent=spent, path=path, least=0)


#: From the measures of operands to that of a result. In the size of each operand it grows at
#: least evenly: for two parts together it is no less than for each of them, but for what the
#: empty ones give.
Rule: TypeAlias = Callable[[Sequence[Measure]], Measure]

_NOTHING: Final = Measure(0, 0, 0, 0)


def combined(
    rule: Rule,
    values: Sequence[Value],
    spent: Spent,
    counts: Mapping[str, float],
    *,
    counted: bool,
    most: float = SIZE_MAX,
) -> Value:
    """What `rule` makes of values; `counts` are the iterations over each variable."""
    owners = {value.owner for value in values} - {None}
    if len(owners) != 1:  # Of several loops, one evaluation has one part each.
        made = _capped(rule([value.each() for value in values]), most)
        size = made.elements if counted else made.size
        return Value(spent, size, counted=counted, content=made.content, item=made.item)
    (owner,) = owners
    count = max(counts.get(owner or "", 1.0), 1.0)
    each = _capped(rule([value.each() for value in values]), most)
    empty = rule([_NOTHING if value.owner else value.whole() for value in values])
    whole = rule([value.whole() for value in values])
    size = (whole.elements if counted else whole.size) + (count - 1) * (
        empty.elements if counted else empty.size
    )
    size_each = each.elements if counted else each.size
    content = whole.content + (count - 1) * empty.content
    return Value(
        spent,
        min(size, count * size_each),
        size_each,
        owner,
        counted=counted,
        content=min(content, count * each.content),
        content_each=each.content,
        item=each.item,
    )


def _capped(measure: Measure, most: float) -> Measure:
    return measure._replace(size=min(measure.size, most), elements=min(measure.elements, most))


def either(values: Sequence[Value], spent: Spent, counts: Mapping[str, float]) -> Value:
    """One of several values, whichever it is."""
    counted = all(value.counted for value in values)
    parts = sum(value.owner is not None for value in values)
    rule = _largest if parts < 2 else _together
    return combined(rule, values, spent, counts, counted=counted, most=math.inf)


def _together(measures: Sequence[Measure]) -> Measure:
    """Of several that have parts each, any iteration can take the larger one."""
    size = sum(max(m.size, ELEMENT_UNITS * m.elements) for m in measures)
    elements, content = sum(m.elements for m in measures), sum(m.content for m in measures)
    return Measure(size, elements, content, max(m.item for m in measures))


def _largest(measures: Sequence[Measure]) -> Measure:
    # What counts bytes has half as many elements; what counts elements, as many as it says.
    size = max(max(m.size, ELEMENT_UNITS * m.elements) for m in measures)
    elements = max(m.elements for m in measures)
    content = max(m.content for m in measures)
    return Measure(size, elements, content, max(m.item for m in measures))
