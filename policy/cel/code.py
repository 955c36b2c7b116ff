"""What expressions are compiled to: closures over closures, each from a frame to a value.

A frame is one evaluation: the activation, the iterations that are left, the log of a trace, and
then the values that macros bind. Closures hold no state of an evaluation, so that a program can
run in many threads at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from .values import CelError, Unknown

__all__ = [
    "ABNORMAL",
    "ACTIVATION",
    "BUDGET",
    "FIRST_SLOT",
    "ITERATIONS_MAX",
    "LOG",
    "NOT_CONSTANT",
    "Code",
    "Frame",
    "Run",
    "constant",
]

#: Elements that the macros of one evaluation may visit: more than events have, half a second.
ITERATIONS_MAX: Final = 1_000_000

Frame: TypeAlias = list[Any]
Run: TypeAlias = Callable[[Frame], object]

ACTIVATION: Final = 0
BUDGET: Final = 1
LOG: Final = 2
FIRST_SLOT: Final = 3

NOT_CONSTANT: Final = object()
ABNORMAL: Final = frozenset({CelError, Unknown})


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled expression.

    `event`: reads a variable, so that numbers may come in another type than the rule expects.
    `value`: what it always gives, where that is known beforehand.
    """

    run: Run
    event: bool
    value: object = NOT_CONSTANT

    @property
    def is_constant(self) -> bool:
        """True where the value is known."""
        return self.value is not NOT_CONSTANT


def constant(value: object) -> Code:
    """The code that always gives `value`."""
    return Code(lambda _frame: value, False, value)
