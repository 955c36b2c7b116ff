"""Lists and maps that a trail must not show whole, since loops over them hide their elements.

In `value.items.exists(i, i.owner == value.patient)` with `sensitive: [value.patient]`, the element
that decided holds what the patient is. It is hidden, and would be read off the whole list again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from .bound import NO_SCOPE, Scope, Secrets
from .cel.ast import Comprehension, Conditional, Expr, Ident, Index, Select, children
from .model import Path
from .privacy import Privacy, path_of

__all__ = ["with_secret_ranges"]

#: The paths whose values a variable of a macro may hold, where it has no path itself.
_Held: TypeAlias = Mapping[str, frozenset[Path]]

_ONE_VALUE: Final = frozenset({"bind", "optMap", "optFlatMap"})
#: Macros whose values are those of their range, or true and false.
_CHOOSING: Final = frozenset({"all", "exists", "exists_one", "filter", "sortBy"})


def with_secret_ranges(condition: Expr, privacy: Privacy) -> Privacy:
    """`privacy` and every path that a loop of `condition` visits without telling its elements.

    What is hidden so can make other loops of the condition secret: these are hidden as well.
    """
    while privacy.paths:
        found = privacy.paths.union(_ranges(condition, NO_SCOPE, {}, Secrets(privacy)))
        if found == privacy.paths:
            break
        privacy = Privacy(found)
    return privacy


def _ranges(node: Expr, scope: Scope, held: _Held, secrets: Secrets) -> Iterator[Path]:
    """The paths behind the range of every loop whose elements are secret."""
    if not isinstance(node, Comprehension):
        for child in children(node):
            yield from _ranges(child, scope, held, secrets)
        return
    inside, within = _inside(node, scope, held, secrets)
    loops = node.macro not in _ONE_VALUE
    if loops and any(inside.names[name].secret for name in node.variables):
        yield from _paths(node.range, scope, held, secrets)
    yield from _ranges(node.range, scope, held, secrets)
    for arg in node.args:
        yield from _ranges(arg, inside, within, secrets)


def _paths(node: Expr, scope: Scope, held: _Held, secrets: Secrets) -> frozenset[Path]:
    """The paths whose values may be in that of `node`."""
    if isinstance(node, Comprehension):
        if node.macro in _CHOOSING:
            return _paths(node.range, scope, held, secrets)
        inside, within = _inside(node, scope, held, secrets)
        return _paths(node.args[-1], inside, within, secrets)
    if path_of(node) is not None:
        place = scope.place(node)
        return held.get(_root(node), frozenset()) if place is None else frozenset({place.path})
    parts = (node.then, node.otherwise) if isinstance(node, Conditional) else children(node)
    return frozenset[Path]().union(*(_paths(part, scope, held, secrets) for part in parts))


def _inside(
    node: Comprehension, scope: Scope, held: _Held, secrets: Secrets
) -> tuple[Scope, _Held]:
    paths = _paths(node.range, scope, held, secrets)
    return secrets.inside(node, scope), {**held, **dict.fromkeys(node.variables, paths)}


def _root(node: Expr) -> str:
    """The variable at the beginning of a chain of selections."""
    while isinstance(node, (Select, Index)):
        node = node.operand
    return node.name if isinstance(node, Ident) else ""
