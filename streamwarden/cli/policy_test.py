"""`streamwarden policy test`: the cases of tests documents."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import click
from rich.text import Text

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from ..policy.case_documents import Case
from ..policy.compiler.framed import FramedValues
from ..policy.keys import KeyRing
from ..policy.testing import CaseResult, run_cases
from .failures import OK, VIOLATIONS
from .loading import load, opened_schemas, schemas_option
from .options import output_options
from .output import Output, counted, escaped, write_json
from .policy_check import directories_argument
from .times import Instant

__all__ = ["test"]


@click.command("test")
@directories_argument
@click.option("-v", "--verbose", is_flag=True, help="Show the cases that passed too.")
@click.option("--run", "pattern", metavar="GLOB", help="Only cases whose policy or note fits.")
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write a JUnit report too."
)
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
      streamwarden policy test policies/ --run 'payment-limits*' --junit report.xml

    Exit status: 0 all passed, 2 some failed, 1 the policies cannot be loaded.
    """
    with opened_schemas(schemas) as source:
        return _test(
            load(directories, source),
            None if source is None else FramedValues(source),
            verbose=verbose,
            pattern=pattern,
            junit=junit,
            clock=lambda: time.time_ns() if now_ms is None else now_ms * 1_000_000,
            mask_keys=None if mask_keys is None else KeyRing.load(mask_keys),
            output=output,
        )


def _test(
    bundle: Bundle,
    framed: FramedValues | None,
    *,
    verbose: bool,
    pattern: str | None,
    junit: Path | None,
    clock: Callable[[], int],
    mask_keys: KeyRing | None,
    output: Output,
) -> int:
    cases = [case for case in bundle.tests if pattern is None or _fits(case, pattern)]
    if pattern is not None and not cases:
        raise ConfigurationError(
            f"no case fits `{pattern}`", remedy="it is compared with `policy`, `note`, and both"
        )
    started = time.monotonic()
    results = list(run_cases(bundle, cases, clock=clock, mask_keys=mask_keys, framed=framed))
    seconds = time.monotonic() - started
    failed = [result for result in results if not result.passed]
    if junit is not None:
        _write_junit(junit, results, seconds)
    if output.json:
        write_json(_report(results, bundle.label, bundle.digest, seconds))
    else:
        for result in results if verbose else failed:
            output.print(_line(result))
        output.print(
            f"{counted(len(results), 'case')} in {seconds:.2f} s: {len(results) - len(failed):,} passed, "
            f"{len(failed):,} failed"
        )
    if not results:
        output.warn("there is no case; add a document that begins with `tests:`")
    return VIOLATIONS if failed else OK


def _fits(case: Case, pattern: str) -> bool:
    names = (case.policy, case.note, f"{case.policy}/{case.note}")
    return any(fnmatchcase(name, pattern) for name in names)


def _line(result: CaseResult) -> Text:
    case = result.case
    word, style = ("ok    ", "green") if result.passed else ("FAIL  ", "bold red")
    shown = Text().append(word, style)
    shown.append(escaped(f"{case.file}:{case.line} {case.policy}: {case.note}"))
    for failure in result.failures:
        shown.append(f"\n        {escaped(failure)}")
    return shown


def _report(
    results: Sequence[CaseResult], bundle: str, digest: str, seconds: float
) -> dict[str, object]:
    passed = sum(result.passed for result in results)
    return {
        "ok": passed == len(results),
        "cases": len(results),
        "passed": passed,
        "failed": len(results) - passed,
        "bundle": bundle,
        "digest": digest,
        "seconds": round(seconds, 3),
        "results": [
            {
                "policy": result.case.policy,
                "note": result.case.note,
                "file": result.case.file,
                "line": result.case.line,
                "passed": result.passed,
                "failures": list(result.failures),
                "effect": None if result.decision is None else result.decision.effect.value,
            }
            for result in results
        ],
    }


def _write_junit(path: Path, results: Sequence[CaseResult], seconds: float) -> None:
    """One test suite a policy, as CI servers read it."""
    failed = sum(not result.passed for result in results)
    root = ET.Element(
        "testsuites",
        name="streamwarden",
        tests=str(len(results)),
        failures=str(failed),
        time=f"{seconds:.3f}",
    )
    suites: dict[str, list[CaseResult]] = {}
    for result in results:
        suites.setdefault(result.case.policy, []).append(result)
    for policy, members in suites.items():
        bad = sum(not result.passed for result in members)
        suite = ET.SubElement(
            root, "testsuite", name=policy, tests=str(len(members)), failures=str(bad)
        )
        for result in members:
            case = result.case
            element = ET.SubElement(
                suite,
                "testcase",
                classname=policy,
                name=escaped(case.note),
                file=escaped(case.file),
                line=str(case.line),
            )
            if result.failures:
                text = escaped("; ".join(result.failures))
                ET.SubElement(element, "failure", message=text).text = text
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write `{path}`: {error.strerror}", remedy="check path and rights"
        ) from None
