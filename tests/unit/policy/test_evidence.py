"""What a trail says below `exists`, `all`, `exists_one` and `cel.bind`: what decided, and no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.cel import parse
from streamwarden.policy.evidence import steps_of
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Path as Place
from streamwarden.policy.paths import parse_path
from streamwarden.policy.privacy import Privacy

ITEMS: list[dict[str, Any]] = [
    {"name": "pen", "price": 2, "lines": [1, 2]},
    {"name": "ink", "price": 7, "lines": [3, 40]},
    {"name": "ink", "price": 9, "lines": []},
]
KNOWN: dict[str, object] = {
    "value": {"items": ITEMS, "by": {"a": {"n": 1}, "b c": {"n": 5}}, "least": 5, "none": []}
}


def trail(text: str, known: dict[str, object] | None = None, *secret: Place) -> dict[str, Any]:
    """The evidence of a condition."""
    return steps_of(parse(text), Privacy(secret)).evidence(KNOWN if known is None else known)


def decided(text: str) -> list[Any]:
    """What a trail says of elements: each with its condition's result, and single values read."""
    found: list[Any] = []

    def look(step: dict[str, Any]) -> None:
        if "element" in step:
            read = {p.get("path", p["expr"]): p["value"] for p in step["parts"] if "value" in p}
            single = {name: value for name, value in read.items() if not isinstance(value, list)}
            found.append((step["element"], step["result"], single))
        for part in step.get("parts") or ():
            look(part)

    look(trail(text))
    return found


DECIDED: list[tuple[str, list[Any]]] = [
    (
        "value.items.exists(i, i.price > value.least)",
        [(1, True, {"value.items[1].price": 7, "value.least": 5})],
    ),
    ("value.items.all(i, i.price < 9)", [(2, False, {"value.items[2].price": 9})]),
    ("value.items.exists(i, i.price > 9)", []),
    ("value.items.all(i, i.price > 0)", []),
    ("!value.items.exists(i, i.price == 9)", [(2, True, {"value.items[2].price": 9})]),
    ("value.none.exists(i, i.price > 9)", []),
    ("value.items.exists(k, v, k > 0 && v.price > 7)", [(2, True, {})]),
    ("value.by.exists(k, k != 'a')", [("b c", True, {"k": "b c"})]),
    ("value.by.exists(k, v, v.n == 5)", [("b c", True, {'value.by["b c"].n': 5})]),
    ("value.items.map(i, i.price).exists(p, p > 5)", [(1, True, {"p": 7})]),
    (
        "value.items.exists(i, i.lines.exists(l, l > 30))",
        [(1, True, {}), (1, True, {"value.items[1].lines[1]": 40})],
    ),
    (
        "value.items.exists(i, value.items.exists(j, j.price == i.price + 2))",
        [(1, True, {}), (2, True, {"value.items[2].price": 9, "i.price + 2": 9,
                                   "value.items[1].price": 7})],
    ),
    ("value.items.exists(i, i.gone > 1)", [(0, None, {"value.items[0].gone": None})]),
    ("value.items.exists(value, value.price > 7)", [(2, True, {"value.items[2].price": 9})]),
    ("value.items.exists(x, x.lines.all(x, x > 2))", [(1, True, {})]),
    # Of exactly one: that one; of more the first two, since they made it false; none of none.
    ("value.items.exists_one(i, i.price > 8)", [(2, True, {"value.items[2].price": 9})]),
    ("value.items.exists_one(i, i.price > 1)",
     [(0, True, {"value.items[0].price": 2}), (1, True, {"value.items[1].price": 7})]),
    ("!value.items.exists_one(i, i.name == 'ink')",
     [(1, True, {"value.items[1].name": "ink"}), (2, True, {"value.items[2].name": "ink"})]),
    ("value.items.exists_one(i, i.price > 9)", []),
    ("value.none.exists_one(i, i.price > 9)", []),
    ("value.items.exists_one(i, i.gone > 1)", [(0, None, {"value.items[0].gone": None})]),
    ("value.items.exists_one(i, i.price > 8 || i.lines[0] > 2)",
     [(1, True, {}), (2, True, {})]),
    ("value.items.exists_one(i, i.lines[0] > 2)", [(2, None, {"value.items[2].lines[0]": None})]),
    ("value.items.existsOne(k, v, k > 0 && v.price > 7)", [(2, True, {})]),
    ("value.by.exists_one(k, k != 'a')", [("b c", True, {"k": "b c"})]),
    ("value.by.existsOne(k, v, v.n > 0)",
     [("a", True, {"value.by.a.n": 1}), ("b c", True, {'value.by["b c"].n': 5})]),
    ("value.items.exists_one(i, i.lines.exists_one(l, l > 30))",
     [(1, True, {}), (1, True, {"value.items[1].lines[1]": 40})]),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "expected"), DECIDED)
def test_the_element_that_decided_is_told(condition: str, expected: list[Any]) -> None:
    """The first witness, the first counterexample, or the first that failed; else none."""
    assert decided(condition) == expected


LISTS: dict[str, object] = {
    **KNOWN,
    "lists": {"formulary": {"ink": {"max_mg": 4}}, "odd": [{"a b": {"ink": 9}}]},
}
COMPUTED = [
    ("lists.formulary[value.items[1].name].max_mg > 1", "lists.formulary[value.items[1].name].max_mg", 4),
    ('lists.odd[0]["a b"][value.items[2].name] > 1', 'lists.odd[0]["a b"][value.items[2].name]', 9),
    ("lists.formulary['in' + 'k'].max_mg > 1", 'lists.formulary["in" + "k"].max_mg', 4),
    ("value.items[1].lines[value.items[0].lines[0]] == 40", "value.items[1].lines[value.items[0].lines[0]]", 40),
    (
        "value.items.exists(i, i.name == 'ink' && lists.formulary[i.name].max_mg < i.price)",
        "lists.formulary[i.name].max_mg",
        4,
    ),
    (
        "value.items[value.least - 4].lines.exists(l, l > 30)",
        "value.items[value.least - 4].lines[1]",
        40,
    ),
    (
        "cel.bind(row, lists.formulary[value.items[1].name], row.max_mg > 1)",
        "lists.formulary[value.items[1].name].max_mg",
        4,
    ),
    ("has(lists.formulary[value.items[1].name].max_mg)", "lists.formulary[value.items[1].name].max_mg", True),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "path", "value"), COMPUTED)
def test_a_computed_key_stands_in_a_path_as_it_is_written(
    condition: str, path: str, value: object
) -> None:
    """Which entry of a list was looked up can be read; of the event nothing is filled in."""
    found: dict[str, object] = {}

    def look(step: dict[str, Any]) -> None:
        if "path" in step:
            found[step["path"]] = step.get("value", step.get("result"))
        for part in step.get("parts") or ():
            look(part)

    look(trail(condition, LISTS))

    assert found[path] == value
    assert not any("[]" in each for each in found)


def test_a_path_with_a_long_key_is_cut() -> None:
    """And a sensitive value in the key shows neither itself nor what it led to."""
    long = trail(f"value.by['{'a' * 400}' + value.items[0].name].n > 1")
    secret = ("value", "items", None, "name")

    hidden = trail("lists.formulary[value.items[1].name].max_mg > 1", LISTS, secret)

    assert max(len(part["path"]) for part in long["parts"]) == 300
    (read,) = hidden["parts"]
    assert read["path"] == "lists.formulary[value.items[1].name].max_mg"
    assert read["value"] == "***"
    assert "ink" not in json.dumps(hidden)


def test_an_element_far_down_is_not_looked_for() -> None:
    """Nor one that the loops of the rule are too long for."""
    known: dict[str, object] = {"value": {"l": [*range(1000), 1000]}}

    assert len(trail("value.l.exists(x, x == 999)", known)["parts"]) == 2
    assert len(trail("value.l.exists(x, x == 1000)", known)["parts"]) == 1
    assert len(trail("value.l.exists_one(x, x == 1000)", known)["parts"]) == 1
    assert len(trail("value.l.exists_one(x, x == 3 || x == 1000)", known)["parts"]) == 1
    for macro in ("exists", "exists_one"):
        deep = "value.l.exists(a, value.l.exists(b, value.l.exists(c, c < 0)))"
        found = trail(deep.replace("exists", macro), known)
        assert "more than" in found["error"]
        assert len(found["parts"]) == 1


@pytest.mark.parametrize(
    ("condition", "elements"),
    [
        ("value.l.exists(x, x > 3)", [4]),
        ("value.l.exists(x, x == 1200)", []),
        ("!value.l.all(x, x < 4)", [4]),
        ("value.l.exists_one(x, x == 7)", [7]),
        ("!value.l.exists_one(x, x > 900)", [901, 902]),
        ("!value.l.exists_one(x, x > 998)", []),
        ("!value.l.exists_one(x, x < 0)", []),
        ("!value.l.exists(x, x < 0)", []),
    ],
)
def test_that_the_rule_fired_saves_what_lies_far_down(condition: str, elements: list[int]) -> None:
    """The trail says of the nearer elements what it says otherwise."""
    known: dict[str, object] = {"value": {"l": list(range(1300))}}
    step = steps_of(parse(condition), Privacy([]))

    found = step.evidence(known, True)

    whole = found["parts"][0] if condition.startswith("!") else found
    assert whole["result"] is (not condition.startswith("!"))
    assert [part["element"] for part in whole["parts"] if "element" in part] == elements


def test_a_trail_of_loops_in_loops_ends() -> None:
    """It is cut where it has too many steps."""
    text = "value.l.exists(x, x > 1)"
    for _ in range(30):
        text = f"({text} && [1].exists(y, y > 0) && value.l.exists(z, z > 1))"

    found = json.dumps(trail(text, {"value": {"l": [2]}}))

    assert len(found) < 40_000
    assert '"cut": true' in found


# --------------------------------------------------------------------- secrets

SSN, PIN = "078-05-1120", 8317
PERSON = {
    "ssn": SSN,
    "pin": PIN,
    "name": "ann",
    "pins": [1111, PIN],
    "guesses": [{"pin": 2222, "n": "first"}, {"pin": PIN, "n": "second"}],
    "people": [{"ssn": "none", "name": "bob"}, {"ssn": SSN, "name": "cid", "tried": ["q", SSN]}],
    "accounts": {SSN: {"open": True}},
}
SENSITIVE: list[Place] = [
    ("value", "ssn"),
    ("value", "pin"),
    ("value", "people", None, "ssn"),
    ("value", "people", None, "tried"),
    ("value", "accounts"),
]


@pytest.mark.parametrize(
    "condition",
    [
        'cel.bind(s, value.ssn, s.contains("078"))',
        'cel.bind(s, value.ssn + "x", s.contains("078") && s != "")',
        'cel.bind(s, value.ssn, cel.bind(t, s, t.startsWith("078") || t == ""))',
        "value.people.exists(p, p.ssn == value.ssn)",
        "value.people.exists_one(p, p.ssn == value.ssn)",
        "!value.people.exists_one(p, p.ssn != '')",
        "value.people.exists_one(p, has(p.tried) && p.tried.exists_one(t, t == p.ssn))",
        'value.people.exists(p, p.ssn.startsWith("078"))',
        "value.people.exists(p, p.tried.exists(t, t == p.ssn))",
        "value.people.exists(i, p, i > 0 && p.tried.size() > 1 && p.tried[1] == value.ssn)",
        "!value.people.all(p, p.ssn == 'none')",
        "value.people.map(p, p.ssn).exists(s, s.contains('078'))",
        "value.people.filter(p, p.name == 'cid').exists(p, p.ssn.contains('078'))",
        "value.accounts.exists(k, k.startsWith('078'))",
        "value.accounts.exists(k, v, v.open)",
        "[value.ssn].exists(s, s.contains('078'))",
        "{value.ssn: 1}.exists(k, v, v == 1)",
        "[1].exists(n, value.accounts.exists(k, k.contains('078')) && n == 1)",
        "value.people[1].tried.exists(t, t.contains('078'))",
        "optional.of(value.ssn).optMap(s, s.contains('078')).orValue(false)",
    ],
)
def test_no_secret_gets_out_of_a_loop(condition: str) -> None:
    """Neither as an element, nor as what is made of it; the result itself is shown."""
    found = trail(condition, {"value": PERSON}, *SENSITIVE)

    assert found["result"] is True or "orValue" in condition
    text = json.dumps(found)
    assert SSN not in text
    assert "078-05" not in text


@pytest.mark.parametrize(
    "condition",
    [
        "lists.range(9000).exists(n, n == value.pin)",
        "value.pins.exists(n, n == value.pin)",
        "value.pins.exists_one(n, n == value.pin)",
        "!value.pins.exists_one(n, n != value.pin + 1)",
        "!value.pins.all(n, n != value.pin)",
        "value.pins.exists(k, n, n == value.pin && k > 0)",
        "value.guesses.exists(g, g.pin == value.pin && g.n != '')",
        "value.guesses.exists(g, [g.pin].exists(p, p == value.pin))",
        "value.pins.exists(n, [n + 1].exists(m, m == value.pin + 1))",
        "value.pins.exists(n, cel.bind(m, n, m == value.pin))",
        "[value.pin].exists(p, lists.range(9000).exists(n, n == p))",
        "cel.bind(p, value.pin, lists.range(9000).exists(n, n == p))",
    ],
)
def test_an_element_that_equals_a_secret_is_not_told(condition: str) -> None:
    """Which one it is would say what the secret is, though it is none itself."""
    found = trail(condition, {"value": PERSON}, *SENSITIVE)

    for step in _with_element(found):
        assert step["element"] in ("***", 0)
        assert all(part.get("value", "***") == "***" for part in step["parts"])
    text = json.dumps(found)
    assert str(PIN) not in text
    assert "second" not in text


@pytest.mark.parametrize(
    "condition",
    [
        "value.guesses.exists(g, g.pin == value.pin)",
        "value.guesses.size() > 0 && value.guesses.exists(g, g.pin == value.pin)",
        "value.guesses[1].n != '' && value.guesses.exists(g, g.pin == value.pin)",
        "value.guesses.all(g, g.n != '') && value.guesses.exists(g, g.pin == value.pin)",
        "value.guesses.exists(g, g.n == 'second') && value.guesses.exists(g, g.pin == value.pin)",
        "value.guesses.filter(g, g.n != '').exists(g, g.pin == value.pin)",
        "(value.guesses + value.guesses).exists(g, g.pin == value.pin)",
        "value.guesses.map(g, g.pin).exists(p, p == value.pin)",
        "value.guesses.filter(g, g.pin == value.pin).size() == 1",
        "cel.bind(all, value.guesses + [], all.exists(g, g.pin == value.pin))",
        "cel.bind(all, value.guesses, all.exists(g, g.pin == value.pin))",
        "(true ? value.guesses : []).exists(g, g.pin == value.pin)",
        "[value.guesses].exists(all, all.exists(g, g.pin == value.pin))",
        (
            "value.guesses.exists(g, g.pin == value.pin)"
            " && value.pins.exists(p, value.guesses.exists(g, g.pin == p))"
        ),
    ],
)
def test_a_list_is_not_shown_whole_where_its_elements_are_hidden(condition: str) -> None:
    """Not in another part of the condition either, nor what another loop over it would tell."""
    found = trail(condition, {"value": PERSON}, *SENSITIVE)

    assert found["result"] is True
    text = json.dumps(found).replace(condition, "")
    assert f'"value": {PIN}' not in text
    assert str(PIN) not in text
    assert '"n": "second"' not in text
    assert '"value": "second"' not in text


def test_a_reason_hides_what_its_trail_hides(tmp_path: Path) -> None:
    """A part of the list, or the whole of it; another field of the event is shown."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nsensitive: [value.pin]\nrules:\n"
        "  - id: a\n    when: value.guesses.exists(g, g.pin == value.pin)\n    effect: reject\n"
        "    reason: '{value.name} {value.guesses} {value.guesses[1].pin}'\n"
    )
    decision = Guard.from_directory(tmp_path).decide(topic="t", value=json.dumps(PERSON))

    assert decision.matches[0].reason == "ann *** ***"
    assert str(PIN).encode() not in decision.to_json()


def _with_element(step: dict[str, Any]) -> list[dict[str, Any]]:
    below = [each for part in step.get("parts") or () for each in _with_element(part)]
    return [step, *below] if "element" in step else below


def test_a_type_is_named_and_explains_itself() -> None:
    """It is no part of the event, unless a macro's variable is called so."""
    (asked, read) = trail("type(value.items) == list")["parts"]
    times = trail("type(value.least) == google.protobuf.Timestamp")["parts"]
    (_, element) = trail("value.items.exists(type, type.price > 8)")["parts"]
    (_, whole) = trail("value.items[1].lines.exists(map, map == 40)")["parts"]
    (_, net) = trail("value.items[1].lines.exists(net, net > 3)")["parts"]

    assert (asked["expr"], asked["value"]) == ("type(value.items)", "list")
    assert read["path"] == "value.items"
    assert [part["expr"] for part in times] == ["type(value.least)", "value.least"]
    assert element["parts"] == [{"expr": "type.price", "path": "value.items[2].price", "value": 9}]
    assert (whole["element"], whole["result"]) == (1, True)
    assert whole["parts"] == [{"expr": "map", "path": "value.items[1].lines[1]", "value": 40}]
    assert (net["element"], net["result"]) == (1, True)


def test_a_key_with_an_odd_name_is_written_as_rules_write_it() -> None:
    """So that the path can be copied into one."""
    value = {'a"b\\c': 1, "größe": 2, "x\n": 3}
    known: dict[str, object] = {"value": value}

    found = trail("value.all(k, v, v < 0)", known)["parts"][1]
    paths = [
        trail(f"value.exists(k, v, v == {number})", known)["parts"][1]["parts"][0]["path"]
        for number in (1, 2, 3)
    ]

    assert found["element"] == 'a"b\\c'
    assert paths == ['value["a\\"b\\\\c"]', 'value["größe"]', 'value["x\\u000a"]']
    assert [parse_path(path) for path in paths] == [("value", key) for key in value]


def test_of_an_element_only_what_is_sensitive_is_hidden() -> None:
    """Its index and other fields are shown, as they are for one element by itself."""
    condition = 'value.people.exists(p, p.ssn.startsWith("078") && p.name == "cid")'

    _, body = trail(condition, {"value": PERSON}, *SENSITIVE)["parts"]

    assert (body["element"], body["result"]) == (1, True)
    first, second = body["parts"]
    assert first["parts"] == [{"expr": "p.ssn", "path": "value.people[1].ssn", "value": "***"}]
    assert second["parts"] == [{"expr": "p.name", "path": "value.people[1].name", "value": "cid"}]


def test_the_place_of_a_sensitive_part_says_what_its_own_condition_says() -> None:
    """As for that element alone; where the whole element is sensitive, or a value elsewhere, it is hidden."""
    (alone,) = trail('value.people[1].ssn == "x"', {"value": PERSON}, *SENSITIVE)["parts"]
    _, looped = trail('value.people.exists(p, p.ssn == "none")', {"value": PERSON}, *SENSITIVE)[
        "parts"
    ]

    assert (alone["path"], alone["value"]) == ("value.people[1].ssn", "***")
    assert (looped["element"], looped["result"]) == (0, True)
    assert looped["parts"] == [{"expr": "p.ssn", "path": "value.people[0].ssn", "value": "***"}]
    for secret in (("value", "people", None), ("value", "people")):
        whole = trail('value.people.exists(p, p.name == "cid")', {"value": PERSON}, secret)
        assert [step["element"] for step in _with_element(whole)] == ["***"]
    elsewhere = trail("value.people.exists(p, p.name != value.ssn)", {"value": PERSON}, *SENSITIVE)
    assert [step["element"] for step in _with_element(elsewhere)] == ["***"]


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ('cel.bind(s, value.ssn, s.contains("123"))', False),
        ("value.ssn.isEmail()", False),
        ("cel.bind(s, value.ssn, s)", "***"),
        ("value.ssn", "***"),
        ("value.?ssn.orValue('')", "***"),
    ],
)
def test_the_result_of_a_condition_is_shown(condition: str, result: object) -> None:
    """It is a boolean; what may be a field itself is not."""
    assert trail(condition, {"value": PERSON}, *SENSITIVE)["result"] == result


def test_written_down_it_says_the_same(tmp_path: Path) -> None:
    """The decision as JSON has the element, with the secret masked."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nsensitive: ['value.people[].ssn']\nrules:\n"
        "  - {id: a, when: 'value.people.exists(p, p.ssn != \"none\")', effect: reject}\n"
        "  - {id: b, when: '!(value.people.all(p, p.name != \"cid\") || false)', effect: warn}\n"
    )
    decision = Guard.from_directory(tmp_path).decide(topic="t", value=json.dumps(PERSON))

    assert json.loads(decision.to_json()) == json.loads(json.dumps(decision.to_dict()))
    text = decision.to_json()
    assert text.count(b'"element":1') == 2
    assert b'"path":"value.people[1].name","value":"cid"' in text
    assert SSN.encode() not in text
