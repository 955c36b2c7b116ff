"""The report as one HTML page that needs nothing else: no network, no script.

Made from the report's JSON object, so that a past run can be rendered again. What comes out of
events is escaped, shortened, and cannot change the direction of what stands around it.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from streamwarden.errors import ReconcileError

from .charts import Piece, chart_of, pieces_of
from .findings import KINDS, NOT_DRIFT, WOULD_CHANGE
from .words import (
    ADVICE,
    cause_sentence,
    counted_above,
    headline,
    judged_by,
    judges_nothing,
    log_sentences,
    meaning,
)

__all__ = ["render_page", "write_page"]

#: Longer texts out of events say how much of them is left out.
_TEXT_MAX_CHARS = 1000
_ROWS_MAX = 100
_GAPS_SHOWN = 20
#: Partitions that are listed, and how many of them although there is nothing to say of them.
_PARTITIONS_MAX, _QUIET_MAX = 2000, 100

_KINDS = (*KINDS, WOULD_CHANGE)
_VERDICTS = {"clean": "Clean", "drift": "Drift found", "incomplete": "Incomplete"}
_GAPS = {
    "transaction": "markers and aborted records of transactions",
    "compacted": "removed by compaction",
    "retention": "removed by retention while this ran",
    "unread": "not read",
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a breakdown; `notes` stand under its name."""

    name: str
    total: int
    counts: tuple[tuple[str, int], ...]
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Breakdown:
    """Findings by something; `omitted` counts rows that are left out."""

    id: str
    title: str
    of: str
    rows: tuple[_Row, ...]
    omitted: int
    note: str = ""


def write_page(report: Mapping[str, Any], target: Path) -> None:
    """Render `report` into the file `target`, which appears when it is whole.

    Raises ReconcileError where it cannot be written.
    """
    page = render_page(report).encode("utf-8")
    part = target.with_name(target.name + ".part")
    if target.exists() and not target.is_file():
        part = target  # a device or a pipe
    try:
        part.write_bytes(page)
        if part is not target:
            part.replace(target)
    except OSError as error:
        raise ReconcileError(
            f"report `{target}` cannot be written: {error.strerror}",
            remedy="name a file in a folder that can be written to",
        ) from None


def render_page(report: Mapping[str, Any]) -> str:
    """The page of a report, given as its JSON object."""
    counts = report["counts"]
    return _template().render(
        report=report,
        title=_title(report),
        verdict=_verdict(report),
        headline=headline(report),
        above=counted_above(report),
        tiles=_tiles(report),
        kinds=[
            _Row(kind, counts[kind], ((kind, counts[kind]),), pieces_of(counts, 0))
            for kind in _KINDS
            if counts.get(kind)
        ],
        chart=chart_of(report.get("days", ())),
        causes=[_cause(report, cause) for cause in report["causes"]],
        causes_omitted=report.get("causes_omitted", 0),
        breakdowns=[each for each in _breakdowns(report) if each.rows],
        places=_places(report["partitions"]),
        problems=report.get("problems", ()),
        estimates=_part(report, "sample").get("estimates", {}),
        by=judged_by(report),
        nothing=judges_nothing(report),
        what_if=_what_if(report),
        decision_log=log_sentences(report["decision_log"]) if report.get("decision_log") else (),
        not_drift=NOT_DRIFT,
    )


# ---------------------------------------------------------------------- what is told


def _part(report: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part that not every report has; empty where it is missing."""
    return report.get(name) or {}


def _verdict(report: Mapping[str, Any]) -> str:
    """The badge; what judged no event is not clean."""
    verdict = report["verdict"]
    if verdict == "clean" and judges_nothing(report):
        return "Nothing judged"
    return str(_VERDICTS.get(verdict, verdict))


def _title(report: Mapping[str, Any]) -> str:
    topics = _part(report, "asked").get("topics") or [
        part["topic"] for part in report["partitions"]
    ]
    names = list(dict.fromkeys(map(str, topics)))
    listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"Reconciliation of {listed}" if names else "Reconciliation"


def _tiles(report: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """The figures at the top: what they count, how many, and the kind that gives the colour."""
    counts, drift = report["counts"], report["drift"]
    tiles = [
        ("events judged", report["events"], ""),
        ("would be rejected", drift["now-rejected"], "now-rejected"),
        ("would be held", drift["now-held"], "now-held"),
        ("would be masked", drift["now-masked"], "now-masked"),
        ("never checked", counts["unchecked"], "unchecked"),
    ]
    more = [
        ("forged stamps", counts["forged"], "forged"),
        ("misrecorded stamps", counts["misrecorded"], "misrecorded"),
        ("undecidable", counts["undecidable"], "undecidable"),
        ("may be released", counts["now-allowed"], "now-allowed"),
    ]
    return tiles + [tile for tile in more if tile[1]]


def _cause(report: Mapping[str, Any], cause: Mapping[str, Any]) -> dict[str, Any]:
    rule = cause["rule"] or ""
    names = {name.strip() for name in rule.split(",")}
    known = [r for r in report.get("rules", ()) if f"{r['policy']}/{r['rule']}" in names]
    return {
        "kind": cause["kind"],
        "count": cause["count"],
        "sentence": cause_sentence(
            cause["kind"],
            cause["count"],
            rule=rule,
            change=cause["change"],
            drift=cause["drift"] or "",
            stamped=cause["stamped"] or "",
            by=judged_by(report),
        ),
        "advice": ADVICE.get(cause["kind"], ""),
        "rules": known,
        "unknown_rules": [] if known or not rule else [rule],
        "versions": f"{cause['stamped'] or _unversioned(cause['kind'])} → {report['bundle']}",
        "examples": [_example(example) for example in cause["examples"]],
    }


def _example(example: Mapping[str, Any]) -> dict[str, Any]:
    finding: Mapping[str, Any] = example.get("finding") or {}
    current: Mapping[str, Any] = finding.get("current") or {}
    effect = current.get("effect") or " or ".join(current.get("possible") or ["not known"])
    return {
        "place": f"{example['topic']}[{example['partition']}]@{example['offset']}",
        "time": finding.get("timestamp"),
        "key": _key(finding.get("key")),
        "stamped": _stamped(finding.get("stamped"), finding.get("carried")),
        "today": f"{effect}, by {current.get('bundle', '?')} at stage {current.get('stage', '?')}",
        "change": finding.get("change") or "",
        "detail": finding.get("detail") or "",
        "undecodable": current.get("undecodable"),
        "matches": current.get("matches") or (),
        "unknown": ", ".join(finding.get("unknown") or ()),
        "cut": bool(current.get("cut")),
        "shown": bool(finding),
    }


def _key(key: Mapping[str, str] | str | None) -> str | None:
    """A key as text; one that is no text comes as `{"base64": …}`."""
    return f"base64 {key.get('base64')}" if isinstance(key, Mapping) else key


def _unversioned(kind: str) -> str:
    """What a cause goes by whose events name no version."""
    return "a stamp that no guard wrote" if kind == "forged" else "no version"


def _stamped(stamp: Mapping[str, Any] | None, carried: str | None) -> str:
    """The stamp in words; one that no guard wrote as the event carries it."""
    if not stamp:
        return "no stamp" if carried is None else f"`{carried}`, which no guard wrote"
    said = f"{stamp.get('effect', '?')}, by {stamp.get('bundle', '?')}"
    said += f" at stage {stamp.get('stage', '?')}"
    beside = {"ov": "override", "ap": "approval", "mode": "mode"}
    told = [f"{word} {stamp[name]}" for name, word in beside.items() if stamp.get(name)]
    return ", ".join([said, *told])


def _breakdowns(report: Mapping[str, Any]) -> Iterable[_Breakdown]:
    rules = report.get("rules", ())
    yield _breakdown("topics", "By topic", "Topic", report.get("topics", {}))
    yield _breakdown("policies", "By policy", "Policy", _named(report.get("policies", {})))
    yield _breakdown(
        "rules",
        "By rule",
        "Rule",
        {f"{rule['policy']}/{rule['rule']}": rule["counts"] for rule in rules},
        notes={f"{rule['policy']}/{rule['rule']}": tuple(_about(rule)) for rule in rules},
        note="An event counts for each of the rules behind its finding.",
    )
    yield _breakdown(
        "owners",
        "By owner",
        "Owner",
        _named(report.get("owners", {}), "not known"),
        note="The owners of the policies behind findings, whose decision it is what to do.",
    )
    versions: Mapping[str, Any] = report.get("versions", {})
    today = report["bundle"]
    yield _breakdown(
        "versions",
        "By version",
        "Stamped version → today's",
        {f"{name or 'no stamp to go by'} → {today}": row for name, row in versions.items()},
    )


def _named(table: Mapping[str, Any], otherwise: str = "no rule") -> dict[str, Any]:
    return {name or otherwise: row for name, row in table.items()}


def _about(rule: Mapping[str, Any]) -> Iterable[str]:
    if rule.get("sentence"):
        yield f"It {rule['sentence']}"
    beside = [rule.get("severity"), rule.get("owner") and f"owned by {rule['owner']}"]
    if any(beside):
        yield ", ".join(filter(None, beside))


def _breakdown(
    id_: str,
    title: str,
    of: str,
    table: Mapping[str, Mapping[str, int]],
    *,
    notes: Mapping[str, Sequence[str]] | None = None,
    note: str = "",
) -> _Breakdown:
    totals = {name: sum(row.values()) for name, row in table.items()}
    names = sorted(table, key=lambda name: (-totals[name], name))
    most = max(totals.values(), default=0)
    rows = tuple(
        _Row(
            name,
            totals[name],
            tuple((kind, table[name][kind]) for kind in _KINDS if table[name].get(kind)),
            pieces_of(table[name], most),
            tuple((notes or {}).get(name, ())),
        )
        for name in names[:_ROWS_MAX]
    )
    return _Breakdown(id_, title, of, rows, max(0, len(names) - _ROWS_MAX), note)


def _what_if(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a candidate would change, by effect, rule, topic and day."""
    changes: Mapping[str, Any] | None = report.get("what_if")
    if changes is None:
        return None
    tables = {
        "Decision": changes["effects"],
        "Rule": changes["rules"],
        "Topic": changes["topics"],
        "Day": changes["days"],
    }
    return {
        **changes,
        "tables": [
            _breakdown(
                f"what-if-{of.lower()}",
                f"By {of.lower()}",
                of,
                {name or "none": {WOULD_CHANGE: number} for name, number in table.items()},
            )
            for of, table in tables.items()
            if table
        ],
    }


def _places(partitions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is told of partitions: those that were not read to the end come first.

    Of many, those with nothing to say about come last, and only some of them.
    """
    told = sorted(map(_partition, partitions), key=lambda part: bool(part["whole"]))
    noted = [part for part in told if not part["quiet"]]
    rows = told
    if len(told) > _QUIET_MAX:
        quiet = [part for part in told if part["quiet"]]
        rows = [*noted, *quiet[: max(0, _QUIET_MAX - len(noted))]][:_PARTITIONS_MAX]
    return {
        "rows": rows,
        "partitions": len(told),
        "topics": len({part["topic"] for part in told}),
        "open": sum(not part["whole"] for part in told),
        "omitted": len(told) - len(rows),
        "quiet": len(noted) <= len(rows),
    }


def _partition(part: Mapping[str, Any]) -> dict[str, Any]:
    size = part["end"] - part["first"]
    missing: dict[str, int] = {}
    for gap in part["gaps"]:
        missing[gap["reason"]] = missing.get(gap["reason"], 0) + gap["to"] - gap["from"]
    whole = not part.get("problem") and not part.get("removed") and part["covered"] == size
    worst = sorted(part["gaps"], key=lambda gap: gap["reason"] not in ("unread", "retention"))
    return {
        **part,
        "size": size,
        "whole": whole,
        "quiet": whole and not part.get("start") and not part.get("pending"),
        "share": 100.0 if not size else 100.0 * part["covered"] / size,
        "missing": [(number, _GAPS.get(why, why)) for why, number in missing.items()],
        "listed": worst[:_GAPS_SHOWN],
        "unlisted": max(0, len(worst) - _GAPS_SHOWN),
        "problem": part.get("problem", ""),
        "removed": part.get("removed"),
        "omitted": part.get("gaps_omitted", 0),
    }


# ---------------------------------------------------------------------- how it is shown


def _visible(value: object) -> object:
    """Text with control and direction characters as escapes, and with an end."""
    if isinstance(value, (Mapping, list)):
        value = _as_json(cast("object", value))
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    if len(value) > _TEXT_MAX_CHARS:
        more = len(value) - _TEXT_MAX_CHARS
        value = f"{value[:_TEXT_MAX_CHARS]}… (and {more:,} characters more)"
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)


def _whole(value: str) -> Markup:
    """A text of ours that is never shortened."""
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in value))


def _number(value: float) -> str:
    return f"{value:,}"


def _when(milliseconds: int | None) -> str:
    try:
        assert milliseconds is not None
        moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    except (AssertionError, ValueError, OverflowError, OSError):
        return "at no known time"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _percent(value: float) -> str:
    """Never 100 % where anything is missing."""
    if value >= 100:
        return "100 %"
    return f"{min(value, 99.99):.2f} %"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


@functools.cache
def _template() -> Template:
    folder = files(__package__ or "")
    style = (folder / "page.css").read_text("utf-8")
    environment = Environment(
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        whole=_whole,
        number=_number,
        when=_when,
        json=_as_json,
        percent=_percent,
        duration=_duration,
    )
    known: dict[str, Any] = {
        "meaning": meaning,
        "style": Markup(style),  # noqa: S704 - our own file, whose digest the page allows
        # The page's own style and nothing else: no script, no image, no font from anywhere.
        "style_digest": b64encode(sha256(style.encode()).digest()).decode(),
    }
    environment.globals.update(known)
    return environment.from_string((folder / "page.html").read_text("utf-8"))
