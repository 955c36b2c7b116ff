"""`streamwarden decide`: decisions on events in files, without Kafka."""

from __future__ import annotations

import sys

import click
from rich.text import Text

from streamwarden.errors import ConfigurationError

from ..policy.decision import Decision
from ..policy.guard import Guard
from .client import Client
from .events import FORMATS, EventReader, GivenEvent
from .failures import FAILED, OK, VIOLATIONS
from .lines import Lines
from .options import (
    PolicySource,
    output_options,
    policy_options,
    store_client_options,
    topic_option,
)
from .output import Output, counted, escaped, write_json
from .trails import effect_style
from .uncovered import Unjudged, warn_of_nothing

__all__ = ["STAGES", "decide", "decision_on"]

STAGES = ("produce", "consume", "reconcile")
#: Lines that are no events and are told one by one; all are counted.
_COMPLAINTS_MAX = 20


@click.command("decide")
@topic_option(required=False, help="The topic; records may name their own.")
@click.option("--stage", type=click.Choice(STAGES), default="produce", show_default=True)
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
@store_client_options
@output_options
def decide(
    topic: str | None,
    stage: str,
    key_path: str | None,
    line_format: str,
    files: tuple[str, ...],
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Decide on the events in files, one decision a line; nothing is sent anywhere.

    Files and formats are those of `streamwarden publish`. A decision is a line of JSON; on a
    terminal, without --json, it is a line of words.

      streamwarden decide --topic payments --policies policies/ payments.jsonl
      tail -f payments.jsonl | streamwarden decide -t payments --policies policies/ --json -

    Exit status: 0 all pass, 2 some are held or rejected, 1 some lines are no events.
    """
    if topic is None and line_format == "value":
        raise ConfigurationError("no topic was named", remedy="say --topic TOPIC")
    reader = EventReader(topic, line_format, key_path)
    lines = Lines(files)
    as_json = output.json or not sys.stdout.isatty()
    refused = failed = 0
    nothing = Unjudged()
    with source.guard(client) as guard:
        if topic is not None:  # at once, since standard input may have no end
            warn_of_nothing(output, guard, topic, stage)
        for line in lines:
            try:
                if line.data is None:
                    raise ValueError(f"the line has more than {lines.line_max_bytes:,} bytes")
                decision = decision_on(guard, reader.read(line.data), stage)
            except ValueError as error:
                failed += 1
                if failed <= _COMPLAINTS_MAX:
                    output.warn(f"{line.place}: {error}")
                continue
            refused += not decision.passes
            nothing.note(decision)
            if as_json:
                write_json(decision.to_dict())
            else:
                output.print(_words(line.number, decision))
        if topic is not None:
            nothing.topics.pop(topic, None)
        nothing.tell(output, [guard.bundle], stage, guard.now())
    if failed:
        output.warn(
            f"{counted(failed, 'line')} {'is no event' if failed == 1 else 'are no events'}"
        )
        return FAILED
    return VIOLATIONS if refused else OK


def decision_on(guard: Guard, event: GivenEvent, stage: str) -> Decision:
    """The decision of `guard` on an event as it was given."""
    return guard.decide(
        topic=event.topic,
        value=event.value,
        key=event.key,
        headers=event.headers,
        timestamp=event.timestamp,
        stage=stage,
        partition=event.partition,
        facts=event.facts,
    )


def _words(number: int, decision: Decision) -> Text:
    shown = Text(f"{number:>8}  ")
    shown.append(f"{decision.effect.value:<6}", effect_style(decision.effect.value))
    said = decision.reasons()
    if said:
        shown.append(f"  {escaped(said)}")
    return shown
