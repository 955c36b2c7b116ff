"""Findings in plain words, the same on a terminal, in a page and in every other form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = [
    "ADVICE",
    "cause_sentence",
    "counted_above",
    "headline",
    "judged_by",
    "judges_nothing",
    "listed",
    "log_sentences",
    "meaning",
    "missed_places",
    "missed_sentence",
    "unsigned",
]

_MEANING: Final = {
    "forged": "the stamp is not what a guard wrote",
    "misrecorded": "the stamp says what its version does not",
    "unchecked": "no stamp: something bypassed the guard",
    "overridden": "passed under break-glass",
    "undecidable": "cannot be decoded, or hangs on what was not kept",
    "now-rejected": "let through then, rejected by today's policy",
    "now-held": "let through then, held by today's policy",
    "now-masked": "let through then, masked by today's policy",
    "now-allowed": "parked then, fine today: may be released",
    "would-change": "the candidate decides otherwise than today's policy",
}

#: What to do about it.
ADVICE: Final = {
    "forged": "Find out who wrote it: look at who may write to the topic, and at the stamp keys.",
    "misrecorded": "Find the producer: it stamps without deciding, or its guard was tampered with.",
    "unchecked": "Find what writes past the guard, and have it use a guarded producer. Where events are"
    " older than the guard, say so in the bundle: `guarded_from`.",
    "overridden": "Nothing is wrong; see that the grant was meant for it.",
    "undecidable": "Supply what was missing: a schema, a version, or facts in the decision log.",
    "now-rejected": "Decide whether what these events did is to be reversed or made good.",
    "now-held": "Have people look at these events as if they had been held.",
    "now-masked": "The fields are readable in the topic: restrict who reads it, or rewrite it.",
    "now-allowed": "Release them with `streamwarden quarantine release`, or discard them.",
    "would-change": "See that the change is meant, before the candidate is published.",
}

_UNSIGNED: Final = ("the stamp is not signed", "the decision is not signed")
_PLACES_SHOWN: Final = 3
#: What a report was asked for that makes it look at a range.
_RANGES: Final = ("since", "until", "offsets", "partitions")
_TODAY: Final = {
    "now-rejected": "would be rejected",
    "now-held": "would be held for people to look at",
    "now-masked": "would have fields masked",
}
_REFUSED: Final = {"now-rejected": "rejected", "now-held": "held", "now-masked": "masked"}
_BESIDES: Final = {
    "now-rejected": "{} would reject {}.",
    "now-held": "{} would hold {}.",
    "now-masked": "{} would mask fields of {}.",
}
#: What judges where nothing else was asked for.
_NOW: Final = "today"
_TOPICS_NAMED: Final = 5
#: Filters by which a report was asked to count findings.
_FILTERS: Final = {
    "policies": "policy",
    "owners": "owner",
    "severities": "severity",
    "classes": "class",
}


def judged_by(report: Mapping[str, Any]) -> str:
    """What judged the events: `today`, or `by …` for a candidate and for a version of its time."""
    asked: Mapping[str, Any] = report.get("asked") or {}
    if asked.get("against") is not None:
        return "by the candidate"
    return _NOW if asked.get("as_of") is None else f"by {report['bundle']}"


def meaning(kind: str, by: str = _NOW) -> str:
    """What a kind of finding means, in a few words; `by` is that of `judged_by`."""
    said = _MEANING[kind]
    if by == _NOW or kind == "would-change":
        return said
    judge = by.removeprefix("by ")
    return said.replace("today's policy", judge).replace("fine today", f"fine {by}")


def judges_nothing(report: Mapping[str, Any]) -> bool:
    """Whether there was nothing to judge, or nothing to judge it by."""
    without: Collection[str] = report.get("uncovered") or ()
    topics = {part["topic"] for part in report["partitions"] if not part.get("parked")}
    return not report["events"] or topics.issubset(without)


def unsigned(what: str, since: int | None) -> str:
    """What is said of a `stamp` or `decision` that has to be signed and is not.

    `since` is from when on it has to be, None where nobody said that: then it may be of before.
    """
    said = f"the {what} is not signed"
    if since is None:
        said += " (if it is older than the keys, say `--mac-since`)"
    return said


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` of `names`, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def _judge(by: str) -> str:
    if by == _NOW:
        return "Today's policy"
    judge = by.removeprefix("by ")
    return judge[:1].upper() + judge[1:] if judge.startswith("the ") else judge


def headline(report: Mapping[str, Any]) -> str:
    """The verdict on a report as JSON has it, in a sentence.

    Of N events, how many today's policy would refuse, and whether everything was read; of no event
    nothing is said. A sentence each where a filter leaves findings out, where no policy judges, and
    where the bundle is not enforced.
    """
    events = report["events"]
    read = "everything was read" if report["complete"] else "not everything was read"
    if not events:
        return f"No event was judged, so nothing is said of any: {_why_none(report)}."
    drift, counts = report["drift"], report["counts"]
    unchecked, unclear = counts.get("unchecked", 0), counts.get("undecidable", 0)
    said = (
        f"Of {events:,} event{'' if events == 1 else 's'}, "
        f"{drift.get('now-rejected', 0):,} would be rejected, {drift.get('now-held', 0):,} held, "
        f"{drift.get('now-masked', 0):,} masked {judged_by(report)}; "
        f"{unchecked:,} {'was' if unchecked == 1 else 'were'} never checked; "
        f"{f'{unclear:,} cannot be decided; ' if unclear else ''}{read}."
    )
    return " ".join([said, *_narrowed(report), *_unjudged(report), *_idle(report)])


def _narrowed(report: Mapping[str, Any]) -> Iterator[str]:
    """What a filter by rules leaves out of the figures."""
    asked: Mapping[str, Any] = report.get("asked") or {}
    filters = [
        f"{one} {' or '.join(asked[name])}" for name, one in _FILTERS.items() if asked.get(name)
    ]
    left_out: Mapping[str, int] = report.get("left_out") or {}
    others = sum(left_out.values())
    if filters or others:
        of = f"rules of {', '.join(filters)}" if filters else "some rules"
        yield (
            f"Only what hangs on {of} is counted: "
            f"{others:,} other finding{' is' if others == 1 else 's are'} left out."
        )


def _unjudged(report: Mapping[str, Any]) -> Iterator[str]:
    topics = report.get("uncovered") or ()
    if topics:
        named = listed([f"`{topic}`" for topic in topics], _TOPICS_NAMED)
        yield f"No policy covers {named}: nothing judged the events there."


def _idle(report: Mapping[str, Any]) -> Iterator[str]:
    mode = report.get("mode", "enforce")
    if mode != "enforce":
        how = "is in shadow mode" if mode == "shadow" else "is switched off"
        yield f"The bundle {how}: its rules refuse, hold and mask nothing, whatever they find."


def counted_above(report: Mapping[str, Any]) -> str:
    """Why fewer events are found as `now-…` than the headline has; empty where as many are."""
    told = [
        f"{more:,} of those that would be {word}"
        for kind, word in _REFUSED.items()
        if (more := report["drift"].get(kind, 0) - report["counts"].get(kind, 0)) > 0
    ]
    if not told:
        return ""
    one = len(told) == 1 and told[0].startswith("1 of")
    return f"{' and '.join(told)} {'counts' if one else 'count'} under a kind further up."


def _why_none(report: Mapping[str, Any]) -> str:
    asked: Mapping[str, Any] = report.get("asked") or {}
    sample: Mapping[str, Any] = report.get("sample") or {}
    if sample.get("events"):
        return f"the sample drew none of {sample['events']:,}"
    if not report["complete"] and not sample.get("all_read"):
        return "not everything was read"
    if any(asked.get(name) is not None for name in _RANGES):
        return "none lies in the range that was asked for"
    return "none is new" if report.get("base") else "there is none"


def cause_sentence(
    kind: str, count: int, *, rule: str, change: str, drift: str, stamped: str, by: str = _NOW
) -> str:
    """One cause as a sentence or two; the arguments are those of a `Cause`, and of `judged_by`."""
    one = count == 1
    events = f"{count:,} event{'' if one else 's'}"
    why = f": {change}" if change else ""
    if kind in _TODAY:
        let = (
            f"{stamped} let through"
            if stamped
            else "was let through"
            if one
            else "were let through"
        )
        because = why or (f": {rule} fires" if rule else "")
        return f"{events} that {let} {_TODAY[kind]} {by}{because}."
    if kind == "now-allowed":
        parked = f"parked by {stamped}" if stamped else "parked"
        return f"{events} that {'was' if one else 'were'} {parked} would pass {by}{why}."
    has, them = ("carries", "it") if one else ("carry", "them")
    # Guards without keys sign nothing, so that a guard is not ruled out.
    whose = "anybody may have written" if change.startswith(_UNSIGNED) else "no guard wrote"
    said = {
        "forged": f"{events} {has} a stamp that {whose}{why}.",
        "misrecorded": f"{events} {has} a stamp that is not what its version decides{why}.",
        "unchecked": f"{events} {has} no stamp: something wrote {them} past the guard.",
        "overridden": f"{events} passed under break-glass{why}.",
        "undecidable": f"{events} cannot be judged{why}.",
        "would-change": f"{events} would be decided otherwise by the candidate{why}.",
    }.get(kind, f"{events}: {kind}{why}.")
    besides = _BESIDES.get(drift, "").format(_judge(by), them)
    return f"{said} {besides}".rstrip()


def missed_sentence(log: Mapping[str, Any]) -> str:
    """How many events the log of decisions should tell of and does not; parked ones are among them."""
    missed = log.get("missed", 0)
    has = (
        "event that a guard decided on has" if missed == 1 else "events that guards decided on have"
    )
    return f"{missed:,} {has} no entry, although the log was kept without loss"


def missed_places(log: Mapping[str, Any]) -> str:
    """The first few events that have no entry."""
    return ", ".join(
        f"{each['topic']}[{each['partition']}]@{each['offset']}"
        for each in log["examples"]["events"][: min(log["missed"], _PLACES_SHOWN)]
    )


def log_sentences(log: Mapping[str, Any]) -> list[str]:
    """How the log of decisions and the events agree, given as the report's `decision_log`."""
    if log.get("problem"):
        return [f"The log of decisions was not compared: {log['problem']}."]
    missed, without = log.get("missed", 0), log.get("entries_without_event", 0)
    entries = log.get("entries", 0)
    matched = f"{log.get('matched', 0):,} events have their entry among {entries:,}"
    said = [f"{matched} in the log of decisions, {log.get('place', '')}."]
    unlogged: Mapping[str, int] = log.get("events_without_entry") or {}
    if number := sum(unlogged.values()):
        kinds = ", ".join(f"{count:,} {effect}" for effect, count in unlogged.items())
        said.append(f"{number:,} event{' has' if number == 1 else 's have'} none ({kinds}).")
        if not missed and log.get("lossless_since") is None:
            said.append("Nobody said since when the log is without loss, so none of them counts.")
    if missed:
        said.append(f"{missed_sentence(log)}.")
    if without:
        said.append(
            f"{without:,} entr{'y has' if without == 1 else 'ies have'} no event in the topics."
        )
    if log.get("unreadable"):
        said.append(f"{log['unreadable']:,} lines of the log cannot be read.")
    return said
