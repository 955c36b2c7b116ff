"""The report as people read it: the first sentence says what matters, the rest says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .findings import KINDS, WOULD_CHANGE
from .report import Report
from .words import counted_above, headline, judged_by, judges_nothing, log_sentences, meaning

__all__ = ["first_sentence", "render"]

_CAUSES_SHOWN = 20
_GAPS_SHOWN = 10
_ROWS_SHOWN = 10
_STYLES = {"clean": "green", "drift": "red", "incomplete": "yellow"}

_Json = Mapping[str, Any]


def first_sentence(report: Report) -> str:
    """Of N events, how many today's policy would refuse, and whether everything was read."""
    return headline(
        {
            "events": report.account.events,
            "drift": report.drift(),
            "counts": report.counts(),
            "complete": report.complete,
            "sample": report.sample(),
            "asked": report.asked,
            "base": report.base,
            "bundle": report.bundle,
            "uncovered": report.uncovered,
            "mode": report.mode.value,
            "left_out": report.account.left_out,
        }
    )


def render(report: Report | _Json) -> RenderableType:
    """The report, itself or as its JSON object, for a rich console."""
    said = report.to_dict() if isinstance(report, Report) else report
    # Where nothing was judged there is nothing to be glad about.
    style = _STYLES.get(
        "incomplete" if said["verdict"] == "clean" and judges_nothing(said) else said["verdict"], ""
    )
    parts: list[RenderableType] = [Text(headline(said), style=f"bold {style}".strip())]
    if any(said["counts"].values()):
        parts += [Text(), _kinds(said)]
        above = counted_above(said)
        if above:
            parts.append(Text(above, style="dim"))
    causes = said["causes"]
    if causes:
        parts += [Text(), _causes(said)]
    more = len(causes) - _CAUSES_SHOWN + said.get("causes_omitted", 0)
    if more > 0:
        parts.append(Text(f"and {more} more causes", style="dim"))
    if said.get("what_if"):
        parts += [Text(), *_what_if(said["what_if"])]
    notes = [*_scope(said), *_notes(said)]
    if notes:
        parts += [Text(), *notes]
    return Group(*parts)


def _kinds(said: _Json) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("finding")
    table.add_column("events", justify="right")
    sample: _Json = _part(said, "sample").get("estimates", {})
    if sample:
        table.add_column("in all", justify="right")
    table.add_column("which means")
    for kind in (*KINDS, WOULD_CHANGE):
        if said["counts"].get(kind):
            row: list[RenderableType] = [Text(kind), f"{said['counts'][kind]:,}"]
            if sample:
                row.append(_estimate(sample.get(kind)))
            table.add_row(*row, Text(meaning(kind, judged_by(said))))
    return table


def _part(said: _Json, name: str) -> _Json:
    """A part that not every report has; empty where it is missing."""
    return said.get(name) or {}


def _estimate(given: _Json | None) -> str:
    """The bounds of an estimate, such as `about 120 (97 to 145)`."""
    if not given or given.get("estimate") is None:
        return "?"
    return f"about {given['estimate']:,} ({given['low']:,} to {given['high']:,})"


def _causes(said: _Json) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("events", justify="right")
    table.add_column("finding")
    table.add_column("rule")
    table.add_column("because", overflow="fold")
    table.add_column("stamped")
    table.add_column("for example")
    for cause in said["causes"][:_CAUSES_SHOWN]:
        kind = str(cause["kind"])
        if cause["drift"] and cause["drift"] != kind:
            kind += f" ({cause['drift']})"
        place = cause["examples"][0]
        table.add_row(
            f"{cause['count']:,}",
            Text(kind),
            Text(cause["rule"] or ""),
            Text(cause["change"]),
            Text(cause["stamped"] or ""),
            Text(f"{place['topic']}[{place['partition']}]@{place['offset']}"),
        )
    return table


def _what_if(changes: _Json) -> Iterator[RenderableType]:
    number, unsure = changes["changed"], changes["uncertain"]
    yield Text(
        f"Against {changes['current']}, the candidate decides {number:,} "
        f"event{'' if number == 1 else 's'} differently"
        f"{f'; {unsure:,} hang on what was not kept' if unsure else ''}.",
        style="bold",
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("by")
    table.add_column("of which")
    table.add_column("events", justify="right")
    for by, name in (
        ("effect", "effects"),
        ("rule", "rules"),
        ("topic", "topics"),
        ("day", "days"),
    ):
        rows = sorted(changes[name].items(), key=lambda row: (-row[1], row[0]))
        for which, count in rows[:_ROWS_SHOWN]:
            table.add_row(by, Text(which or "none"), f"{count:,}")
        if len(rows) > _ROWS_SHOWN:
            table.add_row(by, Text(f"and {len(rows) - _ROWS_SHOWN} more", style="dim"), "")
    if number:
        yield table


def _scope(said: _Json) -> Iterator[Text]:
    """What the figures leave out, because they were asked to."""
    sample = said.get("sample")
    if sample:
        yield Text(
            f"Only a sample was judged: {sample['drawn']:,} of {sample['events']:,} events. "
            f"The numbers in all are estimates, right with {sample['confidence']:.0%} confidence."
        )
    log = said.get("decision_log")
    if log:
        bad = "yellow" if log.get("problem") or log.get("missed") else ""
        yield Text(" ".join(log_sentences(log)), style=bad)
    if said["unverifiable"]:
        yield Text(
            f"{said['unverifiable']:,} stamps could not be verified: their version, "
            "grant or approval is not at hand. Nothing was held against them."
        )


def _notes(said: _Json) -> Iterator[Text]:
    """What was not read, and why."""
    for part in said["partitions"]:
        place = f"{part['topic']}[{part['partition']}]"
        if part.get("problem"):
            yield Text(f"{place} was not read: {part['problem']}", style="yellow")
        elif part.get("removed"):
            yield Text(
                f"{place}: offsets below {part['start']} were removed before this run, and may "
                "have been in the range that was asked for",
                style="yellow",
            )
        elif part["start"]:
            yield Text(f"{place}: offsets below {part['start']} were removed before this run")
        lost = [gap for gap in part["gaps"] if gap["reason"] in ("retention", "unread")]
        for gap in lost[:_GAPS_SHOWN]:
            how = "removed while this ran" if gap["reason"] == "retention" else "not read"
            yield Text(
                f"{place}: offsets {gap['from']} to {gap['to'] - 1} were {how}", style="yellow"
            )
        if part["pending"]:
            yield Text(f"{place}: {part['pending']} offsets belong to transactions still open")
    for problem in said.get("problems", ()):
        yield Text(problem, style="yellow")
