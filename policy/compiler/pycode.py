"""Python syntax trees, tersely.

Generated code is made of `ast` nodes, never of text: a string from a document can only ever become
a constant. Nodes may stand in several places of a tree; nothing changes them once made.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

__all__ = [
    "Namespace",
    "Node",
    "Statement",
    "assign",
    "attempt",
    "attribute",
    "between",
    "call",
    "class_is",
    "compare",
    "conjunction",
    "constant",
    "disjunction",
    "either",
    "element",
    "extend",
    "function",
    "if_",
    "list_",
    "loop",
    "name",
    "negated",
    "operate",
    "return_",
    "run",
    "tuple_",
]

Node: TypeAlias = ast.expr
Statement: TypeAlias = ast.stmt


class _Located:
    """Gives every node a place, which `compile` insists on, without storing one in each."""

    lineno: Any = 1
    col_offset: Any = 1
    end_lineno: Any = 1
    end_col_offset: Any = 1


class _Name(_Located, ast.Name):
    pass


class _Constant(_Located, ast.Constant):
    pass


class _Attribute(_Located, ast.Attribute):
    pass


class _Subscript(_Located, ast.Subscript):
    pass


class _Call(_Located, ast.Call):
    pass


class _Compare(_Located, ast.Compare):
    pass


class _BoolOp(_Located, ast.BoolOp):
    pass


class _BinOp(_Located, ast.BinOp):
    pass


class _UnaryOp(_Located, ast.UnaryOp):
    pass


class _IfExp(_Located, ast.IfExp):
    pass


class _Assign(_Located, ast.Assign):
    pass


class _AugAssign(_Located, ast.AugAssign):
    pass


class _If(_Located, ast.If):
    pass


class _For(_Located, ast.For):
    pass


class _Expr(_Located, ast.Expr):
    pass


class _List(_Located, ast.List):
    pass


class _Tuple(_Located, ast.Tuple):
    pass


class _Return(_Located, ast.Return):
    pass


class _Try(_Located, ast.Try):
    pass


class _ExceptHandler(_Located, ast.ExceptHandler):
    pass


class _FunctionDef(_Located, ast.FunctionDef):
    pass


class _Arg(_Located, ast.arg):
    pass


_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()
_NOT: Final = ast.Not()
_ADD: Final = ast.Add()
_AND: Final = ast.And()
_OR: Final = ast.Or()
_OPERATORS: Final[dict[str, ast.cmpop]] = {
    "==": ast.Eq(),
    "!=": ast.NotEq(),
    "<": ast.Lt(),
    "<=": ast.LtE(),
    ">": ast.Gt(),
    ">=": ast.GtE(),
    "is": ast.Is(),
    "is not": ast.IsNot(),
    "in": ast.In(),
    "not in": ast.NotIn(),
}
_ARITHMETIC: Final[dict[str, ast.operator]] = {"+": ast.Add(), "-": ast.Sub(), "*": ast.Mult()}
_NAMES: Final[dict[str, Node]] = {}
_NAMES_MAX: Final = 10_000
#: Functions compiled together: no other thread runs meanwhile, and guards decide on them.
_AT_ONCE: Final = 100


def name(identifier: str) -> Node:
    """A reference to a local or to something of the namespace."""
    found = _NAMES.get(identifier)
    if found is None:
        found = _Name(identifier, _LOAD)
        if len(_NAMES) < _NAMES_MAX:
            _NAMES[identifier] = found
    return found


def constant(value: str | float | bool | None) -> Node:
    """A literal."""
    return _Constant(value)


def list_() -> Node:
    """An empty list."""
    return _List([], _LOAD)


def tuple_(items: Sequence[Node] = ()) -> Node:
    """A tuple."""
    return _Tuple(list(items), _LOAD)


def attribute(owner: Node, identifier: str) -> Node:
    """`owner.identifier`; the identifier is a generated one."""
    return _Attribute(owner, identifier, _LOAD)


def element(owner: Node, position: int) -> Node:
    """`owner[position]`."""
    return _Subscript(owner, constant(position), _LOAD)


def call(callee: Node | str, *args: Node) -> Node:
    """`callee(*args)`."""
    return _Call(name(callee) if isinstance(callee, str) else callee, list(args), [])


def compare(left: Node, operator: str, right: Node) -> Node:
    """`left operator right`."""
    return _Compare(left, [_OPERATORS[operator]], [right])


def between(low: Node, value: Node, high: Node) -> Node:
    """`low < value < high`."""
    less = _OPERATORS["<"]
    return _Compare(low, [less, less], [value, high])


def operate(left: Node, operator: str, right: Node) -> Node:
    """`left + right` and its kin."""
    return _BinOp(left, _ARITHMETIC[operator], right)


def class_is(value: Node, type_: str) -> Node:
    """`value.__class__ is type_`."""
    return compare(attribute(value, "__class__"), "is", name(type_))


def conjunction(parts: Sequence[Node]) -> Node:
    """All of `parts`, of which there is one at least."""
    return parts[0] if len(parts) == 1 else _BoolOp(_AND, list(parts))


def disjunction(parts: Sequence[Node]) -> Node:
    """Any of `parts`, of which there is one at least."""
    return parts[0] if len(parts) == 1 else _BoolOp(_OR, list(parts))


def negated(value: Node) -> Node:
    """`not value`."""
    return _UnaryOp(_NOT, value)


def either(test: Node, then: Node, otherwise: Node) -> Node:
    """`then if test else otherwise`."""
    return _IfExp(test, then, otherwise)


def assign(target: str, value: Node, *also: str) -> Statement:
    """`target = also = value`."""
    return _Assign([_Name(each, _STORE) for each in (target, *also)], value)


def extend(target: str, value: Node) -> Statement:
    """`target += value`."""
    return _AugAssign(_Name(target, _STORE), _ADD, value)


def if_(test: Node, then: Sequence[Statement], otherwise: Sequence[Statement] = ()) -> Statement:
    """An `if` statement."""
    return _If(test, list(then), list(otherwise))


def loop(target: str, iterable: Node, body: Sequence[Statement]) -> Statement:
    """A `for` statement."""
    return _For(_Name(target, _STORE), iterable, list(body), [])


def run(value: Node) -> Statement:
    """An expression as a statement."""
    return _Expr(value)


def return_(value: Node) -> Statement:
    """A `return` statement."""
    return _Return(value)


def attempt(body: Sequence[Statement], error: str, handler: Sequence[Statement]) -> Statement:
    """`try: body; except Exception as error: handler`."""
    caught = _ExceptHandler(name("Exception"), error, list(handler))
    return _Try(list(body), [caught], [], [])


def function(identifier: str, parameters: Iterable[str], body: Sequence[Statement]) -> Statement:
    """A `def` statement."""
    arguments = ast.arguments([], [_Arg(each) for each in parameters], None, [], [], None, [])
    return _FunctionDef(identifier, arguments, list(body), [])


class Namespace:
    """What generated functions refer to by name: constants, helpers and each other."""

    __slots__ = ("_later", "_made", "values")

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = dict(values)
        self._made = 0
        self._later: list[Callable[[], None]] = []

    def fresh(self, prefix: str) -> str:
        """A name that nothing else has."""
        self._made += 1
        return f"{prefix}_{self._made}"

    def add(self, prefix: str, value: object) -> Node:
        """A reference to `value`."""
        identifier = self.fresh(prefix)
        self.values[identifier] = value
        return name(identifier)

    def later(self, fill: Callable[[], None]) -> None:
        """Call `fill` once the functions are loaded."""
        self._later.append(fill)

    def load(self, functions: Sequence[Statement]) -> None:
        """Define generated functions, then make what is made of them."""
        for start in range(0, len(functions), _AT_ONCE):
            module = ast.Module(list(functions[start : start + _AT_ONCE]), [])
            exec(compile(module, "<policy>", "exec"), self.values)  # noqa: S102 — trees made here
        for fill in self._later:
            fill()
        self._later.clear()

    def function(self, identifier: str) -> Callable[..., Any]:
        """The function of that name, once it was loaded."""
        made: Callable[..., Any] = self.values[identifier]
        return made
