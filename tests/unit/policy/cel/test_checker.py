"""What is said about an expression before any event is seen."""

from __future__ import annotations

import pytest

from streamwarden.policy.cel import Environment, check, parse
from streamwarden.policy.cel.types import (
    DECIMAL,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    list_of,
    map_of,
    nullable,
    record,
)

ITEM = record("Item", {"price": DOUBLE, "sku": STRING})
VALUE = record(
    "Payment",
    {
        "amount": DOUBLE,
        "count": INT,
        "price": DECIMAL,
        "country": STRING,
        "note": nullable(STRING),
        "created": TIMESTAMP,
        "items": list_of(ITEM),
        "tags": map_of(STRING, STRING),
    },
)
COMMON = {
    "headers": map_of(STRING, DYN),
    "now": TIMESTAMP,
    "topic": STRING,
    "lists": DYN,
}
FORBIDDEN = {"offset": "`offset` is known only once an event is in Kafka"}
TYPED = Environment({"value": VALUE, **COMMON}, lists=["sanctioned"], forbidden=FORBIDDEN)
UNTYPED = Environment({"value": DYN, **COMMON}, lists=["sanctioned"], forbidden=FORBIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        'value.amount > 50000 && !(value.country in ["US", "CA"])',
        "value.count * value.amount > 1.5 && value.price * 2 > 3",
        "math.floor(value.count) > 1.0",
        'has(value.note) && value.note.startsWith("x") || value.note == null',
        "value.items.exists(i, i.price > 10 && i.sku == 'a')",
        "value.tags.exists(k, v, v == k)",
        "value.country in lists.sanctioned",
        "now - value.created > duration('30m')",
        '"source" in headers && headers["source"] == "x" && headers.source != 5',
        "value.?note.orValue('x') == 'y'",
        "cel.bind(x, value.amount, x > 5 && x < 7)",
        "type(value.amount) == double",
        "value.created == timestamp('2026-01-01T00:00:00Z')",
        "value.items[0].price == 2 && value['amount'] == 3",
    ],
)
def test_sound_conditions(text: str) -> None:
    """Nothing is said about conditions that make sense, with a schema or without."""
    assert check(parse(text), TYPED).problems == ()
    assert check(parse(text), UNTYPED).problems == ()


@pytest.mark.parametrize(
    ("text", "code", "part", "remedy"),
    [
        ("amount > 5", "SW121", "amount", "a field of the event is written `value.amount`"),
        ("valeu.amount > 5", "SW121", "valeu", "did you mean `value`?"),
        ("value.country.length() > 3", "SW122", "value.country.length()", "did you mean `size`?"),
        ("value.country.contain('x')", "SW122", "value.country.contain('x')", "`contains`"),
        ("math.flor(1.5) > 1.0", "SW122", "math.flor(1.5)", "`math.floor`"),
        ("1 + 1.0 > 2.0", "SW123", "1 + 1.0", "as the same type"),
        ("contains(topic, 'x')", "SW123", "contains(topic, 'x')", "write `x.contains(…)`"),
        ("topic.int() > 3", "SW123", "topic.int()", "write `int(x)`"),
        ("'a' in topic", "SW123", "'a' in topic", "text.contains(part)"),
        ("topic && true", "SW123", "topic", ""),
        ("headers[5] == 'x'", "SW123", "5", ""),
        ("topic", "SW124", "topic", "compare it"),
        ("topic.matches('(?=a)')", "SW126", "'(?=a)'", "no lookaround"),
        ("timestamp('2026-13-01T00:00:00Z') < now", "SW127", "'2026-13-01T00:00:00Z'", ""),
        ("value.at < timestamp('2026-02-30')", "SW127", "'2026-02-30'", "2026-03-01T12:00:00Z"),
        ("value.t > duration('1 day')", "SW127", "'1 day'", 'duration("24h")'),
        ("value.note == None", "SW121", "None", "write `null`"),
        ("value.ok == True", "SW121", "True", "write `true`"),
        ("value.country.lower() == 'x'", "SW122", "value.country.lower()", "`lowerAscii`"),
        (
            "value.country.toUpperCase() == 'X'",
            "SW122",
            "value.country.toUpperCase()",
            "`upperAscii`",
        ),
        ("value.odd-name == 1", "SW121", "name", 'is written `value["odd-name"]`'),
        ("value.very-odd-name.size() > 1", "SW121", "odd", 'written `value["very-odd-name"]`'),
        ("value.a - name == 1", "SW121", "name", "is written `value.name`"),
        (
            "value.items.any(x, x.price > 1)",
            "SW122",
            "value.items.any(x, x.price > 1)",
            "did you mean `exists`? It is written as in `list.exists(x, x > 1)`",
        ),
        ("value.items.every(x, x > 1)", "SW122", "value.items.every(x, x > 1)", "`all`"),
        ("not (value.ok == 1)", "SW122", "not (value.ok == 1)", "write `!(value.ok == 1)`"),
        (
            "1 < value.a + 1 <= 3",
            "SW123",
            "1 < value.a + 1 <= 3",
            "write `1 < value.a + 1 && value.a + 1 <= 3`",
        ),
        ("has(value)", "SW128", "has(value)", "has(value.amount)"),
        ("value.items.exists(true)", "SW129", "value.items.exists(true)", "list.exists(x, x > 1)"),
        ("topic in lists.sanctoned", "SW163", "lists.sanctoned", "`lists.sanctioned`"),
        ("topic in lists['sanctoned']", "SW163", "lists['sanctoned']", "`lists.sanctioned`"),
        ("offset > 5", "SW166", "offset", ""),
    ],
)
def test_problems_without_a_schema(text: str, code: str, part: str, remedy: str) -> None:
    """One problem, at the smallest part that has it, with what to write instead."""
    problems = check(parse(text), UNTYPED).problems

    assert [problem.code for problem in problems] == [code]
    (problem,) = problems
    assert text[problem.span.start : problem.span.end] == part
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("text", "code", "remedy"),
    [
        ("value.amout > 5", "SW125", "did you mean `amount`?"),
        ("has(value.amout)", "SW125", "did you mean `amount`?"),
        ("value.items.exists(i, i.skuu == 'x')", "SW125", "did you mean `sku`?"),
        ("value.items.exists(i, i.xyz == 'x')", "SW125", "it has `price`, `sku`"),
        ("value.amount > '5'", "SW123", "without quotes"),
        ("value.country == 5", "SW123", '`"5"`'),
        ("value.created > 'now'", "SW123", "write `value.created > now` in CEL"),
        ("'now' <= value.created", "SW123", "write `now <= value.created` in CEL"),
        ("value.created > '2026-01-01T00:00:00Z'", "SW123", 'timestamp("2026-01-01T00:00:00Z")'),
        ("value.amount % 2 == 0", "SW123", "whole numbers"),
        ("value.country + 5 == 'x'", "SW123", "string(…)"),
        ("value.items['a'].price > 2", "SW123", ""),
        ("value.country.price > 2", "SW123", ""),
        ("5 in value.tags", "SW123", ""),
        ("value.country.all(x, true)", "SW123", ""),
        ("-value.country == 5", "SW123", ""),
        ("value.amount", "SW124", ""),
    ],
)
def test_problems_with_a_schema(text: str, code: str, remedy: str) -> None:
    """A schema finds more."""
    problems = check(parse(text), TYPED).problems

    assert [problem.code for problem in problems] == [code]
    assert remedy in problems[0].remedy


def test_a_name_with_a_hyphen_that_the_schema_has() -> None:
    """It is told where the schema has such a field, and not where it has none."""
    named = Environment({"value": record("Order", {"odd-name": INT})})

    (odd,) = check(parse("value.odd-name == 1"), named).problems
    other = check(parse("value.odd-size == 1"), named).problems

    assert (odd.code, odd.remedy) == (
        "SW121",
        'a field whose name has a `-` is written `value["odd-name"]`',
    )
    assert check(parse('value["odd-name"] == 1'), named).problems == ()
    assert [problem.code for problem in other] == ["SW125", "SW121"]


def test_a_text_that_is_no_number_is_not_to_be_written_without_quotes() -> None:
    """`high` would be a variable."""
    (problem,) = check(parse("value.amount == 'high'"), TYPED).problems

    assert (problem.code, problem.remedy) == ("SW123", "")


def test_all_problems_are_collected() -> None:
    """Several problems are reported in the order of the text."""
    checked = check(parse("value.amout > 5 || topik == 'x' || offset > 1"), TYPED)

    assert [problem.code for problem in checked.problems] == ["SW125", "SW121", "SW166"]
    assert not checked.ok


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("[]", "list(dyn)"),
        ("[1, 2.0]", "list(dyn)"),
        ("[[], [1]]", "list(list(int))"),
        ("{'a': 1}", "map(string, int)"),
        ("value.items.map(i, i.price)", "list(double)"),
        ("value.items.filter(i, true)", "list(Item)"),
        ("value.tags.transformMap(k, v, size(v))", "map(string, int)"),
        ("value.count + value.amount", "double"),
        ("value.price + 1", "decimal"),
        ("value.?note", "optional_type(string or null)"),
        ("now - value.created", "google.protobuf.Duration"),
        ("true ? 1 : 'a'", "int or string"),
        ("optional.of(1).orValue(2)", "int"),
        ("type(1)", "type"),
    ],
)
def test_types(text: str, type_: str) -> None:
    """The type of an expression, as far as it is known."""
    env = Environment(TYPED.variables, expect_bool=False)

    checked = check(parse(text), env)

    assert checked.problems == ()
    assert str(checked.type) == type_
