"""Past runs, and what changed between two of them, as JSON and as people read it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from streamwarden.errors import ReconcileError

from ..reconciler.comparison import SORTS, CauseChange, FindingsChange
from ..reconciler.findings import NOT_DRIFT
from ..reconciler.runs import StoredRun
from ..reconciler.words import cause_sentence
from .output import Output, counted

__all__ = ["comparison_json", "history_json", "print_comparison", "print_history"]

_STYLES = {"clean": "green", "drift": "red", "incomplete": "yellow"}
_CAUSES_SHOWN = 20
#: What may differ between two runs whose drift is compared.
_FREE = ("incremental",)

_Json = Mapping[str, Any]

_MEANING = {
    "new": "on events that both runs read: policy, or what is known, has changed",
    "later": "on events that the earlier run did not read",
    "other": "on the same events, of another kind than before",
    "gone": "no longer found on events that both runs read",
    "unseen": "on events that the later run did not read",
}


# ---------------------------------------------------------------------- history


def history_json(
    runs: Sequence[StoredRun], topic: str | None
) -> tuple[list[dict[str, Any]], list[tuple[StoredRun, str]]]:
    """A row for each run over `topic`, the oldest first, and the runs that cannot be read.

    `moved` is how findings by kind moved against the run before that was asked the same, `since`
    that run's id; None for the first of its sort.
    """
    rows: list[dict[str, Any]] = []
    unreadable: list[tuple[StoredRun, str]] = []
    before: dict[str, dict[str, Any]] = {}
    for run in runs:
        try:
            row = _row(run)
        except (ReconcileError, KeyError, TypeError) as error:
            unreadable.append((run, str(error)))
            continue
        if topic is not None and topic not in row["topics"]:
            continue
        last = before.get(row["sort"])
        row["against"] = None if last is None else last["run"]
        row["moved"] = None if last is None else _moved(last["counts"], row["counts"])
        before[row.pop("sort")] = row
        rows.append(row)
    return rows, unreadable


def _row(run: StoredRun) -> dict[str, Any]:
    report = run.report
    asked: dict[str, Any] = dict(report.get("asked") or {})
    topics = asked.get("topics") or sorted({part["topic"] for part in report["partitions"]})
    return {
        "run": run.id,
        "started": report["started"],
        "seconds": report["seconds"],
        "topics": topics,
        "asked": asked,
        "bundle": report["bundle"],
        "digest": report["digest"],
        "verdict": report["verdict"],
        "complete": report["complete"],
        "events": report["events"],
        "counts": report["counts"],
        "drift": report["drift"],
        "sort": repr(
            sorted((n, v) for n, v in {**asked, "topics": topics}.items() if n not in _FREE)
        ),
    }


def _moved(before: _Json, after: _Json) -> dict[str, int]:
    moved = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in {**before, **after}}
    return {kind: number for kind, number in moved.items() if number}


def print_history(rows: Sequence[_Json], output: Output) -> None:
    """A table of runs, the latest last."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("run", "over", "by"):
        table.add_column(heading, overflow="fold")
    for heading in ("events", "reject", "hold", "mask", "unchecked", "drift", "moved"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for row in rows:
        drift, counts = row["drift"], row["counts"]
        total = _drift(counts)
        moved = None if row["moved"] is None else _drift(row["moved"])
        style = "" if not moved else "red" if moved > 0 else "green"
        table.add_row(
            row["run"],
            Text(_over(row)),
            Text(row["bundle"]),
            f"{row['events']:,}",
            *(f"{drift[kind]:,}" for kind in ("now-rejected", "now-held", "now-masked")),
            f"{counts['unchecked']:,}",
            f"{total:,}",
            Text("" if moved is None else f"{moved:+,}" if moved else "=", style),
            Text(row["verdict"], _STYLES.get(row["verdict"], "")),
        )
    output.print(table)


def _drift(counts: _Json) -> int:
    """Findings that count as drift."""
    return sum(number for kind, number in counts.items() if kind not in NOT_DRIFT)


def _over(row: _Json) -> str:
    """The topics and the range of a run, in a few words."""
    asked, said = row["asked"], ", ".join(map(str, row["topics"]))
    for name, word in (("since", "from"), ("until", "until")):
        if isinstance(asked.get(name), int):
            said += f" {word} {_date(asked[name])}"
    if asked.get("incremental"):
        said += " (new events)"
    if asked.get("sample"):
        said += f" (sample {asked['sample']})"
    return said + (" (what-if)" if asked.get("against") else "")


def _date(milliseconds: int) -> str:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)
    midnight = not milliseconds % 86_400_000
    return f"{moment:%Y-%m-%d}" if midnight else f"{moment:%Y-%m-%dT%H:%MZ}"


# ---------------------------------------------------------------------- difference


def comparison_json(
    one: StoredRun,
    two: StoredRun,
    causes: Sequence[CauseChange],
    changed: FindingsChange | None,
) -> dict[str, Any]:
    """What changed from `one` to `two`; `findings` is null where they were not compared."""
    findings = None
    if changed is not None:
        findings = {
            sort: {
                "count": changed.total(sort),
                "kinds": changed.counts.get(sort, {}),
                "examples": changed.examples.get(sort, []),
            }
            for sort in SORTS
        }
    return {
        "before": _side(one),
        "after": _side(two),
        "moved": _moved(one.report["counts"], two.report["counts"]),
        "causes": [
            {
                "change": change.sort,
                "before": change.before,
                "after": change.after,
                "sure": change.sure,
                **{name: change.cause.get(name) for name in ("kind", "rule", "drift", "stamped")},
                "because": change.cause.get("change"),
            }
            for change in causes
        ],
        "findings": findings,
    }


def _side(run: StoredRun) -> dict[str, Any]:
    report = run.report
    names = ("bundle", "digest", "verdict", "complete", "events", "counts", "drift")
    return {"run": run.id, **{name: report[name] for name in names}}


def print_comparison(said: _Json, output: Output) -> None:
    """What `comparison_json` made, for people."""
    before, after = said["before"], said["after"]
    total = _drift(said["moved"])
    style = "bold red" if total > 0 else "bold green" if total < 0 else "bold"
    many = f"{abs(total):,} {'more' if total > 0 else 'fewer'}" if total else "as many"
    output.print(
        Text(
            f"From run {before['run']} ({before['bundle']}, {counted(before['events'], 'event')}) "
            f"to {after['run']} ({after['bundle']}, {counted(after['events'], 'event')}): "
            f"{many} findings of drift.",
            style,
        )
    )
    causes = [cause for cause in said["causes"] if cause["change"] != "same"]
    if causes:
        output.print(Text(), _cause_table(causes[:_CAUSES_SHOWN]))
    if len(causes) > _CAUSES_SHOWN:
        output.note(f"and {counted(len(causes) - _CAUSES_SHOWN, 'cause')} more that changed")
    if not all(cause["sure"] for cause in causes):
        output.note("a report lists the most frequent causes: rarer ones may be in both runs")
    found: _Json | None = said["findings"]
    if found is not None and any(found[sort]["count"] for sort in SORTS):
        output.print(Text(), _finding_table(found))
    if not after["complete"]:
        output.note("the later run did not read everything")


def _cause_table(causes: Sequence[_Json]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("cause")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("which is", overflow="fold")
    styles = {"appeared": "red", "grew": "red", "vanished": "green", "shrank": "green"}
    for cause in causes:
        sentence = cause_sentence(
            cause["kind"],
            cause["after"] or cause["before"],
            rule=cause["rule"] or "",
            change=cause["because"] or "",
            drift=cause["drift"] or "",
            stamped=cause["stamped"] or "",
        )
        change = str(cause["change"])
        table.add_row(
            Text(change, styles.get(change, "")),
            f"{cause['before']:,}",
            f"{cause['after']:,}",
            Text(sentence),
        )
    return table


def _finding_table(found: _Json) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("findings")
    table.add_column("events", justify="right")
    table.add_column("which are")
    table.add_column("for example", overflow="fold")
    for sort in SORTS:
        if found[sort]["count"]:
            first = found[sort]["examples"][0]
            place = f"{first['topic']}[{first['partition']}]@{first['offset']} {first['kind']}"
            table.add_row(sort, f"{found[sort]['count']:,}", _MEANING[sort], Text(place))
    return table
