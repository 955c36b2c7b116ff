"""A reconciliation from start to end: freeze, cut, replay, merge, report."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock

from streamwarden._version import __version__
from streamwarden.errors import ReconcileError

from ..policy.bundle import Bundle
from .catalogue import catalogue_of
from .checkpoint import Plan, Spool
from .engines import make_engine
from .history import History
from .judge import Terms
from .options import Progress, ReconcileOptions
from .reading import Gap, Reader
from .report import Report
from .reviewed import read_reviews
from .slices import Slice, cut, existing_topics, freeze
from .tally import SliceReport, Tally, merge_all
from .work import Work

__all__ = ["reconcile"]

_MILLISECOND_NS = 1_000_000
#: Published versions that are asked where they parked; older ones parked what is long gone.
_VERSIONS_ASKED_MAX = 100


def reconcile(
    options: ReconcileOptions, progress: Callable[[Progress], None] | None = None
) -> Report:
    """Replay history as `options` say and report what was found.

    Reads only: no event, offset or policy is changed. Raises ReconcileError when it cannot start,
    StoreError when the store cannot be read; from then on whatever happens is in the report.
    """
    began, started = time.monotonic(), time.time_ns() // _MILLISECOND_NS
    engine = make_engine(options.engine, options.engine_options)
    with ExitStack() as stack:
        if options.checkpoint is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamwarden-")))
        else:
            folder = options.checkpoint
        spool = Spool(folder)
        stack.enter_context(spool.locked())
        today = _today(options)
        plan = _plan(options, today, spool)
        history = _history(options, today, plan)
        slices = cut(plan.partitions, plan.slice_offsets)
        left = [piece for piece in slices if spool.load(piece) is None]
        watch = _Watch(slices, left, progress)
        if left:
            engine.run(_work(options, plan, history, slices), left, spool, watch)
        report = _report(today, plan, slices, spool)
        report = replace(
            report,
            catalogue=catalogue_of(history.bundles(_VERSIONS_ASKED_MAX), report.rule_names()),
            started=started,
            command=options.command,
        )
        if options.findings is not None:
            spool.copy_findings(slices, options.findings)
        _leave(spool, slices)
        return replace(report, seconds=time.monotonic() - began)


def _today(options: ReconcileOptions) -> Bundle:
    if options.bundle is not None:
        return options.bundle
    assert options.store is not None  # the options saw to it
    active = options.store.active()
    if active is None:
        raise ReconcileError(
            "the store has no active bundle", remedy="activate one, or say `--policies DIR`"
        )
    return active.bundle


def _plan(options: ReconcileOptions, today: Bundle, spool: Spool) -> Plan:
    """The plan of the run that was stopped in this folder, or a new one."""
    asked = _asked(options, today)
    plan = spool.plan()
    if plan is not None:
        differences = sorted(name for name in asked if plan.asked.get(name) != asked[name])
        if differences:
            raise ReconcileError(
                f"checkpoint `{spool.folder}` is of a run that differs in {', '.join(differences)}",
                remedy="call it as it was called then, or empty the folder to start anew",
            )
        return plan
    now = time.time_ns() if options.now is None else options.now * _MILLISECOND_NS
    topics, parked = _topics(options, today)
    partitions = freeze(
        options.config,
        topics,
        parked=parked,
        since_ms=options.since,
        timeout_s=options.timeout_s,
    )
    # After the ends are frozen: whatever a stamp in the range names was published before.
    published = () if options.store is None else options.store.history()
    plan = Plan(
        asked,
        now,
        options.slice_offsets,
        tuple(partitions),
        tuple((entry.name, entry.number, entry.digest) for entry in published),
    )
    spool.begin(plan)
    return plan


def _asked(options: ReconcileOptions, today: Bundle) -> dict[str, str]:
    """What has to be the same for a run to go on where another stopped."""
    keys = None if options.stamp_keys is None else repr(options.stamp_keys)
    asked: dict[str, object] = {
        "topics": list(options.topics),
        "policies": today.digest,
        "store": options.store is not None,
        "since": options.since,
        "until": options.until,
        "now": options.now,
        "retroactive": options.retroactive,
        "stage": options.stage,
        "findings": options.findings is not None,
        "stamp keys": keys,
        "mac_since": options.mac_since,
        "version": __version__,
    }
    return {name: str(value) for name, value in asked.items()}


def _topics(options: ReconcileOptions, today: Bundle) -> tuple[dict[str, list[int]], set[str]]:
    """The topics to read with their partitions, and those of them where events are parked."""
    asked = list(dict.fromkeys(options.topics))
    parked = {topic for topic in asked if today.is_parking(topic)}
    wanted: list[str] = []
    bundles = list(_templates(options, today))
    for topic in asked:
        wanted.append(topic)
        if topic not in parked:
            beside = [
                name for b in bundles for name in (b.quarantine_topic(topic), b.held_topic(topic))
            ]
            wanted += beside
            parked.update(beside)
    found = existing_topics(options.config, wanted, timeout_s=options.timeout_s)
    missing = [topic for topic in asked if topic not in found]
    if missing:
        raise ReconcileError(
            f"there is no topic `{missing[0]}`",
            remedy="check its name, and that this client may describe it",
        )
    return found, parked


def _templates(options: ReconcileOptions, today: Bundle) -> Iterable[Bundle]:
    """One bundle for each way in which parking topics are, or were, named."""
    seen: set[tuple[str, str]] = set()
    history = History.of_store(today, options.store)
    for bundle in history.bundles(_VERSIONS_ASKED_MAX):
        names = (bundle.settings.quarantine, bundle.settings.held)
        if names not in seen:
            seen.add(names)
            yield bundle


def _history(options: ReconcileOptions, today: Bundle, plan: Plan) -> History:
    return History(
        today,
        published=plan.published,
        fetch=None if options.store is None else options.store.get,
        mask_keys=options.mask_keys,
    )


def _work(options: ReconcileOptions, plan: Plan, history: History, slices: Sequence[Slice]) -> Work:
    reader = Reader(options.config, timeout_s=options.timeout_s)
    try:
        parked = [piece for piece in slices if piece.parked]
        reviewed = read_reviews(reader, parked, options.stamp_keys)
    finally:
        reader.close()
    mac_since = options.mac_since
    terms = Terms(
        now=plan.now,
        stamp_keys=options.stamp_keys,
        mac_since=None if mac_since is None else mac_since * _MILLISECOND_NS,
        retroactive=options.retroactive,
        stage=options.stage,
        known_id=options.known_id,
        released=options.released,
        reviewed=reviewed,
    )
    return Work(
        config=options.config,
        history=history,
        terms=terms,
        asked=frozenset(options.topics),
        window=(options.since, options.until),
        timeout_s=options.timeout_s,
        with_findings=options.findings is not None,
        mask_keys=options.mask_keys,
        schemas=options.schemas,
    )


def _report(today: Bundle, plan: Plan, slices: Sequence[Slice], spool: Spool) -> Report:
    accounts: list[SliceReport] = []
    for piece in slices:
        account = spool.load(piece)
        if account is None:
            gap = Gap(piece.first, piece.end, "unread")
            account = Tally().report(piece, [gap], "the worker that read it ended")
        accounts.append(account)
    return Report(
        bundle=today.label,
        digest=today.digest,
        partitions=plan.partitions,
        account=merge_all(accounts),
        seconds=0.0,
    )


def _leave(spool: Spool, slices: Sequence[Slice]) -> None:
    """Leave nothing to resume, unless something was not read: the next run tries that again."""
    unread = [piece for piece in slices if _is_unread(spool, piece)]
    if not unread:
        spool.clear()
    for piece in unread:
        spool.forget(piece)


def _is_unread(spool: Spool, piece: Slice) -> bool:
    account = spool.load(piece)
    return account is None or any(
        gap.reason == "unread" for place in account.coverage for gap in place.lost
    )


class _Watch:
    """Turns what workers say into progress; called from one thread or another."""

    def __init__(
        self,
        slices: Sequence[Slice],
        left: Sequence[Slice],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._progress = progress
        self._lock = Lock()
        self._total = sum(piece.end - piece.first for piece in slices)
        self._slices = len(slices)
        self._done = len(slices) - len(left)
        self._finished = self._total - sum(piece.end - piece.first for piece in left)
        self._records = self._running = 0

    def seen(self, records: int) -> None:
        """See `Watch.seen`."""
        with self._lock:
            self._records += records
            self._running += records
            self._tell()

    def done(self, piece: Slice) -> None:
        """See `Watch.done`."""
        with self._lock:
            self._done += 1
            self._finished += piece.end - piece.first
            self._running = 0
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(
                Progress(
                    offsets=min(self._finished + self._running, self._total),
                    offsets_total=self._total,
                    records=self._records,
                    slices=self._done,
                    slices_total=self._slices,
                )
            )
