"""Parked events, and what became of them, as lines, trees and JSON."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from rich.text import Text

from ..policy.bundle import Bundle
from ..policy.model import Approvals
from ..policy.problems import closest, quoted
from ..policy.stamp import is_guard_header
from ..producers.approving import agreed, approvals_of, from_whom
from ..producers.quarantine import ParkedEvent, Quarantine, Selection, list_parked
from ..producers.release import ReleaseReport
from ..producers.reviews import Review
from ..producers.showing import ShownEvent
from ..reconciler.releasing import BulkRelease, Candidates, histogram
from .failures import FAILED, OK, VIOLATIONS
from .output import Output, counted, escaped, write_json
from .trails import decision_tree, effect_style

__all__ = [
    "listed_json",
    "listed_line",
    "print_shown",
    "shown_json",
    "tell_bulk",
    "tell_report",
    "unknown_rule",
]

#: Rules of parked events that are named where one is asked for that none has.
_RULES_MAX = 10
_OUTCOME_STYLES = {
    "released": "green",
    "discarded": "yellow",
    "approved": "cyan",
    "refused": "red",
    "failed": "bold red",
}


def tell_report(report: ReleaseReport, output: Output) -> int:
    """Show what was released, discarded or refused; gives the exit status."""
    counts = report.counts
    if output.json:
        write_json(
            {
                "dry_run": report.dry_run,
                "bundle": report.bundle,
                "complete": report.complete,
                "counts": counts,
                "events": [
                    {
                        "topic": each.topic,
                        "partition": each.partition,
                        "offset": each.offset,
                        "outcome": each.outcome,
                        "why": each.why,
                        "to": each.to,
                        "effect": each.effect,
                        "approval": each.approval,
                        "rules": list(each.rules),
                        "by": list(each.by),
                    }
                    for each in report.outcomes
                ],
            }
        )
    else:
        for each in report.outcomes:
            word = _worded(each.outcome, dry_run=report.dry_run)
            width = 18 if report.dry_run else 9
            shown = Text().append(f"{word:<{width}} ", _OUTCOME_STYLES[each.outcome])
            shown.append(escaped(f"{each.topic} {each.partition}:{each.offset}"), "bold")
            shown.append(escaped(f" to {each.to}" if each.to else ""))
            shown.append(escaped(f": {each.why}" if each.why else ""))
            shown.append(escaped(f", by {', '.join(each.by)}" if each.by else ""))
            output.print(shown)
        done = {_worded(name, dry_run=report.dry_run): count for name, count in counts.items()}
        said = ", ".join(f"{count:,} {word}" for word, count in done.items()) or "nothing fits"
        output.note(f"{said} by {report.bundle}" + (" (dry run)" if report.dry_run else ""))
    if not report.complete:
        output.warn("there are more; call it again")
    if counts.get("failed"):
        return FAILED
    return VIOLATIONS if counts.get("refused") else OK


def _worded(outcome: str, *, dry_run: bool) -> str:
    """`released`, or `would be released`."""
    if not dry_run:
        return outcome
    return "would fail" if outcome == "failed" else f"would be {outcome}"


def listed_json(event: ParkedEvent, bundle: Bundle) -> dict[str, object]:
    """A parked event with who agreed to its release, where it waits for that."""
    return {**_event_json(event), "approvals": _approvals_json(event, _asked(event, bundle))}


def _asked(event: ParkedEvent, bundle: Bundle) -> Approvals | None:
    return approvals_of(event, bundle) if event.state == "waiting" else None


def _approvals_json(event: ParkedEvent, asked: Approvals | None) -> dict[str, object] | None:
    if asked is None:
        return None
    return {"need": asked.need, "from": list(asked.roles), "given": list(agreed(event, ()))}


def _event_json(event: ParkedEvent) -> dict[str, object]:
    """A parked event without its content."""
    parked = event.parked
    return {
        "kind": event.kind,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "parked_at": event.parked_at,
        "state": event.state,
        "origin": {
            "topic": parked.origin_topic,
            "partition": parked.origin_partition,
            "offset": parked.origin_offset,
            "timestamp": parked.origin_timestamp,
            "group": parked.group,
        },
        "message": parked.message,
        "rules": list(event.rules),
        "value_size": event.value_size,
        "pointer": event.pointer,
        "doubt": event.doubt,
        "reviews": [_review_json(review) for review in event.reviews],
        "decision": parked.decision,
    }


def tell_bulk(bulk: BulkRelease, candidates: Candidates, output: Output) -> int:
    """Show what became of the candidates of a reconciliation, as counts; gives the exit status."""
    report, counts = bulk.report, histogram(bulk)
    if output.json:
        write_json(
            {
                "dry_run": report.dry_run,
                "bundle": report.bundle,
                "judged_by": candidates.bundle,
                "finding": candidates.kind,
                "candidates": len(candidates.places),
                "complete": report.complete,
                "counts": report.counts,
                "closed_before": report.closed,
                "gone": bulk.gone,
                "open": dict(bulk.open),
                "histogram": counts,
            }
        )
    else:
        for table, rows in counts.items():
            for name, count in rows.items():
                shown = Text(f"{count:>9,} ", "bold")
                if table == "outcomes":
                    word = _worded(name, dry_run=report.dry_run)
                    shown.append(word, _OUTCOME_STYLES[name])
                else:
                    shown.append(escaped(f"{table.removesuffix('s')}: {name}"), "dim")
                output.print(shown)
        waiting = sum(bulk.open.values())
        output.note(
            f"{counted(waiting, 'candidate')} still waiting, {report.closed:,} closed before, "
            f"{bulk.gone:,} gone"
        )
    if not report.complete:
        output.warn("there is more than one release looks at; run it again")
    if report.counts.get("failed"):
        return FAILED
    return VIOLATIONS if report.counts.get("refused") else OK


def _review_json(review: Review) -> dict[str, object]:
    return {
        "action": review.action,
        "at": review.at,
        "by": [{"name": each.by, "reason": each.reason} for each in review.signatures],
        "to": review.to,
        "id": review.id,
        "verified": review.verified,
    }


def shown_json(shown: ShownEvent) -> dict[str, object]:
    """A parked event with its content."""
    return {
        **_event_json(shown.event),
        "key": shown.key,
        "value": shown.value,
        "headers": [list(header) for header in shown.headers],
        "approvals": _approvals_json(shown.event, shown.approvals),
        "unmasked": shown.unmasked,
        "note": shown.note,
    }


def listed_line(event: ParkedEvent, bundle: Bundle, *, all_states: bool) -> Text:
    """A parked event among others: with its state where these differ, and who agreed so far."""
    shown = _event_line(event, f"{event.state:<10}" if all_states else "")
    asked, given = _asked(event, bundle), len(agreed(event, ()))
    if asked is not None and (asked.need > 1 or given):
        shown.append(f" ({given} of {counted(asked.need, 'approval')})", "magenta")
    return shown


def _event_line(event: ParkedEvent, state: str) -> Text:
    """A parked event on one line: where, when, and why."""
    effect = "hold" if event.kind in ("held", "waiting") else "reject"
    shown = Text().append(f"{event.partition}:{event.offset:<8} ", "bold")
    shown.append(f"{_time(event.parked_at)} ", "dim")
    shown.append(f"{event.kind:<11} ", effect_style(effect))
    shown.append(state, "cyan")
    shown.append(escaped(event.parked.message))
    return shown


def _time(at: int) -> str:
    """Milliseconds, in UTC; those that no calendar has, as they are."""
    try:
        return f"{dt.datetime.fromtimestamp(at / 1000, dt.UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return str(at)


def print_shown(shown: ShownEvent, output: Output) -> None:
    """A parked event with its content, its reviews, and the decision on it as a tree."""
    event = shown.event
    output.print(_event_line(event, "" if event.state == "waiting" else f"{event.state} "))
    # What the guard wrote is in the decision below.
    own = [header for header in shown.headers if not is_guard_header(header[0])]
    for name, value in (("key", shown.key), ("value", shown.value), *own):
        text = Text().append(f"  {escaped(str(name))} = ", "dim")
        text.append(escaped(str(value)) if value is not None else "null")
        output.print(text)
    if shown.note:
        output.print(Text(f"  {escaped(shown.note)}", "yellow"))
    if event.doubt:
        output.print(Text(f"  its decision cannot be verified: {event.doubt}", "yellow"))
    if shown.approvals is not None:
        names = counted(shown.approvals.need, "name")
        output.print(Text(escaped(f"  needs {names}{from_whom(shown.approvals)}"), "magenta"))
    for review in event.reviews:
        who = ", ".join(f"{each.by} ({each.reason})" for each in review.signatures)
        at = _time(review.at)
        output.print(Text(escaped(f"  {review.action} by {who} at {at}"), "cyan"))
    if event.parked.decision is not None and "event" in event.parked.decision:
        output.print(decision_tree(event.parked.decision))


def unknown_rule(places: Quarantine, selection: Selection) -> str | None:
    """That no parked event and no policy names the rule that was asked for, with those there are."""
    asked = selection.rule
    if asked is None:
        return None
    rules = Counter(
        rule
        for event in list_parked(places, all_states=True).events
        for rule in dict.fromkeys(event.rules)
    )
    known = {f"{each.id}/{rule.id}" for each in places.guard.bundle.policies for rule in each.rules}
    if any(asked in (name, name.partition("/")[2]) for name in known.union(rules)):
        return None
    said = f"no parked event names the rule {quoted(asked)}, and no policy here has it"
    names = sorted(rules) + sorted(known.difference(rules))
    meant = closest(asked, names if "/" in asked else [name.partition("/")[2] for name in names])
    listed = ", ".join(f"`{name}` ({count:,})" for name, count in rules.most_common(_RULES_MAX))
    more = f" and {len(rules) - _RULES_MAX:,} more" if len(rules) > _RULES_MAX else ""
    there = f"parked events name {listed}{more}" if rules else "nothing is parked"
    return "; ".join(filter(None, (said, there, meant)))
