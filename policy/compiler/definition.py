"""What compiled rules have to come to: the exact evaluator, rule by rule.

The generated code is this, fast. Tests hold the two against each other; what the generator does not
know inline is evaluated here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeAlias

from ...schemas.event import Event, Headers
from ...schemas.json_projection import (
    MISSING,
    DecodeError,
    JsonProjection,
    decode_json,
)
from ...schemas.views import facts_view, is_framed, without_schemas
from ..cel.ast import Expr
from ..cel.evaluate import compile_exact
from ..cel.values import CelError, Timestamp, UInt
from .activation import Framed, UnavailableError, Undecodable, schema_of, variable
from .reads import Reads, reads_of
from .runtime import OTHER, key_reader

__all__ = [
    "EVENT_VARIABLES",
    "MEMBERS_MAX",
    "PLACED",
    "Definition",
    "Program",
    "RuleInput",
    "Run",
    "Setting",
    "ValueReader",
]

#: The variables that events have, besides the value; and those of events that are in Kafka.
EVENT_VARIABLES: Final = frozenset({"key", "headers", "timestamp", "facts", "stamp", "now"})
PLACED: Final = frozenset({"partition", "offset"})

Run: TypeAlias = Callable[[Event], tuple[int, ...] | Undecodable]
Program: TypeAlias = Callable[[Mapping[str, object]], object]

#: Classes of which generated code knows what they compare with.
_KNOWN: Final = frozenset({str, int, float, bool, type(None), Decimal, Timestamp})

#: From an event and its decoded value to one variable.
_Maker: TypeAlias = Callable[[Event, object], object]

#: The decoder compares a name with those of all members that are read; a dict takes all at once.
MEMBERS_MAX: Final = 48

_UNREADABLE: Final = "the bytes are framed by a schema registry and cannot be read"


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
    framed: Framed | None = None

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

    __slots__ = ("format", "framed", "projection", "strict")

    def __init__(self, setting: Setting, reads: Reads) -> None:
        self.format, self.strict = setting.value_format, setting.strict_values
        framed = setting.framed if self.format in ("auto", "avro") else None
        members_max = MEMBERS_MAX if framed is None else None
        self.projection = JsonProjection(reads.shape("value"), members_max=members_max)
        #: Reads what a registry has framed, and what is not framed where that may be.
        self.framed: Callable[[bytes, Headers], object] | None = None
        if framed is not None:
            unframed = self._unframed if self.format == "auto" else None
            self.framed = framed.reader(self.projection.root, unframed, strict=self.strict)

    def decode(self, value: bytes, headers: Headers = ()) -> object:
        """What the rules read of `value`. Raises DecodeError."""
        if self.framed is not None:
            return self.framed(value, headers)
        if self.format == "bytes":
            return value
        if self.format == "text":
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise DecodeError("the text is not valid UTF-8") from None
        if self.format == "avro" or (self.format == "auto" and is_framed(value)):
            raise DecodeError(without_schemas(value))
        return self._unframed(value)

    def _unframed(self, value: bytes) -> object:
        if self.strict:
            decode_json(value)
        return self.projection.decode(value)

    @property
    def unruly(self) -> bool:
        """Whether values may hold what JSON does not have: times, decimals, NaN."""
        return self.framed is not None

    @property
    def fast(self) -> Callable[[bytes], object]:
        """`decode` of what is not framed, but for what it raises: anything, to go to `again`."""
        if self.format in ("json", "auto") and not self.strict:
            return self.projection.raw_decode
        return self.decode

    @property
    def fast_long(self) -> Callable[[bytes], object] | None:
        """The same for values of `json_nesting.LONG` bytes and more, where that is another."""
        if self.fast != self.projection.raw_decode:
            return None
        return self.projection.raw_decode_long

    def again(self, value: bytes, error: Exception) -> object:
        """What `fast` should have given instead of raising `error`: a value or a DecodeError."""
        if isinstance(error, DecodeError):
            return error
        if self.format == "auto" and is_framed(value):
            return DecodeError(without_schemas(value) if self.framed is None else _UNREADABLE)
        return self.projection.again(value, error)

    def plain(self, decoded: object) -> object:
        """`decoded` as the exact evaluator takes it."""
        return self.projection.plain(decoded)


class Definition:
    """The rules of a plan, evaluated exactly. Immutable.

    `run` raises UnavailableError where a schema that a rule needs for the key, or asks about,
    cannot be had now; nothing else.
    """

    __slots__ = (
        "_programs",
        "constants",
        "key_projection",
        "key_root",
        "reader",
        "reads",
        "rule_reads",
        "rules",
        "setting",
    )

    def __init__(self, rules: Sequence[RuleInput], setting: Setting) -> None:
        self.rules, self.setting = tuple(rules), setting
        self.rule_reads = [reads_of(rule.condition) for rule in rules]
        self.reads = Reads.union(self.rule_reads)
        self.constants = setting.constants()
        self.reader = ValueReader(setting, self.reads)
        self.key_projection = JsonProjection(self.reads.shape("key"))
        self.key_root = key_reader(setting.key_format, self.key_projection, setting.framed)
        self._programs: dict[int, Callable[[Event, object], bool | None]] = {}

    def run(self, event: Event) -> tuple[int, ...] | Undecodable:
        """Indexes of the rules that are true; `~index` of those that cannot be evaluated."""
        everything = range(len(self.rules))
        blind = [index for index in everything if not self.rule_reads[index].reads_value]
        if event.value is None:
            told = (i for i in everything if self.rules[i].tombstone or i in blind)
            return self._hits(told, event, None)
        if not self.reads.reads_value and not self.setting.strict_values:
            return self._hits(everything, event, None)
        try:
            value = self.reader.decode(event.value, event.headers)
        except DecodeError as error:
            return self.undecodable(self._hits(blind, event, None), error)
        return self._hits(everything, event, value)

    def undecodable(self, hits: tuple[int, ...], error: DecodeError) -> Undecodable:
        """What is said of a value that was refused with `error`."""
        return Undecodable(hits, str(error), isinstance(error, UnavailableError))

    def status(self, index: int, event: Event, value: object) -> bool | None:
        """What rule `index` comes to, for a decoded `value`: None where it is an error."""
        condition = self.rules[index].condition
        if condition is None:
            return True
        evaluate = self._programs.get(index)
        if evaluate is None:
            evaluate = self._programs[index] = self.program(condition)
        return evaluate(event, value)

    def program(self, expr: Expr) -> Callable[[Event, object], bool | None]:
        """What `expr`, a condition or a part of one, comes to, likewise."""
        evaluate = self._evaluator(expr)

        def judge(event: Event, value: object) -> bool | None:
            try:
                verdict = evaluate(event, value)
            except UnavailableError:
                raise
            except Exception:  # noqa: BLE001 — no event may stop the guard, whatever is wrong in here
                return None
            return verdict if isinstance(verdict, bool) else None

        return judge

    def _evaluator(self, expr: Expr) -> Callable[[Event, object], object]:
        made: list[Program] = []  # at the first need: most are only asked about odd values
        reads = reads_of(expr)
        constants = {name: self.constants[name] for name in reads.variables & self.constants.keys()}
        makers = self._makers(reads)

        def evaluate(event: Event, value: object) -> object:
            if not made:
                made.append(compile_exact(expr))
            known = constants.copy()
            for name, make in makers:
                known[name] = make(event, value)
            if "value" in known:
                known["message"] = known["value"]
            return made[0](known)

        return evaluate

    def calculator(self, expr: Expr) -> Callable[[Event, object], object]:
        """What `expr` comes to, likewise: a value that generated code knows.

        MISSING is an error, and OTHER whatever is equal to no constant and has no order. Asked again
        about the same event, it remembers.
        """
        evaluate = self._evaluator(expr)
        last: tuple[object, object, object] = (None, None, MISSING)

        def calculate(event: Event, value: object) -> object:
            nonlocal last
            asked, of, found = last  # one assignment makes it: threads may share this
            if asked is event and of is value:
                return found
            try:
                found = evaluate(event, value)
            except UnavailableError:
                raise
            except Exception:  # noqa: BLE001 — as above
                found = MISSING
            if isinstance(found, UInt):
                found = int(found)
            elif found.__class__ not in _KNOWN:
                found = MISSING if isinstance(found, CelError) else OTHER
            last = event, value, found
            return found

        return calculate

    def judging(self, rules: Iterable[int]) -> Callable[[Event, object, list[int]], None]:
        """A function that adds the hits of `rules`."""
        judged = tuple(rules)

        def judge(event: Event, value: object, hits: list[int]) -> None:
            hits += self._hits(judged, event, value)

        return judge

    def _makers(self, reads: Reads) -> list[tuple[str, _Maker]]:
        """What makes the variables that are read, as far as they are read."""
        known = EVENT_VARIABLES if self.setting.stage == "produce" else EVENT_VARIABLES | PLACED
        found: list[tuple[str, _Maker]] = []
        for name in sorted(reads.variables):
            if name == "value":
                found.append((name, self._value_maker(reads)))
            elif name == "key":
                found.append((name, lambda event, _: self.key(event)))
            elif name == "schema":
                found.append((name, lambda event, _: schema_of(event, self.setting.framed)))
            elif name in known:
                found.append((name, _variable_maker(name)))
        return found

    def _value_maker(self, reads: Reads) -> _Maker:
        plain = self.reader.projection.plain_part(reads.shape("value"))
        return lambda _, value: plain(value)

    def key(self, event: Event) -> object:
        """What rules read of the key; an error value where that does not decode."""
        key = self.key_root(event)
        if key is MISSING:
            return CelError("undecodable_key", "the key is not what its format says")
        return self.key_projection.plain(key)

    def _hits(self, rules: Iterable[int], event: Event, value: object) -> tuple[int, ...]:
        found: list[int] = []
        for index in rules:
            verdict = self.status(index, event, value)
            if verdict is not False:
                found.append(index if verdict else ~index)
        return tuple(found)


def _variable_maker(name: str) -> _Maker:
    return lambda event, _: variable(name, event)
