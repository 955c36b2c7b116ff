"""What is said of a change holds on every event: nothing that was refused passes after `tightened`."""

from __future__ import annotations

import copy
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamwarden.errors import PolicyError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.cel import CelSyntaxError, compile_exact, parse
from streamwarden.policy.diff_conditions import ALL, Lists, State, outcomes
from streamwarden.policy.diff_meaning import Verdict, meanings, overall
from streamwarden.policy.loader import load_directories
from streamwarden.policy.plan_table import PlanTable
from streamwarden.schemas.event import Event

NOW = 1_767_225_600_000_000_000
FIELDS = ("value.a", "value.b", "value.c.d", "key")
CONSTANTS = ("1", "2", "3", "1.0", "2.5", '"x"', '"y"', "null", "true", "-1", "9007199254740993")
VALUES: list[Any] = [
    *(0, 1, 2, 3, -1, 1.0, 2.5, 2**53, 2**53 + 1, 9e15),
    *("x", "y", "12345678", None, True, [1], {"d": 2}),
]

Json = dict[str, Any]


def condition(draw: random.Random, depth: int = 2) -> str:
    """A random condition, of which about half is understood by the comparison."""
    kind = draw.randrange(9 if depth else 6)
    field = draw.choice(FIELDS)
    if kind == 0:
        return f"{field} {draw.choice(('<', '<=', '>', '>='))} {draw.choice(CONSTANTS)}"
    if kind == 1:
        return f"{draw.choice(CONSTANTS)} {draw.choice(('<', '>='))} {field}"
    if kind == 2:
        chosen = ", ".join(draw.sample(CONSTANTS, draw.randint(1, 4)))
        return f"{field} in [{chosen}]"
    if kind == 3:
        return f"{field} {draw.choice(('==', '!='))} {draw.choice(CONSTANTS)}"
    if kind == 4:
        return f"{field} in lists.{draw.choice(('one', 'table'))}"
    if kind == 5:
        return draw.choice(("has(value.a)", "true", "false", "value.flag", "size(value.b) > 1"))
    if kind == 6:
        return f"!({condition(draw, depth - 1)})"
    sign = " && " if kind == 7 else " || "
    return sign.join(f"({condition(draw, depth - 1)})" for _ in range(draw.randint(2, 3)))


def varied(draw: random.Random, text: str) -> str:
    """A condition that has something to do with `text`."""
    choice = draw.randrange(6)
    if choice == 0:
        return f"{text} && {condition(draw, 1)}" if "||" not in text else f"({text}) && value.flag"
    if choice == 1:
        return f"({text}) || {condition(draw, 1)}"
    if choice == 2:
        for constant in draw.sample(CONSTANTS, len(CONSTANTS)):
            if constant in text:
                return text.replace(constant, draw.choice(CONSTANTS), 1)
    if choice == 3:
        return text.replace("]", f", {draw.choice(CONSTANTS)}]", 1)
    if choice == 4:
        return text.replace(draw.choice(("<", ">")), draw.choice(("<=", ">=")), 1).replace(
            "==", "="
        )
    return condition(draw)


def a_list(draw: random.Random) -> list[Any]:
    return draw.sample([1, 2, 3, "x", "y", None, True, 2.5], draw.randint(0, 5))


def a_table(draw: random.Random) -> Json:
    return dict.fromkeys(draw.sample(["x", "y", "1", "2"], draw.randint(0, 3)), 1)


def known(draw: random.Random, lists: Json) -> Json:
    value = {name: draw.choice(VALUES) for name in ("a", "b", "flag") if draw.random() < 0.8}
    if draw.random() < 0.8:
        value["c"] = {"d": draw.choice(VALUES)} if draw.random() < 0.8 else draw.choice(VALUES)
    return {"value": value, "key": draw.choice(["x", "y", None]), "lists": lists}


@given(st.integers(0, 2**64))
def test_impossible_pairs_of_outcomes_never_happen(seed: int) -> None:
    """Whatever two conditions are said not to do together, they do on no event."""
    draw = random.Random(seed)
    text = condition(draw)
    other = varied(draw, text)
    try:
        old, new = parse(text), parse(other)
    except CelSyntaxError:
        return  # not every edit of a text is a condition
    before = {"one": a_list(draw), "table": a_table(draw)}
    after = {
        "one": a_list(draw) if draw.random() < 0.5 else [*before["one"], "z"],
        "table": a_table(draw) if draw.random() < 0.5 else before["table"],
    }
    possible = outcomes(old, new, Lists.of(before, after))
    first, second = compile_exact(old), compile_exact(new)

    def state(found: object) -> State:
        return ("T" if found else "F") if isinstance(found, bool) else "E"

    for _ in range(40 if possible != ALL else 1):
        event = known(draw, before)
        pair = (state(first(event)), state(second({**event, "lists": after})))

        assert pair in possible, (text, other, event, after)


# --------------------------------------------------------------------- bundles


def a_rule(draw: random.Random, name: str) -> Json:
    if draw.random() < 0.2:
        return {"id": name, "when": condition(draw), "exempts": ["r0"]}
    effect = draw.choice(("warn", "mask", "hold", "reject"))
    rule: Json = {"id": name, "when": condition(draw), "effect": effect}
    if effect == "mask":
        rule["mask"] = [a_mask(draw)]
    if draw.random() < 0.3:
        rule["on_error"] = draw.choice(("skip", "reject", "warn", "hold"))
    if draw.random() < 0.2:
        rule["require"] = condition(draw)
    return rule


def a_mask(draw: random.Random) -> Json:
    field = draw.choice(("value.a", "value.b", "value.c", "value.c.d"))
    return {"field": field, "with": draw.choice(("last4", "redact", "drop"))}


def a_bundle(draw: random.Random) -> Json:
    policies: list[Json] = [
        {
            "policy": f"p{number}",
            "owner": "o",
            "topics": ["t"],
            "rules": [{**a_rule(draw, "r0"), "exemptible_by": ["o"]}, a_rule(draw, "r1")],
        }
        for number in range(draw.randint(1, 2))
    ]
    for policy in policies:
        first = policy["rules"][0]
        if "exempts" in first:
            del first["exempts"], first["exemptible_by"]
            first["effect"] = "hold"
    settings: Json = {"bundle": "b", "lists": {"one": "one.json", "table": "table.json"}}
    if draw.random() < 0.2:
        settings["resolution"] = "approval_first"
    return {
        "settings": settings,
        "policies": policies,
        "one": a_list(draw) or [1],
        "table": a_table(draw) or {"x": 1},
    }


def mutated(draw: random.Random, whole: Json) -> Json:
    """The bundle with one thing changed."""
    new = copy.deepcopy(whole)
    policy = draw.choice(new["policies"])
    rule = draw.choice(policy["rules"])

    def on_rule(key: str, *values: object) -> Callable[[], None]:
        return lambda: rule.update({key: draw.choice(values)})

    def on_policy(key: str, *values: object) -> Callable[[], None]:
        return lambda: policy.update({key: draw.choice(values)})

    def condition_changes() -> None:
        rule["when"] = varied(draw, rule["when"])

    edits: list[Callable[[], None]] = [
        *[condition_changes] * 6,
        on_rule("effect", "warn", "hold", "reject") if "effect" in rule else condition_changes,
        on_rule("on_error", "fire", "skip", "warn", "reject"),
        on_rule("mode", "shadow", "off", "enforce"),
        on_rule("reason", "because"),
        lambda: rule.get("mask", []).append(a_mask(draw)),
        on_policy("topics", ["t"], ["t", "u"], ["u"], ["*"]),
        on_policy("stages", ["produce"], ["consume"], ["produce", "consume", "reconcile"]),
        on_policy("effective", {"from": "2025-01-01"}, {"until": "2025-06-01"}),
        on_policy("mode", "shadow", "enforce"),
        on_policy("tombstones", "check", "reject"),
        lambda: policy["rules"].append(a_rule(draw, "r2")),
        policy["rules"].pop,
        lambda: new["one"].append("z"),
        lambda: new.update(one=a_list(draw) or [1]),
        lambda: new.update(table=a_table(draw) or {"x": 1}),
        lambda: new["settings"].update(mode="shadow"),
        lambda: new["settings"].update(undecodable="allow"),
        lambda: new["settings"].update(uncovered="reject"),
        lambda: new["settings"].update(tombstones="reject"),
        lambda: new["settings"].update(resolution=draw.choice(["approval_first", "strictest"])),
        lambda: new["policies"].append({**a_bundle(draw)["policies"][0], "policy": "p9"}),
    ]
    draw.choice(edits)()
    return new


def loaded(whole: Json) -> Bundle | None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bundle.yaml").write_text(json.dumps(whole["settings"]))
        for name in ("one", "table"):
            (root / f"{name}.json").write_text(json.dumps(whole[name]))
        for number, policy in enumerate(whole["policies"]):
            (root / f"{number}.yaml").write_text(json.dumps(policy))
        try:
            return load_directories([root])
        except PolicyError:
            return None  # not every edit makes valid policies


def an_event(draw: random.Random) -> Event:
    """One whose value can be decoded: nothing is claimed of others."""
    tombstone = draw.random() < 0.15
    value = None if tombstone else json.dumps(known(draw, {})["value"]).encode()
    key = draw.choice([b"x", b"y", None])
    return Event(draw.choice(["t", "t", "t", "u"]), value, key, [], None, NOW, None, None, None)


@given(st.integers(0, 2**64))
def test_what_is_claimed_of_a_change_holds_on_every_event(seed: int) -> None:
    """Both ways, on random bundles, changes and events."""
    draw = random.Random(seed)
    whole = a_bundle(draw)
    changed = mutated(draw, whole)
    if draw.random() < 0.3:
        changed = mutated(draw, changed)
    before, after = loaded(whole), loaded(changed)
    if before is None or after is None:
        return
    verdict = overall(meanings(before, after))
    if verdict is Verdict.CHANGED:
        return
    old, new = PlanTable(before, replay=True), PlanTable(after, replay=True)
    by_rank = "approval_first" not in (before.settings.resolution, after.settings.resolution)
    for _ in range(30):
        event, stage = an_event(draw), draw.choice(["produce", "consume"])
        was, now = (
            table.plan(event.topic, stage, NOW).decide(event).effect for table in (old, new)
        )
        if verdict is Verdict.SAME:
            assert (was.passes, was.rank > 1) == (now.passes, now.rank > 1)
            continue
        milder, stricter = (now, was) if verdict is Verdict.LOOSENED else (was, now)

        assert milder.passes or not stricter.passes, (verdict, event)
        if by_rank:
            assert max(milder.rank, 1) <= max(stricter.rank, 1), (verdict, event)
