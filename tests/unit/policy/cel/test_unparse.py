"""The tree as text again."""

from __future__ import annotations

import pytest

from streamwarden.policy.cel import UInt, parse, unparse
from streamwarden.policy.cel.ast import Literal, Select


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a&&( b||c )", "a && (b || c)"),
        ("(a && b) || c", "a && b || c"),
        ("(a && b) && c", "(a && b) && c"),
        ("a-(b-c)", "a - (b - c)"),
        ("(a-b)-c", "a - b - c"),
        ("-(5)", "-(5)"),
        ("- 5", "-5"),
        ("!(!a)", "!!a"),
        ("(a?b:c)?d:e", "(a ? b : c) ? d : e"),
        ("a?b:(c?d:e)", "a ? b : c ? d : e"),
        ("value['a'] . b [ 0 ]", 'value["a"].b[0]'),
        ("value.`odd-name`", "value.`odd-name`"),
        ("[1,?a]", "[1, ?a]"),
        ("{'k':1,?'l':a}", '{"k": 1, ?"l": a}'),
        ("m.exists_one(k,v,true)", "m.existsOne(k, v, true)"),
        ("cel.bind(x,1,x)", "cel.bind(x, 1, x)"),
        (
            "cel.block([1, cel.index(0)], cel.index(1))",
            "cel.block([1, cel.index(0)], cel.index(1))",
        ),
        ("'it\\'s \"q\" \\n \\u0000'", '"it\'s \\"q\\" \\n \\u0000"'),
        ("b'\\xff a'", 'b"\\xff a"'),
        ("1.0e3", "1000.0"),
        ("1e999", "1e999"),
        ("2u", "2u"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    """One way to write each tree, which reads back as the same one."""
    assert unparse(parse(text)) == canonical
    assert unparse(parse(canonical)) == canonical


def test_trees_that_no_text_gives() -> None:
    """Trees made by other stages are written so that they mean the same."""
    value = parse("value")

    assert unparse(Select(value, "größe")) == 'value["größe"]'
    assert unparse(Select(value, "in")) == "value.`in`"
    assert unparse(Literal(UInt(3))) == "3u"
    assert unparse(Literal(-3)) == "-3"
