"""What of an event a replay does not know, and the event as conditions then see it.

Nobody kept what the calling service was (`client`), knew (`facts`) and received (`stamp`). Under a
mask, the bytes before it are gone as well: every field that a mask of the deciding version names
and that looks masked is unknown. A field that a mask names and that does not look masked was not
masked, whatever the stamp says, and is what it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from ..policy.cel import Unknown
from ..policy.compiler.reads import VARIABLES, Place, Reads
from ..policy.model import MaskField, Path
from .worlds import Hidden

__all__ = ["Unknowns", "looks_masked", "overlaps"]

_HASHED = re.compile(r"h:[A-Za-z0-9_-]{1,32}:[A-Za-z0-9_-]{22}")
_LAST4 = re.compile(r"\*+|\*{4,}.{4}", re.DOTALL)


#: Each variable as a whole.
_ALL_UNKNOWN = {name: Unknown(frozenset({(name,)})) for name in VARIABLES}


@dataclass(frozen=True, slots=True)
class Unknowns:
    """The variables that are unknown as a whole, and how fields under `value` may be masked."""

    variables: frozenset[str] = frozenset({"client", "facts", "stamp"})
    masks: Mapping[Path, frozenset[str]] = field(default_factory=dict[Path, frozenset[str]])

    @classmethod
    def of(cls, masks: Iterable[MaskField], *, also: Iterable[str] = ()) -> Unknowns:
        """Unknown variables, those `also` named, and what `masks` may have hidden."""
        hows: dict[Path, frozenset[str]] = {}
        for mask in masks:
            hows[mask.path] = hows.get(mask.path, frozenset()) | {mask.how}
        names = frozenset({"client", "facts", "stamp", *also})
        return cls(names, hows)

    def touch(self, reads: Reads) -> bool:
        """True where a condition with these `reads` may hang on something unknown."""
        if reads.variables & self.variables:
            return True
        paths = reads.paths("value")
        return any(overlaps(path, mask) for path in paths for mask in self.masks)

    def nothing_known(self, constants: Mapping[str, object]) -> dict[str, object]:
        """The variables of a rule that reads nothing of the event."""
        return {**constants, **{name: _ALL_UNKNOWN[name] for name in self.variables}}

    def over(
        self,
        known: Mapping[str, object],
        value: object,
        given: Mapping[str, object],
        *,
        telling: bool = True,
    ) -> tuple[dict[str, object], dict[Place, Hidden]]:
        """The variables of a rule with the unknown ones in place, and what is known of fields.

        `given` is what was kept of variables that are unknown otherwise. `telling` is False where
        masked values have no look of their own (Avro: nulls, zeros, defaults): there every field
        that a mask names is unknown. `value` is changed in place where it is a container.
        """
        hidden: dict[Place, Hidden] = {}
        seen = dict(known)
        for name in self.variables:
            seen[name] = given[name] if name in given else _ALL_UNKNOWN[name]
        for path, hows in self.masks.items():
            value = self._hide(value, path, 0, hows, hidden if telling else None)
        seen["value"] = seen["message"] = value
        return seen, hidden

    def _hide(
        self,
        node: object,
        path: Path,
        at: int,
        hows: frozenset[str],
        hidden: dict[Place, Hidden] | None,
    ) -> object:
        """`node` with what `path[at:]` names in it unknown."""
        if at == len(path):
            if hidden is None:
                return _unknown(path)
            if not looks_masked(node, hows):
                return node
            if all(isinstance(name, str) for name in path):
                place = ("value", cast("tuple[str | None, ...]", path))
                hidden[place] = Hidden("drop" in hows, not hows <= {"last4", "hash"})
            return _unknown(path)
        segment, last = path[at], at == len(path) - 1
        if isinstance(segment, str):
            members = _members(node)
            if members is None:
                return node
            if segment in members:
                members[segment] = self._hide(members[segment], path, at + 1, hows, hidden)
            elif last and "drop" in hows:
                members[segment] = _unknown(path)
            return members
        items = _items(node)
        if items is not None:
            if last and "drop" in hows:  # elements may be missing, or stand elsewhere
                return _unknown(path[:at])
            for index in range(len(items)) if segment is None else (segment,):
                if -len(items) <= index < len(items):
                    items[index] = self._hide(items[index], path, at + 1, hows, hidden)
        return node if items is None else items


def looks_masked(value: object, hows: Iterable[str]) -> bool:
    """True where `value` may be what one of the masks `hows` made of another."""
    if not isinstance(value, str):
        return False
    return any(
        (how == "redact" and value == "***")
        or (how == "hash" and _HASHED.fullmatch(value) is not None)
        or (how == "last4" and _LAST4.fullmatch(value) is not None)
        for how in hows
    )


def overlaps(read: tuple[str | None, ...], mask: Path) -> bool:
    """True where one path lies on or above the other; positions count as any element."""
    return all(
        one == other or (one is None and not isinstance(other, str))
        for one, other in zip(read, mask, strict=False)
    )


def _members(node: object) -> dict[object, object] | None:
    return cast("dict[object, object]", node) if isinstance(node, dict) else None


def _items(node: object) -> list[object] | None:
    return cast("list[object]", node) if isinstance(node, list) else None


def _unknown(path: Path) -> Unknown:
    names = tuple(-1 if segment is None else segment for segment in path)
    return Unknown(frozenset({("value", *names)}))
