"""A campaign: workers at work, killed at random moments, and the tally of where every event is."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.servers.kafka import Cluster
from tests.servers.topics import create_topic, unique_name

from .events import PLACES, fate_of, keys_of, number_of, write_policies
from .nodes import Restarts
from .workers import Work, handled_files

__all__ = ["BROKER_SETTINGS", "Campaign", "Plan", "Tally"]

#: The broker ends transactions of the dead soon, or the tally waits for them.
BROKER_SETTINGS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "300"}

_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_LOOK_S = 0.02
_LIMIT_S = 100.0  # for work that makes no progress any more
_LOOK_FOR_PROGRESS_S = 5.0
_ENDS_TIMEOUT_S = 5.0
_DRAINS_MAX = 5
_MANY = 255


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign does; the seed decides who is killed and when.

    Of `kills` and `restarts` (of a broker) one comes every `kill_every_s` and `restart_every_s` on
    average, as long as producers have something to do, which takes `seconds` at least.
    """

    exactly_once: bool
    seed: int
    events: int = 20_000
    seconds: float = 10.0
    kills: int = 20
    kill_every_s: float = 0.8
    restarts: int = 1
    restart_every_s: float = 4.0
    partitions: int = 6
    producers: int = 2
    consumers: int = 3


@dataclass(slots=True)
class Tally:
    """How many events are in each place, and which are in none, in two, or in a wrong one.

    `copies` counts records beyond the first of an event in its place.
    """

    places: dict[str, int]
    missing: list[int]
    misplaced: list[int]
    copies: int

    def __str__(self) -> str:
        places = ", ".join(f"{name} {count}" for name, count in self.places.items())
        wrong = f"missing {len(self.missing)}, misplaced {len(self.misplaced)}"
        return f"{places}; {wrong}, further copies {self.copies}"


@dataclass(slots=True)
class _Worker:
    work: Work
    process: subprocess.Popen[bytes]


@dataclass(slots=True)
class Campaign:
    """Runs `plan` on `cluster`, whose nodes it restarts one at a time, in `folder`.

    `tell` gets lines about what is going on: every `report_s` seconds the resident memory of each
    worker, in MiB.
    """

    cluster: Cluster
    folder: Path
    plan: Plan
    tell: Callable[[str], None] = print
    report_s: float = 0.0
    killed: dict[str, int] = field(default_factory=dict[str, int])
    #: By worker that was never restarted: its resident memory in MiB, over time.
    memory: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    _workers: list[_Worker] = field(default_factory=list[_Worker])
    _topic: str = ""
    #: How far everything had come, when that was last seen to change, and when to look again.
    _seen: tuple[int, int] = (0, 0)
    _moved_at: float = 0.0
    _look_at: float = 0.0

    def run(self) -> Tally:
        """Work, kill, let a last consumer come to the end, and count."""
        self._prepare()
        try:
            self._work()
        finally:
            self._end_all()
        tally = self._drained()
        for again in range(1, _DRAINS_MAX):
            if tally.missing:
                self.tell(f"{len(tally.missing)} are missing; reading to the end, {again} more")
                tally = self._drained()
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.killed.items()))
        kind = "exactly once" if self.plan.exactly_once else "at least once"
        self.tell(f"{kind}, seed {self.plan.seed}: {self.plan.events} events: {tally} ({told})")
        return tally

    def _prepare(self) -> None:
        self._topic = unique_name("payments")
        write_policies(self.folder / "policies", self._topic)
        counts = {
            self._topic: self.plan.partitions,
            f"quarantine.{self._topic}": self.plan.partitions,
            f"held.{self._topic}": self.plan.partitions,
            f"handled-{self._topic}": self.plan.partitions,
            f"progress-{self._topic}": self.plan.producers,
        }
        for topic, partitions in counts.items():
            create_topic(self.cluster.bootstrap, topic, partitions=partitions)

    def _works(self) -> Iterable[Work]:
        counts = {"produce": self.plan.producers, "consume": self.plan.consumers}
        for role, count in counts.items():
            for number in range(count):
                yield self._work_of(role, number, count)

    def _work_of(self, role: str, number: int, count: int) -> Work:
        plan = self.plan
        return Work(
            role=role,
            exactly_once=plan.exactly_once,
            bootstrap=self.cluster.bootstrap,
            folder=str(self.folder),
            topic=self._topic,
            handled=f"handled-{self._topic}",
            progress=f"progress-{self._topic}",
            group=f"group-{self._topic}",
            worker=number,
            workers=count,
            events=plan.events,
            rate=plan.events / plan.seconds / plan.producers,
            partitions=plan.partitions,
        )

    def _work(self) -> None:
        """Until the producers are done; workers that end otherwise are started again."""
        plan, chance = self.plan, random.Random(self.plan.seed)
        self._workers = [_Worker(work, self._spawn(work)) for work in self._works()]
        began = now = self._moved_at = time.monotonic()
        kills, restarts = plan.kills, plan.restarts
        nodes = Restarts(self.cluster, chance)
        kill_at = now + _wait(chance, plan.kill_every_s)
        restart_at = now + _wait(chance, plan.restart_every_s)
        report_at = now + (self.report_s or float("inf"))
        while any(each.work.role == "produce" for each in self._workers):
            now = time.monotonic()
            if now > began + plan.seconds and not self._moves():
                raise TimeoutError(f"producers do not come to an end:\n{self._logs()}")
            self._restart_the_ended()
            if kills and now >= kill_at and self._workers:
                kills -= 1
                each = chance.choice(self._workers)
                each.process.kill()
                self._count_killed(f"{_plural(each.work)} killed")
                kill_at = now + _wait(chance, plan.kill_every_s)
            if not nodes.look():
                restart_at = time.monotonic() + _wait(chance, plan.restart_every_s)
            elif restarts and now >= restart_at:
                restarts -= 1
                nodes.kill()
                self._count_killed("broker restarted")
                restart_at = time.monotonic() + _wait(chance, plan.restart_every_s)
            if now >= report_at:
                self._report(now - began)
                report_at = now + self.report_s
            time.sleep(_LOOK_S)
        nodes.finish()

    def _restart_the_ended(self) -> None:
        for each in list(self._workers):
            status = each.process.poll()
            if status is None:
                continue
            if status == 0 and each.work.role == "produce":
                self._workers.remove(each)
                continue
            self.memory.pop(_name(each.work), None)
            if status > 0:
                self._count_killed(f"{_plural(each.work)} ended by {self._error_of(each.work)}")
            each.process = self._spawn(each.work)

    def _drained(self) -> Tally:
        """The tally when one more consumer has read to the end, and no transaction is open."""
        self._wait_for_open_transactions()
        work = self._work_of("drain", 0, 1)
        for _ in range(_DRAINS_MAX):
            process, self._moved_at = self._spawn(work), time.monotonic()
            try:
                while process.poll() is None and self._moves():
                    time.sleep(_LOOK_S)
                if process.poll() == 0:
                    break
            finally:
                process.kill()
                process.wait()
        else:
            raise RuntimeError(f"the end cannot be read to:\n{self._logs()}")
        self._wait_for_open_transactions()
        return self._count()

    def _wait_for_open_transactions(self) -> None:
        """Those of the killed end when the broker has waited long enough for them."""
        topics = (self._topic, f"handled-{self._topic}", *self._parking())
        admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap, "log_level": 0})
        places = [TopicPartition(t, n) for t in topics for n in range(self.plan.partitions)]
        deadline = time.monotonic() + _LIMIT_S
        while _ends(admin, places, IsolationLevel.READ_COMMITTED) != _ends(
            admin, places, IsolationLevel.READ_UNCOMMITTED
        ):
            if time.monotonic() > deadline:
                raise TimeoutError("a transaction stays open")
            time.sleep(0.2)

    def _moves(self) -> bool:
        """False once nothing was produced, handled or parked for a while."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_FOR_PROGRESS_S
            admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap, "log_level": 0})
            topics = (self._topic, f"handled-{self._topic}", *self._parking())
            places = [TopicPartition(t, n) for t in topics for n in range(self.plan.partitions)]
            with suppress(KafkaException, TimeoutError):  # a broker is being restarted
                ends = sum(_ends(admin, places, IsolationLevel.READ_UNCOMMITTED))
                written = sum(path.stat().st_size for path in handled_files(self.folder))
                if (ends, written) != self._seen:
                    self._seen, self._moved_at = (ends, written), time.monotonic()
        return now < self._moved_at + _LIMIT_S

    def _parking(self) -> tuple[str, str]:
        return f"quarantine.{self._topic}", f"held.{self._topic}"

    def _count(self) -> Tally:
        bootstrap, events = self.cluster.bootstrap, self.plan.events
        counts = {place: bytearray(events) for place in PLACES}
        for place, topic in zip(PLACES[1:], self._parking(), strict=True):
            _add(counts[place], keys_of(bootstrap, topic))
        if self.plan.exactly_once:
            _add(counts["handled"], keys_of(bootstrap, f"handled-{self._topic}"))
        for path in handled_files(self.folder):
            with path.open() as file:
                _add(counts["handled"], file)
        tally = Tally(dict.fromkeys(PLACES, 0), [], [], 0)
        for number in range(events):
            found = [place for place in PLACES if counts[place][number]]
            if not found:
                tally.missing.append(number)
            elif found != [fate_of(number)]:
                tally.misplaced.append(number)
            for place in found:
                tally.places[place] += 1
                tally.copies += counts[place][number] - 1
        return tally

    def _spawn(self, work: Work) -> subprocess.Popen[bytes]:
        with (self.folder / f"{_name(work)}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.crash.workers", work.to_json()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def _end_all(self) -> None:
        for each in self._workers:
            each.process.kill()
            each.process.wait()

    def _count_killed(self, what: str) -> None:
        self.killed[what] = self.killed.get(what, 0) + 1

    def _error_of(self, work: Work) -> str:
        """The kind of error that a worker ended with; for the client's own, with its code."""
        lines = (self.folder / f"{_name(work)}.log").read_text(errors="replace").splitlines()
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Rejected)\b", line)]
        if not errors:
            return "an unknown error"
        kind, _, said = errors[-1].partition(":")
        code = re.search(r"code=(\w+)", said)
        return kind.rpartition(".")[2] + (f" {code[1]}" if code else "")

    def _logs(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log"))
        )

    def _report(self, elapsed_s: float) -> None:
        words: list[str] = []
        for each in self._workers:
            name, resident = _name(each.work), _resident_mib(each.process.pid)
            if resident:
                self.memory.setdefault(name, []).append(resident)
                words.append(f"{name} {resident:.0f}")
        self.tell(f"{elapsed_s:6.0f} s  {'  '.join(words)}")


def _wait(chance: random.Random, mean_s: float) -> float:
    return chance.uniform(0.2, 1.8) * mean_s


def _plural(work: Work) -> str:
    return "producers" if work.role == "produce" else "consumers"


def _name(work: Work) -> str:
    return f"{work.role}-{work.worker}"


def _add(counts: bytearray, keys: Iterable[bytes | str | None]) -> None:
    for key in keys:
        number = number_of(key)
        counts[number] = min(counts[number] + 1, _MANY)


def _ends(admin: AdminClient, places: list[TopicPartition], isolation: IsolationLevel) -> list[int]:
    wanted = dict.fromkeys(places, _LATEST)
    asked = cast(
        "Mapping[TopicPartition, Future[Any]]",
        admin.list_offsets(wanted, isolation_level=isolation, request_timeout=_ENDS_TIMEOUT_S),
    )
    return [asked[place].result(2 * _ENDS_TIMEOUT_S).offset for place in places]


def _resident_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0  # gone, or another system
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
