"""Conditions in all their forms, checked where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.cel import compile_exact, parse
from streamwarden.policy.conditions import present
from streamwarden.policy.loader import load_directories
from streamwarden.policy.paths import parse_path

from .document_cases import HEAD, check_case, load_cases


@pytest.mark.parametrize("case", load_cases("conditions"), ids=lambda case: str(case["note"]))
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    """The case's note."""
    check_case(tmp_path, case)


ITEMS = {
    "equals": ("field: value.a, operator: equals, value: x", 'value.a == "x"'),
    "not_equals": ("field: value.a, operator: not_equals, value: null", "value.a != null"),
    "equals a list": ("field: value.a, operator: equals, value: [1, 2.0]", "value.a == [1, 2.0]"),
    "equals a map": ("field: value.a, operator: equals, value: {b: -1}", 'value.a == {"b": -1}'),
    "contains": ("field: value.a, operator: contains, value: x", 'value.a.contains("x")'),
    "starts_with": ("field: key, operator: starts_with, value: x", 'key.startsWith("x")'),
    "ends_with": ("field: topic, operator: ends_with, value: x", 'topic.endsWith("x")'),
    "greater_than": ("field: value.a, operator: greater_than, value: 1", "value.a > 1"),
    "greater_or_equal": ("field: value.a, operator: greater_or_equal, value: 1", "value.a >= 1"),
    "less_than": ("field: value.a, operator: less_than, value: 1.5", "value.a < 1.5"),
    "less_or_equal": ("field: value.a, operator: less_or_equal, value: a", 'value.a <= "a"'),
    "in": ("field: value.a, operator: in, value: [a, 1]", 'value.a in ["a", 1]'),
    "not_in": ("field: value.a, operator: not_in, value: [a]", '!(value.a in ["a"])'),
    "in a list": ("field: value.a, operator: in, value: lists.known", "value.a in lists.known"),
    "regex": ("field: value.a, operator: regex, value: '^a+$'", 'value.a.matches("^a+$")'),
    "exists": ("field: value.a, operator: exists", "has(value.a)"),
    "missing": ("field: value.a, operator: missing", "!has(value.a)"),
    "exists below": (
        "field: value.a.b, operator: exists",
        "has(value.a) && value.a != null && has(value.a.b)",
    ),
    "missing below": (
        "field: value.a.b, operator: missing",
        "!(has(value.a) && value.a != null && has(value.a.b))",
    ),
    "exists at a position": (
        "field: 'value.a[1]', operator: exists",
        "has(value.a) && value.a != null && size(value.a) > 1",
    ),
    "exists under an odd name": (
        "field: 'value[\"a-b\"].c', operator: exists",
        '"a-b" in value && value["a-b"] != null && has(value["a-b"].c)',
    ),
    "exists under a word of the language": (
        "field: value.in, operator: exists",
        '"in" in value',
    ),
    "a header": (
        "field: 'headers[\"x-id\"]', operator: exists",
        '"x-id" in headers',
    ),
    "a variable alone": ("field: key, operator: exists", "key != null"),
    "no variable alone": ("field: key, operator: missing", "!(key != null)"),
    "by position": ("field: 'value.a[0].b', operator: equals, value: 1", "value.a[0].b == 1"),
}


def lowered(directory: Path, rule: str) -> str:
    """The condition of a rule as CEL text."""
    (directory / "known.csv").write_text("a\n")
    (directory / "bundle.yaml").write_text("bundle: b\nlists: {known: known.csv}\n")
    (directory / "policy.yaml").write_text(f"{HEAD}  - {{id: a, effect: warn, {rule}}}\n")
    condition = load_directories(directory).policies[0].rules[0].condition
    assert condition is not None
    assert condition.expr == parse(condition.text)
    return condition.text


@pytest.mark.parametrize("name", ITEMS)
def test_structured_conditions_become_cel(name: str, tmp_path: Path) -> None:
    """Every operator, on paths of every kind."""
    written, expected = ITEMS[name]

    assert lowered(tmp_path, f"when: [{{{written}}}]") == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("when: 'value.a'", "value.a"),
        ("require: 'value.a'", "!value.a"),
        ("require: 'value.a == 1 || value.b'", "!(value.a == 1 || value.b)"),
        ("when: 'value.a && value.b', require: 'value.c'", "value.a && value.b && !value.c"),
        ("when: 'value.a || value.b', require: '!value.c'", "(value.a || value.b) && !!value.c"),
        ("when: ' value.a // why ', require: 'value.c'", "value.a && !value.c"),
        (
            "where: [{field: value.a, operator: exists}, {field: value.b, operator: equals, value: 1}]",
            "has(value.a) && value.b == 1",
        ),
        ("when: true, require: 'value.c'", "true && !value.c"),
    ],
)
def test_when_and_require_become_one_tree(rule: str, expected: str, tmp_path: Path) -> None:
    """A rule fires when `when` holds and `require` does not; lists mean that all must hold."""
    assert lowered(tmp_path, rule) == expected


@pytest.mark.parametrize(
    ("path", "value", "there"),
    [
        ("value.a", {}, False),
        ("value.a", {"a": None}, True),
        ("value.a.b.c", {}, False),
        ("value.a.b.c", {"a": None}, False),
        ("value.a.b.c", {"a": {}}, False),
        ("value.a.b.c", {"a": {"b": None}}, False),
        ("value.a.b.c", {"a": {"b": {"c": 0}}}, True),
        ("value.a[1]", {}, False),
        ("value.a[1]", {"a": None}, False),
        ("value.a[1]", {"a": [1]}, False),
        ("value.a[1]", {"a": [1, None]}, True),
        ("value.a[0].b", {"a": [None]}, False),
        ("value.a[0].b", {"a": [{"b": 1}]}, True),
        ('value["a-b"].c', {}, False),
        ('value["a-b"].c', {"a-b": None}, False),
        ('value["a-b"].c', {"a-b": {"c": 1}}, True),
        ("value", None, False),
        ("value", {}, True),
    ],
)
def test_a_missing_parent_is_no_error(path: str, value: object, there: bool) -> None:
    """`exists` is false and `missing` true wherever a parent is missing or null."""
    test = compile_exact(present(parse_path(path)))

    assert test({"value": value}) is there
