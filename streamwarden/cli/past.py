"""Past runs, and what changed between two of them, as JSON and as people read it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from streamwarden.errors import ReconcileError

from ..reconciler.comparison import (
    SORTS,
    CauseChange,
    FindingsChange,
    compare_findings,
    moved,
)
from ..reconciler.findings import NOT_DRIFT
from ..reconciler.overlap import Overlap, overlap
from ..reconciler.runs import StoredRun
from ..reconciler.words import cause_sentence
from .output import Output, counted

__all__ = ["comparison_json", "history_json", "print_comparison", "print_history"]

_STYLES = {"clean": "green", "drift": "red", "incomplete": "yellow"}
_CAUSES_SHOWN = 20
#: What may differ between two runs whose drift is compared.
_FREE = ("incremental",)
#: What else may, because it says which events are read, and not what is made of them.
_PLACES = frozenset({*_FREE, "topics", "partitions", "offsets"})
#: Findings of two runs that `history` goes through where they overlap only in part: a second or so.
_COMPARED_MAX_BYTES = 100_000_000

_Json = Mapping[str, Any]

_MEANING = {
    "new": "on events that both runs read: policy, or what is known, has changed",
    "later": "on events behind the end of the earlier run",
    "other": "on the same events, of another kind than before",
    "gone": "no longer found on events that both runs read",
    "unseen": "on events that the later run did not read: not gone",
    "older": "on older events that the earlier run did not read: not new",
}


# ---------------------------------------------------------------------- history


def history_json(
    runs: Sequence[StoredRun], topic: str | None, most: int | None = None
) -> tuple[list[dict[str, Any]], list[tuple[StoredRun, str]]]:
    """A row for each run over `topic`, the oldest first, and the runs that cannot be read.

    With `most`, only the latest rows. `moved` is how findings by kind moved against the run before
    that was asked the same, `against` that run's id; both are None for the first of its sort, and
    for a run that goes on from others. Where `moved` alone is None, `not_compared` says why.
    """
    rows: list[dict[str, Any]] = []
    unreadable: list[tuple[StoredRun, str]] = []
    last: dict[str, StoredRun] = {}
    pairs: list[tuple[StoredRun | None, StoredRun]] = []
    for run in runs:
        try:
            row, sort = _row(run), _sort(run.report)
        except (ReconcileError, KeyError, TypeError) as error:
            unreadable.append((run, str(error)))
            continue
        if topic is not None and topic not in row["topics"]:
            continue
        rows.append(row)
        if row["goes_on_from"]:
            pairs.append((None, run))
        else:
            pairs.append((last.get(sort), run))
            last[sort] = run
    latest = slice(0 if most is None else -most, None)
    for row, (before, run) in zip(rows[latest], pairs[latest], strict=True):
        row["against"] = None if before is None else before.id
        row["moved"], row["not_compared"] = (None, None) if before is None else _move(before, run)
    return rows[latest], unreadable


def _row(run: StoredRun) -> dict[str, Any]:
    report = run.report
    return {
        "run": run.id,
        "started": report["started"],
        "seconds": report["seconds"],
        "topics": _topics(report),
        "asked": dict(_part(report, "asked")),
        "goes_on_from": sorted(set(_part(report, "base").values())),
        "bundle": report["bundle"],
        "digest": report["digest"],
        "verdict": report["verdict"],
        "complete": report["complete"],
        "events": report["events"],
        "counts": report["counts"],
        "drift": report["drift"],
    }


def _part(report: _Json, name: str) -> _Json:
    """A part that not every report has; empty where it is missing."""
    return report.get(name) or {}


def _topics(report: _Json) -> list[str]:
    asked: list[str] | None = _part(report, "asked").get("topics")
    return asked or sorted({part["topic"] for part in report["partitions"]})


def _sort(report: _Json) -> str:
    """The same for runs that were asked the same."""
    asked: _Json = {**_part(report, "asked"), "topics": _topics(report)}
    return repr(sorted((name, value) for name, value in asked.items() if name not in _FREE))


def _move(before: StoredRun, after: StoredRun) -> tuple[dict[str, int] | None, str | None]:
    """How findings moved between two runs on events that both read, or else why that is not known."""
    shared = overlap(before.report, after.report)
    if not shared.comparable:
        return None, "they read nothing in common"
    change = None
    if shared.unseen or shared.older:
        if _findings_bytes(before) + _findings_bytes(after) > _COMPARED_MAX_BYTES:
            return None, "they have too many findings: ask `reconcile diff`"
        try:
            change = compare_findings(before, after)
        except ReconcileError as error:
            return None, str(error)
    number = moved(before.report, after.report, shared, change)
    return number, None if number is not None else "one of them did not keep its findings"


def _findings_bytes(run: StoredRun) -> int:
    return 0 if run.findings is None else run.findings.stat().st_size


def print_history(rows: Sequence[_Json], output: Output) -> None:
    """A table of runs, the latest last, and what is not compared."""
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
            _verdict(row),
        )
    output.print(table)
    if any(row["goes_on_from"] for row in rows):
        output.note(
            "runs over new events are not compared with others: what they did not read is unseen"
        )
    for row in rows:
        if row["not_compared"]:
            output.note(
                f"{row['run']} is not compared with {row['against']}: {row['not_compared']}"
            )


def _verdict(row: _Json) -> Text:
    """The verdict of a run; what judged no event is not clean."""
    if row["verdict"] == "clean" and not row["events"]:
        return Text("no event", "dim")
    return Text(row["verdict"], _STYLES.get(row["verdict"], ""))


def _drift(counts: _Json) -> int:
    """Findings that count as drift."""
    return sum(number for kind, number in counts.items() if kind not in NOT_DRIFT)


def _over(row: _Json) -> str:
    """The topics and the range of a run, in a few words."""
    asked, said = row["asked"], ", ".join(map(str, row["topics"]))
    for name, word in (("since", "from"), ("until", "until")):
        if isinstance(asked.get(name), int):
            said += f" {word} {_date(asked[name])}"
    if row["goes_on_from"]:
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
    shared: Overlap,
) -> dict[str, Any]:
    """What changed from `one` to `two`; `findings` is null where they were not compared.

    `moved` is null where the runs have nothing in common, or it is not known what they have.
    """
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
        "offsets": {
            "both": shared.both,
            "unseen": shared.unseen,
            "later": shared.later,
            "older": shared.older,
        },
        "asked_otherwise": _asked_otherwise(one.report, two.report),
        "moved": moved(one.report, two.report, shared, changed),
        "causes": [
            {
                "change": change.sort,
                "before": change.before,
                "after": change.after,
                "unseen": change.unseen,
                "older": change.older,
                "sure": change.sure,
                **{name: change.cause.get(name) for name in ("kind", "rule", "drift", "stamped")},
                "because": change.cause.get("change"),
            }
            for change in causes
        ],
        "findings": findings,
    }


def _asked_otherwise(one: _Json, two: _Json) -> list[str]:
    """In what the runs were asked differently, beyond which events to read."""
    then, now = _part(one, "asked"), _part(two, "asked")
    names = {*then, *now} - _PLACES
    return sorted(name for name in names if then.get(name) != now.get(name))


def _side(run: StoredRun) -> dict[str, Any]:
    report = run.report
    names = ("bundle", "digest", "verdict", "complete", "events", "counts", "drift")
    return {"run": run.id, **{name: report[name] for name in names}}


def print_comparison(said: _Json, output: Output) -> None:
    """What `comparison_json` made, for people."""
    before, after = said["before"], said["after"]
    output.print(_headline(said), Text(_compared(said["offsets"]), "dim"))
    causes = [cause for cause in said["causes"] if cause["change"] != "same"]
    if causes:
        output.print(Text(), _cause_table(causes[:_CAUSES_SHOWN]))
    if len(causes) > _CAUSES_SHOWN:
        output.note(f"and {counted(len(causes) - _CAUSES_SHOWN, 'cause')} more that changed")
    if said["findings"] is None and (said["offsets"]["unseen"] or said["offsets"]["older"]):
        output.note("without their findings, what only one run read shows as a change of causes")
    elif not all(cause["sure"] for cause in causes):
        output.note("a report lists the most frequent causes: rarer ones may be in both runs")
    found: _Json | None = said["findings"]
    if found is not None and any(found[sort]["count"] for sort in SORTS):
        output.print(Text(), _finding_table(found))
    for which, side in (("earlier", before), ("later", after)):
        if not side["complete"]:
            output.note(f"the {which} run did not read everything")


def _headline(said: _Json) -> Text:
    before, after = said["before"], said["after"]
    runs = (
        f"From run {before['run']} ({before['bundle']}, {counted(before['events'], 'event')}) "
        f"to {after['run']} ({after['bundle']}, {counted(after['events'], 'event')}): "
    )
    if said["moved"] is None:
        nothing = not said["offsets"]["both"]
        why = "they have no event in common" if nothing else "they read different events"
        return Text(f"{runs}{why}, so how drift moved cannot be told.", "bold yellow")
    total = _drift(said["moved"])
    style = "bold red" if total > 0 else "bold green" if total < 0 else "bold"
    many = f"{abs(total):,} {'more' if total > 0 else 'fewer'}" if total else "as many"
    findings = "finding" if abs(total) == 1 else "findings"
    return Text(f"{runs}{many} {findings} of drift.", style)


def _compared(offsets: _Json) -> str:
    """What was read by both runs, and by one of them."""
    said = f"Compared: {counted(offsets['both'], 'offset')} that both read"
    if offsets["later"]:
        said += f", and {offsets['later']:,} later"
    apart = [
        f"{offsets[name]:,} that only the {which} run read"
        for name, which in (("unseen", "earlier"), ("older", "later"))
        if offsets[name]
    ]
    return f"{said}. Left aside: {', '.join(apart)}." if apart else f"{said}."


def _cause_table(causes: Sequence[_Json]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("cause")
    columns = [
        name
        for name in ("before", "unseen", "after", "older")
        if name in ("before", "after") or any(cause[name] for cause in causes)
    ]
    for name in columns:
        heading = name if name in ("before", "after") else f"of which {name}"
        table.add_column(heading, justify="right")
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
        if cause["rule"] and cause["rule"] not in sentence:
            sentence = f"{sentence} ({cause['rule']})"
        change = str(cause["change"])
        table.add_row(
            Text(change, styles.get(change, "")),
            *(f"{cause[name]:,}" for name in columns),
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
