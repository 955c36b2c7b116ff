"""What a guard decides: conflicts, exemptions, modes, errors, and what bundles say themselves."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ConfigurationError, NoPolicyError
from streamwarden.policy import plan_table
from streamwarden.policy.cel.parser import NESTING_MAX
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Effect, Mode

MakeGuard = Callable[..., Guard]
_NOON = 1_772_366_400_000_000_000  # 2026-03-01T12:00:00Z


@pytest.fixture
def make_guard(tmp_path: Path) -> MakeGuard:
    """A guard on the policy documents given as text, with a clock that stands still."""

    def make(*documents: str, **settings: Any) -> Guard:
        for number, text in enumerate(documents):
            (tmp_path / f"{number}.yaml").write_text(text)
        settings.setdefault("clock", lambda: _NOON)
        return Guard.from_directory(tmp_path, **settings)

    return make


def policy(*rules: str, name: str = "p", owner: str = "team", more: str = "") -> str:
    """A policy document on topic `t` with one rule a line, in flow style."""
    listed = "".join(f"  - {rule}\n" for rule in rules)
    return f"policy: {name}\nowner: {owner}\ntopics: [t]\n{more}rules:\n{listed}"


def value(**fields: object) -> bytes:
    """A JSON value."""
    return json.dumps(fields).encode()


WARN = "{id: w, when: value.a > 1, effect: warn}"
HOLD = "{id: h, when: value.a > 2, effect: hold}"
REJECT = "{id: r, when: value.a > 3, effect: reject}"


@pytest.mark.parametrize(
    ("a", "effect", "rules"),
    [
        (1, Effect.ALLOW, []),
        (2, Effect.WARN, ["w"]),
        (3, Effect.HOLD, ["w", "h"]),
        (4, Effect.REJECT, ["w", "h", "r"]),
    ],
)
def test_the_strictest_effect_wins_and_all_matches_are_recorded(
    make_guard: MakeGuard, a: int, effect: Effect, rules: list[str]
) -> None:
    """Every rule that fired is listed, also those that did not win."""
    guard = make_guard(policy(WARN, HOLD, REJECT))

    decision = guard.decide(topic="t", value=value(a=a))

    assert decision.effect is effect
    assert [match.rule for match in decision.matches] == rules
    assert decision.passes is (a < 3)


def test_approval_first_lets_a_person_override_a_rejection(make_guard: MakeGuard) -> None:
    """With that resolution a firing hold beats a firing reject, and nothing else does."""
    guard = make_guard(
        "bundle: b\nresolution: approval_first\n",
        policy(HOLD, "{id: r, when: value.b, effect: reject}"),
    )

    assert guard.decide(topic="t", value=value(a=3, b=True)).effect is Effect.HOLD
    assert guard.decide(topic="t", value=value(a=0, b=True)).effect is Effect.REJECT


@pytest.mark.parametrize(
    ("on_error", "effect", "counted"),
    [
        ("fire", Effect.REJECT, "reject"),
        ("skip", Effect.ALLOW, "none"),
        ("warn", Effect.WARN, "warn"),
        ("hold", Effect.HOLD, "hold"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_does_as_on_error_says(
    make_guard: MakeGuard, on_error: str, effect: Effect, counted: str
) -> None:
    """A missing field counts as fired by default; the error rides on the match either way."""
    guard = make_guard(
        policy(f"{{id: r, when: value.a > 1, effect: reject, on_error: {on_error}}}")
    )

    decision = guard.decide(topic="t", value=b"{}")

    assert decision.effect is effect
    (match,) = decision.matches
    assert match.effect == counted
    assert match.error is not None


def test_absorption_holds_across_when_and_require(make_guard: MakeGuard) -> None:
    """`when` that is false decides, whatever `require` cannot read; and the other way round."""
    guard = make_guard(policy("{id: r, when: value.a > 1, require: value.b, effect: reject}"))

    assert guard.decide(topic="t", value=value(a=0)).effect is Effect.ALLOW
    assert guard.decide(topic="t", value=value(b=True)).effect is Effect.ALLOW
    assert guard.decide(topic="t", value=value(a=2)).effect is Effect.REJECT
    assert guard.decide(topic="t", value=value(b=False)).effect is Effect.REJECT


TARGET = "{id: limit, when: value.a > 1, effect: reject, exemptible_by: [treasury]}"


def test_an_exemption_lifts_the_rules_it_names_and_says_so(make_guard: MakeGuard) -> None:
    """Lifted matches are recorded and do not count."""
    guard = make_guard(
        policy(TARGET),
        policy("{id: x, when: value.ok, exempts: [p/limit]}", name="q", owner="treasury"),
    )

    decision = guard.decide(topic="t", value=value(a=2, ok=True))

    assert decision.effect is Effect.ALLOW
    assert [(m.rule, m.effect, m.exempted_by) for m in decision.matches] == [
        ("limit", "reject", "q/x"),
        ("x", "exempt", None),
    ]
    assert guard.decide(topic="t", value=value(a=2, ok=False)).effect is Effect.REJECT


def test_an_exemption_that_fails_lifts_nothing_one_that_fires_lifts_failures(
    make_guard: MakeGuard,
) -> None:
    """An error is never a way past a rule; a target that fired by error is lifted like any."""
    guard = make_guard(policy(TARGET, "{id: x, when: value.ok, exempts: [limit]}"))

    assert guard.decide(topic="t", value=value(a=2)).effect is Effect.REJECT
    assert guard.decide(topic="t", value=value(ok=True)).effect is Effect.ALLOW


def test_a_shadow_exemption_lifts_nothing(make_guard: MakeGuard) -> None:
    """Shadow is recorded, never acted on, in both directions."""
    guard = make_guard(policy(TARGET, "{id: x, when: value.ok, exempts: [limit], mode: shadow}"))

    assert guard.decide(topic="t", value=value(a=2, ok=True)).effect is Effect.REJECT


@pytest.mark.parametrize("where", ["rule", "policy", "bundle", "guard"])
def test_the_weakest_mode_wins_wherever_it_stands(make_guard: MakeGuard, where: str) -> None:
    """A shadow match is listed, and the event passes."""
    rule = "{id: r, when: value.a > 1, effect: reject%s}"
    guard = make_guard(
        f"bundle: b\nmode: {'shadow' if where == 'bundle' else 'enforce'}\n",
        policy(
            rule % (", mode: shadow" if where == "rule" else ""),
            more="mode: shadow\n" if where == "policy" else "",
        ),
        mode="shadow" if where == "guard" else None,
    )

    decision = guard.decide(topic="t", value=value(a=2))

    assert decision.effect is Effect.ALLOW
    assert decision.shadowed
    assert [match.mode for match in decision.matches] == [Mode.SHADOW]


def test_a_guard_in_shadow_says_so_in_the_stamp(make_guard: MakeGuard) -> None:
    """A replay has to know that nothing was acted on."""
    guard = make_guard(policy(REJECT), mode="shadow")

    (record,) = guard.route(topic="t", value=value(a=9)).records

    assert record.topic == "t"
    stamp = dict(record.headers)["streamwarden"]
    assert stamp is not None
    assert stamp.endswith(b";allow;produce;mode=shadow")


def test_rules_that_are_off_are_not_there(make_guard: MakeGuard) -> None:
    """Neither evaluated nor listed."""
    guard = make_guard(policy("{id: r, when: value.a > 1, effect: reject, mode: off}"))

    decision = guard.decide(topic="t", value=value(a=2))

    assert decision.effect is Effect.NONE
    assert decision.to_dict()["evaluated"] == 0


@pytest.mark.parametrize(
    ("setting", "effect"),
    [("warn", Effect.NONE), ("allow", Effect.NONE), ("reject", Effect.REJECT)],
)
def test_a_topic_without_policy_is_as_the_bundle_says(
    make_guard: MakeGuard, setting: str, effect: Effect, caplog: pytest.LogCaptureFixture
) -> None:
    """Uncovered topics are stamped `none`, or refused; `warn` tells of each once, up to a number."""
    guard = make_guard(f"bundle: b\nuncovered: {setting}\n", policy(REJECT))

    for _ in range(3):
        assert guard.decide(topic="other", value=b"{}").effect is effect
    told = [record.getMessage() for record in caplog.records]
    for number in range(40):
        guard.decide(topic=f"other{number}", value=b"{}")

    assert told == (
        ["no policy of b@0 covers the topic `other`: its events pass, stamped `none`"]
        if setting == "warn"
        else []
    )
    assert len(caplog.records) == (20 if setting == "warn" else 0)
    assert setting != "warn" or "only counted" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1}x', b'{"a": "\xff"}', b"[" * 100_000])
def test_undecodable_values_are_a_decision_never_an_exception(
    make_guard: MakeGuard, data: bytes
) -> None:
    """Rejected by default, with a reason that holds nothing of the value."""
    guard = make_guard(policy(WARN))

    decision = guard.decide(topic="t", value=data)

    assert decision.effect is Effect.REJECT
    assert decision.undecodable is not None
    assert [match.rule for match in decision.matches] == ["undecodable"]


def test_rules_on_headers_run_whatever_the_value_is(make_guard: MakeGuard) -> None:
    """With `undecodable: allow` only the rules that read the value are left out."""
    guard = make_guard(
        "bundle: b\nundecodable: allow\n",
        policy(REJECT, '{id: src, when: \'headers["source"] == "x"\', effect: warn}'),
    )

    decision = guard.decide(topic="t", value=b"{", headers=[("source", b"x")])

    assert decision.effect is Effect.WARN
    assert [match.rule for match in decision.matches] == ["src"]
    assert decision.undecodable is not None


@pytest.mark.parametrize(
    ("setting", "effect", "rules"),
    [
        ("allow", Effect.ALLOW, []),
        ("check", Effect.REJECT, ["r"]),
        ("reject", Effect.REJECT, ["r", "tombstone"]),
    ],
)
def test_tombstones_are_as_the_bundle_says(
    make_guard: MakeGuard, setting: str, effect: Effect, rules: list[str]
) -> None:
    """Allowed, evaluated with a null value, or refused."""
    guard = make_guard(f"bundle: b\ntombstones: {setting}\n", policy(REJECT))

    decision = guard.decide(topic="t", value=None)

    assert decision.effect is effect
    assert [match.rule for match in decision.matches] == rules


@pytest.mark.parametrize(
    ("bundle", "own", "other", "effect"),
    [
        ("allow", "check", "allow", Effect.REJECT),
        ("allow", "reject", "allow", Effect.REJECT),
        ("check", "reject", "check", Effect.REJECT),
        ("allow", "allow", "allow", Effect.ALLOW),
        ("allow", "allow", "check", Effect.ALLOW),
    ],
)
def test_a_policy_may_be_stricter_about_tombstones(
    make_guard: MakeGuard, bundle: str, own: str, other: str, effect: Effect
) -> None:
    """`check` runs the rules of that policy alone on a null value; those of others stay out."""
    guard = make_guard(
        f"bundle: b\ntombstones: {bundle}\n",
        policy(REJECT, more=f"tombstones: {own}\n"),
        policy(
            "{id: w, when: value.b, effect: warn, on_error: skip}",
            name="q",
            more=f"tombstones: {other}\n",
        ),
    )

    assert guard.decide(topic="t", value=None).effect is effect


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_a_policy_that_is_not_enforced_refuses_no_tombstone(
    make_guard: MakeGuard, mode: str
) -> None:
    """What is only tried, or switched off, is never acted on, its `tombstones` included."""
    guard = make_guard(
        policy(REJECT),
        policy(REJECT, name="q", more=f"mode: '{mode}'\ntombstones: reject\n"),
    )

    assert guard.decide(topic="t", value=None).effect is Effect.ALLOW


def test_effective_dates_are_judged_by_the_guards_clock(make_guard: MakeGuard) -> None:
    """From is inclusive, until exclusive; the caller's timestamp decides nothing."""
    clock = [_NOON]
    guard = make_guard(
        policy(REJECT, more="effective: {from: 2026-03-02, until: 2026-03-03}\n"),
        clock=lambda: clock[0],
    )
    day = 86_400_000_000_000

    def effect(at: int) -> Effect:
        clock[0] = at
        return guard.decide(topic="t", value=value(a=9), timestamp=_NOON // 1_000_000 + 1).effect

    assert effect(_NOON) is Effect.NONE
    assert effect(_NOON + day // 2 - 1) is Effect.NONE
    assert effect(_NOON + day // 2) is Effect.REJECT
    assert effect(_NOON + day // 2 + day - 1) is Effect.REJECT
    assert effect(_NOON + day // 2 + day) is Effect.NONE


def test_a_hash_mask_without_a_key_refuses_to_start(make_guard: MakeGuard) -> None:
    """A guard that needs a mask key and has none is a configuration error."""
    rule = "{id: m, when: has(value.s), effect: mask, mask: [{field: value.s, with: hash}]}"

    with pytest.raises(ConfigurationError, match="no mask key"):
        make_guard(policy(rule))
    guard = make_guard(policy(rule), mask_keys={"k1": b"0" * 16})

    (record,) = guard.route(topic="t", value=b'{"s": "secret", "n": 1.50}').records

    assert record.value is not None
    assert record.value.startswith(b'{"s": "h:k1:')
    assert record.value.endswith(b'", "n": 1.50}')


def test_what_cannot_be_masked_never_passes(make_guard: MakeGuard) -> None:
    """A mask rule that reads no value still needs one that it can mask."""
    guard = make_guard(
        "bundle: b\nundecodable: allow\n",
        policy("{id: m, effect: mask, mask: [{field: value.s, with: redact}]}"),
    )

    assert guard.decide(topic="t", value=b'{"s": "x"').effect is Effect.REJECT
    assert guard.decide(topic="t", value=b'{"s": "x"}').effect is Effect.MASK
    assert guard.decide(topic="t", value=b"{}").effect is Effect.MASK
    assert guard.decide(topic="t", value=None).effect is Effect.MASK


def test_a_guard_without_policy_refuses_to_decide_unless_told() -> None:
    """Fail closed by default; `fail_open` passes everything, stamped `none`."""
    with pytest.raises(NoPolicyError):
        Guard().decide(topic="t", value=b"{}")

    assert Guard(no_policy="fail_open").decide(topic="t", value=b"{}").effect is Effect.NONE


def test_decisions_say_what_the_documented_json_says(make_guard: MakeGuard) -> None:
    """The decision as JSON, field by field."""
    guard = make_guard(policy(REJECT), client_id="checkout", labels={"team": "risk"})

    said = guard.decide(topic="t", value=value(a=4), key=b"k", timestamp=5).to_dict()

    assert said == {
        "v": 1,
        "id": said["id"],
        "at": _NOON // 1_000_000,
        "effect": "reject",
        "mode": "enforce",
        "bundle": guard.bundle.label,
        "digest": guard.bundle.digest,
        "language": 1,
        "stage": "produce",
        "event": {
            "topic": "t",
            "partition": None,
            "offset": None,
            "timestamp": 5,
            "key": "k",
            "sha256": sha256(value(a=4)).hexdigest(),
        },
        "schema": None,
        "guard": {"client": "checkout", "labels": {"team": "risk"}, "version": "0.1.0"},
        "evaluated": 1,
        "matched": 1,
        "matches": [
            {
                "policy": "p",
                "rule": "r",
                "effect": "reject",
                "mode": "enforce",
                "exempted_by": None,
                "reason": "value.a > 3",
                "severity": None,
                "remediation": None,
                "owner": "team",
                "class": None,
                "error": None,
                "why": {
                    "expr": "value.a > 3",
                    "result": True,
                    "parts": [{"expr": "value.a", "path": "value.a", "value": 4}],
                },
            }
        ],
        "remediation": [],
    }


def test_a_swap_changes_the_version_between_two_events(
    make_guard: MakeGuard, tmp_path: Path
) -> None:
    """The next event is decided by the new version, and says so."""
    guard = make_guard(policy(REJECT))
    before = guard.decide(topic="t", value=value(a=4))
    (tmp_path / "0.yaml").write_text(policy(WARN))

    guard.swap(Guard.from_directory(tmp_path).bundle)
    after = guard.decide(topic="t", value=value(a=4))

    assert (before.effect, after.effect) == (Effect.REJECT, Effect.WARN)
    assert before.digest != after.digest


@pytest.mark.parametrize(
    "condition",
    [
        " + ".join(f"value.a{n}" for n in range(NESTING_MAX - 3)) + " > 1",
        "value.a == " + "[" * (NESTING_MAX - 3) + "1" + "]" * (NESTING_MAX - 3),
    ],
)
def test_what_may_be_written_can_be_decided_deep_in_a_service(
    make_guard: MakeGuard, condition: str
) -> None:
    """A condition as deep as the limit allows leaves half of the stack to the caller."""
    guard = make_guard(policy(f"{{id: deep, when: '{condition}', effect: warn}}"))

    def called(frames: int) -> dict[str, Any]:
        if frames:
            return called(frames - 1)
        return guard.decide(topic="t", value=value(b=1)).to_dict()

    assert called(sys.getrecursionlimit() // 2 - 100)["effect"] == "warn"


def test_the_clock_is_read_in_whole_milliseconds(make_guard: MakeGuard) -> None:
    """Records keep no more: what a rule says of `now` is what it says in a replay."""
    rule = "{id: r, when: 'now > timestamp(\"2026-03-01T12:00:00Z\")', effect: reject}"
    guard = make_guard(policy(rule), clock=lambda: _NOON + 999_999)

    decision = guard.decide(topic="t", value=b"{}")

    assert (guard.now(), decision.event.now) == (_NOON, _NOON)
    assert decision.effect == Effect.ALLOW


@pytest.mark.parametrize("collecting", [True, False])
def test_making_a_plan_leaves_the_garbage_collector_as_it_was(
    make_guard: MakeGuard, collecting: bool
) -> None:
    """It pauses for the time of a compilation, and only where it runs."""
    guard = make_guard(policy(WARN))
    before = gc.isenabled()
    try:
        gc.enable() if collecting else gc.disable()
        guard.decide(topic="t", value=value(a=1))
        after = gc.isenabled()
    finally:
        gc.enable() if before else gc.disable()

    assert after is collecting


def test_nobody_waits_until_a_large_plan_is_looked_through(
    make_guard: MakeGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The garbage collector takes what was made for old, and has next to nothing to look at."""
    monkeypatch.setattr(plan_table, "_MANY", 1000)
    rules = [
        f"{{id: r{n}, when: value.a > {n} && value.b{n} != 1, effect: warn}}" for n in range(200)
    ]
    guard = make_guard(policy(*rules))
    young: list[int] = []

    def started(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generations = range(info["generation"] + 1)
            young.append(sum(len(gc.get_objects(generation=each)) for each in generations))

    before, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.enable()
    gc.collect()
    gc.callbacks.append(started)
    try:
        made = guard.decide(topic="t", value=value(a=100))
        gc.collect(1)
    finally:
        gc.callbacks.remove(started)
        gc.enable() if before else gc.disable()

    assert len(made.matches) == 100
    assert gc.get_freeze_count() == frozen
    assert max(young) < 5000


EVERYTHING = "policy: all\nowner: o\ntopics: ['*']\nrules: [{id: r, effect: reject}]\n"


def test_no_glob_matches_topics_of_the_guards_own(make_guard: MakeGuard) -> None:
    """An exact name does."""
    exact = "policy: exact\nowner: o\ntopics: [ledger]\nrules: [{id: x, effect: warn}]\n"
    guard = make_guard(EVERYTHING, exact, own_topics=["bundles", "ledger"])

    effects = [guard.decide(topic=t, value=b"{}").effect for t in ("bundles", "log", "ledger")]

    assert effects == [Effect.NONE, Effect.REJECT, Effect.WARN]


def test_the_topic_of_a_store_is_the_guards_own(tmp_path: Path) -> None:
    """A bundle that is published to it is no event for its own rules."""
    (tmp_path / "p.yaml").write_text(EVERYTHING)
    bundle = Guard.from_directory(tmp_path).bundle
    guard = Guard.from_url("kafka://127.0.0.1:1/policy.bundles?bundle=payments")
    guard.swap(bundle)

    effects = [guard.decide(topic=t, value=b"{}").effect for t in ("policy.bundles", "payments")]

    assert effects == [Effect.NONE, Effect.REJECT]
    guard.close()


def test_a_decision_that_is_printed_shows_nothing_of_the_event(tmp_path: Path) -> None:
    """Decisions end up in logs."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules: [{id: all, effect: warn}]\n"
    )
    guard = Guard.from_directory(tmp_path)

    decision = guard.decide(topic="t", value=b'"secret"', key=b"secret", headers=[("h", b"secret")])

    assert "secret" not in repr(decision)
    assert repr(decision).startswith("<Decision warn on t by ")
