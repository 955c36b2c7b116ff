"""What a run is to do, found out at its start: the policy of today, the topics, the ranges."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamwarden._version import __version__
from streamwarden.errors import ReconcileError

from ..policy.bundle import Bundle
from ..policy.topics import matches_glob
from .checkpoint import Plan, Spool
from .history import History
from .incremental import Resume
from .options import ReconcileOptions
from .selection import narrowed
from .slices import Partition, all_topics, freeze

__all__ = ["asked_of", "current_bundle", "plan_run", "today_of"]

_MILLISECOND_NS = 1_000_000
#: Published versions that are asked where they parked; older ones parked what is long gone.
_VERSIONS_ASKED_MAX = 100


def today_of(options: ReconcileOptions) -> Bundle:
    """The bundle that judges: the candidate where there is one, else the current one."""
    return current_bundle(options) if options.candidate is None else options.candidate


def current_bundle(options: ReconcileOptions) -> Bundle:
    """Today's bundle, or the one that was today's at `as_of`. Raises ReconcileError, StoreError."""
    if options.bundle is not None:
        return options.bundle
    store = options.store
    assert store is not None  # the options saw to it
    if options.version is not None:
        return store.get(options.version)
    if options.as_of is not None:
        activations = store.activations()
        before = [a for a in activations if a.at <= options.as_of * _MILLISECOND_NS]
        if not before:
            first = min((a.at for a in activations), default=None)
            since = "" if first is None else f"; the first one is since {_instant(first)}"
            raise ReconcileError(
                f"no bundle was active then{since}", remedy="say a later `--as-of`, or a version"
            )
        return store.get(max(before, key=lambda activation: activation.epoch).number)
    active = store.active()
    if active is None:
        raise ReconcileError(
            "the store has no active bundle", remedy="activate one, or say `--policies DIR`"
        )
    return active.bundle


def _instant(ns: int) -> str:
    """To the second, and not before it: said back, it is in time."""
    return dt.datetime.fromtimestamp(-(-ns // 10**9), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plan_run(options: ReconcileOptions, today: Bundle, spool: Spool) -> Plan:
    """The plan of the run that was stopped in this folder, or a new one."""
    fingerprint = _fingerprint(options, today)
    plan = spool.plan()
    if plan is not None:
        differing = sorted(n for n in fingerprint if plan.asked.get(n) != fingerprint[n])
        if differing:
            raise ReconcileError(
                f"checkpoint `{spool.folder}` is of a run that differs in {', '.join(differing)}",
                remedy="call it as it was called then, or empty the folder to start anew",
            )
        return plan
    topics, parked = _topics(options, today)
    partitions: Sequence[Partition] = narrowed(
        freeze(
            options.config,
            topics,
            parked=parked,
            since_ms=options.since,
            timeout_s=options.timeout_s,
            identify=options.runs is not None,
        ),
        options.selection,
    )
    base: dict[str, str] = {}
    if options.incremental and options.runs is not None:
        partitions, base = Resume.of(options.runs, asked_of(options)).cut(partitions)
    # After the ends are frozen: whatever a stamp in the range names was published before.
    published = () if options.store is None else options.store.history()
    offsets = sum(part.end - part.first for part in partitions)
    plan = Plan(
        fingerprint,
        _clock(options),
        options.slice_offsets,
        tuple(partitions),
        tuple((entry.name, entry.number, entry.digest) for entry in published),
        None if options.sample is None else options.sample.rate_of(offsets),
        base,
    )
    spool.begin(plan)
    return plan


def _clock(options: ReconcileOptions) -> int:
    given = options.as_of if options.now is None else options.now
    return time.time_ns() if given is None else given * _MILLISECOND_NS


def asked_of(options: ReconcileOptions) -> dict[str, Any]:
    """What a run was asked for, as its report says it: all that is not the default."""
    chosen, candidate = options.selection, options.candidate
    asked: dict[str, Any] = {
        "topics": list(options.topics),
        "since": options.since,
        "until": options.until,
        "partitions": sorted(chosen.partitions),
        "offsets": None if chosen.first is chosen.end is None else [chosen.first, chosen.end],
        "policies": list(chosen.policies),
        "severities": list(chosen.severities),
        "owners": list(chosen.owners),
        "classes": list(chosen.classes),
        "sample": None if options.sample is None else options.sample.asked,
        "retroactive": options.retroactive,
        "stage": options.stage,
        "as_of": options.as_of if options.version is None else f"#{options.version}",
        "against": None if candidate is None else f"{candidate.label} {candidate.digest[:12]}",
        "incremental": options.incremental,
    }
    return {name: value for name, value in asked.items() if value not in (None, False, [])}


def _fingerprint(options: ReconcileOptions, today: Bundle) -> dict[str, str]:
    """What has to be the same for a run to go on where another stopped."""
    keys = None if options.stamp_keys is None else repr(options.stamp_keys)
    asked: dict[str, object] = {
        **dict.fromkeys(("since", "until", "retroactive", "stage", "offsets", "sample")),
        **asked_of(options),
        "policies judged by": today.digest,
        "store": options.store is not None,
        "now": options.now,
        "findings": options.keeps_findings,
        "stamp keys": keys,
        "mac_since": options.mac_since,
        "decision log": options.decision_log,
        "version": __version__,
    }
    if options.candidate is not None:
        asked["policies compared with"] = current_bundle(options).digest
    return {name: str(value) for name, value in asked.items()}


def _topics(options: ReconcileOptions, today: Bundle) -> tuple[dict[str, list[int]], set[str]]:
    """The topics to read with their partitions, and those of them where events are parked."""
    known = all_topics(options.config, timeout_s=options.timeout_s)
    asked = _named(options, today, known)
    target = options.findings_topic
    if target is not None and (target not in known or target in asked):
        raise ReconcileError(
            f"findings cannot go to `{target}`",
            remedy="make that topic first; it cannot be one of those that are replayed",
        )
    parked = {topic for topic in asked if today.is_parking(topic)}
    wanted: list[str] = []
    bundles = list(_templates(options, today))
    for topic in asked:
        wanted.append(topic)
        if topic not in parked and not options.selection.by_place:
            beside = [
                name for b in bundles for name in (b.quarantine_topic(topic), b.held_topic(topic))
            ]
            wanted += beside
            parked.update(beside)
    return {name: known[name] for name in dict.fromkeys(wanted) if name in known}, parked


def _named(
    options: ReconcileOptions, today: Bundle, known: Mapping[str, Sequence[int]]
) -> list[str]:
    """The topics that were asked for; a glob never takes topics where events are parked."""
    asked: list[str] = []
    for name in options.topics:
        if "*" not in name:
            found = [name] if name in known else []
        else:
            found = sorted(
                topic
                for topic in known
                if matches_glob(name, topic)
                and not topic.startswith("__")
                and not today.is_parking(topic)
                and topic != options.findings_topic
            )
        if not found:
            fits = "that fits " if "*" in name else ""
            raise ReconcileError(
                f"there is no topic {fits}`{name}`",
                remedy="check its name, and that this client may describe it",
            )
        asked += found
    return list(dict.fromkeys(asked))


def _templates(options: ReconcileOptions, today: Bundle) -> Iterable[Bundle]:
    """One bundle for each way in which parking topics are, or were, named."""
    seen: set[tuple[str, str]] = set()
    history = History.of_store(today, options.store)
    for bundle in history.bundles(_VERSIONS_ASKED_MAX):
        names = (bundle.settings.quarantine, bundle.settings.held)
        if names not in seen:
            seen.add(names)
            yield bundle
