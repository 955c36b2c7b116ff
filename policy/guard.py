"""The guard: a bundle at work. Decides and routes, without any Kafka client.

The way of an event: `evaluate` reads the clock once, finds the plan of its topic and stage, and the
plan decides; `route` turns the decision into records. Producers and consumers add the sending.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, Unpack, cast

from streamwarden._version import __version__
from streamwarden.errors import (
    ConfigurationError,
    DecisionLogFullError,
    NoPolicyError,
    StreamwardenError,
)
from streamwarden.settings import GivenSettings, source_settings

from ..schemas.event import Event, Headers
from ..schemas.schema_directory import DirectorySource
from ..schemas.schema_sources import Schemas, open_schemas
from .bundle import Bundle
from .compiler.framed import FramedValues
from .decision import Decision, new_ids
from .decision_sink import DecisionLogSetting, open_sink
from .documents import STAGES
from .flood import FloodBreaker
from .keys import KeyRing
from .loader import load_directories
from .model import BundleSettings, Mode
from .plan import Plan
from .plan_table import PlanTable
from .received import Received, check_stamp_settings, check_trust, looks_at_stamps
from .routing import Routed, route
from .schema_types import SchemaTypes
from .sources import CLOSE_S, BundleSource, open_source
from .store import store_address
from .tallies import LEDGER

__all__ = ["Guard", "Keys", "check_guard"]

log = logging.getLogger("streamwarden")

Keys = KeyRing | str | Path | Mapping[str, str | bytes]

#: Who halts a guard when most events are refused.
_FLOOD = "flood"
#: How long `decide` and `route` wait for room in the decision log.
_LOG_WAIT_S = 1.0
_MILLISECOND_NS = 1_000_000


class Guard:
    """Decides on events by the current version of one bundle; see `from_directory`, `from_url`.

    Thread-safe. A swap to another version is one assignment: an event is decided by one version
    or the other, never by both. `labels` and `client_id` are what rules see as `client`; they are
    self-declared by the service. `clock` gives nanoseconds since the epoch; the guard reads whole
    milliseconds, as records keep them, so that a replay sees the same `now`. `own_topics` are those
    of the guard's own store and logs, which no glob of a policy matches. `decision_log` is where
    decisions are logged (see `DecisionLogSetting`); without it, STREAMWARDEN_DECISION_LOG says so.
    `failing` says what to do when something fails: see `SourceSettings`.
    """

    def __init__(
        self,
        bundle: Bundle | None = None,
        *,
        source: BundleSource | None = None,
        mode: str | Mode | None = None,
        client_id: str = "",
        labels: Mapping[str, str] | None = None,
        stamp_keys: Keys | None = None,
        mask_keys: Keys | None = None,
        schemas: Schemas | None = None,
        decision_log: DecisionLogSetting | None = None,
        own_topics: Collection[str] = (),
        clock: Callable[[], int] = time.time_ns,
        **failing: Unpack[GivenSettings],
    ) -> None:
        self.mode = _mode(mode)
        self.stamp_keys = None if stamp_keys is None else KeyRing.load(stamp_keys)
        self.mask_keys = None if mask_keys is None else KeyRing.load(mask_keys)
        #: The effective settings for what fails.
        self.failing = source_settings(failing, beside=Guard.__init__.__kwdefaults__ or ())
        check_stamp_settings(self.failing, self.stamp_keys)
        #: What reads values framed by a schema registry; None without `schemas`.
        self.framed = None if schemas is None else self._framed(schemas)
        self._client = {"client": client_id, "labels": dict(labels or {})}
        #: Nanoseconds since the epoch; events are decided at whole milliseconds of it.
        self.clock = clock
        #: What was refused, evicted or dropped, by name; it never goes down.
        self.counters: defaultdict[str, int] = defaultdict(int)
        #: Where decisions are logged; None where they are not.
        self.sink = open_sink(
            decision_log,
            unreachable=self.failing.decision_log_unreachable,
            counters=self.counters,
        )
        self._own_topics = frozenset({*own_topics, *(self.sink.topics if self.sink else ())})
        self._next_id = new_ids()
        self._source = source
        self._start_lock, self._halt_lock = threading.Lock(), threading.Lock()
        #: The plans of the current version, or None: unlike `table`, this starts nothing.
        self.in_use: PlanTable | None = None
        #: Why no decision is made, by who said so, and the plans that wait meanwhile.
        self._halts: dict[str, StreamwardenError] = {}
        self._waiting: PlanTable | None = None
        #: What is so at present, by name: `flood_open`. Nothing sets `overrides_active` yet.
        self.gauges: dict[str, float] = {}
        self._flood = FloodBreaker(self.failing, gauges=self.gauges)
        #: To be called now and then while events come; see `FloodBreaker.tick`.
        self.tick = self._flood.tick
        #: When the version in use was taken, in seconds since the epoch.
        self.swapped_at: float | None = None
        self.closed = False
        LEDGER.take_guard(self)
        if bundle is not None:
            self.swap(bundle)

    def _framed(self, schemas: Schemas) -> FramedValues:
        return FramedValues(
            open_schemas(schemas, timeout_s=self.failing.schema_timeout_s),
            forgiving=self.failing.schema_unavailable == "undecodable",
        )

    @classmethod
    def from_directory(
        cls, *directories: str | Path, schemas: Schemas | None = None, **settings: Any
    ) -> Guard:
        """A guard on policy documents; several directories compose into one bundle.

        `schemas` is a directory of schemas, the URL of a registry or a configuration of
        Confluent's client for one. Raises PolicyError with every problem in the documents;
        policies that name a `schema` are checked against it where it is at hand. `settings` are
        the keywords of the class.
        """
        guard = cls(schemas=schemas, **settings)
        source = None if guard.framed is None else guard.framed.schemas
        # A registry would have to be asked over the network, which starts with the first event.
        types = SchemaTypes(source) if isinstance(source, DirectorySource) else None
        bundle = load_directories(
            [Path(d) for d in directories],
            value_types=types,
            mask_problem=None if types is None else types.mask_problem,
        )
        guard.swap(bundle)
        return guard

    @classmethod
    def from_url(
        cls, url: str, *, client: Mapping[str, object] | None = None, **settings: Any
    ) -> Guard:
        """A guard on the active bundle of a store, which follows it.

        `dir:PATH`, `redis://HOST:PORT/DB`, `rediss:`, `redis+unix:` or `kafka://HOST:PORT/TOPIC`,
        each with `?bundle=NAME`; `client` holds settings of its client, such as passwords. Nothing
        is read before `start()` or the first decision.
        """
        own = {*settings.pop("own_topics", ()), *store_address(url).topics}
        return cls(source=open_source(url, client=client), own_topics=own, **settings)

    def start(self) -> Self:
        """Take the active bundle and follow the source. Idempotent.

        Raises NoPolicyError where there is none, unless `no_policy="fail_open"`.
        """
        with self._start_lock:
            self._check_halted()
            if self.in_use is None:
                log.info("settings: %s", self.failing)
                if self._source is not None:
                    self._source.start(self, self.failing)
            if self.in_use is None and self.failing.no_policy == "fail_open":
                log.warning("no policy: every event passes, stamped `none`")
                self.swap(Bundle.empty("none"))
        if self.in_use is None:
            raise NoPolicyError(
                "this guard has never had a policy",
                remedy='publish and activate a bundle, or say `no_policy="fail_open"`',
            )
        return self

    def swap(self, bundle: Bundle) -> None:
        """Decide by `bundle` from now on. Raises ConfigurationError and stays as it was."""
        if self.mask_keys is None and (rule := _hashing_rule(bundle)) is not None:
            raise ConfigurationError(
                f"rule `{rule}` masks with `hash`, and this guard has no mask key",
                remedy="give `mask_keys` (`--mask-keys FILE`)",
            )
        check_trust(self.failing, bundle)
        table = PlanTable(
            bundle,
            mode=self.mode,
            client=self._client,
            mask_keys=self.mask_keys,
            next_id=self._next_id,
            framed=self.framed,
            excluded=self._own_topics,
            ledger=LEDGER,
            sink=self.sink,
        )
        before = self.in_use or self._waiting
        if before is not None:
            for plan in before.built():
                table.plan(plan.topic, plan.stage, self.now())
        with self._halt_lock:
            if self._halts:
                self._waiting = table
            else:
                self.in_use = table
        self._flood.swapped(table)
        self.resume(by=_FLOOD)
        self.swapped_at = time.time()
        log.info(
            "policy %s (%s), mode %s, streamwarden %s",
            bundle.label,
            bundle.digest[:12],
            table.mode.value,
            __version__,
        )

    def halt(self, error: StreamwardenError, *, by: str = "source") -> None:
        """Raise `error` instead of deciding, until `resume` by the same."""
        log.error("no more decisions: %s", error)
        with self._halt_lock:
            self._halts[by] = error
            self._waiting = self._waiting or self.in_use
            self.in_use = None

    def resume(self, *, by: str = "source") -> None:
        """Decide again, by the version there was or one that was swapped in since.

        Only once nobody else has halted the guard.
        """
        with self._halt_lock:
            if by not in self._halts:
                return
            if len(self._halts) == 1:
                # Before: a thread that sees neither would think that there never was a policy.
                self.in_use, self._waiting = self._waiting, None
            del self._halts[by]
            decides = not self._halts
        if decides:
            log.warning("deciding again")

    def refused(self, decision: Decision) -> None:
        """Take note that the event of `decision` was refused and is being parked.

        When it is one of too many, the guard stops: whatever it is asked from then on raises
        FloodError. With `flood="warn"` that is only logged.
        """
        flooded = self._flood.refused(decision.stage)
        if flooded is None:
            return
        if self.failing.flood == "warn":
            self.count("fallbacks/flood_warned")
            log.warning("a flood of refused events: %s", flooded)
        else:
            self.count("fallbacks/flood_stopped")
            self.halt(flooded, by=_FLOOD)

    def reset_flood(self) -> None:
        """Go on after a flood of refused events, and count them anew. Else nothing changes."""
        self._flood.reset()
        self.resume(by=_FLOOD)

    @property
    def halted(self) -> StreamwardenError | None:
        """Why no decision is made at present; None while they are."""
        return next(iter(list(self._halts.values())), None)

    @property
    def source_last_success(self) -> float | None:
        """When the source of the policy was last heard, in seconds since the epoch."""
        return None if self._source is None else self._source.last_success

    @property
    def table(self) -> PlanTable:
        """The plans of the current version."""
        table = self.in_use
        if table is None:
            self.start()
            table = self.in_use
        assert table is not None  # start() raised otherwise
        return table

    def _check_halted(self) -> None:
        halted = self.halted
        if halted is not None:
            raise halted.with_traceback(None)  # else each time would add to it

    @property
    def bundle(self) -> Bundle:
        """The version in use."""
        return self.table.bundle

    @property
    def settings(self) -> BundleSettings:
        """The settings of the version in use."""
        return self.table.settings

    def now(self) -> int:
        """The guard's clock, in nanoseconds since the epoch, whole milliseconds."""
        return self.clock() // _MILLISECOND_NS * _MILLISECOND_NS

    def plan(self, topic: str, stage: str, now: int) -> Plan:
        """The plan that decides on `topic` at `stage` and the instant `now`."""
        table = self.in_use
        if table is None:
            table = self.table
        return table.plan(topic, stage, now)

    def evaluate(self, event: Event, stage: str) -> Decision:
        """The decision on one event, by the version in use. Never raises for a bad event.

        Raises SchemaUnavailableError where its schema cannot be had now, and DecisionLogFullError
        at once where it cannot be logged now and has to be.
        """
        table = self.in_use
        if table is None:
            table = self.table
        return table.plan(event.topic, stage, event.now).decide(event)

    def evaluator(self, stage: str) -> Callable[[Event, str], Decision]:
        """What decides on events of `stage`: `evaluate`, unless received stamps are looked at."""
        if stage == "consume" and looks_at_stamps(self.failing, self.stamp_keys):
            return Received(self).evaluate
        return self.evaluate

    def decide(
        self,
        *,
        topic: str,
        value: bytes | str | None,
        key: bytes | str | None = None,
        headers: Mapping[str, bytes | str | None] | Iterable[tuple[str, bytes | str | None]] = (),
        timestamp: int | None = None,
        stage: str = "produce",
        partition: int | None = None,
        offset: int | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> Decision:
        """The decision on one event, without Kafka.

        `timestamp` is in milliseconds, None is now; text is taken as its UTF-8 bytes. It is logged
        as all decisions are; raises DecisionLogFullError when the log stays full for a second and
        `decision_log_unreachable` is `block`.
        """
        if stage not in STAGES:
            raise ConfigurationError(f"`{stage}` is no stage", remedy=f"use {', '.join(STAGES)}")
        event = Event(
            topic,
            value if type(value) is bytes else _bytes(value, "value"),
            key if type(key) is bytes else _bytes(key, "key"),
            _headers(headers) if headers else (),
            timestamp,
            self.clock() // _MILLISECOND_NS * _MILLISECOND_NS,
            partition,
            offset,
            facts,
        )
        evaluate = self.evaluate if stage != "consume" else self.evaluator(stage)
        try:
            return evaluate(event, stage)
        except DecisionLogFullError:
            if self.sink is None or not self.sink.wait_for_room(_LOG_WAIT_S):
                raise
            return evaluate(event, stage)

    def route(self, *, group: str | None = None, **event: Any) -> Routed:
        """The decision, the records to write and what to deliver; takes what `decide` takes.

        `group` is the consumer group, recorded on parked events.
        """
        decision = self.decide(**event)
        routed = route(decision, stamp_keys=self.stamp_keys, group=group)
        if not decision.passes:
            self.refused(decision)
        return routed

    def close(self, timeout: float = CLOSE_S) -> None:
        """Stop following the source, and write what is to be logged, for up to `timeout` seconds.

        The guard goes on deciding by its last version. What could not be logged by then is counted.
        """
        deadline = time.monotonic() + timeout
        self.closed = True
        if self._source is not None:
            self._source.close(timeout)
        if self.framed is not None:
            self.framed.schemas.close()
        if self.sink is not None:
            self.sink.close(max(0.0, deadline - time.monotonic()))

    def flush_log(self, timeout_s: float) -> bool:
        """Wait until every decision that is to be logged is; False at the end of that time."""
        return self.sink is None or self.sink.flush(timeout_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of `counters`. Threads may do so at once, as with a plan's tally."""
        self.counters[name] += by


def _mode(mode: str | Mode | None) -> Mode:
    try:
        return Mode.ENFORCE if mode is None else Mode(mode)
    except ValueError:
        raise ConfigurationError(
            f"`{mode}` is no mode", remedy="use enforce, shadow or off"
        ) from None


def _hashing_rule(bundle: Bundle) -> str | None:
    for policy in bundle.policies:
        for rule in policy.rules:
            if rule.mode is not Mode.OFF and any(mask.how == "hash" for mask in rule.masks):
                return f"{policy.id}/{rule.id}"
    return None


def _bytes(data: object, what: str) -> bytes | None:
    """Text as UTF-8, bytes and None as they are; TypeError for anything else."""
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    kind = type(data)
    hint = ", such as json.dumps(…)" if what == "value" and kind in (dict, list) else ""
    raise TypeError(f"a {what} is bytes, str or None{hint}, not {kind.__name__}")


def _headers(headers: object) -> Headers:
    """Pairs of a name and bytes; TypeError for what are none."""
    pairs = (
        cast("Mapping[str, object]", headers).items() if isinstance(headers, Mapping) else headers
    )
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise TypeError(f"headers are a dict or (name, value) tuples, not {type(pairs).__name__}")
    found: list[tuple[str, bytes | None]] = []
    for pair in cast("Iterable[tuple[str, object]]", pairs):
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise TypeError("each header is a tuple of a name and a value") from None
        found.append((name, value if type(value) is bytes else _bytes(value, "header value")))
    return found


def check_guard(guard: object) -> None:
    """Raise ConfigurationError for what is no guard, where one is asked for."""
    if not isinstance(guard, Guard):
        raise ConfigurationError(
            f"`guard` is of the type `{type(guard).__name__}`",
            remedy='give a Guard, such as Guard.from_directory("policies/")',
        )
