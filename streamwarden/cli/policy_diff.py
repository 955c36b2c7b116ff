"""`streamwarden policy diff`: what changed in policies, what that means, and for which events."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import click
from rich.text import Text

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from ..policy.compiler.framed import FramedValues
from ..policy.decision import Decision
from ..policy.diff import Change, Field
from ..policy.diff_events import both_bundles, different, other_masks, tried_cases
from ..policy.diff_meaning import Meaning, Verdict, meanings, overall
from ..policy.keys import KeyRing
from ..schemas.event import Event
from .decide import STAGES
from .events import FORMATS, EventReader
from .failures import OK, VIOLATIONS
from .lines import Lines
from .loading import load, opened_schemas, schemas_option
from .options import output_options, topic_option
from .output import Output, counted, escaped, write_json
from .stores import opened
from .times import Instant
from .uncovered import Unjudged

__all__ = ["change_json", "diff", "print_changes"]

_STORED = re.compile(r"(?P<url>[a-z][a-z0-9+.-]*:.+?)(?:[@#](?P<number>[0-9]{1,18}))?")
_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_VERDICTS = {
    Verdict.SAME: "no decision differs",
    Verdict.TIGHTENED: "tightened",
    Verdict.LOOSENED: "loosened",
    Verdict.CHANGED: "changed",
}
_VALUE_MAX_CHARS = 300
_ENTRIES_SHOWN = 10
#: Events that decide differently and are told one by one; all are counted.
_EVENTS_SHOWN = 100
#: Reasons for which cases could not be decided that are told, those of the most cases.
_REASONS_SHOWN = 5


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--events",
    "files",
    multiple=True,
    metavar="FILE",
    help="Events, one a line, that both decide on; repeatable.",
)
@topic_option(required=False, help="The topic of these events; records may name their own.")
@click.option("--stage", type=click.Choice(STAGES), default="produce", show_default=True)
@click.option(
    "--format",
    "line_format",
    type=click.Choice(FORMATS),
    default="value",
    show_default=True,
    help="What a line is: an event's value, or a record as `publish` reads it.",
)
@click.option("--now", "now_ms", type=Instant(), metavar="TIME", help="The clock rules see.")
@click.option(
    "--mask-keys", type=click.Path(path_type=Path), metavar="FILE", help="Keys of `hash` masks."
)
@schemas_option
@click.option("--exit-code", is_flag=True, help="Exit with status 2 where they differ.")
@output_options
def diff(
    before: str,
    after: str,
    files: tuple[str, ...],
    topic: str | None,
    stage: str,
    line_format: str,
    now_ms: int | None,
    mask_keys: Path | None,
    schemas: str | None,
    exit_code: bool,
    output: Output,
) -> int:
    """Say what changed between two sets of policies, and what that means for events.

    Each is a directory, a store (its active bundle), or a store and a number.

      streamwarden policy diff policies/ candidate/
      streamwarden policy diff dir:bundles#14 dir:bundles#15
      streamwarden policy diff dir:bundles policies/ --events payments.jsonl --topic payments

    Where it can be proved a change is said to have tightened or loosened the policy: tightened, it
    lets nothing through that was held or rejected before. Everything else is changed. Cases of
    tests documents, and the events of --events, are decided by both as if they were enforced; the
    ones that come out differently are told. Cases on topics with an Avro schema need --schemas.
    """
    if files and topic is None and line_format == "value":
        raise ConfigurationError("no topic was named", remedy="say --topic TOPIC")
    asked = _Asked(
        files,
        EventReader(topic, line_format, None),
        stage,
        (time.time_ns() if now_ms is None else now_ms * 1_000_000),
        None if mask_keys is None else KeyRing.load(mask_keys),
    )
    old, new = _bundle(before, output), _bundle(after, output)
    found = meanings(old, new)
    with opened_schemas(schemas) as source:
        tried = asked.tried(old, new, None if source is None else FramedValues(source))
    if output.json:
        write_json(
            {
                "same": not found,
                "verdict": overall(found).value,
                "before": {"bundle": old.label, "digest": old.digest},
                "after": {"bundle": new.label, "digest": new.digest},
                "changes": [change_json(each) for each in found],
                "events": tried.to_dict(),
            }
        )
    else:
        print_changes(found, output)
        _print_verdict(found, new, output)
        _print_events(tried, output)
    _warn_of_undecided(tried.undecided, output)
    tried.nothing.tell(output, [old, new], stage, asked.now)
    return VIOLATIONS if exit_code and (found or tried.different) else OK


def _bundle(place: str, output: Output) -> Bundle:
    """The bundle of a directory, or of a store."""
    stored = _STORED.fullmatch(place)
    if stored is None or Path(place).exists():
        return load([Path(place)], output=output)
    store = opened(stored["url"])
    try:
        if stored["number"] is not None:
            return store.get(int(stored["number"]))
        active = store.active()
    finally:
        store.close()
    if active is None:
        raise click.UsageError(f"no bundle is active in `{place}`", click.get_current_context())
    return active.bundle


# --------------------------------------------------------------------- changes


def change_json(each: Meaning) -> dict[str, object]:
    """A change as JSON has it, with what it means."""
    change = each.change
    return {
        "kind": change.kind,
        "subject": change.subject,
        "name": change.name,
        "fields": [
            {"name": field.name, "before": field.before, "after": field.after}
            for field in change.fields
        ],
        "verdict": each.verdict.value,
        "because": list(each.because),
    }


def print_changes(changes: Sequence[Meaning], output: Output) -> None:
    """Show changes, one a line with what it means, and its fields below."""
    for each in changes:
        change = each.change
        shown = Text().append(
            f"{_SIGNS[change.kind]} {change.subject} {escaped(change.name)} {change.kind}",
            _STYLES[change.kind],
        )
        if each.verdict is not Verdict.CHANGED:
            shown.append(f": {_VERDICTS[each.verdict]}", "bold")
        if each.because:
            shown.append(f" ({escaped('; '.join(each.because))})", "dim")
        for field in change.fields:
            shown.append_text(_field(change, field))
        output.print(shown)


def _print_verdict(found: Sequence[Meaning], new: Bundle, output: Output) -> None:
    if not found:
        output.note(f"no difference ({new.digest[:12]})")
        return
    counts = {verdict: sum(each.verdict is verdict for each in found) for verdict in Verdict}
    said = ", ".join(f"{count:,} {_VERDICTS[v]}" for v, count in counts.items() if count)
    output.print(Text(f"{counted(len(found), 'change')}: {said}", "bold"))


def _field(change: Change, field: Field) -> Text:
    shown = Text().append(f"\n    {escaped(field.name)}: ", "dim")
    if change.subject == "list" and field.name == "entries":
        for sign, entries, style in (("-", field.before, "red"), ("+", field.after, "green")):
            listed = cast("list[object]", entries or [])
            for entry in listed[:_ENTRIES_SHOWN]:
                shown.append(f"\n      {sign} {_short(entry)}", style)
            if len(listed) > _ENTRIES_SHOWN:
                shown.append(f"\n      {sign} and {len(listed) - _ENTRIES_SHOWN:,} more", style)
        return shown
    if change.kind == "changed":
        shown.append(_short(field.before), "red")
        shown.append(" → ")
    shown.append(
        _short(field.before if change.kind == "removed" else field.after),
        "red" if change.kind == "removed" else "green",
    )
    return shown


def _short(value: object) -> str:
    if value is None:
        return "(nothing)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = escaped(" ".join(text.split()))
    return text if len(text) <= _VALUE_MAX_CHARS else f"{text[: _VALUE_MAX_CHARS - 1]}…"


# ---------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class _Tried:
    """What both bundles said of events; `shown` are the first that come out differently.

    `undecided` counts the cases that could not be tried, by the reason why, and `cases` the others.
    `nothing` are the events about which neither has anything to say.
    """

    cases: int
    events: int
    different: int
    shown: tuple[tuple[str, Decision, Decision], ...]
    undecided: Mapping[str, int]
    nothing: Unjudged

    def to_dict(self) -> dict[str, object]:
        return {
            "cases": self.cases,
            "events": self.events,
            "different": self.different,
            "undecided": sum(self.undecided.values()),
            "undecided_because": dict(self.undecided),
            "unjudged": dict(self.nothing.topics),
            "differences": [
                {
                    "event": name,
                    "before": _said(before),
                    "after": _said(after),
                    "masks": [
                        {"field": mask.name, "before": mask.before, "after": mask.after}
                        for mask in other_masks(before, after)
                    ],
                }
                for name, before, after in self.shown
            ],
        }


def _said(decision: Decision) -> dict[str, object]:
    return {
        "effect": decision.effect.value,
        "rules": _rules(decision),
        "reasons": decision.reasons(),
    }


def _rules(decision: Decision) -> list[str]:
    """The rules that count."""
    return [f"{match.policy}/{match.rule}" for match in decision.matches if match.counts]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The events that were given. `now` in nanoseconds."""

    files: tuple[str, ...]
    reader: EventReader
    stage: str
    now: int
    mask_keys: KeyRing | None

    def tried(self, old: Bundle, new: Bundle, framed: FramedValues | None) -> _Tried:
        """Every case and event, decided by both bundles."""
        counts = {"case": 0, "event": 0}
        number, nothing = 0, Unjudged()
        shown: list[tuple[str, Decision, Decision]] = []
        undecided = Counter[str]()
        for kind, name, before, after in self._decided(old, new, framed, undecided):
            counts[kind] += 1
            if kind == "event":
                nothing.note(before, after)
            if different(before, after):
                number += 1
                if len(shown) < _EVENTS_SHOWN:
                    shown.append((name, before, after))
        return _Tried(counts["case"], counts["event"], number, tuple(shown), undecided, nothing)

    def _decided(
        self, old: Bundle, new: Bundle, framed: FramedValues | None, undecided: Counter[str]
    ) -> Iterator[tuple[str, str, Decision, Decision]]:
        """What is decided; why a case is not goes into `undecided`."""
        tried = tried_cases(old, new, self.now, mask_keys=self.mask_keys, framed=framed)
        for was, now in tried:
            case, before, after = was.case, was.decision, now.decision
            if before is None or after is None:
                undecided["; ".join((was if before is None else now).failures)] += 1
                continue
            yield "case", f"{case.file}:{case.line} {case.policy}: {case.note}", before, after
        if not self.files:
            return
        both = both_bundles(old, new, mask_keys=self.mask_keys, framed=framed)
        lines = Lines(self.files)
        for line in lines:
            try:
                if line.data is None:
                    raise ValueError(f"the line has more than {lines.line_max_bytes:,} bytes")
                given = self.reader.read(line.data)
            except ValueError as error:
                raise ConfigurationError(f"{line.place}: {error}") from None
            event = Event(
                given.topic,
                given.value,
                given.key,
                given.headers,
                given.timestamp,
                self.now,
                given.partition,
                None,
                given.facts,
            )
            yield "event", line.place, *both.decide(event, self.stage)


def _print_events(tried: _Tried, output: Output) -> None:
    for name, before, after in tried.shown:
        shown = Text(f"! {escaped(name)}: ", "bold")
        shown.append(f"{before.effect.value} → {after.effect.value}", "yellow")
        for line in _differences(before, after):
            shown.append(f"\n    {escaped(line)}", "dim")
        output.print(shown)
    if tried.different > len(tried.shown):
        more = tried.different - len(tried.shown)
        output.print(f"and {more:,} more that {_decide(more)} differently")
    if tried.cases or tried.events:
        of = " and ".join(
            counted(number, noun)
            for number, noun in ((tried.cases, "case"), (tried.events, "event"))
            if number
        )
        output.print(f"of {of}, {tried.different:,} {_decide(tried.different)} differently")
    for topic, number in sorted(tried.nothing.topics.items(), key=lambda pair: (-pair[1], pair[0])):
        said = f"nothing judges the {counted(number, 'event')} of topic {escaped(topic)} in A or B"
        output.print(Text(said, "red"))


def _decide(number: int) -> str:
    return "decides" if number == 1 else "decide"


def _differences(before: Decision, after: Decision) -> Iterator[str]:
    """How two decisions differ beside the effect, in lines of words."""
    was, now = before.reasons(), after.reasons()
    if was != now:
        yield from (f"{title}: {said}" for title, said in (("before", was), ("after", now)) if said)
    elif was:
        yield f"both: {was}"
    if was == now:  # rules that are weaker than the one that decides
        old, new = _rules(before), _rules(after)
        for title, rules, others in (("only before", old, new), ("only after", new, old)):
            if more := [rule for rule in rules if rule not in others]:
                yield f"{title}: {', '.join(more)}"
    for mask in other_masks(before, after):
        yield f"mask of {mask.name}: {mask.before or 'none'} → {mask.after or 'none'}"


def _warn_of_undecided(undecided: Mapping[str, int], output: Output) -> None:
    """Cases of which nothing is known, with the reasons of the most of them."""
    told = sorted(undecided.items(), key=lambda pair: (-pair[1], pair[0]))
    for reason, number in told[:_REASONS_SHOWN]:
        output.warn(f"{counted(number, 'case')} could not be decided: {reason}")
    if more := sum(number for _, number in told[_REASONS_SHOWN:]):
        output.warn(f"{counted(more, 'more case')} could not be decided for other reasons")
