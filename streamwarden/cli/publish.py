"""`streamwarden publish`: lines of files to a topic, through a guard."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing, suppress

import click

from streamwarden.errors import ConfigurationError, DeliveryError, StreamwardenError

from ..policy.guard import Guard
from ..policy.paths import format_path
from .client import Client
from .events import FORMATS, EventReader
from .failures import FAILED, OK, VIOLATIONS, on_interrupt
from .lines import LINE_MAX_BYTES, Lines
from .options import (
    PolicySource,
    client_options,
    decision_log_option,
    flood_option,
    metrics_options,
    output_options,
    policy_options,
    topic_option,
)
from .output import Output, counted, write_json
from .publishing import Account, Publishing
from .uncovered import warn_of_nothing

__all__ = ["publish"]

_COMPLAINTS_SHOWN = 10


@click.command("publish")
@topic_option(required=False, help="The topic; records may name their own.")
@click.option("--key", "key_path", metavar="PATH", help="Where the value has its key: value.id")
@click.option(
    "--format",
    "line_format",
    type=click.Choice(FORMATS),
    default="value",
    show_default=True,
    help="What a line is: an event's value, or a record with key, headers and so on.",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…|-")
@policy_options
@decision_log_option
@flood_option
@client_options
@metrics_options
@output_options
def publish(
    topic: str | None,
    key_path: str | None,
    line_format: str,
    files: tuple[str, ...],
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Guard the events in files and write them to Kafka.

    Each line is one event, byte for byte without its newline; `.gz` and `.zst` files are read as
    they are, and `-` is standard input. Held and rejected events go to their parking topics.

      streamwarden publish -b localhost:9092 -t payments --policies policies/ payments.jsonl.gz
      zcat old.gz | streamwarden publish -t payments --policies policies/ --key value.id -

    With `--format record` a line is {"topic", "key", "value", "headers": [[name, value]…],
    "timestamp", "partition", "facts"}; key, value and header values are a string,
    {"base64": "…"} or null, and all but `value` may be left out.

    Where most events are refused, this goes on, says so and counts; with `--flood stop` it ends
    before the rest of them fill the parking topics.

    Exit status: 0 all passed, 2 some were held or rejected, 1 some were not sent.
    """
    if topic is None and line_format == "value":
        raise ConfigurationError("no topic was named", remedy="say --topic TOPIC")
    reader = EventReader(topic, line_format, key_path)
    lines = Lines(files, line_max_bytes=_line_max_bytes(client))
    started = time.monotonic()
    with (
        source.guard(client) as guard,
        closing(Publishing(guard, client)) as publishing,
    ):
        if topic is not None:
            _warn_of_keys(output, guard, reader, [topic])
            warn_of_nothing(output, guard, topic, "produce")
        broken: StreamwardenError | None = None
        try:
            with (
                on_interrupt(publishing.interrupt),
                output.progress("publishing", lines.total_bytes, count_bytes=True) as advance,
            ):
                publishing.run(lines, reader, advance)
        except StreamwardenError as error:
            broken = error  # the account is complete all the same
        _summary(output, publishing, time.monotonic() - started)
        _warnings(output, publishing.account, reader, key_path)
        _warn_of_keys(output, guard, reader, sorted(reader.keyed - {topic}))
        if topic is not None:  # it was said before the first event
            publishing.nothing.topics.pop(topic, None)
        publishing.nothing.tell(output, [publishing.bundle], "produce", guard.now())
        if broken is not None:
            raise broken
        if publishing.interrupted:
            raise KeyboardInterrupt
        if publishing.stopped is not None:
            raise DeliveryError(_unsent(publishing, lines), remedy=publishing.remedy)
    if publishing.account.failed:
        return FAILED
    return VIOLATIONS if publishing.account.refused else OK


def _line_max_bytes(client: Client) -> int:
    """Twice what a record may have, since base64 and JSON's escapes take room."""
    try:
        return max(LINE_MAX_BYTES, 2 * int(client.properties.get("message.max.bytes", 0)))
    except ValueError:
        return LINE_MAX_BYTES  # the client will say what is wrong with it


def _summary(output: Output, publishing: Publishing, seconds: float) -> None:
    account, bundle = publishing.account, publishing.bundle
    if output.json:
        write_json(account.to_dict(bundle, seconds))
        return
    effects = ", ".join(f"{count:,} {name}" for name, count in account.effects.items() if count)
    beside = [
        f"{account.failed:,} failed" if account.failed else "",
        f"{account.undecodable:,} undecodable" if account.undecodable else "",
        f"{account.shadow:,} with a rule in shadow mode" if account.shadow else "",
    ]
    said = ", ".join(filter(None, [effects, *beside]))
    output.print(
        f"{counted(account.read, 'event')} in {seconds:.1f} s by {bundle.label} "
        f"({bundle.digest[:12]})" + (f": {said}" if said else "")
    )


def _warnings(output: Output, account: Account, reader: EventReader, key: str | None) -> None:
    shown = list(account.complaints.items())[:_COMPLAINTS_SHOWN]
    for why, (count, _, place) in shown:
        output.warn(f"{counted(count, 'event')} failed, the first at {place}: {why}")
    more = len(account.complaints) - len(shown)
    if more:
        output.warn(f"and {more} other complaints")
    if reader.keyless:
        events = counted(reader.keyless, "event")
        output.warn(f"nothing at `{key}` in {events}, which went without a key")


def _warn_of_keys(output: Output, guard: Guard, reader: EventReader, topics: Iterable[str]) -> None:
    """A mask changes the value and never the key, which would tell what it hides."""
    path = reader.key_path
    if not path:
        return
    for topic in topics:
        with suppress(StreamwardenError):  # a guard that decides no more has said so
            if guard.plan(topic, "produce", guard.now()).privacy.hides(path):
                output.warn(
                    f"`{format_path(path)}` is masked or sensitive on `{topic}`, and is written in "
                    "the clear as the key; take the key from another field"
                )


def _unsent(publishing: Publishing, lines: Lines) -> str:
    """How much was not sent, and from where on."""
    account = publishing.account
    first = "" if account.first_failed is None else f", the first is {account.first_failed[1]}"
    rest = "; the rest of standard input was not read" if lines.cut_short else ""
    return (
        f"{publishing.stopped}; {account.failed:,} of {counted(account.read, 'event')} "
        f"{'was' if account.failed == 1 else 'were'} not sent"
        f"{first}{rest}"
    )
