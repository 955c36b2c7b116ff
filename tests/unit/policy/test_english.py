"""Conditions in words are exact, and CEL where there are no good words."""

from __future__ import annotations

import pytest
from hypothesis import given

from streamwarden.policy.cel import parse
from streamwarden.policy.english import in_words, joined
from tests.property.cel_expressions import conditions

CASES = [
    (
        'value.amount > 50000 && !(value.country in ["US", "CA"])',
        'amount is greater than 50,000 and country is not one of ("US", "CA")',
    ),
    ("value.country in lists.sanctioned", "country is on the list sanctioned"),
    ("!(value.country in lists.sanctioned)", "country is not on the list sanctioned"),
    (
        '"source" in headers && headers["source"] == "treasury"',
        'header source is present and header source is "treasury"',
    ),
    ("has(value.a) && value.a != null && has(value.a.b)", "a.b is present"),
    ("!(has(value.a) && value.a != null && has(value.a.b))", "a.b is missing"),
    ("value.a == 1 || value.b == 2 && value.c == 3", "a is 1 or (b is 2 and c is 3)"),
    ("(value.a == 1 || value.b == 2) && value.c == 3", "(a is 1 or b is 2) and c is 3"),
    ("!(value.a == 1 || value.b == 2)", "a is not 1 and b is not 2"),
    ("!(value.a && value.b) && value.c", "(a is not true or b is not true) and c is true"),
    ("value.a == 1 && value.b == 2 && value.c == 3", "a is 1, b is 2 and c is 3"),
    (
        "value.n >= 1 && value.m <= 2 && value.k < 3",
        "n is at least 1, m is at most 2 and k is less than 3",
    ),
    ("!(value.n >= 1)", "n is not at least 1"),
    ("value.items.all(i, i.price < 100)", "(for every i in items: i.price is less than 100)"),
    ("!value.items.exists(i, i < 1)", "(for no i in items: i is less than 1)"),
    (
        "value.email.isEmail() && !isUuid(key)",
        "email is an e-mail address and the key is not a UUID",
    ),
    ("size(value.items) > 3", "the size of items is greater than 3"),
    ("value.a + value.b > 10", "`value.a + value.b` is greater than 10"),
    ('value.name.startsWith("A")', 'name starts with "A"'),
    ('!value.name.contains("x")', 'name does not contain "x"'),
    ('"vip" in value.tags', 'tags contains "vip"'),
    ('value["odd name"] == "x"', '"odd name" is "x"'),
    ("value.a[0].b == null", "a[0].b is null"),
    ("value.?a.orValue(1) == 1", "`value.?a.orValue(1)` is 1"),
    ("message.amount > 3", "amount is greater than 3"),
    ("facts.fraud_score > 0.8", "the fact fraud_score is greater than 0.8"),
    (
        'client.id == "x" && stage == "produce"',
        'the client\'s id is "x" and the stage is "produce"',
    ),
    ("value.year == 2026 && value.n == 20000", "year is 2026 and n is 20,000"),
    ("value.x ? value.y == 1 : value.z != 2", "(if x is true, y is 1; otherwise z is not 2)"),
    ("value.m.exists(k, v, k == v)", "`value.m.exists(k, v, k == v)` is true"),
    ("1 == 2", "`1 == 2` holds"),
    ("true", "always"),
    ("!true", "never"),
]


@pytest.mark.parametrize(("cel", "words"), CASES)
def test_a_condition_reads_as_a_clause(cel: str, words: str) -> None:
    """It goes on after "when" and "unless"."""
    assert in_words(parse(cel)) == words


@given(conditions())
def test_every_condition_has_words(text: str) -> None:
    """None breaks the page on which the others stand."""
    assert in_words(parse(text))


@pytest.mark.parametrize(
    ("words", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_words_are_joined(words: list[str], text: str) -> None:
    """As people write them."""
    assert joined(words) == text
