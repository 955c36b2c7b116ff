"""The text of a tree, until the language brings its own."""

from __future__ import annotations

import json

from .cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    MapExpr,
    Not,
    Or,
    Select,
)


def unparse(node: Expr) -> str:
    match node:
        case Literal():
            value = node.value
            if value is None or isinstance(value, (bool, str, int, float)):
                return json.dumps(value, ensure_ascii=False)
            return f"{value!r}"
        case Ident():
            return node.name
        case Select():
            return f"{unparse(node.operand)}.{node.field}"
        case Has():
            return f"has({unparse(node.operand)}.{node.field})"
        case Index():
            return f"{unparse(node.operand)}[{unparse(node.index)}]"
        case Not():
            return f"!({unparse(node.operand)})"
        case And():
            return " && ".join(
                f"({unparse(o)})" if isinstance(o, (Or, Conditional)) else unparse(o)
                for o in node.operands
            )
        case Or():
            return " || ".join(
                f"({unparse(o)})" if isinstance(o, (And, Conditional)) else unparse(o)
                for o in node.operands
            )
        case Conditional():
            return f"({unparse(node.test)}) ? ({unparse(node.then)}) : ({unparse(node.otherwise)})"
        case Call():
            args = [unparse(arg) for arg in node.args]
            if node.target is not None:
                return (
                    f"({unparse(node.target)}).{node.function}({', '.join(args)})"
                    if isinstance(node.target, Call)
                    else f"{unparse(node.target)}.{node.function}({', '.join(args)})"
                )
            if not node.function.isidentifier() or node.function == "in":
                if len(args) == 1:
                    return f"-({args[0]})"
                wrapped = [
                    f"({a})"
                    if isinstance(o, (Call, And, Or, Conditional))
                    and getattr(o, "target", None) is None
                    and not getattr(o, "function", "+").isidentifier()
                    else a
                    for a, o in zip(args, node.args, strict=True)
                ]
                return f"{wrapped[0]} {node.function} {wrapped[1]}"
            return f"{node.function}({', '.join(args)})"
        case ListExpr():
            return "[" + ", ".join(map(unparse, node.elements)) + "]"
        case MapExpr():
            return (
                "{" + ", ".join(f"{unparse(e.key)}: {unparse(e.value)}" for e in node.entries) + "}"
            )
        case Comprehension():
            inner = ", ".join([*node.variables, *map(unparse, node.args)])
            return f"{unparse(node.range)}.{node.macro}({inner})"
