"""`streamwarden consume`: a topic, with only what policy lets through."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import click
from confluent_kafka import KafkaException
from rich.text import Text

from streamwarden.errors import DeliveryError

from ..consumers.consumer import GuardedConsumer
from ..consumers.messages import GuardedMessage
from ..policy.guard import Guard
from .client import Client, Trouble
from .events import bytes_as_json
from .failures import OK, VIOLATIONS, on_interrupt
from .options import (
    PolicySource,
    client_options,
    decision_log_option,
    metrics_options,
    output_options,
    policy_options,
    topic_option,
)
from .output import Output, counted, escaped, write_json
from .reaching import no_connection, what_to_check
from .trails import effect_style
from .uncovered import warn_of_nothing

__all__ = ["consume"]

_SHOWN_MAX_CHARS = 500
_SLICE_S = 0.5


@click.command("consume")
@topic_option(multiple=True, help="A topic to read; repeatable.")
@click.option("--group", required=True, metavar="GROUP", help="The consumer group to read as.")
@click.option("--until-end", is_flag=True, help="Stop where the topic ends now.")
@click.option(
    "--max", "most", type=click.IntRange(1), metavar="N", help="Stop after N events let through."
)
@policy_options
@decision_log_option
@client_options
@metrics_options
@output_options
def consume(
    topics: tuple[str, ...],
    group: str,
    until_end: bool,
    most: int | None,
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Read a topic as a consumer group, and show what policy lets through, masked.

    Held and rejected events go to their parking topics, and offsets are committed behind what was
    shown or parked. A new group starts at the beginning of the topic. Ctrl-C ends it cleanly.

      streamwarden consume -b localhost:9092 --topic payments --group audit --policies policies/
      streamwarden consume -t payments --group audit --store dir:bundles --until-end --json

    With --json a line is {"topic", "partition", "offset", "timestamp", "key", "value", "headers",
    "decision"}, as `streamwarden publish --format record` reads it.

    Exit status: 0 all were let through, 2 some were held or rejected.
    """
    trouble = Trouble()
    with source.guard(client) as guard:
        consumer = GuardedConsumer(
            client.config(trouble, {"group.id": group, "auto.offset.reset": "earliest"}),
            guard=guard,
            parking={"message.timeout.ms": max(100, round(client.timeout_s * 1000))},
            handler_retries=0,
        )
        with consumer:
            for topic in topics:
                _look_for(consumer, topic, client, trouble)
                warn_of_nothing(output, guard, topic, "consume")
            watch = _Watch(consumer, group, client.timeout_s, output, stop=until_end)
            consumer.subscribe(list(topics), on_assign=watch.assigned)
            shown = _Shown(output)
            with closing(watch), on_interrupt(watch.interrupt):
                consumer.run(shown.show, max_messages=most, until_end=until_end)
        if watch.gave_up is not None:
            raise DeliveryError(watch.gave_up, remedy="stop them, or name another --group")
        refused = _refused(guard)
        output.note(f"{counted(shown.count, 'event')} let through, {refused:,} held or rejected")
        if until_end and watch.interrupted:
            raise KeyboardInterrupt
    return VIOLATIONS if refused else OK


def _look_for(consumer: GuardedConsumer, topic: str, client: Client, trouble: Trouble) -> None:
    """Raise DeliveryError where the cluster does not answer, or has no such topic."""
    deadline = time.monotonic() + client.timeout_s
    while True:
        left = deadline - time.monotonic()
        try:
            found: Any = consumer.list_topics(topic, timeout=max(0.0, min(left, _SLICE_S)))
        except KafkaException:
            consumer.poll(0)  # lets the client say what is wrong
            if trouble.refused or left <= 0:
                raise DeliveryError(
                    no_connection(client.servers, trouble, client.timeout_s),
                    remedy=what_to_check(trouble),
                ) from None
            time.sleep(min(_SLICE_S, max(0.0, left)))
            continue
        error = found.topics[topic].error
        if error is not None:
            raise KafkaException(error)
        return


class _Watch:
    """Ends the run when somebody interrupts it, or with `stop` when the group leaves it nothing."""

    def __init__(
        self, consumer: GuardedConsumer, group: str, timeout_s: float, output: Output, *, stop: bool
    ) -> None:
        self.gave_up: str | None = None
        self.interrupted = False
        self._consumer, self._output, self._stop = consumer, output, stop
        self._words = (
            f"group `{group}` gave this member no partition within {timeout_s:g} s: "
            "other members hold them"
        )
        self._timer = threading.Timer(timeout_s, self._too_late)
        self._timer.daemon = True
        self._timer.start()

    def assigned(self, _consumer: object, partitions: list[Any]) -> None:
        if partitions:
            self._timer.cancel()

    def _too_late(self) -> None:
        if self._stop:
            self.gave_up = self._words
            self._consumer.stop()
        else:
            self._output.warn(self._words)

    def interrupt(self) -> None:
        self.interrupted = True
        self._consumer.stop()

    def close(self) -> None:
        self._timer.cancel()


class _Shown:
    """Shows events on stdout, one line each."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.count = 0

    def show(self, message: GuardedMessage) -> None:
        if self._output.json:
            write_json(_as_json(message))
        else:
            self._output.print(_line(message))
        self.count += 1


def _as_json(message: GuardedMessage) -> Mapping[str, object]:
    event = message.decision.event
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": event.timestamp,
        "key": bytes_as_json(event.key),
        "value": bytes_as_json(message.value()),
        "headers": [[name, bytes_as_json(value)] for name, value in event.headers],
        "decision": message.decision.to_dict(),
    }


def _line(message: GuardedMessage) -> Text:
    effect = message.decision.effect.value
    place = f"{message.topic()}[{message.partition()}]@{message.offset()} "
    shown = Text().append(place, "dim")
    shown.append(f"{effect:<6} ", effect_style(effect))
    for data in (message.decision.event.key, message.value()):
        text = "—" if data is None else escaped(data.decode("utf-8", "backslashreplace"))
        cut = text if len(text) <= _SHOWN_MAX_CHARS else f"{text[:_SHOWN_MAX_CHARS]}…"
        shown.append(f" {cut}")
    return shown


def _refused(guard: Guard) -> int:
    """How many events are parked by now."""
    return sum(count for name, count in guard.counters.items() if name.startswith("parked/"))
