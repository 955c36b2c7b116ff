"""The report as people read it: the first sentence says what matters, the rest says why."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .findings import KINDS
from .report import Report
from .words import MEANING, headline

__all__ = ["first_sentence", "render"]

_CAUSES_SHOWN = 20
_GAPS_SHOWN = 10


def first_sentence(report: Report) -> str:
    """Of N events, how many today's policy would refuse, and whether everything was read."""
    return headline(
        report.account.events, report.drift(), report.counts(), complete=report.complete
    )


def render(report: Report) -> RenderableType:
    """The report for a rich console."""
    style = {"clean": "green", "drift": "red", "incomplete": "yellow"}[report.verdict]
    parts: list[RenderableType] = [Text(first_sentence(report), style=f"bold {style}")]
    counts = report.counts()
    if any(counts.values()):
        parts += [Text(), _kinds(report)]
    causes = report.causes()
    if causes:
        parts += [Text(), _causes(report)]
    if len(causes) > _CAUSES_SHOWN:
        parts.append(Text(f"and {len(causes) - _CAUSES_SHOWN} more causes", style="dim"))
    notes = _notes(report)
    if notes:
        parts += [Text(), *notes]
    return Group(*parts)


def _kinds(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("finding")
    table.add_column("events", justify="right")
    table.add_column("which means")
    counts = report.counts()
    for kind in KINDS:
        if counts[kind]:
            table.add_row(Text(kind), f"{counts[kind]:,}", Text(MEANING[kind]))
    return table


def _causes(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("events", justify="right")
    table.add_column("finding")
    table.add_column("rule")
    table.add_column("because", overflow="fold")
    table.add_column("stamped")
    table.add_column("for example")
    for cause in report.causes()[:_CAUSES_SHOWN]:
        kind = cause.kind
        if cause.drift and cause.drift != kind:
            kind += f" ({cause.drift})"
        topic, partition, offset = cause.examples[0]
        table.add_row(
            f"{cause.count:,}",
            Text(kind),
            Text(cause.rule),
            Text(cause.change),
            Text(cause.stamped),
            Text(f"{topic}[{partition}]@{offset}"),
        )
    return table


def _notes(report: Report) -> list[Text]:
    notes: list[Text] = []
    if report.account.unverifiable:
        notes.append(
            Text(
                f"{report.account.unverifiable:,} stamps could not be verified: their version, "
                "grant or approval is not at hand. Nothing was held against them."
            )
        )
    for part, covered in report.coverage():
        place = f"{part.topic}[{part.number}]"
        if part.problem:
            notes.append(Text(f"{place} was not read: {part.problem}", style="yellow"))
        elif part.taken:
            notes.append(
                Text(
                    f"{place}: offsets below {part.start} were removed before this run, and may "
                    "have been in the range that was asked for",
                    style="yellow",
                )
            )
        elif part.start:
            notes.append(Text(f"{place}: offsets below {part.start} were removed before this run"))
        for gap in covered.lost[:_GAPS_SHOWN]:
            how = "removed while this ran" if gap.reason == "retention" else "not read"
            notes.append(
                Text(f"{place}: offsets {gap.first} to {gap.end - 1} were {how}", style="yellow")
            )
        if part.pending:
            notes.append(Text(f"{place}: {part.pending} offsets belong to transactions still open"))
    problems = (*report.problems, *report.account.problems)
    notes += (Text(problem, style="yellow") for problem in problems)
    return notes
