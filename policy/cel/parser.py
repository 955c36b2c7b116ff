"""Tokens to the syntax tree.

An operator-precedence parser with its own stack instead of recursion: what is half read stands on
the stack as frames, so that no input can exhaust Python's. Grammar: the CEL specification.
"""

from __future__ import annotations

from typing import Final

from .ast import (
    Expr,
    Ident,
    Index,
    ListExpr,
    Literal,
    MapEntry,
    MapExpr,
    Select,
    Span,
    children,
)
from .frames import (
    Arguments,
    Elements,
    Else,
    Entries,
    Group,
    Infix,
    Open,
    Pending,
    Prefix,
    Subscript,
    Then,
)
from .lexer import CelSyntaxError, Token, number_too_large, tokenize
from .macros import expand
from .slips import not_in, operator_slip, word_slip
from .values import INT_MAX

__all__ = ["NESTING_MAX", "RESERVED", "parse"]

#: Later stages recurse over the tree with up to five Python frames a level, and some of them only
#: when the first event comes: at 80 levels more than half of Python's stack is left to the service.
NESTING_MAX: Final = 80

#: Names that CEL keeps for itself; they may be fields and methods.
RESERVED: Final = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let",
    "loop", "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})  # Not even as fields.
_POWERS: Final = {
    "||": 2,
    "&&": 3,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 4),
    **dict.fromkeys("+-", 5),
    **dict.fromkeys("*/%", 6),
}


def parse(text: str) -> Expr:
    """The syntax tree of a CEL expression; raises `CelSyntaxError`, and nothing else."""
    return _Parser(text).parse()


class _Parser:
    """One pass over the tokens; `start` is where the operand at hand starts, parentheses included."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0
        self.start = 0
        self.stack: list[Pending | Open] = []
        self.nesting = 0

    def parse(self) -> Expr:
        node: Expr | None = None
        while node is None or self.tokens[self.at].kind != "end":
            node = self.begin() if node is None else self.go_on(node)
        node = self.reduce(node, 0)
        if self.stack:
            raise self.unclosed()
        if len(self.tokens) > NESTING_MAX:
            _check_depth(node)
        return node

    # Reading tokens.

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def take_if(self, text: str) -> bool:
        token = self.tokens[self.at]
        if token.kind == "operator" and token.text == text:
            self.at += 1
            return True
        return False

    def push(self, frame: Pending | Open, token: Token) -> None:
        if not isinstance(frame, Infix):
            self.nesting += 1
            if self.nesting > NESTING_MAX:
                raise _too_deep(token.start)
        self.stack.append(frame)

    def pop(self) -> None:
        if not isinstance(self.stack.pop(), Infix):
            self.nesting -= 1

    def reduce(self, node: Expr, power: int) -> Expr:
        """Give `node` to the pending operators that bind at least as tightly as `power`."""
        end = self.tokens[self.at - 1].end
        while self.stack:
            top = self.stack[-1]
            if not isinstance(top, Pending) or top.power < power:
                break
            self.pop()
            node = top.build(node, end)
            self.start = top.start
        return node

    # Where an operand is expected.

    def begin(self) -> Expr | None:
        """Read the start of an operand: the operand, or None when something was opened."""
        token = self.take()
        if token.kind == "literal":
            self.start = token.start
            return self.literal(token, Span(token.start, token.end))
        if token.kind == "name":
            self.start = token.start
            return self.name(token, token.text)
        match token.text if token.kind == "operator" else "":
            case "(":
                self.push(Group(token.start), token)
            case "[":
                self.push(Elements(token.start), token)
            case "{":
                self.push(Entries(token.start), token)
            case "!":
                self.push(Prefix("!", token.start), token)
            case "-":
                return self.minus(token)
            case ".":
                self.start = token.start
                name = self.take()
                if name.kind != "name":
                    raise self.unexpected(name, "a name")
                return self.name(name, "." + name.text)
            case _:
                return self.empty(token)
        self.optional_mark()
        return None

    def optional_mark(self) -> None:
        """Take the `?` of an optional element or entry, where one may stand."""
        top = self.stack[-1]
        if isinstance(top, Elements) and self.take_if("?"):
            top.optional.add(len(top.items))
        elif isinstance(top, Entries) and top.key is None and self.take_if("?"):
            top.optional = True

    def empty(self, token: Token) -> Expr:
        """A closing bracket where an operand could start: `[]`, `{}`, `f()`, `[1,]`."""
        top = self.stack[-1] if self.stack else None
        if token.kind == "operator":
            if token.text == "]" and isinstance(top, Elements):
                if len(top.items) not in top.optional:
                    return self.close_list(top)
            elif token.text == "}" and isinstance(top, Entries):
                if top.key is None and not top.optional:
                    return self.close_map(top)
            elif token.text == ")" and isinstance(top, Arguments) and not top.items:
                return self.close_call(top)
        raise self.unexpected(token, "an operand")

    def minus(self, token: Token) -> Expr | None:
        follower = self.tokens[self.at]
        number = follower.value
        if type(number) is int or type(number) is float:
            self.at += 1
            self.start = token.start
            return Literal(-number, Span(token.start, follower.end))
        self.push(Prefix("-", token.start), token)
        return None

    def literal(self, token: Token, span: Span) -> Expr:
        value = token.value
        if type(value) is int and value > INT_MAX:
            raise number_too_large(token.text, token.start)
        return Literal(value, span)

    def name(self, token: Token, name: str) -> Expr | None:
        if token.text in RESERVED:
            raise CelSyntaxError(
                f"`{token.text}` is a reserved word",
                token.start,
                len(token.text),
                remedy=word_slip(token.text) or "a field of that name is selected after a dot",
            )
        if self.take_if("("):
            self.push(Arguments(token, None, self.start), token)
            return None
        return Ident(name, Span(self.start, token.end))

    # Where an operand has been read.

    def go_on(self, node: Expr) -> Expr | None:
        """Read what follows an operand: a larger operand, or None when another is expected."""
        token = self.tokens[self.at]
        power = _POWERS.get(token.text) if token.kind in ("operator", "name") else None
        if power is not None:
            # A chain of `&&` or `||` stays on the stack, to gather further operands.
            node = self.reduce(node, power + 1 if power < _POWERS["=="] else power)
            self.at += 1
            self.infix(node, token.text, power)
            return None
        match token.text if token.kind == "operator" else "":
            case ".":
                self.at += 1
                return self.selector(node)
            case "[":
                self.at += 1
                self.push(Subscript(node, self.take_if("?"), self.start), token)
                return None
            case "?":
                node = self.reduce(node, Else.power + 1)
                self.at += 1
                self.question(node, token)
                return None
            case ":":
                node = self.reduce(node, 0)
                self.at += 1
                self.colon(node, token)
                return None
            case "," | ")" | "]" | "}":
                node = self.reduce(node, 0)
                self.at += 1
                return self.comma_or_close(node, token)
            case _:
                self.reduce(node, _POWERS["in"])  # so that `start` is that of the left side
                remedy = not_in(self.text, self.tokens, self.at, self.start)
                self.at += 1
                raise self.unexpected(token, "an operator", remedy)

    def infix(self, node: Expr, sign: str, power: int) -> None:
        top = self.stack[-1] if self.stack else None
        if isinstance(top, Infix) and top.power == power:
            top.operands.append(node)
        else:
            self.stack.append(Infix(sign, [node], self.start, power))

    def question(self, node: Expr, token: Token) -> None:
        if self.stack and isinstance(self.stack[-1], Then):
            raise CelSyntaxError(
                "a condition inside a condition needs parentheses",
                token.start,
                remedy="write `a ? (b ? c : d) : e`",
            )
        self.push(Then(node, self.start), token)

    def selector(self, node: Expr) -> Expr | None:
        optional = self.take_if("?")
        name = self.take()
        if name.kind == "name" and name.text != "in":
            if not optional and self.take_if("("):
                self.push(Arguments(name, node, self.start), name)
                return None
        elif name.kind != "quoted":
            raise self.unexpected(name, "a field name")
        return Select(node, name.text, optional, Span(self.start, name.end))

    def colon(self, node: Expr, token: Token) -> None:
        top = self.stack[-1] if self.stack else None
        if isinstance(top, Then):
            self.pop()
            self.push(Else(top.test, node, top.start), token)
        elif isinstance(top, Entries) and top.key is None:
            top.key = node
        else:
            raise self.unexpected(token, "an operator")

    def comma_or_close(self, node: Expr, token: Token) -> Expr | None:
        top = self.stack[-1] if self.stack else None
        comma = token.text == ","
        if isinstance(top, Pending | Then | None) or not (comma or token.text == top.closer):
            raise self.unexpected(token, "an operator")
        match top:
            case Group() if not comma:
                self.pop()
                self.start = top.start
                return node
            case Subscript() if not comma:
                self.pop()
                self.start = top.start
                return Index(top.operand, node, top.optional, Span(top.start, token.end))
            case Arguments():
                top.items.append(node)
                return None if comma else self.close_call(top)
            case Elements():
                top.items.append(node)
                if not comma:
                    return self.close_list(top)
            case Entries() if top.key is not None:
                top.items.append(MapEntry(top.key, node, top.optional))
                top.key, top.optional = None, False
                if not comma:
                    return self.close_map(top)
            case _:
                raise self.unexpected(token, "an operator")
        self.optional_mark()
        return None

    # Closing what was opened; the closing bracket has been taken.

    def span(self, start: int) -> Span:
        self.pop()
        self.start = start
        return Span(start, self.tokens[self.at - 1].end)

    def close_list(self, frame: Elements) -> Expr:
        return ListExpr(tuple(frame.items), frozenset(frame.optional), self.span(frame.start))

    def close_map(self, frame: Entries) -> Expr:
        return MapExpr(tuple(frame.items), self.span(frame.start))

    def close_call(self, frame: Arguments) -> Expr:
        span = self.span(frame.start)
        return expand(frame.name.text, tuple(frame.items), frame.target, span)

    # What is wrong.

    def unexpected(self, token: Token, expected: str, remedy: str = "") -> CelSyntaxError:
        """The error of the token that was taken last; `remedy` where it is known already."""
        if token.kind == "end":
            return self.unclosed()
        before = self.tokens[self.at - 2] if self.at > 1 else None
        if token.kind == "name" and not remedy:
            remedy = word_slip(token.text, self.tokens[self.at].text)
        if token.kind == "operator":
            operand = expected == "an operand"
            remedy = operator_slip(self.text, self.tokens, self.at - 1, operand=operand)
        if not remedy and before is not None and before.kind == "name":
            remedy = word_slip(before.text)
        if expected == "a field name" and token.text in _KEYWORDS:
            remedy = f'write `["{token.text}"]` to select a field of that name'
        if token.text == "{" and expected == "an operator":
            remedy = 'rules have no message types; a map is written `{"key": value}`'
        return CelSyntaxError(
            f"unexpected `{token.text}`, {expected} was expected",
            token.start,
            max(token.end - token.start, 1),
            remedy=remedy,
        )

    def unclosed(self) -> CelSyntaxError:
        """The error of a text that ends too early."""
        end = self.tokens[-1].start
        for frame in reversed(self.stack):
            if not isinstance(frame, Pending):
                return CelSyntaxError(
                    f"the expression ends where `{frame.closer}` is missing",
                    end,
                    remedy=f"add `{frame.closer}`",
                )
        if len(self.tokens) == 1:
            remedy = "write a condition, for example `value.amount > 100`"
            return CelSyntaxError("the expression is empty", 0, remedy=remedy)
        return CelSyntaxError("the expression ends where an operand was expected", end)


def _too_deep(offset: int) -> CelSyntaxError:
    return CelSyntaxError(
        f"the expression is nested more than {NESTING_MAX} levels deep",
        offset,
        remedy="split it into several rules, or bind parts of it with `cel.bind`",
    )


def _check_depth(root: Expr) -> None:
    """Refuse a tree that is too deep for the stages that recurse over it."""
    level: list[Expr] = [root]
    for _ in range(NESTING_MAX):
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise _too_deep(level[0].span.start)
