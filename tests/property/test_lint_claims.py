"""Lint claims nothing about all events that some event disproves."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from streamwarden import Guard
from streamwarden.policy.cel import CelError, compile_exact, parse
from streamwarden.policy.lint.advice import adviser
from streamwarden.policy.lint.claims import covers, excludes, never_true
from streamwarden.policy.lint.formulas import formula_of
from streamwarden.policy.loader import read_directories

from .cel_expressions import conditions as any_conditions
from .cel_expressions import events as any_events

_SUBJECTS = ("value.a", "value.b", "value.o.x", "message.a", "size(value.b)", "value.a + 1")
_CONSTANTS = (
    "1",
    "2",
    "2.0",
    "3",
    "1u",
    '"a"',
    '"ab"',
    '"b"',
    "true",
    "false",
    "null",
    "-1",
    "1.5",
)
_VALUES: tuple[Any, ...] = (1, 2, 2.0, 3, 1.5, -1, "a", "ab", "b", "abc", True, False, None, [], 0)


@st.composite
def _questions(draw: st.DrawFn) -> str:
    subject = draw(st.sampled_from(_SUBJECTS))
    constant = st.sampled_from(_CONSTANTS)
    text = st.sampled_from(['"a"', '"ab"', '"b"', '""', '"bc"'])
    match draw(st.integers(0, 8)):
        case 0 | 1 | 2:
            sign = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]))
            sides = (subject, draw(constant))
            left, right = sides if draw(st.booleans()) else sides[::-1]
            return f"{left} {sign} {right}"
        case 3:
            return f"{subject} in [{', '.join(draw(st.lists(constant, max_size=3)))}]"
        case 4 | 5:
            test = draw(st.sampled_from(["startsWith", "endsWith", "contains", "matches"]))
            return f"{subject}.{test}({draw(text)})"
        case 6:
            return draw(st.sampled_from(["has(value.a)", "has(value.o.x)", "has(message.a)"]))
        case 7:
            return draw(st.sampled_from(["value.a", "value.b", "true", "false", "1 > 2", "5"]))
        case _:
            return draw(st.sampled_from(["value.a == value.b", "value.?a.hasValue()"]))


def conditions(depth: int = 2) -> st.SearchStrategy[str]:
    """Questions about few fields, so that two of them often meet."""
    if depth == 0:
        return st.one_of(_questions(), _questions().map("!({})".format))
    inner = st.lists(conditions(depth - 1), min_size=1, max_size=3)
    joined = st.tuples(st.sampled_from([" && ", " || "]), inner).map(
        lambda pair: pair[0].join(f"({part})" for part in pair[1])
    )
    return st.one_of(conditions(0), joined, joined.map("!({})".format))


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Events in which a field has one of few values, or is missing."""
    value = st.sampled_from(_VALUES)
    inner: st.SearchStrategy[Any] = st.one_of(
        value, st.fixed_dictionaries({}, optional={"x": value})
    )
    return st.fixed_dictionaries({}, optional={"a": value, "b": value, "o": inner})


def _verdict(text: str, event: dict[str, Any]) -> object:
    value = compile_exact(parse(text))({"value": event, "message": event})
    return value if isinstance(value, bool) else CelError


_PAIRS = st.one_of(
    st.tuples(conditions(), conditions()), st.tuples(any_conditions(), any_conditions())
)
_EVENTS = st.lists(st.one_of(events(), any_events()), min_size=1, max_size=12)


@settings(max_examples=200)
@given(_PAIRS, _EVENTS)
def test_claims_hold_for_every_event(pair: tuple[str, str], seen: list[dict[str, Any]]) -> None:
    """Never true is not true; what covers is not false; what is excluded is false."""
    one, other = pair
    first, second = (formula_of(parse(text)) for text in pair)
    together = formula_of(parse(f"({one}) && ({other})"))
    never = [text for text, f in ((one, first), (other, second)) if never_true(f)]
    covered, excluded, apart = covers(first, second), excludes(first, second), never_true(together)
    note(f"never {never}, covered {covered}, excluded {excluded}, never together {apart}")

    for event in seen:
        verdicts = _verdict(one, event), _verdict(other, event)
        note(f"{event}: {verdicts}")
        for text in never:
            assert _verdict(text, event) is not True
        if covered and verdicts[0] is not False:
            assert verdicts[1] is not False
        if excluded and verdicts[0] is True:
            assert verdicts[1] is False
        if apart:
            assert verdicts != (True, True)


_EFFECTS = st.sampled_from(["warn", "hold", "reject", "mask"])
_RULES = st.lists(
    st.tuples(conditions(1), _EFFECTS, st.sampled_from(["fire", "skip", "reject"])),
    min_size=2,
    max_size=5,
)


def _documents(rules: list[tuple[str, str, str]], resolution: str) -> dict[str, str]:
    written: list[dict[str, Any]] = []
    for number, (condition, effect, on_error) in enumerate(rules):
        rule: dict[str, Any] = {"id": f"r{number}", "when": condition, "effect": effect}
        if effect == "mask":
            rule["mask"] = [{"field": "value.b", "with": "redact"}]
        if on_error != "fire":
            rule["on_error"] = on_error
        written.append(rule)
    policy = {"policy": "p", "owner": "o", "topics": ["t"], "rules": written}
    bundle = {"bundle": "b", "resolution": resolution}
    return {"p.yaml": json.dumps(policy), "bundle.yaml": json.dumps(bundle)}


@settings(max_examples=40)
@given(_RULES, _EVENTS, st.sampled_from(["strictest", "approval_first"]))
def test_idle_rules_can_be_taken_out(
    rules: list[tuple[str, str, str]], seen: list[dict[str, Any]], resolution: str
) -> None:
    """Without a rule that is said to decide nothing, the effects stay what they were."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        for file, text in _documents(rules, resolution).items():
            (directory / file).write_text(text)
        bundle, problems = read_directories(directory, advisers=[adviser()])
        idle = next((p for p in problems if p.code in ("SW180", "SW181")), None)
        if bundle is None or idle is None:
            return
        numbers = range(len(rules))
        number = next(n for n in numbers if _is_told(idle.location.column, n, rules, resolution))
        others = [rule for n, rule in enumerate(rules) if n != number]
        all_rules = Guard.from_directory(directory)
        (directory / "p.yaml").write_text(_documents(others, resolution)["p.yaml"])
        fewer = Guard.from_directory(directory)
    note(f"{idle.message} (r{number})")

    for event in seen:
        value = json.dumps(event).encode()
        before = all_rules.decide(topic="t", value=value, key=None)
        after = fewer.decide(topic="t", value=value, key=None)

        assert before.effect is after.effect, event


def _is_told(column: int, number: int, rules: list[tuple[str, str, str]], resolution: str) -> bool:
    """Whether the column of a problem is that of the rule's id, in JSON on one line."""
    text = _documents(rules, resolution)["p.yaml"]
    return text.startswith(f'"r{number}"', column - 1)
