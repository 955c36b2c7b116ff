"""How functions are declared: one place for the checker's signatures and the evaluator's code.

An implementation takes values of exactly the classes that its signature names, never errors or
unknowns, and returns a value or a `CelError` without a place; it does not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

from ..types import Type
from ..values import (
    CelType,
    Cidr,
    Duration,
    Ip,
    Optional,
    Table,
    Timestamp,
    UInt,
)

__all__ = ["Function", "Implementation", "Library", "Overload", "identity"]

Implementation: TypeAlias = Callable[..., object]
_Code = TypeVar("_Code", bound=Implementation)

_CLASSES: Final[dict[str, frozenset[type]]] = {
    "bool": frozenset({bool}),
    "int": frozenset({int}),
    "uint": frozenset({UInt}),
    "double": frozenset({float}),
    "decimal": frozenset({Decimal}),
    "string": frozenset({str}),
    "bytes": frozenset({bytes}),
    "null_type": frozenset({type(None)}),
    "list": frozenset({list, Table}),
    "map": frozenset({dict}),
    "type": frozenset({CelType}),
    "google.protobuf.Timestamp": frozenset({Timestamp}),
    "google.protobuf.Duration": frozenset({Duration}),
    "optional_type": frozenset({Optional}),
    "net.IP": frozenset({Ip}),
    "net.CIDR": frozenset({Cidr}),
}
_ALL_CLASSES: Final = frozenset[type]().union(*_CLASSES.values())


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. The receiver of a method is its first parameter."""

    params: tuple[Type, ...]
    result: Type
    method: bool
    implementation: Implementation

    def accepts(self, classes: tuple[type, ...]) -> bool:
        """True when values of these classes fit the parameters."""
        return len(classes) == len(self.params) and all(
            given in _CLASSES.get(wanted.kind, _ALL_CLASSES)
            for given, wanted in zip(classes, self.params, strict=True)
        )


class Function:
    """A function by name, with all its overloads."""

    __slots__ = ("_found", "name", "overloads")

    def __init__(self, name: str) -> None:
        self.name = name
        self.overloads: list[Overload] = []
        # Bounded by the number of classes that values have.
        self._found: dict[tuple[bool, tuple[type, ...]], Implementation | None] = {}

    def find(self, classes: tuple[type, ...], *, method: bool) -> Implementation | None:
        """The code for arguments of these classes; None where there is no such overload."""
        key = (method, classes)
        if key not in self._found:
            self._found[key] = next(
                (
                    overload.implementation
                    for overload in self.overloads
                    if overload.method is method and overload.accepts(classes)
                ),
                None,
            )
        return self._found[key]


def identity(value: object) -> object:
    """The code of a conversion to the type that a value has already."""
    return value


class Library:
    """Functions by name."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}

    def add(
        self,
        name: str,
        params: Iterable[Type],
        result: Type,
        implementation: Implementation,
        *,
        form: str,
    ) -> None:
        """Declare an overload; `form` is function, method or both."""
        function = self.functions.setdefault(name, Function(name))
        for method in (False, True):
            if form in ("both", "method" if method else "function"):
                overload = Overload(tuple(params), result, method, implementation)
                function.overloads.append(overload)

    def function(
        self, name: str, *params: Type, result: Type, form: str = "function"
    ) -> Callable[[_Code], _Code]:
        """Decorate the code of an overload."""

        def declare(implementation: _Code) -> _Code:
            self.add(name, params, result, implementation, form=form)
            return implementation

        return declare

    def method(self, name: str, *params: Type, result: Type) -> Callable[[_Code], _Code]:
        """Decorate the code of a method; the receiver is its first parameter."""
        return self.function(name, *params, result=result, form="method")

    def __or__(self, other: Library) -> Library:
        both = Library()
        for library in (self, other):
            for name, function in library.functions.items():
                both.functions.setdefault(name, Function(name)).overloads += function.overloads
        return both
