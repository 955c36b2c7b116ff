"""Avro decoded as far as somebody reads it, by a function generated for one schema and shape.

The shape is that of the JSON projection, and so are the objects that come out: rules compiled for
one run on the other. What nobody reads is skipped without becoming an object; after the last thing
that is read nothing is looked at any more, unless `strict`: then every byte is checked, and none
may follow.

Skipping agrees with reading. Arrays and maps are walked item by item, and a block whose size in
bytes is not what its items take is refused: readers that jump by the size and readers that do not
must never see different values.

Small values are read inline; what is rare (numbers and lengths of several bytes, blocks with sizes)
is in avro_wire.py. A slice past the end is found at the next byte that is not there, or at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .avro_code import AvroCode
from .avro_types import AvroType
from .avro_wire import reason_of
from .json_projection import JsonProjection, Node, Path, Shape, on_fresh_stack

__all__ = ["AvroProjection", "Instant", "project"]


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A point in time: nanoseconds since the epoch, UTC. Dates are their midnight."""

    ns: int


class AvroProjection:
    """A decoder for one type and one shape. Immutable; shared by threads.

    `decode(data, start)` gives the projected value of the bytes from `start`, or an AvroError;
    it never raises. `root` is the node of a JsonProjection; `time` makes a time from nanoseconds.
    """

    __slots__ = ("decode",)

    def __init__(
        self,
        type_: AvroType,
        root: Node,
        *,
        strict: bool = False,
        time: Callable[[int], object] = Instant,
    ) -> None:
        code = AvroCode(strict=strict, time=time)
        self.decode: Callable[[bytes, int], object] = code.decoder(type_, root, _failed)


def _failed(
    error: Exception, decode: Callable[..., object], data: bytes, start: int, again: bool
) -> object:
    """What `decode` gives after `error`: how deep data may be must not hang on the caller's stack."""
    if again and isinstance(error, RecursionError):
        return on_fresh_stack(decode, data, start, False)
    return reason_of(error)


def project(
    type_: AvroType, paths: Sequence[Path], *, strict: bool = False
) -> Callable[[bytes, int], object]:
    """A decoder of the values at `paths`, as a projection of what is there."""
    return AvroProjection(type_, JsonProjection(Shape.of(paths)).root, strict=strict).decode
