"""The report: verdict, exit status, the JSON object, and the first sentence."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from streamwarden._version import __version__
from streamwarden.reconciler.reading import Gap
from streamwarden.reconciler.report import Report
from streamwarden.reconciler.slices import Partition, Slice
from streamwarden.reconciler.tally import SliceReport, merge_all
from streamwarden.reconciler.text import first_sentence, render

from .pages import with_rows
from .test_tally import account, finding

PART = Partition("t", 0, False, 0, 0, 20, 0)


def report(
    found: dict[int, str] | None = None,
    gaps: list[Gap] | None = None,
    part: Partition = PART,
    **more: Any,
) -> Report:
    """A report on one partition in two slices."""
    halves: list[SliceReport] = []
    for index, first in enumerate((0, 10)):
        inside = [finding(o, k) for o, k in (found or {}).items() if first <= o < first + 10]
        cut = [
            Gap(max(gap.first, first), min(gap.end, first + 10), gap.reason)
            for gap in gaps or []
            if gap.first < first + 10 and gap.end > first
        ]
        halves.append(account(Slice(index, "t", 0, first, first + 10), inside, cut))
    return Report("b@2", "d" * 64, (part,), with_rows(merge_all(halves)), 1.23456, **more)


def test_the_json_object() -> None:
    """Every key that others build on."""
    known = {"p/r": {"policy": "p", "rule": "r", "owner": "risk", "severity": "high"}}
    made = report(
        {3: "now-rejected", 12: "unchecked"},
        [Gap(8, 11, "transaction")],
        catalogue=known,
        started=1_772_366_400_000,
        command="streamwarden reconcile --topic t",
    )

    said = made.to_dict()

    shown = [example.pop("finding") for c in said["causes"] for example in c["examples"]]
    assert [(f["kind"], f["offset"]) for f in shown] == [("now-rejected", 3), ("unchecked", 12)]
    assert said == {
        "v": 1,
        "verdict": "drift",
        "complete": True,
        "events": 20,
        "parked": 0,
        "counts": {
            "forged": 0,
            "misrecorded": 0,
            "unchecked": 1,
            "overridden": 0,
            "undecidable": 0,
            "now-rejected": 1,
            "now-held": 0,
            "now-masked": 0,
            "now-allowed": 0,
        },
        "drift": {"now-rejected": 1, "now-held": 0, "now-masked": 0},
        "unverifiable": 0,
        "partitions": [
            {
                "topic": "t",
                "partition": 0,
                "first": 0,
                "end": 20,
                "covered": 20,
                "pending": 0,
                "gaps": [{"from": 8, "to": 11, "reason": "transaction"}],
                "start": 0,
            }
        ],
        "causes": [
            {
                "kind": "now-rejected",
                "count": 1,
                "rule": "p/r",
                "change": "",
                "drift": "now-rejected",
                "stamped": "b@1",
                "examples": [{"topic": "t", "partition": 0, "offset": 3}],
            },
            {
                "kind": "unchecked",
                "count": 1,
                "rule": "p/r",
                "change": "",
                "drift": None,
                "stamped": "b@1",
                "examples": [{"topic": "t", "partition": 0, "offset": 12}],
            },
        ],
        "causes_omitted": 0,
        "topics": {"t": {"now-rejected": 1, "unchecked": 1}},
        "days": [{"day": "1970-01-01", "events": 0, "counts": {"now-rejected": 1, "unchecked": 1}}],
        "rules": [{**known["p/r"], "counts": {"now-rejected": 1, "unchecked": 1}}],
        "policies": {"p": {"now-rejected": 1, "unchecked": 1}},
        "owners": {"risk": {"now-rejected": 1, "unchecked": 1}},
        "versions": {"b@1": {"now-rejected": 1, "unchecked": 1}},
        "bundle": "b@2",
        "digest": "d" * 64,
        "started": 1_772_366_400_000,
        "seconds": 1.235,
        "asked": {},
        "command": "streamwarden reconcile --topic t",
        "version": __version__,
    }


@pytest.mark.parametrize(
    ("made", "verdict", "status"),
    [
        (report(), "clean", 0),
        (report({1: "overridden", 2: "now-allowed"}), "clean", 0),
        (report({1: "undecidable"}), "drift", 2),
        (report({1: "forged"}, [Gap(5, 6, "unread")]), "drift", 2),
        (report(gaps=[Gap(5, 6, "unread")]), "incomplete", 1),
        (report(gaps=[Gap(0, 6, "retention")]), "incomplete", 1),
        (report({1: "now-allowed"}, [Gap(5, 6, "unread")]), "incomplete", 1),
        (report(gaps=[Gap(5, 6, "transaction"), Gap(7, 9, "compacted")]), "clean", 0),
        (report(part=Partition("t", 0, False, 5, 0, 20, 0)), "clean", 0),
        (report(part=Partition("t", 0, False, 0, 0, 20, 0, taken=True)), "incomplete", 1),
        (report(part=Partition("t", 0, False, 0, 0, 20, 0, problem="no leader")), "incomplete", 1),
        (report(problems=("something else",)), "incomplete", 1),
    ],
)
def test_verdict_and_exit_status(made: Report, verdict: str, status: int) -> None:
    """0 clean, 2 drift, 1 incomplete without drift; never clean what was not read."""
    assert (made.verdict, made.exit_status()) == (verdict, status)
    assert made.to_dict()["verdict"] == verdict


def test_fail_on_chooses_what_counts() -> None:
    """Kinds that are asked for count, also those that are no drift, and no others."""
    made = report({1: "overridden", 2: "unchecked"})

    assert made.exit_status() == 2
    assert made.exit_status(["overridden"]) == 2
    assert made.exit_status(["forged", "now-rejected"]) == 0
    assert report({2: "unchecked"}, [Gap(5, 6, "unread")]).exit_status(["forged"]) == 1


def test_findings_are_counted_by_topic() -> None:
    """What the metrics take."""
    assert report({1: "forged", 2: "forged"}).counts_by_topic() == {"t": {"forged": 2}}


def test_the_first_sentence_says_what_matters() -> None:
    """Events, what would happen to them today, who bypassed the guard, and completeness."""
    made = report({1: "now-rejected", 2: "now-held", 3: "now-masked", 14: "unchecked"})

    assert first_sentence(made) == (
        "Of 20 events, 1 would be rejected, 1 held, 1 masked today; "
        "1 was never checked; everything was read."
    )
    assert first_sentence(report(gaps=[Gap(5, 6, "unread")])).endswith("not everything was read.")


def test_people_are_told_everything_that_is_wrong() -> None:
    """Kinds, causes, what was not read and what was removed; markup in data stays text."""
    part = Partition("t", 0, False, 3, 3, 20, 4, taken=True)
    account_ = account(
        Slice(0, "t", 0, 3, 20), [finding(4, change="[bold]x[/]")], [Gap(5, 7, "unread")], "lost"
    )
    made = Report("b@2", "d" * 64, (part,), account_, 1.0)
    out = io.StringIO()

    Console(file=out, width=140).print(render(made))
    text = out.getvalue()

    for words in (
        "let through then, rejected by today's policy",
        "[bold]x[/]",
        "t[0]@4",
        "offsets below 3 were removed before this run",
        "t[0]: offsets 5 to 6 were not read",
        "4 offsets belong to transactions still open",
        "t[0]: lost",
    ):
        assert words in text


def test_holes_that_are_not_listed_are_counted() -> None:
    """The listing is bounded; the offsets are accounted for."""
    part = Partition("t", 0, False, 0, 0, 5000, 0)
    gaps = [Gap(offset, offset + 1, "transaction") for offset in range(0, 4000, 2)]
    made = Report("b@2", "d", (part,), account(Slice(0, "t", 0, 0, 5000), [], gaps), 1.0)

    (said,) = made.to_dict()["partitions"]

    assert (len(said["gaps"]), said["gaps_omitted"], said["covered"]) == (1000, 1000, 5000)
