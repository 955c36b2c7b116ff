"""Values replaced in, or dropped from, Avro bytes; what is not masked stays byte for byte.

Avro bytes have no gaps, so that every mask has to leave a value that the schema allows: null where
it can be null, the default of a field, the zero of its type; an enum has no zero. Entries of maps and items of arrays
can go altogether; the counts and sizes of their blocks are then written anew, nothing else is.

A splicer is made once for a schema and its masks. What lies between the masked values is skipped by
generated code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .avro_code import AvroCode
from .avro_encode import default_bytes, null_bytes, parts_of_zero, zero_bytes, zero_shown
from .avro_types import (
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    min_width,
)
from .avro_wire import (
    MalformedError,
    block,
    end_of_bytes,
    long_at,
    reason_of,
    text_at,
    write_long,
)
from .json_projection import DecodeError, on_fresh_stack
from .json_splice import Path

__all__ = ["AvroMask", "AvroSplicer", "UnmaskableError", "check_mask", "zero_left"]


class UnmaskableError(ValueError):
    """A value whose type cannot take a mask. The text holds nothing of the value."""


@dataclass(frozen=True, slots=True)
class AvroMask:
    """What is done to the values at one path.

    `how` is drop, redact or text; for text, `text` gives the text that takes the place of another.
    """

    path: Path
    how: str
    text: Callable[[str], str] | None = None


#: (start, end, replacement), in ascending order.
_Cuts: TypeAlias = list[tuple[int, int, bytes]]
#: From bytes and where a value begins to where it ends; adds cuts on the way.
_Step: TypeAlias = Callable[[bytes, int, _Cuts], int]
#: As a step, for the item of a block at a position; `~end` where the item goes.
_Item: TypeAlias = Callable[[bytes, int, _Cuts, int], int]


class AvroSplicer:
    """Applies masks to the values of one type. Immutable; shared by threads.

    `problems` says of masks that some values of the type cannot take them, `zeros` what the others
    leave that reads like a value of the event. Of masks on a value and
    on something inside it the outer one counts, of two on the same value the first.
    """

    __slots__ = ("_run", "problems", "zeros")

    def __init__(self, type_: AvroType, masks: Sequence[AvroMask]) -> None:
        root = _Target()
        for rank, mask in enumerate(masks):
            root.add(rank, mask)
        maker = _Maker()
        self._run = maker.step(type_, [root])
        self.problems: tuple[str, ...] = tuple(dict.fromkeys(maker.problems))
        self.zeros: tuple[str, ...] = tuple(dict.fromkeys(maker.zeros))

    def splice(self, data: bytes, start: int) -> bytes:
        """`data` with the masks applied to the value that begins at `start`.

        Where nothing changes, `data` itself is returned. Raises DecodeError for bytes that are
        not what the schema says, UnmaskableError for a value that cannot take its mask.
        """
        cuts: _Cuts = []
        error: object = self._cut(data, start, cuts)
        if isinstance(error, RecursionError):
            cuts.clear()
            error = on_fresh_stack(self._cut, data, start, cuts)
        if isinstance(error, UnmaskableError):
            raise error
        if isinstance(error, Exception):
            raise DecodeError(reason_of(error).reason)
        pieces: list[bytes] = []
        at = 0
        for begin, end, text in cuts:
            pieces += (data[at:begin], text)
            at = end
        return b"".join([*pieces, data[at:]]) if pieces else data

    def _cut(self, data: bytes, start: int, cuts: _Cuts) -> Exception | None:
        try:
            end_of_bytes(data, self._run(data, start, cuts))
        except Exception as error:  # noqa: BLE001 — whatever the bytes made it stumble over
            return error
        return None


def check_mask(type_: AvroType, path: Path, how: str) -> str | None:
    """Why values at `path` cannot take the mask `how` (as policies write it); None where they can.

    A path that the type does not have has nothing to mask.
    """
    problems = _splicer(type_, path, how).problems
    return problems[0] if problems else None


def zero_left(type_: AvroType, path: Path, how: str) -> str | None:
    """What the mask `how` leaves at `path` that reads like a fact, such as 0; None where nothing."""
    zeros = _splicer(type_, path, how).zeros
    return zeros[0] if zeros else None


def _splicer(type_: AvroType, path: Path, how: str) -> AvroSplicer:
    text = how not in ("drop", "redact")
    return AvroSplicer(type_, [AvroMask(path, "text", str) if text else AvroMask(path, how)])


class _Target:
    """A node of the paths, merged into a tree."""

    __slots__ = ("every", "mask", "members", "positions", "rank")

    def __init__(self) -> None:
        self.members: dict[str, _Target] = {}
        self.positions: dict[int, _Target] = {}
        self.every: _Target | None = None
        self.mask: AvroMask | None = None
        self.rank = 0

    def add(self, rank: int, mask: AvroMask) -> None:
        node = self
        for segment in mask.path:
            if segment is None:
                node.every = node = node.every or _Target()
            elif isinstance(segment, str):
                node = node.members.setdefault(segment, _Target())
            else:
                node = node.positions.setdefault(segment, _Target())
        if node.mask is None:
            node.mask, node.rank = mask, rank


def _chosen(targets: Sequence[_Target]) -> AvroMask | None:
    masked = [target for target in targets if target.mask is not None]
    return min(masked, key=lambda target: target.rank).mask if masked else None


class _Maker:
    """Makes the steps of a splicer. Recursion is bounded by the length of the paths."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.zeros: list[str] = []
        self._skips: dict[int, tuple[AvroType, _Step]] = {}

    def step(
        self, type_: AvroType, targets: Sequence[_Target], field: Field | None = None
    ) -> _Step:
        """What to do with a value of the type; `field` is the one that it is the value of."""
        mask = _chosen(targets)
        if mask is not None:
            return self._mask(type_, mask, field)
        match type_:
            case Union():
                return _union([self.step(branch, targets) for branch in type_.branches])
            case Record():
                return self._record(type_, targets)
            case Array() if any(target.every or target.positions for target in targets):
                return _blocks(min_width(type_.items), self._items(type_, targets))
            case Map() if any(target.members for target in targets):
                return _blocks(1, self._entries(type_, targets))
            case _:
                return self._skip(type_)

    def _record(self, type_: Record, targets: Sequence[_Target]) -> _Step:
        steps: list[_Step] = []
        between: list[AvroType] = []
        for field in type_.fields:
            inner = [t.members[field.name] for t in targets if field.name in t.members]
            if inner:
                steps += [_skipper(between)] if between else []
                steps.append(self.step(field.type, inner, field))
                between = []
            else:
                between.append(field.type)
        steps += [_skipper(between)] if between else []

        def run(data: bytes, at: int, cuts: _Cuts) -> int:
            for step in steps:
                at = step(data, at, cuts)
            return at

        return run

    def _items(self, type_: Array, targets: Sequence[_Target]) -> _Item:
        everywhere = [target.every for target in targets if target.every is not None]
        positions = {position for target in targets for position in target.positions}
        others = self._item(type_.items, everywhere)
        special = {
            position: self._item(
                type_.items,
                [t.positions[position] for t in targets if position in t.positions] + everywhere,
            )
            for position in positions
        }

        def run(data: bytes, at: int, cuts: _Cuts, position: int) -> int:
            step, goes = special.get(position, others)
            end = step(data, at, cuts)
            return ~end if goes else end

        return run

    def _entries(self, type_: Map, targets: Sequence[_Target]) -> _Item:
        names = {name for target in targets for name in target.members}
        others = self._item(type_.values, [])
        special = {
            name.encode("utf-8", "surrogatepass"): self._item(
                type_.values, [t.members[name] for t in targets if name in t.members]
            )
            for name in names
        }

        def run(data: bytes, at: int, cuts: _Cuts, _: int) -> int:
            begin, at = text_at(data, at)
            step, goes = special.get(data[begin:at], others)
            end = step(data, at, cuts)
            return ~end if goes else end

        return run

    def _item(self, type_: AvroType, targets: Sequence[_Target]) -> tuple[_Step, bool]:
        """What to do with an item, and whether it goes."""
        mask = _chosen(targets)
        if mask is not None and mask.how == "drop":
            return self._skip(type_), True
        return self.step(type_, targets), False

    def _mask(self, type_: AvroType, mask: AvroMask, field: Field | None) -> _Step:
        null = null_bytes(type_)
        if mask.text is not None:
            return self._text(type_, mask.text)
        if null is not None:
            return self._replaced(type_, null)
        if mask.how == "drop":
            default = None if field is None else default_bytes(field)
            if default is None:
                return self._refused("`drop` needs a field that can be null or has a default")
            return self._replaced(type_, default)
        if isinstance(type_, Union):
            return _union([self._mask(branch, mask, None) for branch in type_.branches])
        if isinstance(type_, Enum) and type_.default is None and field is not None:
            default = default_bytes(field)
            if default is not None:
                return self._replaced(type_, default)
        zero = zero_bytes(type_)
        if zero is None:
            return self._refused("the value has no end, and cannot be null: it cannot be redacted")
        for part in parts_of_zero(type_):
            if isinstance(part, Enum) and part.default is None:
                return self._refused(
                    f"the enum `{part.name}` has neither null nor a default to leave, and any other "
                    "of its values would read like a true one"
                )
            self.zeros += filter(None, [zero_shown(part)])
        return self._replaced(type_, zero)

    def _text(self, type_: AvroType, text: Callable[[str], str]) -> _Step:
        match type_:
            case Union():
                return _union([self._text(branch, text) for branch in type_.branches])
            case Primitive("null"):
                return self._skip(type_)
            case Primitive("string", logical=None):
                return _retold(text)
            case _:
                return self._refused(f"a value of type `{_type_name(type_)}` holds no free text")

    def _skip(self, type_: AvroType) -> _Step:
        if id(type_) not in self._skips:
            self._skips[id(type_)] = (type_, _skipper([type_]))
        return self._skips[id(type_)][1]

    def _replaced(self, type_: AvroType, new: bytes) -> _Step:
        skip = self._skip(type_)

        def run(data: bytes, at: int, cuts: _Cuts) -> int:
            end = skip(data, at, cuts)
            if data[at:end] != new:
                cuts.append((at, end, new))
            return end

        return run

    def _refused(self, problem: str) -> _Step:
        self.problems.append(problem)

        def run(_data: bytes, _at: int, _cuts: _Cuts) -> int:
            raise UnmaskableError(problem)

        return run


def _skipper(types: Sequence[AvroType]) -> _Step:
    skip = AvroCode().skipper(types)

    def run(data: bytes, at: int, _cuts: _Cuts) -> int:
        return skip(data, at)

    return run


def _union(steps: Sequence[_Step]) -> _Step:
    def run(data: bytes, at: int, cuts: _Cuts) -> int:
        place, at = long_at(data, at)
        if not 0 <= place < len(steps):
            raise MalformedError("the Avro bytes name a branch that the union does not have")
        return steps[place](data, at, cuts)

    return run


def _retold(text: Callable[[str], str]) -> _Step:
    def run(data: bytes, at: int, cuts: _Cuts) -> int:
        begin, end = text_at(data, at)
        old = data[begin:end].decode()
        new = text(old)
        if new != old:
            content = new.encode()
            cuts.append((at, end, write_long(len(content)) + content))
        return end

    return run


def _blocks(width: int, item: _Item) -> _Step:
    """The blocks of an array or map, each with a head that is right for what becomes of it."""

    def run(data: bytes, at: int, cuts: _Cuts) -> int:
        before = 0
        while True:
            head, first = at, len(cuts)
            count, at, end = block(data, at, width)
            if count == 0:
                return at
            begin, left = at, count
            for position in range(before, before + count):
                stop = item(data, at, cuts, position)
                if stop < 0:
                    stop = ~stop
                    cuts.append((at, stop, b""))
                    left -= 1
                at = stop
            before += count
            if end not in (-1, at):
                raise MalformedError("the Avro bytes hold a block that is not as long as it says")
            grown = sum(len(text) - (till - since) for since, till, text in cuts[first:])
            if left != count or (end != -1 and grown):
                size = -1 if end == -1 else end - begin + grown
                cuts.insert(first, (head, begin, _head(left, size)))

    return run


def _head(count: int, size: int) -> bytes:
    """The head of a block of some items; `size` -1 leaves the size in bytes unsaid."""
    if count == 0:
        return b""  # a head that says 0 would end the array
    return write_long(count) if size == -1 else write_long(-count) + write_long(size)


def _type_name(type_: AvroType) -> str:
    match type_:
        case Primitive() | Fixed():
            return type_.logical or type_.name
        case Enum() | Record():
            return type_.name
        case Array():
            return "array"
        case Map():
            return "map"
        case Union():
            return "union"
