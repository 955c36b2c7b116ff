"""Documents are checked, tested, explained, shown and compared without any Kafka."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from .conftest import Run

CASES = """
tests: limits
cases:
  - note: a large payment waits
    topic: payments
    value: {amount: 60000, country: DE}
    expect: {effect: hold, rules: [over-limit, large]}
  - note: a wrong expectation
    topic: payments
    value: {amount: 2000, country: DE}
    expect: {effect: allow}
"""


def test_a_clean_directory_is_status_0(run: Run, policies: Path) -> None:
    """What was found is counted."""
    result = run("policy", "check", policies, "--ignore", "SW172,SW173")

    assert result.exit_code == 0
    assert "1 policy, 5 rules, 0 cases; no problems" in result.stdout


def test_all_problems_are_told_at_once(run: Run, policies: Path) -> None:
    """Of all files, with place, text, what to do, and the corrected line."""
    (policies / "a.yaml").write_text(
        "policy: a\nowner: o\ntopics: [t]\nrules:\n  - id: r\n    efect: hold\n    effect: hold\n"
        "    when: !value.blocked\n"
    )
    (policies / "b.yaml").write_text("policy: b\nowner: o\nrules: [{id: r, effect: warn}]\n")

    result = run("policy", "check", policies)

    assert result.exit_code == 2
    assert f"{policies}/a.yaml:6:5: error SW140: a rule has no key `efect`" in result.stdout
    assert "did you mean `effect`?" in result.stdout
    assert "write:     when: '!value.blocked'" in result.stdout
    assert f"{policies}/b.yaml:1:1: error SW141: a policy lacks `topics:`" in result.stdout
    assert "3 problems" in result.stderr


def test_problems_as_json_have_every_part(run: Run, policies: Path) -> None:
    """Nothing else is on stdout."""
    (policies / "b.yaml").write_text("policy: b\nowner: o\nrules: [{id: r, effect: warn}]\n")

    result = run("policy", "check", policies, "--json")

    said = json.loads(result.stdout)
    (problem,) = said["problems"]
    assert result.exit_code == 2
    assert (said["ok"], said["errors"], said["warnings"], said["bundle"]) == (False, 1, 0, None)
    assert problem == {
        "code": "SW141",
        "severity": "error",
        "file": f"{policies}/b.yaml",
        "line": 1,
        "column": 1,
        "message": "a policy lacks `topics:`",
        "text": "policy: b",
        "remedy": "add `topics:`",
        "corrected": None,
    }


def test_what_cannot_be_read_is_status_1(run: Run, policies: Path) -> None:
    """It says nothing about the policies in it."""
    (policies / "b.yaml").symlink_to("absent")

    assert run("policy", "check", policies).exit_code == 1


def test_an_overdue_review_is_told_and_switches_nothing_off(run: Run, policies: Path) -> None:
    """By check, and in the words of the policy."""
    path = policies / "limits.yaml"
    path.write_text(
        path.read_text().replace("owner: risk", "owner: risk\nreview: {by: 2020-01-01}")
    )

    checked, shown = run("policy", "check", policies), run("policy", "show", policies)

    assert checked.exit_code == 0
    assert "warning SW174: the review of policy `limits` was due by 2020-01-01" in checked.stdout
    assert "; 1 warning" in run("policy", "check", policies, "--ignore", "SW172,SW173").stdout
    assert run("policy", "check", policies, "--strict").exit_code == 2
    assert "OVERDUE" in shown.stdout
    assert json.loads(run("policy", "check", policies, "--json").stdout)["overdue"] == ["limits"]


def test_failed_cases_are_status_2_and_say_what_differs(run: Run, policies: Path) -> None:
    """Passed ones are shown with -v only."""
    (policies / "cases.yaml").write_text(CASES)

    result, verbose = run("policy", "test", policies), run("policy", "test", policies, "-v")

    assert result.exit_code == 2
    assert "FAIL" in result.stdout
    assert "limits: a wrong expectation" in result.stdout
    assert "the effect is warn, not allow: limits/large: value.amount > 1000" in result.stdout
    assert "2 cases in" in result.stdout
    assert "1 passed, 1 failed" in result.stdout
    assert "a large payment waits" not in result.stdout
    assert "ok    " in verbose.stdout
    assert "a large payment waits" in verbose.stdout


def test_cases_can_be_chosen(run: Run, policies: Path) -> None:
    """By note, policy, or both; none that fits is a mistake."""
    (policies / "cases.yaml").write_text(CASES)

    assert run("policy", "test", policies, "--run", "a large*").exit_code == 0
    assert run("policy", "test", policies, "--run", "limits/a large*").exit_code == 0
    assert run("policy", "test", policies, "--run", "limits").exit_code == 2
    assert run("policy", "test", policies, "--run", "x*").exit_code == 1


def test_cases_are_reported_as_json_and_junit(run: Run, policies: Path, tmp_path: Path) -> None:
    """A CI server reads the latter."""
    (policies / "cases.yaml").write_text(CASES)

    result = run("policy", "test", policies, "--json", "--junit", tmp_path / "junit.xml")

    said = json.loads(result.stdout)
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert (said["ok"], said["cases"], said["passed"], said["failed"]) == (False, 2, 1, 1)
    assert [each["passed"] for each in said["results"]] == [True, False]
    assert said["results"][1]["effect"] == "warn"
    assert said["results"][1]["line"] == 8
    assert suite.get("tests") == "2"
    assert [case.get("name") for case in suite.iter("testcase")] == [
        "a large payment waits",
        "a wrong expectation",
    ]
    assert len(list(suite.iter("failure"))) == 1


def test_no_cases_is_no_failure(run: Run, policies: Path) -> None:
    """It is said, since somebody may have forgotten them."""
    result = run("policy", "test", policies)

    assert result.exit_code == 0
    assert "there is no case" in result.stderr


def test_policies_that_cannot_be_loaded_are_told_as_check_does(run: Run, tmp_path: Path) -> None:
    """By every command that needs them."""
    (tmp_path / "p.yaml").write_text("policy: p\n")

    for command in (["policy", "test"], ["policy", "show"], ["bundle", "build", "--policies"]):
        result = run(*command, tmp_path)

        assert result.exit_code == 1
        assert "p.yaml:1:1: error SW141: a policy lacks `owner:`" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["policy", "test", "{}"],
        ["policy", "show", "{}"],
        ["policy", "explain", "{}", "-t", "t", "--value", "{{}}"],
        ["policy", "diff", "{}", "{}"],
        ["bundle", "build", "--policies", "{}"],
        ["bundle", "publish", "--policies", "{}", "--store", "dir:{}/store", "--yes"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_policies_that_cannot_be_loaded_are_told_as_json_as_check_does(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    """So that a program need not read words."""
    (tmp_path / "p.yaml").write_text("policy: p\n")
    checked = run("policy", "check", tmp_path, "--json")

    result = run(*(word.format(tmp_path) for word in command), "--json")

    said = json.loads(result.stdout)
    assert said == json.loads(checked.stdout)
    assert [problem["code"] for problem in said["problems"]] == ["SW141"] * 3
    assert (said["ok"], result.exit_code) == (False, 1)


def test_an_event_is_explained_with_its_values(run: Run, policies: Path) -> None:
    """The tree has each condition and what it was decided on; sensitive fields are hidden."""
    event = '{"amount":60000,"country":"DE","card":"4111111111111111"}'

    result = run("policy", "explain", policies, "-t", "payments", "--value", event)

    assert result.exit_code == 2
    assert "hold  payments at stage produce, by payments@0" in result.stdout
    assert "limits/over-limit (high, risk)" in result.stdout
    assert "amount 60000 is over the limit" in result.stdout
    assert "✓ value.amount > 50000" in result.stdout
    assert "value.amount = 60000" in result.stdout
    assert "in shadow mode, not acted on" in result.stdout
    assert "→ ask the risk desk" in result.stdout
    assert "5 rules apply, 4 fired" in result.stdout
    assert "4111111111111111" not in result.stdout
    assert "sanctioned" not in result.stdout


def test_one_rule_is_one(run: Run, tmp_path: Path) -> None:
    """In number and verb."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules: [{id: r, effect: warn, when: value.a > 1}]\n"
    )

    result = run("policy", "explain", tmp_path, "-t", "t", "--value", '{"a": 2}')

    assert "1 rule applies, 1 fired" in result.stdout


@pytest.mark.parametrize("what", [("-t", "t", "--value", '{"a": 2}'), ("--plan",)])
def test_a_hash_is_explained_without_a_key(run: Run, tmp_path: Path, what: tuple[str, ...]) -> None:
    """No hash is shown, so that no secret is asked for."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        "  - {id: r, effect: mask, when: value.a > 1, mask: [{field: value.a, with: hash}]}\n"
    )

    result = run("policy", "explain", tmp_path, *what)

    assert result.exit_code == 0
    assert "p/r" in result.stdout


def test_rules_that_did_not_fire_are_explained_on_request(run: Run, policies: Path) -> None:
    """With what they were decided on."""
    result = run(
        "policy", "explain", policies, "-t", "payments", "--all", "--value", '{"country":"DE"}'
    )

    assert "limits/sanctioned did not fire" in result.stdout
    assert 'value.country = "DE"' in result.stdout


def test_an_explanation_as_json_is_the_decision(run: Run, policies: Path) -> None:
    """And, with --all, the rules that did not fire."""
    arguments = (
        "policy",
        "explain",
        policies,
        "-t",
        "payments",
        "--json",
        "--value",
        '{"amount":1}',
    )

    said, everything = (json.loads(run(*arguments, *more).stdout) for more in ([], ["--all"]))

    assert said["effect"] == "allow"
    assert said["evaluated"] == 5
    assert "unfired" not in said
    assert [each["rule"] for each in everything["unfired"]] == [
        "over-limit", "large", "tried-out", "card",
    ]  # fmt: skip


def test_an_event_comes_from_a_file_a_line_or_standard_input(
    run: Run, policies: Path, tmp_path: Path
) -> None:
    """A file is one event, however many lines it has."""
    pretty, lines = tmp_path / "pretty.json", tmp_path / "events.jsonl"
    pretty.write_text('{\n  "amount": 60000,\n  "country": "DE"\n}\n')
    lines.write_text('{"amount":1}\n{"amount":60000,"country":"DE"}\n')
    common = ("policy", "explain", policies, "-t", "payments", "--json")

    def effect(*arguments: object, stdin: bytes = b"") -> str:
        said = json.loads(run(*common, *arguments, stdin=stdin).stdout)
        return str(said["effect"])

    assert effect(pretty) == "hold"
    assert effect(lines, "--line", 2) == "hold"
    assert effect(lines) == "reject"  # two values are no JSON
    assert effect("-", stdin=b'{"amount":60000,"country":"DE"}') == "hold"
    assert run(*common, lines, "--line", 3).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-t", "payments"], "give a FILE or --value"),
        (["-t", "payments", "--value", "1", "x.json"], "give a FILE or --value"),
        (["--value", "1"], "say --topic"),
        (["-t", "payments", "absent.json"], "cannot read `absent.json`"),
        (["--format", "record", "--value", "{}"], "no `value`"),
    ],
)
def test_an_explanation_of_nothing_is_a_wrong_call(
    run: Run, policies: Path, arguments: list[str], words: str
) -> None:
    """Status 1, and what to say instead."""
    result = run("policy", "explain", policies, *arguments)

    assert result.exit_code == 1
    assert words in result.stderr


def test_hostile_content_is_shown_escaped(run: Run, policies: Path) -> None:
    """Neither control characters nor markup reach the terminal."""
    event = json.dumps({"amount": 60000, "country": "\x1b[31m[bold]x\u202e"})

    result = run("policy", "explain", policies, "-t", "payments", "--all", "--value", event)

    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "[bold]x" in result.stdout


def test_policies_are_shown_as_sentences(run: Run, policies: Path) -> None:
    """With whose they are, and what is told to people."""
    result = run("policy", "show", policies)

    assert result.exit_code == 0
    assert "Owned by risk." in result.stdout
    assert (
        "over-limit (high) holds an event when amount is greater than 50,000, until one person"
        in result.stdout
    )
    assert "rejects an event when country is on the list sanctioned" in result.stdout
    assert "Where it cannot be decided, the rule does not count." in result.stdout
    assert "masks card (all but the last four characters) when card is present" in result.stdout
    assert not any(line.endswith(" ") for line in result.stdout.split("\n"))


def test_policies_are_shown_as_cel_and_json(run: Run, policies: Path) -> None:
    """JSON is the documents as they were written."""
    cel, text = (
        run("policy", "show", policies, "--as", "cel"),
        run("policy", "show", policies, "--json"),
    )

    assert "limits/sanctioned  reject\n    when: value.country in lists.sanctioned" in cel.stdout
    said = json.loads(text.stdout)
    assert said["policies"][0]["rules"][0]["when"] == "value.amount > 50000"
    assert said["lists"] == {"sanctioned": ["KP", "SY"]}
    assert run("policy", "show", policies, "--policy", "absent").exit_code == 1


def test_two_sets_of_policies_are_compared(run: Run, policies: Path, tmp_path: Path) -> None:
    """Rule by rule and list by list; status 2 only where it was asked for."""
    other = tmp_path / "other"
    other.mkdir()
    for path in policies.iterdir():
        (other / path.name).write_text(
            path.read_text().replace("50000", "10000").replace("SY", "IR")
        )

    result = run("policy", "diff", policies, other)
    said = json.loads(run("policy", "diff", policies, other, "--json").stdout)

    assert result.exit_code == 0
    assert "~ rule limits/over-limit changed" in result.stdout
    assert "when: value.amount > 50000 → value.amount > 10000" in result.stdout
    assert "- SY" in result.stdout
    assert "+ IR" in result.stdout
    assert [(each["kind"], each["subject"], each["name"]) for each in said["changes"]] == [
        ("changed", "list", "sanctioned"),
        ("changed", "rule", "limits/over-limit"),
    ]
    assert run("policy", "diff", policies, other, "--exit-code").exit_code == 2
    assert run("policy", "diff", policies, policies, "--exit-code").exit_code == 0
    assert json.loads(run("policy", "diff", policies, policies, "--json").stdout)["same"] is True


def test_codes_are_explained(run: Run) -> None:
    """One, or all of them."""
    one, every = run("policy", "explain-code", "sw104"), run("policy", "explain-code")

    assert one.stdout.startswith("SW104: not YAML\nThe text does not follow YAML 1.2")
    assert "SW104: not YAML" in every.stdout
    assert "SW140: unknown key" in every.stdout
    assert json.loads(run("policy", "explain-code", "SW104", "--json").stdout)["code"] == "SW104"


def test_a_diff_says_what_it_means_and_for_which_events(
    run: Run, policies: Path, tmp_path: Path
) -> None:
    """Tightened where that can be proved; cases and events that come out differently are told."""
    (policies / "cases.yaml").write_text(CASES)
    other, events = tmp_path / "other", tmp_path / "events.jsonl"
    shutil.copytree(policies, other)
    limits = other / "limits.yaml"
    limits.write_text(limits.read_text().replace("> 50000", "> 1500"))
    events.write_text('{"amount": 1600, "country": "DE"}\n{"amount": 1, "country": "DE"}\n')

    result = run("policy", "diff", policies, other, "--events", events, "-t", "payments")
    said = json.loads(
        run(
            "policy", "diff", policies, other, "--events", events, "-t", "payments", "--json"
        ).stdout
    )

    assert "~ rule limits/over-limit changed: tightened (fires on more events)" in result.stdout
    assert "payments.jsonl" not in result.stdout
    assert f"! {events}:1: warn → hold" in result.stdout
    assert "limits: a wrong expectation: warn → hold" in result.stdout
    assert "of 2 cases and 2 events, 2 decide differently" in result.stdout
    assert said["verdict"] == said["changes"][0]["verdict"] == "tightened"
    assert said["changes"][0]["because"] == ["fires on more events"]
    assert (said["events"]["cases"], said["events"]["different"]) == (2, 2)
    assert said["events"]["differences"][1]["after"]["rules"] == [
        *("limits/over-limit", "limits/large")
    ]


def test_a_copy_in_another_folder_decides_no_event_differently(
    run: Run, policies: Path, tmp_path: Path
) -> None:
    """What the bundle itself says of an event counts without the bundle's name."""
    copy, events = tmp_path / "copy", tmp_path / "events.jsonl"
    shutil.copytree(policies, copy)
    (copy / "bundle.yaml").write_text(
        (copy / "bundle.yaml").read_text().replace("payments", "copy")
    )
    events.write_text('{"amount": 60000, "country": "DE"}\nnonsense\n')

    arguments = ("--events", events, "-t", "payments", "--exit-code")
    result = run("policy", "diff", policies, copy, *arguments)

    assert "of 2 events, 0 decide differently" in result.stdout
    assert "reject" not in result.stdout


def test_a_diff_of_stored_versions(run: Run, policies: Path, tmp_path: Path) -> None:
    """By number, after `#` or `@`."""
    store = f"dir:{tmp_path / 'store'}"
    limits = policies / "limits.yaml"
    run("bundle", "publish", "--policies", policies, "--store", store, "--yes", "--no-tests")
    limits.write_text(limits.read_text().replace("> 50000", "> 70000"))
    run("bundle", "publish", "--policies", policies, "--store", store, "--yes", "--no-tests")

    result = run("policy", "diff", f"{store}#1", f"{store}@2")

    assert "~ rule limits/over-limit changed: loosened (fires on fewer events)" in result.stdout


def test_events_of_a_diff_need_a_topic(run: Run, policies: Path) -> None:
    """A line that is no event ends it, with its place."""
    (policies.parent / "events").write_text("nothing\n")

    alone = run("policy", "diff", policies, policies, "--events", policies.parent / "events")
    record = ["--format", "record"]
    bad = run("policy", "diff", policies, policies, "--events", policies.parent / "events", *record)

    assert alone.exit_code == 1
    assert "no topic was named" in alone.stderr
    assert "events:1: the line is no JSON" in bad.stderr


def test_a_file_of_several_events_is_asked_which(run: Run, policies: Path, tmp_path: Path) -> None:
    """One that is an event in several lines is none of these."""
    many, one = tmp_path / "many.jsonl", tmp_path / "one.json"
    many.write_text('{"amount": 1}\n{"amount": 2}\n')
    one.write_text('{"amount": 1,\n "country": "DE"}\n')
    explain = ("policy", "explain", policies, "-t", "payments")

    whole, line, spread = (
        run(*explain, many),
        run(*explain, many, "--line", 2),
        run(*explain, one),
    )

    assert "hint: the file has several lines; where each is an event, say which --line" in (
        whole.stderr
    )
    assert (line.stderr, spread.stderr) == ("", "")
