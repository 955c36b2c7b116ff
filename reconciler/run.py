"""A reconciliation from start to end: freeze, cut, replay, merge, report."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Lock

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from .approvals import Approvals
from .catalogue import catalogue_of
from .causes import CauseSum
from .checkpoint import Plan, Spool
from .decision_log import check_log
from .engines import make_engine
from .history import History
from .judge import Terms
from .options import Progress, ReconcileOptions
from .outputs import check_outputs, write_outputs
from .planning import asked_of, current_bundle, plan_run, today_of
from .reading import Gap, Reader
from .report import Report
from .reviewed import read_reviews
from .rows import Rows
from .secrecy import secrets_of
from .slices import Slice, cut
from .tally import SliceReport, Tally, merge
from .text import first_sentence
from .words import listed
from .work import Work

__all__ = ["reconcile"]

log = logging.getLogger("streamwarden.reconciler")

_MILLISECOND_NS = 1_000_000
_TOPICS_NAMED = 3
_NAMES_TOLD = 10
#: Published versions that are asked about the rules behind findings.
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
    check_outputs(options)
    engine.prepare()
    with ExitStack() as stack:
        if options.checkpoint is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamwarden-")))
        else:
            folder = options.checkpoint
        spool = Spool(folder)
        stack.enter_context(spool.locked())
        today = today_of(options)
        plan = plan_run(options, today, spool)
        history = _history(options, today, plan)
        _check_names(options, history, spool)
        slices = cut(plan.partitions, plan.slice_offsets)
        left: list[Slice] = []
        made = 0  # by a run that was stopped
        for piece in slices:
            account = spool.load(piece)
            if account is None:
                left.append(piece)
            else:
                made += account.findings
        watch = _Watch(slices, left, made, progress)
        if left:
            engine.run(_work(options, plan, history, slices), left, spool, watch)
        report = _report(today, plan, slices, spool)
        report = replace(
            report,
            catalogue=catalogue_of(history.bundles(_VERSIONS_ASKED_MAX), report.rule_names()),
            started=started,
            command=options.command,
            asked=asked_of(options),
            selected=options.selection.by_rule,
            rate=plan.rate,
            base=plan.base,
            current=None if options.candidate is None else _label(current_bundle(options)),
        )
        _warn_of_nothing(options, report)
        _warn_of_stages(options, report, today)
        if options.decision_log is not None:
            report = _compared(options, report, plan, slices, spool)
        report = replace(report, seconds=time.monotonic() - began)
        report = write_outputs(options, report, slices, spool)
        _leave(spool, slices)
        return report


def _compared(
    options: ReconcileOptions, report: Report, plan: Plan, slices: Sequence[Slice], spool: Spool
) -> Report:
    """The report with what a comparison with the decision log came to."""
    assert options.decision_log is not None
    check = check_log(
        options.decision_log,
        slices,
        plan.partitions,
        spool,
        config=options.config,
        window=(options.since, options.until),
        now_ms=plan.now // _MILLISECOND_NS,
        lossless_since=options.lossless_since,
        has_allows=options.log_has_allows,
        timeout_s=options.timeout_s,
        differences=options.log_differences,
    )
    problems = (*report.problems, check.problem) if check.problem else report.problems
    return replace(report, log_check=check, problems=problems)


def _label(bundle: Bundle) -> tuple[str, str]:
    return bundle.label, bundle.digest


def _check_names(options: ReconcileOptions, history: History, spool: Spool) -> None:
    """A name that is mistyped would select nothing, which reads as a clean history.

    Raises ConfigurationError.
    """
    if not (options.selection.policies or options.selection.owners):
        return
    candidates = [] if options.candidate is None else [options.candidate]
    bundles = [*candidates, *history.bundles(_VERSIONS_ASKED_MAX)]
    if unknown := options.selection.unknown(bundles):
        spool.clear()  # or the next try, with the right name, were told that it asks otherwise
        policies = [policy for bundle in bundles for policy in bundle.policies]
        known = sorted(
            {f"policy {policy.id}" for policy in policies}
            | {f"owner {policy.owner}" for policy in policies}
        )
        raise ConfigurationError(
            f"no version that is looked at has the {' or the '.join(unknown)}",
            remedy=f"there are {listed(known, _NAMES_TOLD)}",
        )


def _warn_of_nothing(options: ReconcileOptions, report: Report) -> None:
    """A range in which nothing lies reads as a clean history; that nothing is new is no wonder."""
    if options.incremental:
        return
    if not report.account.events:
        log.warning("%s", first_sentence(report))
        return
    empty = sorted(
        {part.topic for part in report.partitions if not part.parked}
        - {part.topic for part in report.partitions if part.first < part.end or part.problem}
    )
    if empty:
        log.warning("nothing is said of %s: the range holds no record of it", _listed(empty))


def _warn_of_stages(options: ReconcileOptions, report: Report, today: Bundle) -> None:
    """Where today's policies have nothing to say at the stage of the events, all reads as clean."""
    stage = options.stage or "produce"
    silent: dict[str, list[str]] = {}
    for topic in sorted({part.topic for part in report.partitions if not part.parked}):
        said = {each for policy in today.covering(topic) for each in policy.stages}
        if said and not said & {stage, "reconcile"}:
            silent.setdefault(min(said), []).append(topic)
    for other, topics in sorted(silent.items()):
        log.warning(
            "%s has rules for %s at stage %s only, and none was asked: judge by `--stage %s`",
            *(today.label, _listed(topics), other, other),
        )


def _listed(topics: Sequence[str]) -> str:
    return listed([f"`{topic}`" for topic in topics], _TOPICS_NAMED)


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
        approvals=Approvals(history.bundles(_VERSIONS_ASKED_MAX), options.stamp_keys),
    )
    return Work(
        config=options.config,
        history=history,
        terms=terms,
        asked=frozenset(_asked_topics(options, plan)),
        window=(options.since, options.until),
        timeout_s=options.timeout_s,
        with_findings=options.keeps_findings,
        mask_keys=options.mask_keys,
        schemas=options.schemas,
        current=None if options.candidate is None else current_bundle(options).to_json(),
        rate=plan.rate,
        noting=options.decision_log is not None,
        selection=options.selection,
        secrets=secrets_of(_involved(options, history)),
    )


def _involved(options: ReconcileOptions, history: History) -> Iterable[Bundle]:
    """Every version that a run has to do with: what judges, what is compared, active or stamped."""
    yield current_bundle(options)
    active = None if options.store is None else options.store.active()
    if active is not None:
        yield active.bundle
    yield from history.bundles(_VERSIONS_ASKED_MAX)


def _asked_topics(options: ReconcileOptions, plan: Plan) -> Iterable[str]:
    """The topics of the run, without the parking topics that are read beside them."""
    for part in plan.partitions:
        if not part.parked or part.topic in options.topics:
            yield part.topic


def _report(today: Bundle, plan: Plan, slices: Sequence[Slice], spool: Spool) -> Report:
    whole = SliceReport()
    with CauseSum.opened() as causes, Rows.opened() as rows:
        for piece in slices:
            account = spool.load(piece)
            if account is None:
                gap = Gap(piece.first, piece.end, "unread")
                account = Tally().report(piece, [gap], "the worker that read it ended")
            else:
                for cause in chain(account.causes, spool.put_away(piece)):
                    causes.add(cause)
                    rows.add(cause)
            whole = merge(whole, replace(account, causes=()))
        kept, number = causes.total()
        rules, versions = rows.total()
    whole = replace(
        whole, causes=kept, causes_more=number - len(kept), rules=rules, versions=versions
    )
    return Report(
        bundle=today.label,
        digest=today.digest,
        partitions=plan.partitions,
        account=whole,
        seconds=0.0,
        uncovered=tuple(
            topic
            for topic in sorted({part.topic for part in plan.partitions if not part.parked})
            if not today.covering(topic)
        ),
        mode=today.settings.mode,
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
        findings: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._progress = progress
        self._lock = Lock()
        self._total = sum(piece.end - piece.first for piece in slices)
        self._slices = len(slices)
        self._done = len(slices) - len(left)
        self._finished = self._total - sum(piece.end - piece.first for piece in left)
        self._records = self._running = 0
        self._findings = findings

    def seen(self, records: int, findings: int) -> None:
        """See `Watch.seen`."""
        with self._lock:
            self._records += records
            self._findings += findings
            self._running += records
            self._tell()

    def done(self, piece: Slice) -> None:
        """See `Watch.done`."""
        with self._lock:
            self._done += 1
            self._finished += piece.end - piece.first
            # Other workers are on their way through slices of theirs.
            self._running = max(self._running - (piece.end - piece.first), 0)
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
                    findings=self._findings,
                )
            )
