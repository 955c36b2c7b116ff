"""`streamwarden quarantine`: parked events, and what people do with them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from streamwarden.errors import ConfigurationError

from ..policy.parking import Kind
from ..producers.quarantine import Quarantine, Selection, list_parked
from ..producers.release import ReleaseReport, discard, release
from ..producers.reviews import Signature
from ..producers.showing import show_parked
from ..reconciler.history import History
from ..reconciler.metrics import write_open
from ..reconciler.releasing import (
    RETURNS_MAX,
    Candidates,
    former_places,
    read_candidates,
    release_found,
)
from .client import Client
from .lazy import HelpGroup
from .options import PolicySource, client_options, output_options, policy_options, topic_option
from .output import Output, counted, write_json
from .parked import (
    listed_json,
    listed_line,
    print_shown,
    shown_json,
    tell_bulk,
    tell_report,
    unknown_rule,
)
from .reaching import reach
from .stores import opened
from .times import Instant

__all__ = ["quarantine"]

_F = TypeVar("_F", bound=Callable[..., Any])
_KINDS = ("quarantined", "held", "handler", "waiting")
#: Published versions that are asked where they parked, as a reconciliation does.
_VERSIONS_ASKED_MAX = 100
_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})")


if TYPE_CHECKING:
    _PlaceParam = click.ParamType[tuple[int, int]]
else:  # generic since click 8.5 only
    _PlaceParam = click.ParamType


class _Place(_PlaceParam):
    """`PARTITION:OFFSET` of a parked record."""

    name = "partition:offset"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        found = _PLACE.fullmatch(str(value))
        if found is None:
            self.fail(f"`{value}` is no place; write PARTITION:OFFSET, such as 2:14", param, ctx)
        return int(found[1]), int(found[2])


def _selecting(function: _F) -> _F:
    """Adds what selects parked events, given to the command as `selection`."""

    @click.option(
        "--kind", type=click.Choice(_KINDS), help="Only those; all kinds without.", default=None
    )
    @click.option(
        "--at",
        "places",
        multiple=True,
        type=_Place(),
        metavar="PARTITION:OFFSET",
        help="The record at this place in the parking topic; repeatable.",
    )
    @click.option("--rule", metavar="RULE", help="Parked by this rule, RULE or POLICY/RULE.")
    @click.option("--since", type=Instant(), metavar="TIME", help="Parked from then on.")
    @click.option(
        "--max", "most", type=click.IntRange(1), metavar="N", help="At most N, the oldest first."
    )
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        kind: str | None,
        places: tuple[tuple[int, int], ...],
        rule: str | None,
        since: int | None,
        most: int | None,
        **rest: Any,
    ) -> object:
        selection = Selection(frozenset(places), cast("Kind | None", kind), rule, since, most)
        return function(*args, selection=selection, **rest)

    return cast("_F", wrapper)


@contextmanager
def _places(
    source: PolicySource, client: Client, topic: str, *, masks: bool = False
) -> Generator[Quarantine]:
    with source.guard(client, masks=masks) as guard:
        reach(client)
        yield Quarantine(client.config(), guard, topic, timeout_s=client.timeout_s)


_origin = topic_option(help="The topic that the events were parked from.")


quarantine = HelpGroup(
    "quarantine",
    help="""Look at events that were parked, and release or discard them.

  streamwarden quarantine list --topic payments --policies policies/
  streamwarden quarantine show --topic payments --policies policies/ --at 2:14
  streamwarden quarantine release -t payments --store dir:bundles --at 2:14 --by Ann --reason ok
""",
)


@quarantine.command("list")
@_origin
@_selecting
@click.option("--all", "all_states", is_flag=True, help="Those released or discarded too.")
@policy_options
@client_options
@output_options
def _list(
    topic: str,
    selection: Selection,
    all_states: bool,
    source: PolicySource,
    client: Client,
    output: Output,
) -> None:
    """List the parked events of a topic that wait, the oldest first.

      streamwarden quarantine list -b localhost:9092 --topic payments --policies policies/
      streamwarden quarantine list -t payments --store dir:bundles --rule over-limit --since 1d

    A place is PARTITION:OFFSET in the parking topic; the other commands take it as --at.
    """
    with _places(source, client, topic) as places:
        listing = list_parked(places, selection, all_states=all_states)
        doubt = None if listing.events else unknown_rule(places, selection)
    if output.json:
        write_json(
            {
                "events": [listed_json(event, places.guard.bundle) for event in listing.events],
                "foreign": listing.foreign,
                "misplaced": listing.misplaced,
                "unverified": listing.unverified,
                "doubtful": listing.doubtful,
                "complete": listing.complete,
            }
        )
    else:
        for event in listing.events:
            output.print(listed_line(event, places.guard.bundle, all_states=all_states))
        state = "" if all_states else ", waiting"
        output.note(f"{counted(len(listing.events), 'parked event')}{state}")
    if doubt is not None:
        output.warn(doubt)
    if not listing.complete:
        output.warn("there are more; say --max, or select less")
    if listing.misplaced:
        records = counted(listing.misplaced, "record")
        output.warn(
            f"{records} of a kind that the topic is not for; what is in held counts as held"
        )
    if listing.unverified:
        reviews = counted(listing.unverified, "review")
        output.warn(f"{reviews} not signed with these keys, which do not count")
    if listing.doubtful:
        events = counted(listing.doubtful, "parked event")
        output.warn(f"{events} whose decision these keys do not verify: `release` refuses them")


@quarantine.command("show")
@_origin
@_selecting
@click.option("--unmask", is_flag=True, help="Show sensitive content; recorded, with who and why.")
@click.option("--by", metavar="NAME", help="Who wants to see it, with --unmask.")
@click.option("--reason", metavar="TEXT", help="Why, with --unmask.")
@policy_options
@client_options
@output_options
def _show(
    topic: str,
    selection: Selection,
    unmask: bool,
    by: str | None,
    reason: str | None,
    source: PolicySource,
    client: Client,
    output: Output,
) -> None:
    """Show parked events with their content and the decision on them.

      streamwarden quarantine show -t payments --policies policies/ --at 2:14
      streamwarden quarantine show -t payments --policies policies/ --rule over-limit --max 3

    Sensitive fields are masked, unless --unmask says who wants to see them, and why.
    """
    if (by or reason) and not unmask:
        raise ConfigurationError("--by and --reason go with --unmask", remedy="say --unmask")
    signature = Signature(by or "", reason or "") if unmask else None
    with _places(source, client, topic) as places:
        shown = show_parked(places, selection, unmasked=signature)
        doubt = None if shown else unknown_rule(places, selection)
    for each in shown:
        if output.json:
            write_json(shown_json(each))
        else:
            print_shown(each, output)
    if not shown:
        output.note("nothing that fits is parked")
    if doubt is not None:
        output.warn(doubt)


@quarantine.command("release")
@_origin
@_selecting
@click.option("--to", metavar="TOPIC", help="Where to; needed for events parked at consume.")
@click.option(
    "--by",
    "names",
    multiple=True,
    metavar="NAME",
    help="Who releases; needed for held events, repeatable.",
)
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option(
    "--force",
    is_flag=True,
    help="Although a newer record of its key is there, its decision cannot be verified, or no policy "
    "covers its topic.",
)
@click.option(
    "--from-report",
    "report_path",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="What a reconciliation found: a run's folder, or its findings.",
)
@click.option(
    "--finding", default="now-allowed", show_default=True, metavar="KIND", help="… of this kind."
)
@click.option(
    "--returns",
    "returns_max",
    type=click.IntRange(1),
    default=RETURNS_MAX,
    show_default=True,
    metavar="N",
    help="… but not what was released and parked again so often.",
)
@click.option(
    "--metrics-textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write for Prometheus how many of them still wait.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@policy_options
@client_options
@output_options
def _release(
    topic: str,
    selection: Selection,
    to: str | None,
    names: tuple[str, ...],
    reason: str | None,
    force: bool,
    report_path: Path | None,
    finding: str,
    returns_max: int,
    metrics_textfile: Path | None,
    dry_run: bool,
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Write parked events to their topic, as far as the current policy lets them.

    Each is judged anew, masked and stamped; a second release of it is refused. Held events need
    --by and --reason, of as many people as the rule asks for. --max counts what is let go.

      streamwarden quarantine release -t payments --policies policies/ --rule currency-known --dry-run
      streamwarden quarantine release -t payments --policies policies/ --at 2:14 --by Ann --reason 'by phone'
      streamwarden quarantine release -t payments --store dir:bundles --from-report runs/ --dry-run

    Exit status: 0 all were released (or approved), 2 some were refused, 1 some failed.
    """
    if report_path is None:
        _chosen(selection, "release")
        if metrics_textfile is not None:
            raise ConfigurationError(
                "--metrics-textfile goes with --from-report", remedy="say --from-report PATH"
            )
    elif replace(selection, max=None) != Selection():
        raise ConfigurationError(
            "--from-report says which events", remedy="leave out what else selects, but --max"
        )
    signatures = [Signature(name, reason or "") for name in names]
    if reason and not names:
        raise ConfigurationError("a reason needs a name", remedy="say --by NAME")
    how: dict[str, Any] = {
        "signatures": signatures,
        "to": to,
        "force": force,
        "dry_run": dry_run,
    }
    if report_path is None:
        with _places(source, client, topic, masks=True) as places:
            report = release(places, selection, **how)
            _warn_of_rule(report, places, selection, output)
        if source.stamp_keys is None and any(
            each.outcome == "released" and each.approval for each in report.outcomes
        ):
            output.note(
                "without --stamp-keys nobody can verify the approval: a guarded consumer holds these"
                " events again, unless their rules have `stages: [produce]`"
            )
        return tell_report(report, output)
    candidates = read_candidates(report_path, finding)
    with _places(source, client, topic, masks=True) as places:
        former = _former(source, client, places, candidates)
        how |= {"returns_max": returns_max, "most": selection.max, "former": former}
        bulk = release_found(places, candidates, **how)
    if metrics_textfile is not None:
        write_open(bulk.open, metrics_textfile)
    _warn_of_others(topic, candidates, bulk.open.keys(), output)
    return tell_bulk(bulk, candidates, output)


def _former(
    source: PolicySource, client: Client, places: Quarantine, candidates: Candidates
) -> Sequence[Quarantine]:
    """Where former versions of the store parked those of `candidates` that are not where today's does."""
    topics = {place[0] for place in candidates.places}
    bundle = places.guard.bundle
    if source.store is None or topics <= {places.topic_of("quarantined"), places.topic_of("held")}:
        return ()
    with closing(opened(source.store, client, bundle=bundle.name)) as store:
        versions = History.of_store(bundle, store).bundles(_VERSIONS_ASKED_MAX)
        return former_places(places, versions, topics)


def _warn_of_others(
    topic: str, candidates: Candidates, parking: Collection[str], output: Output
) -> None:
    """Say it where none of the candidates is in the `parking` topics of `topic`."""
    others = sorted({place[0] for place in candidates.places})
    if not others or any(each in parking for each in others):
        return
    named = ", ".join(f"`{each}`" for each in others[:3])
    more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
    many = counted(len(candidates.places), "candidate")
    output.warn(f"the report has {many}, none of topic `{topic}`: all are in {named}{more}")


@quarantine.command("discard")
@_origin
@_selecting
@click.option("--by", required=True, metavar="NAME", help="Who discards.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@policy_options
@client_options
@output_options
def _discard(
    topic: str,
    selection: Selection,
    by: str,
    reason: str,
    dry_run: bool,
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Record that parked events will never be released. The events themselves stay as they are.

      streamwarden quarantine discard -t payments --policies policies/ --at 2:14 --by Ann --reason 'sent twice'

    Exit status: 0 all are discarded, 2 some were refused, 1 some failed.
    """
    _chosen(selection, "discard")
    with _places(source, client, topic) as places:
        report = discard(places, selection, signature=Signature(by, reason), dry_run=dry_run)
        _warn_of_rule(report, places, selection, output)
    return tell_report(report, output)


def _warn_of_rule(
    report: ReleaseReport, places: Quarantine, selection: Selection, output: Output
) -> None:
    """Say it where nothing fits since there is no such rule."""
    if not report.outcomes and (doubt := unknown_rule(places, selection)) is not None:
        output.warn(doubt)


def _chosen(selection: Selection, verb: str) -> None:
    """Everything is never meant by saying nothing."""
    if selection == Selection():
        raise ConfigurationError(
            f"which events to {verb} is not said",
            remedy="select them with --at, --rule, --kind, --since or --max",
        )
