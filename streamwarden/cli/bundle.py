"""`streamwarden bundle`: versions of policies, from a directory to active."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from streamwarden.errors import ConfigurationError, Problem, StoreError

from ..policy.bundle import Bundle
from ..policy.compiler.framed import FramedValues
from ..policy.diff_meaning import Meaning, meanings
from ..policy.directory_store import DirectoryStore
from ..policy.keys import KeyRing
from ..policy.lint.advice import adviser
from ..policy.store import ActiveBundle, BundleStore
from ..policy.testing import CaseResult, run_cases
from ..schemas.registry import SchemaSource
from .client import Client
from .failures import OK
from .lazy import HelpGroup
from .loading import load, opened_schemas, schemas_option
from .options import output_options, store_client_options
from .output import Output, counted, escaped, write_json
from .policy_diff import change_json, print_changes
from .stores import opened
from .times import today
from .versions import activation_json, active_json, print_active, print_history, publication_json

__all__ = ["bundle"]

_REASON = "none given"
_TOLD_MAX = 10

bundle = HelpGroup(
    "bundle",
    help="""Build, publish and activate versions of policies.

  streamwarden bundle publish --policies policies/ --store dir:bundles --reason 'new limit'
  streamwarden bundle history --store dir:bundles
  streamwarden bundle activate 14 --store dir:bundles --reason 'back to the old limit'
""",
)

_directories = click.option(
    "--policies",
    "directories",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A directory of policies; several compose into one bundle.",
)
_store_url = click.option(
    "--store",
    "url",
    required=True,
    metavar="URL",
    help="The store: dir:PATH, redis://HOST/0 or kafka://HOST:PORT/TOPIC.",
)
_by = click.option("--by", metavar="NAME", help="Who does this; the user of this system without.")
_reason = click.option("--reason", default=_REASON, metavar="TEXT", help="Why; kept with it.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@bundle.command("build", short_help="make a bundle of directories, without a store")
@_directories
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write its stored form there.",
)
@schemas_option
@output_options
def _build(
    directories: tuple[Path, ...], file: Path | None, schemas: str | None, output: Output
) -> None:
    """Make a bundle of directories and tell its digest; equal policies have equal digests.

      streamwarden bundle build --policies policies/
      streamwarden bundle build --policies policies/ --output payments.json

    The stored form is JSON, and holds everything that a guard needs.
    """
    with opened_schemas(schemas) as source:
        built = load(directories, source, output=output)
    stored = built.to_json()
    if file is not None:
        try:
            file.write_bytes(stored)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write `{file}`: {error.strerror}", remedy="check path and rights"
            ) from None
    rules = sum(len(policy.rules) for policy in built.policies)
    if output.json:
        write_json(
            {
                "bundle": built.label,
                "digest": built.digest,
                "language": built.language,
                "policies": len(built.policies),
                "rules": rules,
                "bytes": len(stored),
            }
        )
    else:
        output.print(f"{built.name} {built.digest}")
        policies = counted(len(built.policies), "policy")
        output.note(f"{policies}, {counted(rules, 'rule')}, {counted(len(stored), 'byte')}")


@bundle.command("publish", short_help="check, test, number, store and activate a bundle")
@_directories
@_store_url
@store_client_options
@_by
@_reason
@_yes
@click.option("--no-activate", is_flag=True, help="Store it, and leave the active one active.")
@click.option("--no-tests", is_flag=True, help="Do not run its tests.")
@click.option(
    "--mask-keys", type=click.Path(path_type=Path), metavar="FILE", help="Keys of `hash` masks."
)
@schemas_option
@output_options
def _publish(
    directories: tuple[Path, ...],
    url: str,
    client: Client,
    by: str | None,
    reason: str,
    yes: bool,
    no_activate: bool,
    no_tests: bool,
    mask_keys: Path | None,
    schemas: str | None,
    output: Output,
) -> int:
    """Check and test policies, show what changes, and make them the next version.

    Guards that follow the store take it within a second. On a terminal it asks before; elsewhere
    --yes is needed. Policies that are active already are not published again.

      streamwarden bundle publish --policies policies/ --store dir:bundles --reason 'new limit'
      streamwarden bundle publish --policies policies/ --store dir:bundles --no-activate --yes

    Exit status: 0 published, or active already; 1 refused, and then nothing has changed.
    """
    with opened_schemas(schemas) as source:
        warnings: list[Problem] = []
        advisers = [adviser(today=today())]
        candidate = load(
            directories, source, advisers=advisers, warn=warnings.append, output=output
        )
        _advise(warnings, output)
        tried = None if no_tests else _tested(candidate, mask_keys, source, output)
    with _open(url, client, candidate.name) as store:
        active = _before(store, output)
        changes = meanings(None if active is None else active.bundle, candidate)
        if active is not None and active.bundle.digest == candidate.digest:
            output.note(f"{active.bundle.label} is active and says the same: nothing to publish")
            if output.json:
                write_json(_published(active.bundle, active, active, changes, tried, new=False))
            return OK
        _show(active, candidate, changes, output)
        verb = "publish" if no_activate else "publish and activate"
        _ask(f"{verb} this as the next version of {candidate.name}?", yes=yes, needed=True)
        _still(store, active)
        stored = store.publish(candidate, by=by or _user(), reason=reason)
        after = active
        if not no_activate:
            _still(store, active)
            done = store.activate(stored.number, by=by or _user(), reason=reason)
            after = ActiveBundle(done, stored)
    if output.json:
        write_json(_published(stored, active, after, changes, tried, new=True))
    else:
        state = "published" if no_activate else "published and active"
        output.print(f"{stored.label} ({stored.digest[:12]}) {state}")
    return OK


def _published(
    stored: Bundle,
    before: ActiveBundle | None,
    after: ActiveBundle | None,
    changes: Sequence[Meaning],
    tried: int | None,
    *,
    new: bool,
) -> dict[str, object]:
    return {
        "bundle": stored.label,
        "number": stored.number,
        "digest": stored.digest,
        "published": new,
        "previous": None if before is None else before.bundle.label,
        "active": None if after is None else after.bundle.label,
        "epoch": None if after is None else after.activation.epoch,
        "tests": tried,
        "changes": [change_json(change) for change in changes],
    }


def _advise(warnings: Sequence[Problem], output: Output) -> None:
    """Tell the first warnings about policies that hold; they keep nothing from being published."""
    for problem in warnings[:_TOLD_MAX]:
        output.warn(f"{problem.location}: {problem.code}: {problem.message}")
    if len(warnings) > _TOLD_MAX:
        more = counted(len(warnings) - _TOLD_MAX, "more warning")
        output.warn(f"{more}: `streamwarden policy check` tells all")


def _tested(
    candidate: Bundle, mask_keys: Path | None, schemas: SchemaSource | None, output: Output
) -> int:
    """Run the cases beside the policies; raises StoreError where one fails."""
    keys = None if mask_keys is None else KeyRing.load(mask_keys)
    framed = None if schemas is None else FramedValues(schemas)
    results = list(run_cases(candidate, clock=time.time_ns, mask_keys=keys, framed=framed))
    failed: list[CaseResult] = [result for result in results if not result.passed]
    for result in failed[:_TOLD_MAX]:
        case = result.case
        output.warn(f"{case.file}:{case.line} {case.note}: {'; '.join(result.failures)}")
    if failed:
        raise StoreError(
            f"{len(failed):,} of {counted(len(results), 'test')} failed; nothing was published",
            remedy="`streamwarden policy test` shows them; --no-tests does without",
        )
    output.note(f"{counted(len(results), 'test')} passed")
    return len(results)


@bundle.command("activate", short_help="make a published version the active one, old or new")
@click.argument("number", type=click.IntRange(1), metavar="N")
@_store_url
@store_client_options
@_by
@_reason
@_yes
@output_options
def _activate(
    number: int, url: str, client: Client, by: str | None, reason: str, yes: bool, output: Output
) -> int:
    """Make version N the active one; an older one is a rollback.

      streamwarden bundle activate 14 --store dir:bundles --reason 'back to the old limit'

    Guards that follow the store take it within a second. On a terminal it asks before; elsewhere
    it does as it is told, so that a rollback can stand in a script.
    """
    with _open(url, client) as store:
        active, chosen = store.active(), store.get(number)
        changes = meanings(None if active is None else active.bundle, chosen)
        _show(active, chosen, changes, output)
        _ask(f"activate {chosen.label}?", yes=yes, needed=False)
        _still(store, active)
        done = store.activate(number, by=by or _user(), reason=reason)
    if output.json:
        previous = None if active is None else active.bundle.label
        write_json(
            {
                "bundle": chosen.label,
                **activation_json(done),
                "previous": previous,
                "changes": [change_json(change) for change in changes],
            }
        )
    else:
        output.print(f"{chosen.label} ({chosen.digest[:12]}) is active, epoch {done.epoch}")
    return OK


@bundle.command("active", short_help="tell which version guards take now, and since when")
@_store_url
@store_client_options
@output_options
def _active(url: str, client: Client, output: Output) -> None:
    """Tell which version guards take now.

      streamwarden bundle active --store dir:bundles

    With since when, by whom and why.
    """
    with _open(url, client) as store:
        found = store.active()
    if found is None:
        raise StoreError("no bundle is active in this store", remedy="`bundle publish` makes one")
    if output.json:
        write_json(active_json(found))
    else:
        print_active(found, output)


@bundle.command("history", short_help="list what was published and activated")
@_store_url
@store_client_options
@output_options
def _history(url: str, client: Client, output: Output) -> None:
    """List what was published and what was activated.

      streamwarden bundle history --store dir:bundles

    With when, by whom and why.
    """
    with _open(url, client) as store:
        published, activated, found = store.history(), store.activations(), store.active()
    if output.json:
        write_json(
            {
                "active": None if found is None else found.bundle.label,
                "published": [publication_json(each) for each in published],
                "activated": [activation_json(each) for each in activated],
            }
        )
    else:
        print_history(published, activated, found, output)


@contextmanager
def _open(url: str, client: Client, name: str | None = None) -> Generator[BundleStore]:
    """The store at `url`, of the bundle called `name` where the URL names none."""
    store = opened(url, client, bundle=name)
    try:
        yield store
    finally:
        store.close()


def _is_new(store: BundleStore) -> bool:
    """Whether publishing makes the store, too: only a directory can be made so."""
    return isinstance(store, DirectoryStore) and not store.exists()


def _before(store: BundleStore, output: Output) -> ActiveBundle | None:
    """What is active before a publication; that there is no store yet is said."""
    if not _is_new(store):
        return store.active()
    assert isinstance(store, DirectoryStore)
    output.note(f"there is no store at {escaped(str(store.path))} yet: it will be made")
    return None


def _show(
    active: ActiveBundle | None, other: Bundle, changes: Sequence[Meaning], output: Output
) -> None:
    """What changes, for whoever is to agree; not beside JSON, which has it."""
    if output.json or output.quiet:
        return
    if active is None:
        rules = sum(len(policy.rules) for policy in other.policies)
        policies = counted(len(other.policies), "policy")
        output.note(f"nothing is active yet; {policies}, {counted(rules, 'rule')}")
        return
    since = f"{active.bundle.label} ({active.bundle.digest[:12]})"
    output.note(f"against {since}, which is active:" if changes else f"the same as {since}")
    print_changes(changes, output)


def _still(store: BundleStore, active: ActiveBundle | None) -> None:
    """Raise StoreError where another version became active than the one that was shown.

    Not by the store's own compare-and-set: that counts an epoch whose writer died before it was
    written, which nobody could ever expect.
    """
    now = None if _is_new(store) else store.active()
    if (now and now.activation.epoch) != (active and active.activation.epoch):
        raise StoreError(
            f"{now.bundle.label if now else 'nothing'} became active meanwhile",
            remedy="look at what changes against that, and try again",
            code="SW193",
        )


def _ask(question: str, *, yes: bool, needed: bool) -> None:
    """Have it confirmed on a terminal; elsewhere --yes says it, where it is `needed`."""
    if yes:
        return
    if sys.stdin.isatty() and sys.stderr.isatty():
        if not click.confirm(escaped(question), err=True):
            raise ConfigurationError("not confirmed; nothing was changed")
    elif needed:
        raise ConfigurationError(
            "this is no terminal, so that nobody can be asked", remedy="say --yes"
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without names
        return "unknown"
