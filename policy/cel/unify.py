"""Which types fit where: assignment, joining, and what type parameters stand for.

The rules are those of cel-go's checker: `dyn` fits everywhere, an empty list fits any list, and
elements of different types make a list of `dyn`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .types import DYN, STRING, LazyParams, Type, alternatives, map_of, plain, symbols

__all__ = ["NUMBERS", "Unifier", "bare"]

NUMBERS: Final = frozenset({"int", "uint", "double", "decimal"})

#: What null may stand in for.
_NULL_FITS: Final = frozenset({
    "null_type", "nullable", "optional_type", "abstract",
    "google.protobuf.Timestamp", "google.protobuf.Duration",
})  # fmt: skip


def bare(type_: Type) -> Type:
    """`T` of `T or null`: what a value is once it is there."""
    return type_.params[0] if type_.kind == "nullable" else type_


def _is_variable(type_: Type) -> bool:
    return type_.kind == "param" and type_.name.startswith("?")


class Unifier:
    """Type variables (`param`s whose name starts with `?`) and what they have turned out to be."""

    def __init__(self) -> None:
        self.count = 0
        self.found: dict[str, Type] = {}
        self._asked: set[tuple[int, int]] = set()

    def fresh(self) -> Type:
        """A variable of its own."""
        self.count += 1
        return Type("param", (), f"?{self.count}")

    def instantiate(self, types: tuple[Type, ...]) -> tuple[Type, ...]:
        """The types of one signature, with fresh variables for its type parameters."""
        fresh: dict[str, Type] = {}

        def copy(type_: Type) -> Type:
            if type_.kind == "param":
                if type_.name not in fresh:
                    fresh[type_.name] = self.fresh()
                return fresh[type_.name]
            if not type_.params:
                return type_
            return Type(type_.kind, tuple(map(copy, type_.params)), type_.name)

        return tuple(map(copy, types))

    def look(self, type_: Type) -> Type:
        """`type_`, or what the variable that it is stands for."""
        while type_.kind == "param" and type_.name in self.found:
            type_ = self.found[type_.name]
        return type_

    def settle(self, type_: Type) -> Type:
        """`type_` with every variable replaced; one that nothing is known of is `dyn`."""
        type_ = self.look(type_)
        if type_.kind == "param":
            return DYN
        if isinstance(type_.params, LazyParams) or not type_.params:
            return type_
        return Type(type_.kind, tuple(map(self.settle, type_.params)), type_.name)

    def fits(self, wanted: Type, given: Type) -> bool:
        """Whether a `given` value can stand where a `wanted` one is; variables may be bound."""
        before = dict(self.found)
        if self._fits(wanted, given):
            return True
        self.found = before
        return False

    def _fits(self, wanted: Type, given: Type) -> bool:
        if _is_variable(wanted) and wanted.name in self.found:
            return self._narrow(wanted, given)
        wanted, given = self.look(wanted), self.look(given)
        if wanted == given:
            return True
        if _is_variable(wanted):
            return self._bind(wanted, given)
        if _is_variable(given):
            return self._bind(given, wanted)
        if wanted.kind == "dyn" or given.kind == "dyn":
            return True
        if given.kind == "null_type":
            return wanted.kind in _NULL_FITS
        if "either" in (bare(wanted).kind, bare(given).kind):
            return any(
                self.fits(one, two) for one in alternatives(wanted) for two in alternatives(given)
            )
        wanted, given = _as_map(bare(wanted), given), _as_map(bare(given), wanted)
        return (
            wanted.kind == given.kind
            and (wanted.name == given.name or wanted.kind == "record")
            and len(wanted.params) == len(given.params)
            and _share_fields(wanted, given)
            and self.each(self._fits, wanted, given)
        )

    def each(self, holds: Callable[[Type, Type], bool], one: Type, two: Type) -> bool:
        """Whether `holds` of every pair of parameters; what leads back to itself holds by itself."""
        pair = id(one.params), id(two.params)
        if pair in self._asked:
            return True
        self._asked.add(pair)
        found = all(map(holds, one.params, two.params))
        self._asked.discard(pair)
        return found

    def _narrow(self, variable: Type, given: Type) -> bool:
        """Let a variable that is bound already stand for `given` as well."""
        bound = self.found[variable.name]
        joined = self.join(bound, given)
        if joined.kind == "dyn" and "dyn" not in (self.look(bound).kind, self.look(given).kind):
            return False
        self.found[variable.name] = joined
        return True

    def _bind(self, variable: Type, type_: Type) -> bool:
        if self._mentions(type_, variable):
            return False
        self.found[variable.name] = type_
        return True

    def _mentions(self, type_: Type, variable: Type) -> bool:
        type_ = self.look(type_)
        if isinstance(type_.params, LazyParams):
            return False
        return type_ == variable or any(self._mentions(part, variable) for part in type_.params)

    def join(self, one: Type, two: Type) -> Type:
        """The type of something that is either: `dyn` where they have nothing in common."""
        one, two = self.look(one), self.look(two)
        if one == two:
            return one if one is two else plain(one)
        if one.kind == "dyn" or two.kind == "dyn":
            return DYN
        if _is_variable(one) or _is_variable(two):
            return (two if _is_variable(one) else one) if self.fits(one, two) else DYN
        if one.kind == "null_type" or two.kind == "null_type":
            other = two if one.kind == "null_type" else one
            return other if other.kind in _NULL_FITS else DYN
        if "nullable" in (one.kind, two.kind):
            inner = self.join(bare(one), bare(two))
            return inner if inner.kind == "dyn" else Type("nullable", (inner,))
        if one.kind == two.kind == "string":
            known = one.symbols and two.symbols and (*one.symbols, *two.symbols)
            return symbols(known) if known else STRING
        one, two = _as_map(one, two), _as_map(two, one)
        if (one.kind, one.name, len(one.params)) != (two.kind, two.name, len(two.params)):
            return DYN
        if isinstance(one.params, LazyParams) or isinstance(two.params, LazyParams):
            return DYN
        return self._join_params(one, two)

    def _join_params(self, one: Type, two: Type) -> Type:
        params: list[Type] = []
        for left, right in zip(one.params, two.params, strict=True):
            joined = self.join(left, right)
            if joined.kind == "dyn" and "dyn" not in (self.look(left).kind, self.look(right).kind):
                return DYN
            params.append(joined)
        return Type(one.kind, tuple(params), one.name) if one.params else DYN


def _share_fields(one: Type, two: Type) -> bool:
    """Whether one map can be a value of both records: none must have what the other cannot."""
    for record, other in ((one, two), (two, one)):
        if not other.open:
            must = set(record.field_names) - record.optional
            if not must <= set(other.field_names):
                return False
    return True


def _as_map(type_: Type, beside: Type) -> Type:
    """A record as a plain map, where it meets anything but another record."""
    return map_of(STRING, DYN) if type_.kind == "record" and beside.kind != "record" else type_
