"""What compiled rules have to come to: the exact evaluator, rule by rule.

The generated code is this, fast. Tests hold the two against each other; what the generator does not
know inline is evaluated here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ...schemas.event import Event
from ...schemas.json_projection import DecodeError, JsonProjection, decode_json
from ...schemas.views import facts_view, is_framed
from ..cel.evaluate import compile_exact
from ..cel.ast import Expr
from ..cel.values import Timestamp
from .activation import Undecodable, variable
from .reads import Reads, reads_of

__all__ = ["Definition", "RuleInput", "Setting", "ValueReader"]

Program: TypeAlias = Callable[[Mapping[str, object]], object]

_FRAMED: Final = "the bytes are framed by a schema registry, and no schemas were given"


@dataclass(frozen=True, slots=True)
class RuleInput:
    """One rule to compile. `condition` None always fires; `tombstone`: also when the value is null."""

    condition: Expr | None
    tombstone: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for every event of a plan."""

    topic: str
    stage: str
    value_format: str
    key_format: str
    lists: Mapping[str, object] = field(default_factory=dict[str, object])
    client: Mapping[str, object] = field(default_factory=dict[str, object])
    strict_values: bool = False

    def constants(self) -> dict[str, object]:
        """The variables that no event changes."""
        client = facts_view(self.client, Timestamp)
        return {
            "topic": self.topic,
            "stage": self.stage,
            "lists": dict(self.lists),
            "client": client,
            "schema": {},
        }


class ValueReader:
    """Bytes of a value to what rules read of it.

    `decode` raises DecodeError and gives a projection (objects of `projection.root`) for JSON, text
    or bytes otherwise; `plain` turns that into what the exact evaluator takes.
    """

    __slots__ = ("format", "projection", "strict")

    def __init__(self, setting: Setting, reads: Reads) -> None:
        self.format, self.strict = setting.value_format, setting.strict_values
        self.projection = JsonProjection(reads.shape("value"))

    def decode(self, value: bytes) -> object:
        """What the rules read of `value`. Raises DecodeError."""
        if self.format == "bytes":
            return value
        if self.format == "text":
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise DecodeError("the text is not valid UTF-8") from None
        if self.format == "avro" or (self.format == "auto" and is_framed(value)):
            raise DecodeError(_FRAMED)
        if self.strict:
            decode_json(value)
        return self.projection.decode(value)

    def plain(self, decoded: object) -> object:
        """`decoded` as the exact evaluator takes it."""
        return self.projection.plain(decoded)


class Definition:
    """The rules of a plan, evaluated exactly. Immutable; `run` never raises."""

    __slots__ = ("_constants", "_programs", "_reads", "_rules", "_setting", "reader", "reads")

    def __init__(self, rules: Sequence[RuleInput], setting: Setting) -> None:
        self._rules, self._setting = tuple(rules), setting
        conditions = [rule.condition for rule in rules]
        self._programs = [None if expr is None else compile_exact(expr) for expr in conditions]
        self._reads = [Reads() if expr is None else reads_of(expr) for expr in conditions]
        self.reads = Reads.union(self._reads)
        self._constants = setting.constants()
        self.reader = ValueReader(setting, self.reads)

    def run(self, event: Event) -> tuple[int, ...] | Undecodable:
        """Indexes of the rules that are true; `~index` of those that cannot be evaluated."""
        known = self.known(event)
        everything = range(len(self._rules))
        blind = [index for index in everything if not self._reads[index].reads_value]
        if event.value is None:
            told = (i for i in everything if self._rules[i].tombstone or i in blind)
            return self._hits(told, {**known, "value": None, "message": None})
        if not self.reads.reads_value and not self._setting.strict_values:
            return self._hits(everything, known)
        try:
            value = self.reader.plain(self.reader.decode(event.value))
        except DecodeError as error:
            return Undecodable(self._hits(blind, known), str(error))
        return self._hits(everything, {**known, "value": value, "message": value})

    def known(self, event: Event) -> dict[str, object]:
        """Every variable that is read, but the value."""
        names = {"key", "headers", "timestamp", "now", "facts", "stamp"}
        if self._setting.stage != "produce":
            names |= {"partition", "offset"}
        formats = {"key_format": self._setting.key_format}
        made = {name: variable(name, event, **formats) for name in names & self.reads.variables}
        return {**self._constants, **made}

    def _hits(self, rules: Iterable[int], known: Mapping[str, object]) -> tuple[int, ...]:
        found: list[int] = []
        for index in rules:
            verdict = status(self._programs[index], known)
            if verdict is not False:
                found.append(index if verdict is True else ~index)
        return tuple(found)


def status(program: Program | None, known: Mapping[str, object]) -> bool | None:
    """True, False, or None for everything that is neither: a condition that is an error."""
    if program is None:
        return True
    try:
        verdict = program(known)
    except Exception:  # noqa: BLE001 — no event may stop the guard, whatever is wrong in here
        return None
    return verdict if isinstance(verdict, bool) else None
