"""`streamwarden policy explain`: why an event is decided as it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from streamwarden.errors import ConfigurationError, PolicyError

from ..policy.decision import Decision
from ..policy.explain import explain_rules
from ..policy.guard import Guard
from ..policy.keys import TRIAL_KEYS, KeyRing
from ..policy.match import Match
from .decide import STAGES, decision_on
from .events import FORMATS, EventReader, GivenEvent
from .failures import OK, VIOLATIONS
from .lines import Lines
from .loading import present, schemas_option, tell_problems
from .options import output_options, topic_option
from .output import Output, write_json
from .policy_plan import plans_json, plans_of, print_plans
from .times import Instant
from .trails import add_masks, decision_tree, masks_json
from .uncovered import Unjudged

__all__ = ["explain"]

_FILE_MAX_BYTES = 64 * 1024 * 1024


@click.command("explain")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("file", required=False, metavar="FILE|-")
@click.option(
    "--policies",
    "more",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Further directories of the same bundle.",
)
@topic_option(required=False, help="The topic; a record may name its own.")
@click.option(
    "--stage",
    type=click.Choice(STAGES),
    help="Where the event is judged: produce unless said; with --plan, every stage.",
)
@click.option("--value", "value", metavar="JSON", help="The event's value, instead of a file.")
@click.option(
    "--format",
    "line_format",
    type=click.Choice(FORMATS),
    default="value",
    show_default=True,
    help="What the file holds: the event's value, or a record as `publish` reads it.",
)
@click.option("--line", type=click.IntRange(1), metavar="N", help="Line N of the file only.")
@click.option("--all", "everything", is_flag=True, help="Show rules that did not fire too.")
@click.option(
    "--plan",
    "planned",
    is_flag=True,
    help="No event: show what rules wait behind, what is looked up, and what runs on every event.",
)
@click.option("--now", "now_ms", type=Instant(), metavar="TIME", help="The clock rules see.")
@click.option(
    "--mask-keys",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keys of `hash` masks; without, a key that is no secret.",
)
@schemas_option
@output_options
def explain(
    directory: Path,
    file: str | None,
    more: tuple[Path, ...],
    topic: str | None,
    stage: str | None,
    value: str | None,
    line_format: str,
    line: int | None,
    everything: bool,
    planned: bool,
    now_ms: int | None,
    mask_keys: Path | None,
    schemas: str | None,
    output: Output,
) -> int:
    """Say why an event is decided as it is: each rule that fired, each condition, each value.

    The event is the whole content of a file, one line of it, or given with --value. Values of
    sensitive fields show as ***. Of a rule that masks, the fields are named, and how; with --json
    the `masks` of the whole are those that were applied.

      streamwarden policy explain policies/ --topic payments event.json
      streamwarden policy explain policies/ -t payments --line 12 --all payments.jsonl.gz
      streamwarden policy explain policies/ -t payments --value '{"amount": 61250.5}'

    With --plan it says instead how the rules of each topic are evaluated: those that wait behind a
    cheap look-up cost next to nothing, however many there are.

      streamwarden policy explain policies/ --plan
      streamwarden policy explain policies/ --plan -t payments --stage consume --json

    Exit status: 0 the event passes, 2 it is held or rejected; with --plan always 0.
    """
    if planned:
        if (file, value, line, everything) != (None, None, None, False):
            raise ConfigurationError(
                "a plan is about no event", remedy="leave out --plan, or the event"
            )
    elif (file is None) == (value is None):
        raise ConfigurationError("what to explain is not said", remedy="give a FILE or --value")
    elif topic is None and line_format == "value":
        raise ConfigurationError("no topic was named", remedy="say --topic TOPIC")
    guard = _guard(
        [directory, *more],
        output,
        schemas=schemas,
        mask_keys=TRIAL_KEYS if mask_keys is None else KeyRing.load(mask_keys),
        clock=lambda: time.time_ns() if now_ms is None else now_ms * 1_000_000,
    )
    if planned:
        _tell_plans(guard, topic, stage, output)
        return OK
    data = value.encode() if value is not None else _content(str(file), line)
    decision = decision_on(guard, _event(data, topic, line_format), stage or "produce")
    said = decision.to_dict()
    add_masks(said["matches"], decision)
    said["masks"] = masks_json(decision.masks)
    unfired = _unfired(decision) if everything else []
    if output.json:
        if everything:
            said["unfired"] = [
                {"policy": match.policy, "rule": match.rule, "why": match.why} for match in unfired
            ]
            add_masks(said["unfired"], decision)
        write_json(said)
    else:
        others = [match.to_dict() for match in unfired]
        add_masks(others, decision)
        output.print(decision_tree(said, unfired=others))
    if decision.undecodable is not None and line is None and b"\n" in data.strip():
        output.note("hint: the file has several lines; where each is an event, say which --line")
    nothing = Unjudged()
    nothing.note(decision)
    nothing.tell(output, [guard.bundle], decision.stage, guard.now())
    return OK if decision.passes else VIOLATIONS


def _tell_plans(guard: Guard, topic: str | None, stage: str | None, output: Output) -> None:
    views = plans_of(guard, topic, stage)
    if output.json:
        write_json({"bundle": guard.bundle.label, "plans": plans_json(views)})
    else:
        print_plans(views, output)


def _unfired(decision: Decision) -> list[Match]:
    fired = {(match.policy, match.rule) for match in decision.matches}
    return [each for each in explain_rules(decision) if (each.policy, each.rule) not in fired]


def _event(data: bytes, topic: str | None, line_format: str) -> GivenEvent:
    try:
        return EventReader(topic, line_format, None).read(data)
    except ValueError as error:
        raise ConfigurationError(f"this is no event: {error}") from None


def _guard(directories: Sequence[Path], output: Output, **settings: Any) -> Guard:
    """A guard on `directories`; the problems of policies that cannot be loaded are told."""
    present(directories)
    try:
        return Guard.from_directory(*directories, **settings)
    except PolicyError as error:
        tell_problems(error.problems, output)
        raise


def _content(path: str, number: int | None) -> bytes:
    """One line of a file, or all of it without its last newline."""
    lines = Lines([path], line_max_bytes=_FILE_MAX_BYTES)
    if number is None:
        found: list[bytes] = []
        size = 0
        for line in lines:
            size += _FILE_MAX_BYTES if line.data is None else len(line.data) + 1
            if size > _FILE_MAX_BYTES or line.data is None:
                raise ConfigurationError(
                    f"`{path}` is too large for one event", remedy="say which --line it is"
                )
            found.append(line.data)
        return b"\n".join(found)
    for line in lines:
        if line.number == number:
            if line.data is None:
                raise ConfigurationError(f"line {number} of `{path}` is too long for an event")
            return line.data
    raise ConfigurationError(f"`{path}` has no line {number}")
