"""Text to syntax tree: shapes, places, limits, and what is said about text that is not CEL."""

from __future__ import annotations

import re

import pytest

from streamwarden.policy.cel import CelSyntaxError, UInt, parse, unparse
from streamwarden.policy.cel.ast import (
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
    Span,
    walk,
)
from streamwarden.policy.cel.lexer import CODE_POINTS_MAX
from streamwarden.policy.cel.parser import NESTING_MAX


def problem(text: str) -> CelSyntaxError:
    """The error that parsing raises."""
    with pytest.raises(CelSyntaxError) as caught:
        parse(text)
    return caught.value


def test_chains_are_flat_as_written() -> None:
    """`a && b && c` is one node of three operands; parentheses keep their own node."""
    flat = parse("a && b && c || d")
    nested = parse("(a && b) && c")

    assert isinstance(flat, Or)
    assert isinstance(flat.operands[0], And)
    assert len(flat.operands[0].operands) == 3
    assert isinstance(nested, And)
    assert [type(part) for part in nested.operands] == [And, Ident]


def test_nodes_know_their_place() -> None:
    """Spans cover what is written, parentheses of operands included."""
    text = "(value.a + 1) * 2 == headers['k']"

    spans = {
        type(node): node.span for node in walk(parse(text)) if isinstance(node, Select | Index)
    }
    root = parse(text)

    assert root.span == Span(0, len(text))
    assert isinstance(root, Call)
    assert root.args[0].span == Span(0, 17)
    assert spans == {Select: Span(1, 8), Index: Span(21, 33)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-9223372036854775808", -(2**63)),
        ("0x1F", 31),
        ("18446744073709551615u", UInt(2**64 - 1)),
        (".5e1", 5.0),
        (r"'\u00e9\x41\101\n'", "éAA\n"),
        (r"b'\xff\303é'", b"\xff\xc3\xc3\xa9"),
        (r'r"\d+"', r"\d+"),
        ("'''a\n'b'''", "a\n'b"),
        ("null", None),
    ],
)
def test_literals_hold_their_value(text: str, value: object) -> None:
    """Literals are decoded once, here."""
    node = parse(text)

    assert isinstance(node, Literal)
    assert (type(node.value), node.value) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("has(value.a)", Has),
        ("value.l.exists(i, i > 1)", Comprehension),
        ("value.l.existsOne(k, v, v > 1)", Comprehension),
        ("cel.bind(x, 1, x)", Comprehension),
        ("math.abs(1)", Call),
        ("a ? b : c", Conditional),
        ("!a", Not),
        ("[1, ?a,]", ListExpr),
        ("{'a': 1, ?'b': c,}", MapExpr),
        ("a.?b", Select),
        ("a[?0]", Index),
    ],
)
def test_forms(text: str, kind: type[Expr]) -> None:
    """Every form has its node."""
    assert isinstance(parse(text), kind)


def test_qualified_functions_have_no_target() -> None:
    """`math.abs(x)` is a function of that name; `m.abs(x)` a method."""
    qualified, method = parse("math.abs(x)"), parse("m.abs(x)")

    assert isinstance(qualified, Call)
    assert (qualified.function, qualified.target) == ("math.abs", None)
    assert isinstance(method, Call)
    assert (method.function, method.target) == ("abs", Ident("m", Span(0, 1)))


@pytest.mark.parametrize(
    ("text", "offset", "part"),
    [
        ("a = b", 2, "write `==`"),
        ("a and b", 2, "write `&&`"),
        ("not a", 4, "write `!x`"),
        ("(a", 2, "`)` is missing"),
        ("a ==", 4, "an operand was expected"),
        ("", 0, "empty"),
        ("1x", 0, "no number"),
        ("value.in", 6, '["in"]'),
        ("Payment{a: 1}", 7, "no message types"),
        ("'abc", 0, "has no end"),
        (r"'\d'", 1, "no escape sequence"),
        ("9223372036854775808", 0, "64 bits"),
        ("if (a) b", 0, "reserved word"),
        ("a ? b ? c : d : e", 6, "needs parentheses"),
        ("[1].all(x.y, true)", 8, "plain name"),
        ("[1].all(x, x, true)", 11, "one name"),
        ('a =~ "x"', 2, 'write `text.matches("pattern")`'),
        ('a !~ "x"', 3, 'write `!text.matches("pattern")`'),
        ("a => 1", 2, "write `>=`"),
        ("a =< 1", 2, "write `<=`"),
        ("a <> 1", 3, "write `!=`"),
        ('a not in ["x"] && b', 2, 'write `!(a in ["x"])`'),
        ("b || a + 1 not in f(l, [1]) ? c : d", 11, "write `!(a + 1 in f(l, [1]))`"),
        ("(a not in", 3, "write `!(x in list)`"),
        ("a is not null", 2, "write `!=`"),
        ("a contains 'x'", 2, 'write `text.contains("part")`'),
        ("a > 10_000", 4, "write `10000`"),
        ("a > 24h", 4, 'written `duration("24h")`'),
        ("m.1x", 1, 'as `m["1x"]`'),
        ("l[*].x > 1", 2, "value.items.exists(item, item.price > 10)"),
        ("l[].x > 1", 2, "value.items.exists(item, item.price > 10)"),
        ("l.map(x -> x)", 9, "value.items.exists(item, item.price > 10)"),
        ("a > 1,5", 5, "write `1.5`, with a point"),
        ("a > 10,000", 6, "write `10000`, or `10.000` for a fraction"),
        ("a, b", 1, "write `&&`"),
        ("a \u201cb\u201d", 2, "straight quotes"),
        ("'\ud800'", 1, "surrogate"),
    ],
)
def test_errors_say_where_and_what_to_do(text: str, offset: int, part: str) -> None:
    """An error has the offset of its cause, and says what to write."""
    error = problem(text)

    assert error.offset == offset
    assert part in str(error)
    assert error.code == "SW120"
    assert error.length >= 1


@pytest.mark.parametrize(
    "text",
    [
        'a =~ "x"',
        'a !~ "x"',
        "a => 1",
        "a not in [1]",
        "a not in",
        "not a",
        "a contains b",
        "a like b",
        "a between b",
        "if",
        "a > 10_000",
        "a > 24h",
        "m.1x",
        "l[*]",
        "a > 1,5",
        "a > 1,000",
    ],
)
def test_a_remedy_that_shows_an_expression_shows_one_that_parses(text: str) -> None:
    """What stands between backticks is CEL, or one of its operators."""
    shown = re.findall(r"`([^`]+)`", problem(text).remedy)

    assert shown
    for each in shown:
        if each not in {"_", ">=", "&&"}:
            parse(each)


@pytest.mark.parametrize(
    "text",
    [
        "(" * NESTING_MAX + "1" + ")" * NESTING_MAX,
        "1" + "+1" * (NESTING_MAX - 1),
        "true" + "||true" * 10_000,
        "value" + ".a" * (NESTING_MAX - 1),
    ],
)
def test_deep_but_not_too_deep(text: str) -> None:
    """What is within the limits parses, and all of it is there."""
    assert unparse(parse(text)).replace(" ", "") == text.strip("()")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "(" * 251 + "1" + ")" * 251,
        "(" * 50_000,
        "[" * 50_000,
        "{" * 50_000,
        "!" * 50_000 + "a",
        "-" * 50_000 + "a",
        "1" + "+1" * 40_000,
        "a" + ".b" * 40_000,
        "f(" * 30_000,
        "a[" * 30_000,
        "a||b&&(" * 10_000,
        "a.all(x," * 10_000,
        "true?1:" * 10_000 + "1",
    ],
)
def test_too_deep_is_an_error(text: str) -> None:
    """No nesting exhausts the stack."""
    assert "nested more than" in str(problem(text))


def test_too_long_is_an_error() -> None:
    """The limit on length counts characters."""
    assert "longer than" in str(problem("a" * (CODE_POINTS_MAX + 1)))
    assert "64 bits" in str(problem("9" * 90_000))
