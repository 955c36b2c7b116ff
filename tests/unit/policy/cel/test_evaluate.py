"""Programs: reuse, threads, errors that tell nothing, evidence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from streamwarden.policy.cel import (
    CelError,
    Evidence,
    Unknown,
    compile_exact,
    parse,
    trace,
    unparse,
)

SECRET = "4929-1234-5678-9012"


def evaluate(text: str, **activation: object) -> object:
    """The value of an expression."""
    return compile_exact(parse(text))(activation)


@pytest.mark.parametrize(
    "text",
    [
        "value.card > 5",
        "value.card + 1 > 5",
        "value.card.missing",
        "value[value.card]",
        "value.list[value.card]",
        "int(value.card) > 5",
        "timestamp(value.card) > now",
        "duration(value.card) > now",
        "ip(value.card).isLoopback()",
        "value.card.charAt(100)",
        "value.card.matches(value.list)",
        "'a'.matches(value.card + '(')",
        "(value.card + '%d').format(value.list)",
        "'%d'.format([value.card])",
        "base64.decode(value.card)",
        "timestamp(0).getHours(value.card)",
        "value.list.map(x, x.card)",
        "!value.card",
        "value.card ? 1 : 2",
        "value.card && true",
        "value.list.exists(x, x)",
        "{value.card: 1, value.card: 2}",
        "lists.range(10).sortBy(x, value)",
        "optional.none().value() == value.card",
        "unknown_function(value.card)",
        "value.?card.value().x",
    ],
)
def test_errors_hold_no_data(text: str) -> None:
    """Whatever fails, the message does not quote the event."""
    event = {"card": SECRET, "list": [SECRET, SECRET]}

    result = evaluate(text, value=event, now=1)

    assert isinstance(result, CelError), result
    assert SECRET not in result.message
    assert "4929" not in str(result)
    assert result.code != "internal"


def test_errors_have_a_place() -> None:
    """An error points at the part of the text that failed."""
    text = "true && (value.a / 0 == 1)"

    result = evaluate(text, value={"a": 1})

    assert isinstance(result, CelError)
    assert text[result.span.start : result.span.end] == "value.a / 0"


def test_programs_are_shared_between_threads() -> None:
    """Macros' variables belong to one evaluation."""
    program = compile_exact(parse("value.l.map(x, value.l.filter(y, y <= x).size())"))
    events = [{"value": {"l": list(range(size))}} for size in range(50)] * 4

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(program, events))

    assert results == [[index + 1 for index in event["value"]["l"]] for event in events]


@pytest.mark.parametrize(
    "text", ["value.a == value.b", "value.a in [value.b]", "'%s'.format([value.a])"]
)
def test_deeply_nested_events_are_no_exception(text: str) -> None:
    """An event nested deeper than Python's stack gives a value or an error."""
    deep: object = 1
    for _ in range(50_000):
        deep = {"a": deep}

    result = evaluate(text, value={"a": deep, "b": deep})

    assert result is True or isinstance(result, CelError)


def test_results_do_not_alias_constants() -> None:
    """A constant list is the same value in every evaluation."""
    program = compile_exact(parse("[1, 2] + value.l"))

    assert program({"value": {"l": [3]}}) == [1, 2, 3]
    assert program({"value": {"l": []}}) == [1, 2]


def parts(evidence: Evidence) -> list[tuple[str, object]]:
    """The direct parts of a value, as text and value."""
    return [(unparse(child.expr), child.value) for child in evidence.children]


def test_evidence_has_every_part() -> None:
    """Each sub-expression stands there with its exact value."""
    evidence = trace(parse("value.a + 1 > 5"), {"value": {"a": 7}})

    assert evidence.value is True
    assert parts(evidence) == [("value.a + 1", 8), ("5", 5)]
    assert parts(evidence.children[0]) == [("value.a", 7), ("1", 1)]


def test_evidence_has_only_what_was_evaluated() -> None:
    """An operand that did not matter is not among the parts."""
    activation = {"value": {"a": 7}}

    assert parts(trace(parse("value.a > 9 && value.b > 1"), activation)) == [("value.a > 9", False)]
    assert parts(trace(parse("value.a > 5 ? 1 : value.b"), activation)) == [
        ("value.a > 5", True),
        ("1", 1),
    ]


def test_evidence_of_a_macro_ends_with_what_decided() -> None:
    """Below a macro stand its range and the iterations, the deciding one last."""
    event = {"value": {"l": [*range(5000), -1]}}

    evidence = trace(parse("value.l.all(x, x >= 0)"), event)

    assert evidence.value is False
    assert len(evidence.children) <= 256
    assert evidence.children[0].value == event["value"]["l"]
    assert parts(evidence.children[-1]) == [("x", -1), ("0", 0)]


def test_evidence_of_errors_and_unknowns() -> None:
    """Parts that have no value say so."""
    unknown = Unknown(frozenset({("facts",)}))

    evidence = trace(parse("value.b > 1 || facts.score > 5"), {"value": {}, "facts": unknown})

    assert evidence.value == unknown
    assert [type(child.value) for child in evidence.children] == [CelError, Unknown]


def test_a_repeated_trace_is_of_its_own_expression() -> None:
    """Expressions that are kept compiled are told apart even after others have gone."""
    for number in range(2000):
        assert trace(parse(f"{number} + 1"), {}).value == number + 1
