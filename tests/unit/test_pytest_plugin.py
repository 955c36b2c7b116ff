"""The pytest plugin and what it gives, in a pytest of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode

import pytest

from streamwarden import GuardedProducer
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, PolicyError
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import load_directories
from streamwarden.testing import FakeGuard, PolicyAssertions, explained

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

POLICY = """
policy: limits
owner: risk
topics: [payments]
sensitive: [value.iban]
rules:
  - id: over-limit
    when: value.amount > 50000 && value.country != "US"
    effect: hold
    reason: too much
  - id: sanctioned
    when: value.country == "KP"
    effect: reject
    reason: no payments to {value.country}
  - id: card
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: last4}]
  - id: iban
    when: value.iban == "secret"
    on_error: skip
    effect: warn
"""

HASHED = """
policy: cards
owner: risk
topics: [cards]
rules:
  - {id: hashed, when: has(value.card), effect: mask, mask: [{field: value.card, with: hash}]}
"""

TESTS = """
import pytest

def test_by_the_setting(streamwarden_policies):
    streamwarden_policies.assert_held({"amount": 60000, "country": "DE"}, topic="payments")

@pytest.mark.streamwarden(topic="payments", mode="shadow")
def test_by_the_marker(streamwarden_policies, streamwarden_guard):
    assert streamwarden_policies.guard is streamwarden_guard
    streamwarden_policies.assert_allowed({"amount": 60000, "country": "DE"})

@pytest.mark.streamwarden("policies", topic="payments")
def test_that_fails(streamwarden_policies):
    streamwarden_policies.assert_rejected({"amount": 2, "country": "DE"}, rule="sanctioned")

def test_a_handler(streamwarden_fake_guard):
    streamwarden_fake_guard.answer("reject", when="value.n > 1")
    assert not streamwarden_fake_guard.decide(topic="t", value='{"n": 2}').passes
"""


@pytest.fixture
def policies(tmp_path_factory: pytest.TempPathFactory) -> PolicyAssertions:
    folder = tmp_path_factory.mktemp("policies")
    (folder / "limits.yaml").write_text(POLICY)
    return PolicyAssertions(Guard(load_directories([folder])), topic="payments")


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "streamwarden.pytest_plugin", *arguments)


def test_the_fixtures_read_setting_and_marker(pytester: pytest.Pytester) -> None:
    """A failure shows what the rule saw, and nothing of the plugin's inside."""
    pytester.makeini("[pytest]\nstreamwarden_policies = policies\naddopts = --strict-markers\n")
    pytester.mkdir("policies").joinpath("limits.yaml").write_text(POLICY)
    pytester.makepyfile(TESTS)

    result = run(pytester)

    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*the effect should be reject by `sanctioned`",
            "*the effect is allow (policies@0, *; topic payments, produce)",
            "*limits/sanctioned (did not fire)",
            '*value.country == "KP": false',
            '*value.country: "DE"',
        ]
    )


def test_a_wrong_marker_or_setting_is_told_without_a_traceback(pytester: pytest.Pytester) -> None:
    """What is wrong and what to do, each on its own line, and nothing of the plugin's inside."""
    pytester.makeini("[pytest]\nstreamwarden_policies = policies\n")
    pytester.mkdir("policies").joinpath("limits.yaml").write_text(POLICY)
    markers = {
        "directory": "'nowhere'",
        "keyword": "topik='payments'",
        "unlike": "zzz=1",
        "mode": "mode='loud'",
        "schemas": "schemas='nowhere'",
        "number": "5",
        "topic": "topic=3",
    }
    lines = [
        f"@pytest.mark.streamwarden({marker})\ndef test_{name}(streamwarden_policies): pass\n"
        for name, marker in markers.items()
    ]
    pytester.makepyfile("import pytest\n" + "".join(lines))

    result = run(pytester, "-p", "no:cacheprovider")

    said = result.stdout.str()
    result.assert_outcomes(errors=len(markers))
    assert "pytest_plugin.py" not in said
    assert "the guard of `test_directory` cannot be made: 1 problem in the policies" in said
    assert "there is no such directory" in said
    assert "`@pytest.mark.streamwarden`: there is no `topik`; did you mean `topic`?" in said
    assert "there is no `zzz`; there are topic, mode, " in said
    assert "`loud` is no mode; use enforce, shadow or off" in said
    assert "nowhere`; give a directory of schemas" in said
    assert "`5` is no directory of policies" in said
    assert "`topic=3` names no topic" in said


def test_each_setting_is_that_of_the_nearest_marker(pytester: pytest.Pytester) -> None:
    """What the nearest does not say, those around it say; a path lies below the root directory."""
    pytester.mkdir("policies").joinpath("limits.yaml").write_text(HASHED)
    pytester.path.joinpath("keys.yaml").write_text(f"k1: {b64encode(bytes(range(32))).decode()}\n")
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.streamwarden("policies", topic="cards", mask_keys="keys.yaml")
        CARD = {"card": "4111"}

        def test_the_module(streamwarden_policies):
            decision = streamwarden_policies.assert_masked(CARD)
            assert b'"h:k1:' in decision.masked_value

        @pytest.mark.streamwarden(mode="shadow")
        def test_shadow(streamwarden_policies):
            streamwarden_policies.assert_allowed(CARD)

        @pytest.mark.streamwarden(topic="other")
        class TestOther:
            def test_topic(self, streamwarden_policies):
                assert streamwarden_policies.decide(CARD).effect.value == "none"

            @pytest.mark.streamwarden(topic="cards")
            def test_nearer(self, streamwarden_policies):
                assert b'"h:k1:' in streamwarden_policies.assert_masked(CARD).masked_value

        @pytest.mark.streamwarden(mask_keys=None)
        def test_without_keys(streamwarden_policies):
            streamwarden_policies.assert_masked(CARD)
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*test_without_keys* cannot be made: rule `cards/hashed` masks*"])


def test_hashes_need_no_key_of_a_service(pytester: pytest.Pytester) -> None:
    """A test is no place for secrets; which key was taken shows."""
    pytester.makeini("[pytest]\nstreamwarden_policies = policies\n")
    pytester.mkdir("policies").joinpath("limits.yaml").write_text(HASHED)
    pytester.makepyfile(
        """
        def test_it(streamwarden_policies):
            decision = streamwarden_policies.assert_masked({"card": "4111"}, topic="cards")
            assert b'"h:replay:' in decision.masked_value
        """
    )

    run(pytester).assert_outcomes(passed=1)


def test_a_failure_prints_no_event(pytester: pytest.Pytester) -> None:
    """Neither the frames that hold it nor the trail, in which it is masked."""
    pytester.mkdir("policies").joinpath("limits.yaml").write_text(POLICY)
    pytester.makepyfile(
        events=f"IBAN = {'GB' + '123'!r}\nEVENT = dict(amount=1, country='DE', iban=IBAN)\n",
        test_it="""
            import pytest
            from events import EVENT

            @pytest.mark.streamwarden("policies", topic="payments")
            @pytest.mark.parametrize("check", ["rejected", "warned"])
            def test_that_fails(streamwarden_policies, check):
                getattr(streamwarden_policies, f"assert_{check}")(EVENT, rule="iban")
        """,
    )

    result = run(pytester, "--tb=long")

    result.assert_outcomes(failed=2)
    shown = result.stdout.str()
    assert "GB123" not in shown
    assert "testing.py" not in shown
    assert shown.count('value.iban: "***"') >= 2  # in its summary pytest may say it once more


def test_without_policies_it_says_what_to_set(pytester: pytest.Pytester) -> None:
    """Instead of an error from within."""
    pytester.makepyfile("def test_it(streamwarden_policies): pass")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no policies were named; set `streamwarden_policies` or mark*"])


def test_the_plugin_imports_nothing_that_is_not_asked_for() -> None:
    """No Kafka client, no policies: pytest starts as fast as without it."""
    script = (
        "import sys, streamwarden.pytest_plugin\n"
        "slow = ('confluent_kafka', 'pydantic', 'ruamel', 'rich', 'msgspec', 'fastavro')\n"
        "print([name for name in slow if name in sys.modules])\n"
        "print([name for name in sys.modules if name.startswith('streamwarden.policy')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n[]\n"


# ------------------------------------------------------------------ assertions


def test_each_effect_has_its_assertion(policies: PolicyAssertions) -> None:
    """They give the decision, for what else there is to look at."""
    policies.assert_allowed({"amount": 1, "country": "DE"})
    policies.assert_warned({"amount": 1, "country": "DE", "iban": "secret"}, rule="iban")
    policies.assert_held(b'{"amount": 50001, "country": "DE"}', rule="limits/over-limit")
    policies.assert_rejected('{"amount": 1, "country": "KP"}', reason="payments to KP")
    policies.assert_passes({"amount": 1, "country": "DE", "card": "4111111111111111"})
    decision = policies.assert_masked(
        {"amount": 1, "country": "DE", "card": "4111111111111111"},
        rule="card",
        masked={"card": "************1111", "country": "DE", "amount": 1},
        key="k",
        headers={"source": "test"},
    )

    assert decision.event.key == b"k"


KP = {"amount": 1, "country": "KP"}
CARD = {"amount": 1, "country": "DE", "card": "12345678"}


@pytest.mark.parametrize(
    ("check", "value", "more", "said"),
    [
        ("allowed", KP, {}, "should be allow"),
        ("rejected", KP, {"rule": "over-limit"}, "limits/over-limit (did not fire)"),
        ("rejected", KP, {"rule": "gone"}, "`gone` applies here; there are over-limit, sanctioned"),
        ("rejected", KP, {"reason": "else"}, "a reason should contain 'else'"),
        ("passes", {"country": "DE"}, {}, "the event should pass"),
        ("masked", CARD, {"masked": 1}, 'value is {"amount": 1, "country": "DE", "card": "****56'),
        (
            "masked",
            CARD,
            {"masked": {**CARD, "x": 2}},
            'value.card is "****5678", not "12345678"; ',
        ),
        (
            "masked",
            CARD,
            {"masked": b"no JSON"},
            "the masked value should be b'no JSON'; it is b'{",
        ),
        ("rejected", {"amount": 1}, {}, "say `errors=['limits/sanctioned']` where that is meant"),
        ("rejected", {"amount": 1}, {"rule": "sanctioned"}, "no such key: `country`"),
        (
            "rejected",
            {},
            {"errors": ["sanctioned"]},
            "are `limits/over-limit`, `limits/sanctioned`",
        ),
        ("rejected", KP, {"errors": ["sanctioned"]}, "['sanctioned']; they are `limits/iban`"),
        ("allowed", b"{", {}, "the value cannot be decoded"),
    ],
)
def test_a_failure_says_what_was_expected_and_what_is(
    policies: PolicyAssertions, check: str, value: object, more: dict[str, object], said: str
) -> None:
    """With the why-trail."""
    with pytest.raises(AssertionError) as failure:
        getattr(policies, f"assert_{check}")(value, **more)

    assert said in str(failure.value)


def test_a_rule_that_failed_has_to_be_expected(policies: PolicyAssertions) -> None:
    """Otherwise a typo in the event of a test passes for what the rule is there for."""
    policies.assert_rejected(
        {"amount": 1}, errors=["limits/sanctioned", "iban"], rule="limits/sanctioned"
    )
    policies.assert_rejected({"country": "KP"}, rule="sanctioned", reason="payments to KP")

    with pytest.raises(AssertionError, match="comes only from what could not be evaluated"):
        policies.assert_rejected({"amount": 1}, reason="could not be evaluated")
    with pytest.raises(ConfigurationError, match="no list of rules"):
        policies.assert_rejected({"amount": 1}, errors="sanctioned")


def test_sensitive_values_are_not_shown(policies: PolicyAssertions) -> None:
    """A failing test is read by more people than the event."""
    decision = policies.decide({"amount": 1, "country": "DE", "iban": "GB123"})

    assert "GB123" not in explained(decision, "iban")
    assert "***" in explained(decision, "iban")


def test_an_event_needs_a_topic(policies: PolicyAssertions) -> None:
    """From the call, or from the beginning."""
    with pytest.raises(ConfigurationError, match="no topic"):
        PolicyAssertions(policies.guard).decide({})


# ------------------------------------------------------------------ fake guard


def test_a_fake_guard_answers_as_it_is_told() -> None:
    """Everything else passes; `reset` begins anew."""
    with FakeGuard() as guard:
        guard.answer("hold", topic="pay*", when="value.n > 1", rule="big", reason="{n} is big")
        guard.answer("mask", mask={"value.card": "last4"})
        one = guard.decide(topic="payments", value=json.dumps({"n": 2}))
        other = guard.decide(topic="else", value=json.dumps({"n": 2, "card": "12345678"}))

        assert (one.effect.value, one.reasons()) == ("hold", "fake-1/big: {n} is big")
        assert other.masked_value == b'{"n": 2, "card": "****5678"}'
        assert list(guard.decisions) == [one, other]

        guard.reset()
        assert guard.decide(topic="payments", value="no JSON at all").effect.value == "allow"
        assert len(guard.decisions) == 1


def test_a_malformed_answer_changes_nothing() -> None:
    """It is told as a malformed policy is."""
    guard = FakeGuard()

    with pytest.raises(PolicyError):
        guard.answer("reject", when="value.n >")

    assert guard.decide(topic="t", value="{}").passes


def test_a_fake_guard_is_a_guard_for_producers(embedded_broker: EmbeddedBroker) -> None:
    """What it refuses is parked, as ever."""
    guard = FakeGuard()
    guard.answer("reject", when="value.n > 1")
    for topic in ("t", "quarantine.t"):
        embedded_broker.create_topic(topic)
    settings = {"bootstrap.servers": embedded_broker.bootstrap}
    with GuardedProducer(settings, guard=guard) as producer:
        for number in (1, 2):
            producer.produce("t", value=json.dumps({"n": number}).encode())

    assert [decision.effect.value for decision in guard.decisions] == ["allow", "reject"]
