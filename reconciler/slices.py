"""History cut into slices: (topic, partition, first, end), frozen when the run begins.

The range of a partition begins at the first offset still there, or with `since` at the first record
that is not older, and ends at the last stable offset: what was written later, or belongs to a
transaction still open, is not part of the run. `until` filters by timestamp and does not shorten
the range, since timestamps set by producers need not be in order: one record from the future would
hide everything behind it. The embedded broker finds no record by its time, so that there `since`
only filters, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamwarden.errors import ReconcileError

from ..producers.codes import (
    ALL_BROKERS_DOWN,
    TIMED_OUT,
    TRANSPORT,
    UNKNOWN_TOPIC,
    error_of,
    settled,
)
from ..producers.record_time import EMBEDDED_CLUSTER
from .clients import admin_config, consumer_config, reason_of

__all__ = ["SLICE_MAX_OFFSETS", "Partition", "Slice", "all_topics", "cut", "freeze"]

#: A second or so of work: small enough that a killed run loses little, large enough that finding
#: its first offset costs nothing against it.
SLICE_MAX_OFFSETS = 100_000
#: Sixteen zero bytes: there is no id.
_NO_ID = "A" * 22
#: Brokers that know of ids answer at once; nothing hangs on an id that is not told.
_IDS_MAX_S = 1.0
#: Longer than any broker that is there takes; one that returns is asked anew.
_ASK_MAX_S = 10.0
_AGAIN_S = 0.2
#: What is said while brokers restart and leaders move, though not all of it is called retriable.
_PASSING = frozenset(
    {
        ALL_BROKERS_DOWN,
        TIMED_OUT,
        TRANSPORT,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
# The client's own annotations stop at these two.
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as it stood when the run began.

    Offsets `first` (inclusive) to `end` (exclusive) are read; `start` is the first one the log
    still had; `pending` counts offsets beyond the last stable one. `taken`: retention had removed
    offsets that a range asked for explicitly may have held. `problem` says why nothing of it can
    be read. `topic_id` tells a topic from one of its name that was there before; empty where the
    brokers do not say.
    """

    topic: str
    number: int
    parked: bool
    start: int
    first: int
    end: int
    pending: int
    taken: bool = False
    problem: str = ""
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of one partition: what one replay reads. `index` orders the slices of a run."""

    index: int
    topic: str
    partition: int
    first: int
    end: int
    parked: bool = False


def cut(partitions: Iterable[Partition], size: int = SLICE_MAX_OFFSETS) -> list[Slice]:
    """The slices of `partitions`, in their order, each of at most `size` offsets."""
    pieces: list[Slice] = []
    for part in partitions:
        for first in range(part.first, part.end, size):
            end = min(first + size, part.end)
            pieces.append(Slice(len(pieces), part.topic, part.number, first, end, part.parked))
    return pieces


def all_topics(config: Mapping[str, Any], *, timeout_s: float) -> dict[str, list[int]]:
    """The topics that this client may see, with their partitions. Raises ReconcileError."""
    consumer = Consumer(consumer_config(config))
    deadline = time.monotonic() + timeout_s
    try:
        known = settled(lambda left: consumer.list_topics(timeout=max(left, 0.1)).topics, deadline)
        return {name: sorted(known[name].partitions) for name in known if known[name].error is None}
    except KafkaException as error:
        raise ReconcileError(
            f"the brokers do not answer: {reason_of(error)}",
            remedy="check `--bootstrap-servers` and the client properties",
        ) from error
    finally:
        consumer.close()


def freeze(
    config: Mapping[str, Any],
    topics: Mapping[str, Sequence[int]],
    *,
    parked: Iterable[str] = (),
    since_ms: int | None = None,
    timeout_s: float,
    identify: bool = False,
) -> list[Partition]:
    """The partitions of `topics` with their ranges, in the order of `topics`.

    `identify`: with the ids of the topics. Raises ReconcileError when the brokers do not answer
    within `timeout_s`.
    """
    admin = AdminClient(admin_config(config))
    deadline = time.monotonic() + timeout_s
    cluster = ""
    with suppress(KafkaException):
        # Asked for, the leaders are known at once; else sometimes a second later.
        cluster = str(admin.list_topics(timeout=timeout_s).cluster_id)
    places = [TopicPartition(topic, number) for topic in topics for number in topics[topic]]
    starts = _offsets(admin, places, _EARLIEST, deadline)
    stable = _offsets(admin, places, _LATEST, deadline)
    highs = _offsets(admin, places, _LATEST, deadline, isolation=IsolationLevel.READ_UNCOMMITTED)
    found = (
        _offsets(admin, places, OffsetSpec.for_timestamp(since_ms), deadline)
        if since_ms is not None and not cluster.startswith(EMBEDDED_CLUSTER)
        else None
    )
    ids = _topic_ids(admin, list(topics), deadline) if identify else {}
    aside = set(parked)
    partitions: list[Partition] = []
    for place in places:
        at = (place.topic, place.partition)
        answers = [starts[at], stable[at], highs[at], starts[at] if found is None else found[at]]
        problem = next((answer for answer in answers if isinstance(answer, str)), "")
        numbers = [0 if isinstance(answer, str) else answer for answer in answers]
        part = _range(at, at[0] in aside, numbers, since_ms is not None, problem)
        partitions.append(replace(part, topic_id=ids.get(at[0], "")))
    return partitions


def _topic_ids(admin: AdminClient, topics: Sequence[str], deadline: float) -> dict[str, str]:
    """The ids of `topics`, as far as the brokers give them; those before Kafka 2.8 do not."""
    left = min(max(deadline - time.monotonic(), 0.1), _IDS_MAX_S)
    found: dict[str, str] = {}
    with suppress(KafkaException, ValueError):
        describe = cast("Callable[..., dict[str, Future[Any]]]", admin.describe_topics)
        described = describe(TopicCollection(list(topics)), request_timeout=left)
        for name, future in described.items():
            with suppress(KafkaException, TimeoutError):
                named = future.result(left).topic_id
                if named is not None and str(named) != _NO_ID:
                    found[name] = str(named)
    return found


def _range(
    at: tuple[str, int], parked: bool, numbers: Sequence[int], asked: bool, problem: str
) -> Partition:
    start, end, high, found = numbers
    topic, number = at
    if problem:
        return Partition(topic, number, parked, 0, 0, 0, 0, problem=problem)
    end = max(end, start)
    first = min(max(found, start), end) if found >= 0 else end
    # Whether what retention removed was older than `since` is known only where an older record is
    # still there: then the first one in range lies behind the log's start.
    taken = asked and start > 0 and first == start
    return Partition(topic, number, parked, start, first, end, max(high - end, 0), taken)


def _offsets(
    admin: AdminClient,
    places: Sequence[TopicPartition],
    spec: OffsetSpec,
    deadline: float,
    *,
    isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
) -> dict[tuple[str, int], int | str]:
    """The offset of each place, or the reason why there is none.

    What may come right, as when a leader moves or a broker returns, is asked again until `deadline`.
    """
    told: dict[tuple[str, int], int | str] = {}
    left = list(places)
    while left:
        patience = max(deadline - time.monotonic(), 0.1)
        again: list[TopicPartition] = []
        for place, future in _asked(admin, left, spec, isolation, patience).items():
            try:
                found = future.result(min(patience, _ASK_MAX_S + 1))
            except KafkaException as error:
                told[place.topic, place.partition] = reason_of(error)
                if _may_pass(error_of(error)):
                    again.append(place)
            except TimeoutError:
                told[place.topic, place.partition] = "its leader does not answer"
                again.append(place)
            else:
                told[place.topic, place.partition] = int(found.offset)
        if time.monotonic() + _AGAIN_S >= deadline:
            break
        left = again
        if left:
            time.sleep(_AGAIN_S)
            with suppress(KafkaException):
                admin.list_topics(timeout=min(deadline - time.monotonic(), _ASK_MAX_S))
    return told


def _asked(
    admin: AdminClient,
    places: Sequence[TopicPartition],
    spec: OffsetSpec,
    isolation: IsolationLevel,
    patience_s: float,
) -> dict[TopicPartition, Future[Any]]:
    """The answers that are to come, none of them later than after `_ASK_MAX_S`."""
    try:
        listing = cast("Callable[..., dict[TopicPartition, Future[Any]]]", admin.list_offsets)
        return listing(
            dict.fromkeys(places, spec),
            isolation_level=isolation,
            request_timeout=min(patience_s, _ASK_MAX_S),
        )
    except KafkaException as error:
        raise ReconcileError(
            f"the brokers do not tell the offsets: {reason_of(error)}",
            remedy="check that they are up and that this client may describe the topics",
        ) from error


def _may_pass(error: KafkaError) -> bool:
    """True for an error that the next request may not meet."""
    return error.code() not in UNKNOWN_TOPIC and (error.retriable() or error.code() in _PASSING)
