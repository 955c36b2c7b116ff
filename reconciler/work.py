"""The work on slices, wherever it is done: in this process, in a pool, on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import msgspec

from ..policy.bundle import Bundle
from ..policy.compiler.framed import FramedValues
from ..policy.keys import KeyRing
from ..policy.plan_table import PlanTable
from ..schemas.schema_sources import Schemas, open_schemas
from .causes import Cause
from .decision_log import Noting
from .findings import Finding
from .history import History
from .holes import Holes, compacts
from .judge import Judge, Terms
from .parked import ParkedJudge
from .reading import Gap, Reader
from .replay import Judging, Window, replay
from .sampling import drawer
from .secrecy import Secrets
from .selection import Selection
from .slices import Slice
from .tally import SliceReport
from .what_if import WhatIfJudge, WhatIfParkedJudge

__all__ = ["CALLBACKS", "Saving", "Watch", "Work", "run_slices"]

#: Entries of a client's configuration that stay in the process that made them.
CALLBACKS = ("error_cb", "stats_cb", "throttle_cb", "logger")


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that slices need, in a form that can be sent to where they are done.

    `asked` are the topics of the run; a parking topic that is one of them is judged whatever
    origin its records have. `current` is the bundle that a candidate is compared with, as JSON;
    `rate` the share of events that is drawn; `noting` that events are to be compared with a
    decision log; `selection` says which findings count; `secrets` what may not be shown.
    """

    config: Mapping[str, Any]
    history: History
    terms: Terms
    asked: frozenset[str]
    window: Window
    timeout_s: float
    with_findings: bool
    mask_keys: KeyRing | None = None
    schemas: Schemas | None = None
    current: bytes | None = None
    rate: float | None = None
    noting: bool = False
    selection: Selection = field(default_factory=Selection)
    secrets: Secrets = field(default_factory=Secrets)


class Watch(Protocol):
    """Hears how the work goes."""

    def seen(self, records: int, findings: int) -> None:
        """So many more records were read, and findings made."""
        ...

    def done(self, piece: Slice) -> None:
        """A slice is saved."""
        ...


class Saving(Protocol):
    """Takes what slices come to."""

    def findings(self, piece: Slice) -> AbstractContextManager[BinaryIO]:
        """Where the findings of a slice go."""
        ...

    def noting(self, piece: Slice) -> AbstractContextManager[BinaryIO]:
        """Where notes for a comparison with the decision log go."""
        ...

    def causes(self, piece: Slice) -> AbstractContextManager[Callable[[Iterable[Cause]], None]]:
        """Takes causes that are too many to be held."""
        ...

    def save(self, piece: Slice, report: SliceReport) -> None:
        """The slice is done."""
        ...


class _Judges:
    """One judge for each topic: what it has learned serves all slices of the topic."""

    def __init__(self, work: Work) -> None:
        self._work = work
        framed = None if work.schemas is None else FramedValues(open_schemas(work.schemas))
        work.history.framed, work.history.secrets = framed, work.secrets
        if work.terms.approvals is not None:
            work.terms.approvals.reach(work.config, work.timeout_s)
        self._framed = framed
        self._today = self._table(work.history.today)
        self._current = None
        if work.current is not None:
            self._current = self._table(Bundle.from_json(work.current))
        self._made: dict[str, Judging] = {}

    def _table(self, bundle: Bundle) -> PlanTable:
        return PlanTable(
            bundle,
            mask_keys=self._work.mask_keys,
            detective=True,
            replay=True,
            framed=self._framed,
            hidden=self._work.secrets.of,
        )

    def of(self, piece: Slice) -> Judging:
        judge = self._made.get(piece.topic)
        if judge is None:
            judge = self._made[piece.topic] = self._make(piece)
        return judge

    def _make(self, piece: Slice) -> Judging:
        work, current = self._work, self._current
        origins = None if piece.topic in work.asked else work.asked
        terms = (work.history, self._today, work.terms)
        if current is not None:
            if piece.parked:
                return WhatIfParkedJudge(current, origins, *terms)
            return WhatIfJudge(current, piece.topic, *terms)
        return ParkedJudge(origins, *terms) if piece.parked else Judge(piece.topic, *terms)


def run_slices(work: Work, slices: Sequence[Slice], saving: Saving, watch: Watch) -> None:
    """Read, replay and save `slices`, one after the other."""
    judges = _Judges(work)
    rate = work.rate
    takes = work.selection.takes if work.selection.by_rule else None
    reader = Reader(work.config, timeout_s=work.timeout_s)
    holes = Holes(
        lambda topic: compacts(work.config, topic),
        lambda: Reader(work.config, timeout_s=work.timeout_s, isolation="read_uncommitted"),
    )
    try:
        for piece in slices:
            reading, judge = reader.read(piece), judges.of(piece)
            opened = saving.findings(piece) if work.with_findings else nullcontext(None)
            noted = saving.noting(piece) if work.noting else nullcontext(None)
            with opened as out, noted as notes, saving.causes(piece) as put_away:
                tally = replay(
                    reading.batches(),
                    judge if notes is None else Noting(judge, notes),
                    parked=piece.parked,
                    window=work.window,
                    sink=None if out is None else _writer(out),
                    tick=watch.seen,
                    draw=None if rate is None else drawer(rate, piece.topic, piece.partition),
                    takes=takes,
                    put_away=put_away,
                )
            gaps, problem = reading.gaps, reading.problem
            if tally.stopped is not None:
                offset, problem = tally.stopped
                gaps = [gap for gap in gaps if gap.end <= offset]
                gaps.append(Gap(offset, piece.end, "unread"))
            saving.save(piece, tally.report(piece, holes.reasons(piece, gaps), problem))
            watch.done(piece)
    finally:
        reader.close()
        holes.close()


def _writer(out: BinaryIO) -> Callable[[Finding], None]:
    encode = msgspec.json.Encoder().encode

    def write(finding: Finding) -> None:
        out.write(encode(finding.to_dict()) + b"\n")

    return write
