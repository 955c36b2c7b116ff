"""Rules behind access predicates: many of them, and events that break each kind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest
import re2

from streamwarden.policy.cel.ast import Expr
from streamwarden.policy.cel.evaluate import compile_exact
from streamwarden.policy.cel.values import Timestamp
from streamwarden.policy.compiler import Framed, definition, tables
from tests.property.compiler_cases import projected

from .rules import compiled, event

pytestmark = pytest.mark.slow

#: Conditions with a number in them, by the kind of look-up that they wait behind.
KINDS = {
    "equal": 'value.a == "w{0}"',
    "equal number": "value.a == {0}",
    "in": 'value.a in ["w{0}", {0}, null]',
    "unequal": 'value.a != "w{0}" && value.b == {0}',
    "order": "value.a > {0}",
    "order, rest": "value.a <= {0} && value.b > {0}",
    "order, one rest": "value.a < {0} && value.b > 3",
    "size": "size(value.a) >= {0}",
    "size itself": "size(value.a) == {0}",
    "order of texts": 'value.a > "w{0}"',
    "computed text": 'value.a.lowerAscii() == "w{0}"',
    "computed number": "value.a % 7 == {0}",
    "computed text, rest": 'value.b == {0} && value.a + "x" > "w{0}"',
    "prefix": 'value.a.startsWith("w{0}")',
    "suffix": 'value.a.endsWith("{0}")',
    "contains text": 'value.a.contains("w{0}")',
    "long prefix": 'value.s.startsWith("order-{0}-")',
    "long suffix": 'value.s.endsWith("-{0}.com")',
    "long text": 'value.s.contains("secret-{0}")',
    "long end of a pattern": 'value.s.matches("[a-z.]+-{0}[.]com$")',
    "pattern": 'value.a.matches("w{0}$")',
    "pattern with a head": 'value.a.matches("^w{0}[0-9]*$")',
    "pattern with an end": 'value.a.matches("w[a-z]*{0}$")',
    "not a text": '!value.a.startsWith("w{0}") && value.b == {0}',
    "flag": "value.flag && value.b == {0}",
    "present": "has(value.o.x) && value.o.x == {0}",
    "absent": "!has(value.o.x) && value.b == {0}",
    "time": 'timestamp(value.t) > timestamp("2025-01-{1:02d}T00:00:00Z")',
    "element": '"w{0}" in value.l',
    "element member": "value.m.exists(e, e.q == {0})",
    "greatest": "value.m.exists(e, e.q > {0})",
    "least": "!value.m.all(e, e.q >= {0})",
    "two of an element": "value.m.exists(e, e.q > {0} && e.r < 5)",
    "two of an element, one equal": "value.m.exists(e, e.r < 5 && e.q == {0}) && value.b > 2",
    "two of no element": "!value.m.all(e, e.q < {0} || e.r >= 5)",
    "either": 'value.a == "w{0}" || value.b == {0}',
    "either and more": '(value.a == "w{0}" || value.b > {0} && value.flag) && value.b < 30',
    "computed": "value.b * value.c > {0}",
    "computed, rest": "value.b + {0} > 30 && value.flag",
    "computed, many rests": "value.b * 2 - value.c <= {0} && value.a > {1}",
    "not computed": "!(value.b - value.c >= {0})",
    "converted": "double(value.a) > {0}.5",
    "converted and computed": "double(value.b) * 2.0 < {0} && value.flag",
    "length of time": 'now - timestamp(value.t) > duration("{0}h")',
    "between times": 'timestamp(value.t) - timestamp(value.u) < duration("{0}s") && value.flag',
    "one limit": "value.b >= 2 && value.a > {0}",
    "exact": "value.b % {1} == {0} && value.flag",
    "by header": 'headers.h == "w{0}"',
    "by key": 'key == "w{0}" && value.b == {0}',
}
EVENTS: list[dict[str, Any]] = [
    {},
    {"a": "w3", "b": 3, "flag": True, "o": {"x": 3}, "t": "2025-01-04T00:00:00Z"},
    {"a": "w12", "b": 29, "flag": False, "o": {}, "l": ["w1", "w2"], "m": [{"q": 3}, {"q": 7}]},
    {"a": 7, "b": "x", "flag": 1, "o": 5, "t": 1_736_000_000, "l": {"w5": 1}, "m": [{"q": "x"}]},
    {"a": 7.0, "b": 7.5, "t": "2025-01-09T12:00:00.123456789+02:00", "m": [{}, {"q": 90}]},
    {"a": None, "b": None, "o": None, "t": "nonsense", "l": [None, "w9"], "m": {"q": 1}},
    {"a": True, "b": True, "flag": True, "o": {"x": None}, "l": "w1", "m": []},
    {"a": [], "b": [1], "o": [], "t": None, "l": [["w1"]], "m": [{"q": [1]}, 5]},
    {"a": {"w1": 1}, "b": {}, "m": [{"q": 2**70}, {"q": -1}]},
    {"a": "é" * 300 + "w7", "b": -0.0, "flag": False, "t": "2025-01-31T23:59:60Z"},
    {"a": "7.25", "b": 9, "c": 3.5, "flag": True, "t": "2025-12-31T20:00:00Z", "u": 1_767_211_200},
    {
        "a": "wxyz11",
        "b": 1e300,
        "c": 1e300,
        "t": "9999-01-01T00:00:00Z",
        "u": "0001-01-01T00:00:00Z",
    },
    {"a": "Infinity", "b": 2**62, "c": -0.25, "flag": True, "u": None},
    {"a": 1e308, "b": -1e308, "c": 1e308, "flag": True},
    {"a": -(2**62), "b": "12", "c": True},
    {"s": "order-3-x, secret-7 and secret-12, a-5.com"},
    {"s": "order-", "b": 5},
    {"s": "order-1-1-7.com"},
    {"s": 7},
    {"b": 3, "m": [{"q": 3, "r": 9}, {"q": 12, "r": 1}, {"q": "x", "r": 7}]},
    {"b": 3, "m": [{"q": "x", "r": 1}, {"q": 3, "r": "x"}, {"q": 3, "r": 4.5}]},
    {"b": 0, "m": [{"q": 30, "r": 6}, {"r": 1}]},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3, 8, 40])
def test_an_index_changes_nothing(kind: str, count: int) -> None:
    """However many rules share a look-up, each event gets what the exact evaluator says."""
    conditions = [KINDS[kind].format(n, 1 + n % 28) for n in range(count)]
    rules = compiled(*conditions)

    for value in EVENTS:
        for headers, key in (([("h", b"w3")], b"w3"), ([], None), ([("h", b"\xff")], b"\xff")):
            each = event(json.dumps(value).encode(), headers=headers, key=key)
            assert rules.run(each) == rules.definition.run(each), value


def test_all_kinds_together() -> None:
    """Kinds on the same place share one class test."""
    rules = compiled(*(text.format(n, 1 + n) for text in KINDS.values() for n in range(12)))

    for value in EVENTS:
        each = event(json.dumps(value).encode(), headers=[("h", b"w3")], key=b"w3")
        assert rules.run(each) == rules.definition.run(each), value


class _Fixed(Framed):
    """A registry that has one value, whatever is asked."""

    def __init__(self, value: object) -> None:
        self._value = value

    def reader(self, root: Any, unframed: Any, *, strict: bool) -> Any:
        del unframed, strict

        def read(*_: object) -> Any:
            return projected(self._value, root)

        return read

    def key_reader(self, root: Any, unframed: Any, json: Any) -> Any:
        del root

        def read(key: bytes, headers: object) -> object:
            del headers
            return (unframed or json)(key)

        return read

    def schema(self, topic: str, value: bytes | None, headers: Any) -> dict[str, object]:
        del topic, value, headers
        return {"id": 7}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "odd",
    [
        *(Decimal(7), Decimal("0.1"), Decimal("7.0"), math.nan, math.inf, b"w3", b""),
        *(Timestamp(1_736_000_000 * 10**9), Timestamp(0)),
    ],
)
def test_values_that_json_does_not_have(kind: str, odd: object) -> None:
    """Decimals, times, bytes and NaN come out of registries' formats."""
    value = {
        "a": odd,
        "b": odd,
        "c": odd,
        "u": odd,
        "flag": odd,
        "o": {"x": odd},
        "t": odd,
        "l": [odd],
        "m": [{"q": odd}],
    }
    conditions = [KINDS[kind].format(n, 1 + n) for n in range(12)]
    rules = compiled(*conditions, "schema.id == 7", "value.t > timestamp(0)", framed=_Fixed(value))

    each = event(b"\0\0\0\0\7x")

    assert rules.run(each) == rules.definition.run(each)


def test_what_waits_and_what_does_not() -> None:
    """`describe` says for each rule what it waits behind and what the exact evaluator decides."""
    rules = compiled(
        'value.kind == "card" && value.amount > 5',
        'value.ref.matches("^ref-[0-9]+x")',
        'value.a == 1 || value.b == "x" && value.c > 3',
        "value.a / value.b > 3",
        'topic == "payments"',
        "value.nothing.nosuch()",
    )

    assert [str(plan) for plan in rules.describe()] == [
        'indexed: by value.kind == "card"; then value.amount > 5',
        'indexed: by the prefix `ref-`; then value.ref.matches("^ref-[0-9]+x")',
        'indexed: by value.a == 1 or value.b == "x"; then value.c > 3',
        "indexed: by value.a / value.b > 3; exactly value.a / value.b",
        "constant: true",
        "indexed: by value.nothing.nosuch(); exactly value.nothing.nosuch()",
    ]


def test_texts_that_may_be_times_are_looked_up_where_no_value_can_be_one() -> None:
    """Structured conditions leave open whether a field is a time; a JSON value never is."""
    moment = '"2026-01-01T00:00:00Z"'
    told = f"(type(value.at) == google.protobuf.Timestamp ? timestamp({moment}) : {moment})"
    rules = (f"value.at > {told}", f"value.at in [{moment}, timestamp({moment})]")

    assert not any("exactly" in str(plan) for plan in compiled(*rules).describe())
    framed = compiled(*rules, framed=_Fixed({}))
    assert all("exactly" in str(plan) for plan in framed.describe())


def test_a_name_that_is_bound_is_read_as_what_it_stands_for() -> None:
    """Where a macro within takes a name that is meant, the condition is left as it is."""
    plain, shadowed, looping = compiled(
        'cel.bind(w, value.a, w == "x" || w == "y")',
        "cel.bind(w, value.a, value.l.exists(value, value == w))",
        "cel.bind(w, value.l.filter(v, v > 1), w.size() > 0 || w == [])",
    ).describe()

    assert "exactly" not in str(plain)
    assert "exactly" in str(shadowed)
    assert "exactly" in str(looping)


def test_each_rule_says_what_it_is_looked_up_with_or_why_not() -> None:
    """Lookups are shared by rules that ask the same place in the same way."""
    rules = compiled(
        "value.b * value.c > 3",
        "value.b * value.c < 9 && value.flag",
        "double(value.a) > 2.5",
        "now - timestamp(value.t) > duration('1h')",
        "value.m.exists(e, e.q > 5)",
        "value.paid < value.amount",
        "value.m.exists(e, e.q > 5 && e.x == 1)",
        "value.flag ? value.a == 1 : value.b == 2",
        'value.a == "x" || value.b % 2 == 1',
        'value.a == "x" || value.paid < value.amount',
        'value.a != "x" || value.b != 5',
        "has(value.o) && value.a % 2 == 1 && value.b != 3",
        "value.paid < value.amount && value.a % 2 == 1",
    )

    assert [each.lookups or each.why for each in rules.describe()] == [
        ("(value.b * value.c): limits of 2 rules",),
        ("(value.b * value.c): limits of 2 rules",),
        ("double(value.a): limits of one rule",),
        ("now - timestamp(value.t): limits of one rule",),
        ("value.m[].q: limits of elements of one rule",),
        "`value.paid < value.amount` compares two values of the event",
        "`value.m.exists(e, e.q > 5 && e.x == 1)` is more than one comparison of each element",
        "`(value.flag ? value.a == 1 : value.b == 2)` is a choice between two conditions",
        ("value.a: constants of one rule", "value.b % 2: constants of one rule"),
        "an alternative is not looked up: `value.paid < value.amount` compares two values of the event",
        "its look-up would let most events through",
        ("value.o: presence of one rule",),
        (
            "`value.paid < value.amount` compares two values of the event; "
            "only the exact evaluator knows `value.a % 2`"
        ),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"a": 4611686018427387904, "b": 1}', (0, 1, 2)),
        ('{"a": 4611686018427387904, "b": 4}', (~0, ~1, ~2)),  # an overflow
        ('{"a": 1e200, "b": -1e200}', ()),
        ('{"a": 3e9, "b": 2.5}', (0, 1, 2)),
        ('{"a": 18446744073709551616, "b": 1e-19}', (0,)),
        ('{"a": "x", "b": 4611686018427387904}', (~0, ~1, ~2)),
    ],
)
def test_large_numbers_are_computed_once_for_all_rules(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: tuple[int, ...]
) -> None:
    """A hostile event does not make the exact evaluator judge each rule."""
    rules = compiled(*(f"value.a * value.b > {n}" for n in (1, 2, 1000)))
    definition_says = rules.definition.run(event(value.encode()))
    monkeypatch.setattr(definition, "compile_exact", None)

    assert rules.run(event(value.encode())) == expected == definition_says


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ('value.s.lowerAscii() == "x{}"', b'{"s": "X40"}'),
        ('value.kind == "k{}" && value.s.lowerAscii() == "x40"', b'{"s": "X40"}'),
        ("timestamp(value.t).getFullYear() == {}", b'{"t": 5}'),
        ("(value.a > 3 ? value.b : value.c) > {}", b'{"a": 4, "b": 50}'),
        ("!isEmail(value.e) && value.a > {}", b'{"e": "x", "a": 20.5}'),
        ("value.l.filter(x, x > 1).size() == {}", b'{"l": [1, 2, 3]}'),
        ("value.s.split(',')[0] in ['q{}', 'r']", b'{"s": "q7,q8"}'),
    ],
)
def test_what_many_rules_compare_is_computed_once(
    monkeypatch: pytest.MonkeyPatch, condition: str, value: bytes
) -> None:
    """By the exact evaluator, for all rules that say the same, also where they fail."""
    evaluated = 0

    def counting(expr: Expr) -> Callable[[Mapping[str, object]], object]:
        evaluate = compile_exact(expr)

        def count(known: Mapping[str, object]) -> object:
            nonlocal evaluated
            evaluated += 1
            return evaluate(known)

        return count

    rules = compiled(*(condition.format(number) for number in range(60)))
    expected = rules.definition.run(event(value))
    monkeypatch.setattr(definition, "compile_exact", counting)

    assert rules.run(event(value)) == expected
    assert evaluated <= 1


def test_many_limits_with_few_rests_each_are_tried_by_the_easiest_one() -> None:
    """However rules with the same rest stand among others, none is behind a limit that is not its own."""
    rests = ["value.a < value.c", *(f"value.c + {n % 20} > value.a" for n in range(1, 60))]
    rules = compiled(*(f"value.b > {n} && {rest}" for n, rest in enumerate(rests)))

    for b in (0, 1.5, 2, 12, 39.5, 70):
        for value in ({"b": b, "c": 1, "a": 9}, {"b": b, "c": 9, "a": 1}, {"b": b, "c": "x"}):
            each = event(json.dumps(value).encode())
            assert rules.run(each) == rules.definition.run(each), value


def test_part_of_what_an_element_has_to_meet_is_waited_for_where_rules_share_that() -> None:
    """The whole is tried once an element meets the part; alone, a rule is tried at once."""
    rules = [f"value.m.exists(e, e.r < 5 && e.q == {n})" for n in range(3)]

    assert str(compiled(*rules).describe()[0]) == (
        "indexed: by an element with `e.q == 0`; then value.m.exists(e, e.r < 5 && e.q == 0)"
    )
    assert [each.how for each in compiled(*rules[:2]).describe()] == ["inline", "inline"]


def test_what_all_rules_say_is_not_waited_for() -> None:
    """What tells rules apart lets fewer events through."""
    rules = compiled(*(f"value.retries >= 2 && value.amount > {n}" for n in range(20)))

    assert [each.access for each in rules.describe()] == [
        (f"value.amount > {n}",) for n in range(20)
    ]


def test_nothing_of_a_document_becomes_code() -> None:
    """Names and constants that look like Python stay data."""
    hostile = ['"); import os; ("', "__class__", "f0", "x'y\"z\n", "\\", "\0", "hits", "MISSING"]
    conditions = [f"value[{json.dumps(each)}] == {json.dumps(each)}" for each in hostile]
    rules = compiled(*conditions)

    for n, each in enumerate(hostile):
        found = rules.run(event(json.dumps({name: name for name in [each]}).encode()))
        assert isinstance(found, tuple)
        assert n in found


def test_a_set_of_patterns_that_gives_up_is_judged_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The automaton's failure costs time, never a hit."""

    def give_up(*_: object) -> None:
        return None

    monkeypatch.setattr(re2.Set, "Match", give_up)
    rules = compiled(*(f'value.a.matches("w{n}$")' for n in range(10)))

    assert rules.run(event(b'{"a": "w3"}')) == (3,)


def test_a_set_of_patterns_that_does_not_fit_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """More patterns than one automaton takes are searched by several."""
    monkeypatch.setattr(tables, "_SET_MEMORIES", (1 << 14,))
    rules = compiled(*(f'value.a.matches("[a-z]w{n}[0-9]{{3}}$")' for n in range(60)))

    assert rules.run(event(b'{"a": "aw33123"}')) == (33,)
