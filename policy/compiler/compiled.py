"""Rules compiled for one topic and stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .codegen import generate
from .definition import Definition, RuleInput, Run, Setting
from .reads import Reads

__all__ = ["Compiled", "compile_rules"]


class Compiled:
    """What `compile_rules` makes. Immutable; shared by threads.

    `run(event)` gives the indexes of the rules that are true, `~index` for those whose condition is
    an error, in the order of the rules; `()` when all are definitely false. It never raises.
    """

    __slots__ = ("definition", "reads", "run")

    def __init__(self, definition: Definition, run: Run) -> None:
        self.definition: Final = definition
        self.reads: Final[Reads] = definition.reads
        self.run: Final[Run] = run


def compile_rules(
    rules: Sequence[RuleInput],
    *,
    topic: str,
    stage: str,
    value_format: str = "auto",
    key_format: str = "auto",
    lists: Mapping[str, object] | None = None,
    client: Mapping[str, object] | None = None,
    strict_values: bool = False,
) -> Compiled:
    """Compile the conditions of one plan."""
    setting = Setting(
        topic, stage, value_format, key_format, lists or {}, client or {}, strict_values
    )
    definition = Definition(rules, setting)
    return Compiled(definition, generate(definition))
