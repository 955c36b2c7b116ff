"""`streamwarden policy test`: the cases of tests documents."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import click

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from ..policy.case_documents import Case
from ..policy.compiler.framed import FramedValues
from ..policy.keys import KeyRing
from ..policy.testing import run_cases
from .case_reports import (
    case_line,
    cases_json,
    coverage_json,
    exercised,
    percent,
    print_coverage,
    write_junit,
)
from .failures import OK, VIOLATIONS
from .loading import load, opened_schemas, schemas_option
from .options import output_options
from .output import Output, counted, write_json
from .policy_check import directories_argument
from .times import Instant
from .watching import run_on_change

__all__ = ["test"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command was asked for, the same for every run of `--watch`."""

    directories: tuple[Path, ...]
    schemas: str | None
    verbose: bool
    pattern: str | None
    junit: Path | None
    coverage: bool
    at_least: float | None
    clock: Callable[[], int]
    mask_keys: KeyRing | None
    output: Output

    def run(self) -> int:
        """Load, try the cases, tell; the exit status."""
        with opened_schemas(self.schemas) as source:
            bundle = load(self.directories, source, output=self.output)
            return _test(bundle, None if source is None else FramedValues(source), self)


@click.command("test")
@directories_argument
@click.option("-v", "--verbose", is_flag=True, help="Show the cases that passed too.")
@click.option("--run", "pattern", metavar="GLOB", help="Only cases whose policy or note fits.")
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a JUnit report too."
)
@click.option("--coverage", is_flag=True, help="Tell which rules and branches no case exercises.")
@click.option(
    "--fail-under",
    "at_least",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="With less coverage, exit with status 2.",
)
@click.option("--watch", is_flag=True, help="Run again whenever a file changes, until Ctrl-C.")
@click.option("--now", "now_ms", type=Instant(), metavar="TIME", help="The clock of the cases.")
@click.option(
    "--mask-keys", type=click.Path(path_type=Path), metavar="FILE", help="Keys of `hash` masks."
)
@schemas_option
@output_options
def test(
    directories: tuple[Path, ...],
    verbose: bool,
    pattern: str | None,
    junit: Path | None,
    coverage: bool,
    at_least: float | None,
    watch: bool,
    now_ms: int | None,
    mask_keys: Path | None,
    schemas: str | None,
    output: Output,
) -> int:
    """Run the cases of tests documents against the policies beside them.

    A case gives an event and expects an effect and, if it says so, exactly the rules that count.
    A case without `now` is decided at the clock's time; the mode of the bundle does not count.
    With --schemas, values of topics with an Avro schema `TOPIC-value` are written by it.

      streamwarden policy test policies/
      streamwarden policy test policies/ --coverage --fail-under 90
      streamwarden policy test policies/ --run 'payment-limits*' --junit report.xml
      streamwarden policy test policies/ --watch

    A case that passes although a rule could not be evaluated is told, unless it expects `errors`.

    --coverage names what no case brings about: a rule that never fires, a condition that is never
    true or never false, a mask that finds nothing, an exemption that lifts nothing.

    Exit status: 0 all passed, 2 some failed or too little is covered, 1 the policies cannot be
    loaded.
    """
    asked = _Asked(
        directories=directories,
        schemas=schemas,
        verbose=verbose,
        pattern=pattern,
        junit=junit,
        coverage=coverage or at_least is not None,
        at_least=at_least,
        clock=lambda: time.time_ns() if now_ms is None else now_ms * 1_000_000,
        mask_keys=None if mask_keys is None else KeyRing.load(mask_keys),
        output=output,
    )
    if not watch:
        return asked.run()
    watched = list(directories)
    if schemas is not None and Path(schemas).is_dir():
        watched.append(Path(schemas))
    return run_on_change(watched, asked.run, output)


def _test(bundle: Bundle, framed: FramedValues | None, asked: _Asked) -> int:
    output, pattern = asked.output, asked.pattern
    cases = [case for case in bundle.tests if pattern is None or _fits(case, pattern)]
    if pattern is not None and not cases:
        raise ConfigurationError(
            f"no case fits `{pattern}`", remedy="it is compared with `policy`, `note`, and both"
        )
    started = time.monotonic()
    results = list(
        run_cases(bundle, cases, clock=asked.clock, mask_keys=asked.mask_keys, framed=framed)
    )
    seconds = time.monotonic() - started
    failed = [result for result in results if not result.passed]
    rules = exercised(bundle, results) if asked.coverage else []
    if asked.junit is not None:
        write_junit(asked.junit, results, seconds)
    if output.json:
        said = cases_json(results, bundle.label, bundle.digest, seconds)
        write_json({**said, "coverage": coverage_json(rules)} if asked.coverage else said)
    else:
        for result in results if asked.verbose else [r for r in results if r.failures or r.doubts]:
            output.print(case_line(result))
        if asked.coverage:
            print_coverage(rules, output)
        output.print(
            f"{counted(len(results), 'case')} in {seconds:.2f} s: {len(results) - len(failed):,} passed, "
            f"{len(failed):,} failed"
        )
        doubtful = sum(bool(result.doubts) for result in results)
        if doubtful:
            output.warn(
                f"{counted(doubtful, 'case')} passed by rules that could not be evaluated; mend the "
                "event, or expect it with `errors: [RULE]`"
            )
    if not results:
        output.warn("there is no case; add a document that begins with `tests:`")
    if asked.at_least is not None and percent(rules) < asked.at_least:
        output.warn(f"{percent(rules):.1f} % covered, and at least {asked.at_least:g} % were asked")
        return VIOLATIONS
    return VIOLATIONS if failed else OK


def _fits(case: Case, pattern: str) -> bool:
    names = (case.policy, case.note, f"{case.policy}/{case.note}")
    return any(fnmatchcase(name, pattern) for name in names)
