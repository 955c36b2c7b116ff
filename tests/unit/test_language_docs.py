"""The reference of the language is right, and leaves nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamwarden import Guard
from streamwarden.policy.cel import (
    CelError,
    CelSyntaxError,
    Environment,
    Timestamp,
    check,
    compile_exact,
    estimate,
    parse,
)
from streamwarden.policy.cel.ast import Call, Comprehension, Has, Index, Select, walk
from streamwarden.policy.cel.library import FUNCTIONS
from streamwarden.policy.cel.macros import MACROS
from streamwarden.policy.condition_checks import environment
from streamwarden.policy.loader import load_directories
from streamwarden.policy.model import Effect
from streamwarden.policy.paths import VARIABLES
from tests.conformance.runner import same

PAGE = Path(__file__).parents[2] / "docs" / "language.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+) ?(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "&&", "||")
STRUCTURED = (
    *("equals", "not_equals", "contains", "starts_with", "ends_with", "greater_than"),
    *("greater_or_equal", "less_than", "less_or_equal", "in", "not_in", "regex", "exists"),
    "missing",
)


def examples(language: str) -> list[tuple[str, str]]:
    """The pairs of expression and result in blocks of one language."""
    lines = [
        line
        for kind, _, text in BLOCK.findall(TEXT)
        for line in text.splitlines()
        if kind == language
    ]
    pairs = [tuple(line.split("  =>  ")) for line in lines]
    assert all(len(pair) == 2 for pair in pairs), pairs
    return [(pair[0], pair[1]) for pair in pairs]


def event() -> dict[str, Any]:
    """The event of the page, as rules see it."""
    written = next(text for kind, _, text in BLOCK.findall(TEXT) if kind == "json")
    known: dict[str, Any] = json.loads(written)
    for name in ("timestamp", "now"):
        known[name] = compile_exact(parse(f'timestamp("{known[name]}")'))({})
        assert isinstance(known[name], Timestamp)
    return {**known, "message": known["value"]}


EVENT = event()
ENVIRONMENT = environment(("consume",), EVENT["lists"])


@pytest.mark.parametrize(("expression", "result"), examples("cel"))
def test_expressions_have_the_results_that_are_shown(expression: str, result: str) -> None:
    """Types included; what is an error has that code."""
    got = compile_exact(parse(expression))(EVENT)

    if result.startswith("error "):
        assert isinstance(got, CelError), got
        assert got.code == result.removeprefix("error ")
        return
    assert same(got, compile_exact(parse(result))({})), got
    env = Environment(ENVIRONMENT.variables, ENVIRONMENT.lists, expect_bool=False)
    assert check(parse(expression), env).problems == ()


@pytest.mark.parametrize(("condition", "result"), examples("structured"))
def test_structured_conditions_have_the_results_that_are_shown(
    tmp_path: Path, condition: str, result: str
) -> None:
    """By the same evaluator, after they have become CEL."""
    (tmp_path / "bundle.yaml").write_text("bundle: b\nlists: {sanctioned: l.csv}\n")
    (tmp_path / "l.csv").write_text("KP\nSY\n")
    (tmp_path / "p.yaml").write_text(
        f"policy: p\nowner: o\ntopics: [t]\nrules: [{{id: r, effect: warn, where: [{condition}]}}]\n"
    )
    rule = load_directories(tmp_path).policies[0].rules[0]

    assert rule.condition is not None
    assert compile_exact(rule.condition.expr)(EVENT) is (result == "true")


RULES = [(effect, text) for kind, effect, text in BLOCK.findall(TEXT) if kind == "rule"]


@pytest.mark.parametrize(("effect", "rule"), RULES)
def test_rules_have_the_effect_that_is_shown(tmp_path: Path, effect: str, rule: str) -> None:
    """On the event of the page, by a guard."""
    (tmp_path / "p.yaml").write_text(
        f"policy: p\nowner: o\ntopics: [payments]\nrules:\n  - {rule.strip()}\n"
    )
    client = EVENT["client"]
    guard = Guard.from_directory(tmp_path, client_id=client["id"], labels=client["labels"])

    decision = guard.decide(topic="payments", value=json.dumps(EVENT["value"]).encode())

    assert decision.effect.value == effect


@pytest.mark.parametrize(("expression", "verdict"), examples("cost"))
def test_costs_are_accepted_or_refused_as_shown(expression: str, verdict: str) -> None:
    """Without any schema."""
    assert estimate(parse(expression)).is_acceptable is (verdict == "accepted")


def test_nothing_of_the_language_is_left_out() -> None:
    """Every variable, operator, function, macro, structured operator and effect has an example."""
    used: set[str] = set()
    for expression, _ in examples("cel"):
        for node in walk(parse(expression)):
            match node:
                case Call():
                    used.add(node.function)
                case Comprehension():
                    used.add(node.macro)
                case Has():
                    used.add("has")
                case Select() | Index() if node.optional:
                    used.add(".?" if isinstance(node, Select) else "[?]")
                case _:
                    pass
    written = " ".join(expression for expression, _ in examples("cel"))

    assert {*FUNCTIONS, *MACROS, "has", ".?", "[?]"} - used == set()
    assert [sign for sign in OPERATORS if f" {sign} " not in written] == []
    assert "!value" in written
    assert "? " in written
    assert {name for name in VARIABLES if not re.search(rf"\b{name}\b", written)} == set()
    table = set(re.findall(r"`(\w+)`", TEXT.split("## Variables")[1].split("## Values")[0]))
    assert {*VARIABLES} - table == set()
    structured = " ".join(condition for condition, _ in examples("structured"))
    assert [name for name in STRUCTURED if f"operator: {name}" not in structured] == []
    assert {effect for effect, _ in RULES} == {*Effect} - {Effect.NONE}


def test_limits_are_those_of_the_page() -> None:
    """Length and nesting."""
    assert "at most 100,000 characters and nests 80 levels deep" in TEXT
    for text, longer, problem in (
        ("'%s'" % ("x" * 99_998), "'%s'" % ("x" * 99_999), "longer than 100,000 characters"),
        ("[" * 80 + "]" * 80, "[" * 81 + "]" * 81, "more than 80 levels deep"),
        ("(" * 80 + "1" + ")" * 80, "(" * 81 + "1" + ")" * 81, "more than 80 levels deep"),
    ):
        parse(text)
        with pytest.raises(CelSyntaxError, match=problem):
            parse(longer)
