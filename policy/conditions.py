"""`when` and `require`, as CEL text or as structured conditions, to one CEL tree.

Structured conditions are lowered as follows (`p` is the field, `v` the value):

    equals p == v               not_equals p != v
    contains p.contains(v)      starts_with p.startsWith(v)     ends_with p.endsWith(v)
    greater_than p > v          greater_or_equal p >= v
    less_than p < v             less_or_equal p <= v
    in p in v                   not_in !(p in v)                regex p.matches(v)
    exists has(p)               missing !has(p)

Text that is a time is compared as one where the field is one: see `condition_times`.

`exists` means that the field is there, even as null; a parent that is missing or null makes
`exists` false and `missing` true instead of an error: `has(value.a) && value.a != null &&
has(value.a.b)`. Of a variable alone, `exists` means that it is not null. `in` and `not_in` take a
list, or the name of one: `lists.sanctioned`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .cel import CelSyntaxError, parse, unparse
from .cel.ast import (
    And,
    Call,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    MapEntry,
    MapExpr,
    Not,
    Select,
)
from .cel.library.time import meant_timestamp
from .condition_times import choices, compared, unreadable
from .fields import Fields, Reader
from .model import Condition, Path
from .nodes import ListNode, MapNode, Node, ScalarNode, data_of, kind_of
from .paths import NAME, VARIABLES, PathError, parse_path
from .positions import index_of
from .problems import closest, quoted
from .yaml_repair import cut_text

__all__ = ["Part", "WrittenCondition", "combine", "path_expr", "present", "read_condition"]

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
#: Words of the language that cannot stand after a dot.
_KEYWORDS: Final = frozenset(("in", "true", "false", "null"))
_COMPARISONS: Final = {
    "equals": "==",
    "not_equals": "!=",
    "greater_than": ">",
    "greater_or_equal": ">=",
    "less_than": "<",
    "less_or_equal": "<=",
}
_TEXT_METHODS: Final = {
    "contains": "contains",
    "starts_with": "startsWith",
    "ends_with": "endsWith",
    "regex": "matches",
}
_OPERATORS: Final = (
    *("equals", "not_equals", "contains", "starts_with", "ends_with"),
    *("greater_than", "greater_or_equal", "less_than", "less_or_equal"),
    *("in", "not_in", "regex", "exists", "missing"),
)
_CONFUSED_OPERATORS: Final = {
    **{sign: name for name, sign in _COMPARISONS.items()},
    **dict.fromkeys(("eq", "is", "equal", "="), "equals"),
    **dict.fromkeys(("ne", "neq", "not", "is_not"), "not_equals"),
    **dict.fromkeys(("gt", "more_than"), "greater_than"),
    **dict.fromkeys(("gte", "ge", "at_least"), "greater_or_equal"),
    **dict.fromkeys(("lt", "below"), "less_than"),
    **dict.fromkeys(("lte", "le", "at_most"), "less_or_equal"),
    **dict.fromkeys(("matches", "pattern"), "regex"),
    **dict.fromkeys(("absent", "not_exists", "is_null"), "missing"),
    **dict.fromkeys(("present", "has"), "exists"),
    **dict.fromkeys(("one_of", "any_of"), "in"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a condition that is checked by itself, and where it is written.

    `scalar` is the CEL text and `skipped` the white space before it; for a structured condition
    it is None, and every problem is told at `node`.
    """

    expr: Expr
    text: str
    node: Node
    scalar: ScalarNode | None = None
    skipped: int = 0

    def index(self, reader: Reader, offset: int) -> int:
        """The character of the source that `offset` of the text stands for."""
        if self.scalar is None:
            return self.node.start
        return index_of(reader.source, self.scalar, offset + self.skipped)


@dataclass(frozen=True, slots=True)
class WrittenCondition:
    """A condition with the pieces that it was written in."""

    condition: Condition
    parts: tuple[Part, ...]


def read_condition(reader: Reader, node: Node, key: str) -> WrittenCondition | None:
    """The condition that stands at `key`, or None with the problems added."""
    if isinstance(node, ListNode):
        return _structured(reader, node, key)
    text = _cel_text(reader, node, key)
    if text is None:
        return None
    scalar = node if isinstance(node, ScalarNode) else None
    stripped = text.strip()
    skipped = len(text) - len(text.lstrip())
    try:
        expr = parse(stripped)
    except CelSyntaxError as error:
        return _cut_by_comment(reader, node, key) or _malformed(reader, node, skipped, error)
    part = Part(expr, stripped, node, scalar, skipped)
    return WrittenCondition(Condition(stripped, expr), (part,))


def combine(
    reader: Reader, node: Node, when: WrittenCondition | None, require: WrittenCondition | None
) -> Condition | None:
    """`when && !require` as one tree; None where the rule always fires."""
    if require is None:
        return None if when is None else when.condition
    refused = Not(require.condition.expr)
    if when is None:
        return _lowered(reader, node, refused)
    first = when.condition.expr
    operands = first.operands if isinstance(first, And) else (first,)
    return _lowered(reader, node, And((*operands, refused)))


def _lowered(reader: Reader, node: Node, expr: Expr) -> Condition | None:
    """A condition from a tree: read again from its text, so that spans refer to that text.

    None with a problem at `node` where it exceeds what the language takes.
    """
    text = unparse(expr)
    try:
        return Condition(text, parse(text))
    except CelSyntaxError as error:
        reader.problem(node, error.code, error.message, remedy=error.remedy)
        return None


# --------------------------------------------------------------------- CEL text


def _cel_text(reader: Reader, node: Node, key: str) -> str | None:
    if isinstance(node, ScalarNode):
        if isinstance(node.value, bool):
            return "true" if node.value else "false"
        if isinstance(node.value, str) and node.value.strip():
            return node.value
        if node.value is None or isinstance(node.value, str):
            reader.problem(
                node,
                "SW142",
                f"`{key}` has no condition",
                remedy="write one, or remove the key",
            )
            return None
    by_itself = isinstance(node, MapNode) and node.get("field") is not None
    reader.problem(
        node,
        "SW142",
        f"`{key}` takes CEL text or a list of structured conditions, and this is "
        + ("one by itself" if by_itself else kind_of(node)),
        remedy="put it in a list" if by_itself else "compare it with something, in a text",
        corrected=reader.replaced(node, f"[{reader.written(node)}]") if by_itself else None,
    )
    return None


def _parses(text: str) -> bool:
    try:
        parse(text)
    except CelSyntaxError:
        return False
    return True


def _cut_by_comment(reader: Reader, node: Node, key: str) -> WrittenCondition | None:
    """The whole condition where ` #` inside a text of it was taken for a comment by YAML."""
    cut = cut_text(reader.source, node) if isinstance(node, ScalarNode) else None
    if cut is None or not _parses(cut[0]):
        return None
    whole, corrected = cut
    assert isinstance(node, ScalarNode)
    index = (
        node.end
        + len(reader.source.text[node.end :])
        - len(reader.source.text[node.end :].lstrip(" "))
    )
    reader.problem(
        index,
        "SW106",
        f"` #` starts a comment here, so that `{key}` ends before it",
        remedy="put the whole condition in single quotes",
        corrected=corrected if "\n" not in reader.written(node) else None,
    )
    expr = parse(whole)
    return WrittenCondition(Condition(whole, expr), (Part(expr, whole, node, node),))


def _malformed(
    reader: Reader, node: Node, skipped: int, error: CelSyntaxError
) -> WrittenCondition | None:
    index = node.start
    if isinstance(node, ScalarNode):
        index = index_of(reader.source, node, error.offset + skipped)
    reader.problem(index, error.code, error.message, remedy=error.remedy)
    return None


# --------------------------------------------------------- structured conditions


def _structured(reader: Reader, node: ListNode, key: str) -> WrittenCondition | None:
    if not node.items:
        reader.problem(
            node, "SW142", f"`{key}` is an empty list", remedy="name a condition, or remove the key"
        )
        return None
    parts: list[Part] = []
    complete = True
    for item in node.items:
        if isinstance(item, MapNode):
            expr = _condition(reader, item)
        else:
            expr = None
            reader.problem(
                item,
                "SW142",
                f"an element of `{key}` is a structured condition, and this is {kind_of(item)}",
                remedy="write `{field, operator, value}`; CEL is one text, joined with `&&`",
            )
        lowered = None if expr is None else _lowered(reader, item, expr)
        if lowered is None:
            complete = False
            continue
        parts.append(Part(lowered.expr, lowered.text, item))
    if not complete:
        return None
    if len(parts) == 1:
        return WrittenCondition(Condition(parts[0].text, parts[0].expr), tuple(parts))
    operands: list[Expr] = []
    for part in parts:
        operands.extend(part.expr.operands if isinstance(part.expr, And) else (part.expr,))
    whole = _lowered(reader, node, And(tuple(operands)))
    return None if whole is None else WrittenCondition(whole, tuple(parts))


def _condition(reader: Reader, node: MapNode) -> Expr | None:
    """One `{field, operator, value}` as a tree."""
    fields = Fields(
        reader,
        node,
        "a structured condition",
        ("field", "operator", "value"),
        {"path": "field", "op": "operator", "values": "value"},
    )
    if not fields.require("field", "operator"):
        return None
    path = _path(reader, fields)
    operator = _operator(reader, fields)
    if path is None or operator is None:
        return None
    value = fields.get("value")
    if operator in ("exists", "missing"):
        if value is not None:
            reader.problem(
                value, "SW152", f"`{operator}` takes no `value`", remedy="remove `value`"
            )
            return None
        found = present(path)
        return found if operator == "exists" else Not(found)
    if value is None:
        fields.require("value")
        return None
    return _compared(reader, path, operator, value)


def _path(reader: Reader, fields: Fields) -> Path | None:
    node = fields.get("field")
    text = fields.text("field")
    if text is None or not isinstance(node, ScalarNode):
        return None
    try:
        path = parse_path(text)
    except PathError as error:
        reader.problem(
            index_of(reader.source, node, error.offset),
            "SW147",
            f"{quoted(text)} is no path: {error.message}",
            remedy=error.remedy,
        )
        return None
    if path[0] in VARIABLES:
        return path
    reader.problem(
        node,
        "SW147",
        f"{quoted(text)} does not begin with a variable",
        remedy=closest(str(path[0]), VARIABLES) or f"write `value.{text}` for a field of the value",
    )
    return None


def _operator(reader: Reader, fields: Fields) -> str | None:
    node = fields.get("operator")
    text = fields.text("operator")
    if node is None or text is None or text in _OPERATORS:
        return text
    meant = _CONFUSED_OPERATORS.get(text.lower())
    remedy = f"did you mean `{meant}`?" if meant else closest(text, _OPERATORS)
    reader.problem(
        node,
        "SW152",
        f"there is no operator {quoted(text)}",
        remedy=remedy or f"one of {', '.join(_OPERATORS)}",
    )
    return None


def _compared(reader: Reader, path: Path, operator: str, node: Node) -> Expr | None:
    field, value = path_expr(path), data_of(node)
    no_time = None if operator in _TEXT_METHODS else unreadable(path, value)
    if operator in ("in", "not_in"):
        listed = _choices(reader, operator, node)
        if listed is None:
            return None
        if isinstance(listed, ListExpr) and no_time is not None:
            _tell_no_time(reader, path, node, no_time)
            return None
        found = Call("in", (field, choices(path, listed)))
        return found if operator == "in" else Not(found)
    if no_time is not None:
        _tell_no_time(reader, path, node, no_time)
        return None
    if operator in _TEXT_METHODS:
        if isinstance(value, str):
            return Call(_TEXT_METHODS[operator], (Literal(value),), target=field)
        reader.problem(
            node,
            "SW152",
            f"`{operator}` takes a text, and this is {kind_of(node)}",
            remedy="put it in quotes",
        )
        return None
    ordered = operator not in ("equals", "not_equals")
    if ordered and (isinstance(value, bool) or not isinstance(value, (int, float, str))):
        reader.problem(
            node, "SW152", f"`{operator}` takes a number or a text, and this is {kind_of(node)}"
        )
        return None
    literal = _literal(reader, node)
    return None if literal is None else compared(path, field, _COMPARISONS[operator], literal)


def _tell_no_time(reader: Reader, path: Path, node: Node, text: str) -> None:
    reader.problem(
        node,
        "SW152",
        f"`{path[0]}` is compared with a time, and {quoted(text)} is none",
        remedy=f'write it as in RFC 3339: `"{meant_timestamp(text)}"`',
    )


def _choices(reader: Reader, operator: str, node: Node) -> Expr | None:
    if isinstance(node, ScalarNode) and isinstance(node.value, str):
        variable, _, name = node.value.partition(".")
        if variable == "lists" and NAME.fullmatch(name):
            return Select(Ident("lists"), name)
    if isinstance(node, ListNode) and node.items:
        return _literal(reader, node)
    empty = ", and this list is empty" if isinstance(node, ListNode) else ""
    reader.problem(
        node,
        "SW152",
        f"`{operator}` takes a list of values or the name of a list{empty}",
        remedy="write `value: [a, b]` or `value: lists.NAME`",
    )
    return None


def _literal(reader: Reader, node: Node) -> Expr | None:
    """A constant tree; None with a problem for a number that the language does not have."""
    if isinstance(node, ListNode):
        items = [_literal(reader, item) for item in node.items]
        known = tuple(item for item in items if item is not None)
        return ListExpr(known) if len(known) == len(items) else None
    if isinstance(node, MapNode):
        pairs = [(key.text, _literal(reader, value)) for key, value in node.entries]
        entries = tuple(MapEntry(Literal(k), v) for k, v in pairs if v is not None)
        return MapExpr(entries) if len(entries) == len(pairs) else None
    value = node.value
    if isinstance(value, int) and not _INT_MIN <= value <= _INT_MAX:
        reader.problem(
            node, "SW152", "a whole number beyond 64 bits", remedy="write it with `.0`, as a double"
        )
        return None
    return Literal(value)


# ----------------------------------------------------------------------- paths


def path_expr(path: Path) -> Expr:
    """The tree that reads `path`."""
    expr: Expr = Ident(str(path[0]))
    for segment in path[1:]:
        if isinstance(segment, str) and NAME.fullmatch(segment) and segment not in _KEYWORDS:
            expr = Select(expr, segment)
        else:
            expr = Index(expr, Literal(segment))
    return expr


def present(path: Path) -> Expr:
    """The tree that is true where `path` is there, and never an error for a missing parent."""
    if len(path) == 1:
        return Call("!=", (path_expr(path), Literal(None)))
    tests: list[Expr] = []
    for length in range(1, len(path)):
        parent, segment = path_expr(path[:length]), path[length]
        if length > 1:
            tests.append(Call("!=", (parent, Literal(None))))
        if isinstance(segment, int):
            tests.append(Call(">", (Call("size", (parent,)), Literal(segment))))
        elif isinstance(path_expr(path[: length + 1]), Select):
            tests.append(Has(parent, str(segment)))
        else:
            tests.append(Call("in", (Literal(segment), parent)))
    return tests[0] if len(tests) == 1 else And(tuple(tests))
