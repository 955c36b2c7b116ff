"""What came of the cases of tests documents: lines, JSON, JUnit, and what no case exercises."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from ..policy.coverage import Coverage, Places, RuleCoverage, rule_places
from ..policy.testing import CaseResult
from .output import Output, counted, escaped

__all__ = [
    "case_line",
    "cases_json",
    "coverage_json",
    "exercised",
    "percent",
    "print_coverage",
    "write_junit",
]


def case_line(result: CaseResult) -> Text:
    """A case with its place and how it differs from what was expected."""
    case = result.case
    word, style = ("ok    ", "green") if result.passed else ("FAIL  ", "bold red")
    if result.doubts:
        style = "yellow"
    shown = Text().append(word, style)
    shown.append(escaped(f"{case.file}:{case.line} {case.policy}: {case.note}"))
    for failure in result.failures:
        shown.append(f"\n        {escaped(failure)}")
    for doubt in result.doubts:
        shown.append(f"\n        {escaped(f'passed, but {doubt}')}", "yellow")
    return shown


def cases_json(
    results: Sequence[CaseResult], bundle: str, digest: str, seconds: float
) -> dict[str, object]:
    """The outcome of all cases."""
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
                "doubts": list(result.doubts),
                "effect": None if result.decision is None else result.decision.effect.value,
            }
            for result in results
        ],
    }


def write_junit(path: Path, results: Sequence[CaseResult], seconds: float) -> None:
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
            elif result.doubts:
                text = escaped("; ".join(result.doubts))
                ET.SubElement(element, "system-out").text = f"passed, but {text}"
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write `{path}`: {error.strerror}", remedy="check path and rights"
        ) from None


# ------------------------------------------------------------------- coverage


def exercised(bundle: Bundle, results: Iterable[CaseResult]) -> list[RuleCoverage]:
    """What the cases exercised of each rule, with the places of what they did not."""
    places: dict[tuple[str, str], Places] = {}
    for file in sorted({policy.file for policy in bundle.policies if policy.file}):
        try:
            places.update(rule_places(Path(file).read_bytes(), file))
        except OSError:  # gone since it was loaded: then without places
            continue
    coverage = Coverage(bundle, places)
    for result in results:
        if result.decision is not None:
            coverage.add(result.decision)
    return coverage.rules()


def percent(rules: Sequence[RuleCoverage]) -> float:
    """How much of all branches is exercised; 100 where there are none."""
    branches = sum(rule.branches for rule in rules)
    missing = sum(len(rule.missing) for rule in rules)
    return 100.0 if not branches else 100 * (branches - missing) / branches


def coverage_json(rules: Sequence[RuleCoverage]) -> dict[str, object]:
    """Coverage as JSON has it."""
    branches = sum(rule.branches for rule in rules)
    return {
        "percent": round(percent(rules), 1),
        "rules": len(rules),
        "rules_fired": sum(_fires(rule) for rule in rules),
        "rules_errored": sum(rule.errors > 0 for rule in rules),
        "branches": branches,
        "exercised": branches - sum(len(rule.missing) for rule in rules),
        "missing": [
            {
                "policy": rule.policy,
                "rule": rule.rule,
                "part": branch.part or None,
                "what": branch.what,
                "text": branch.text or None,
                "file": None if branch.place is None else branch.place.file,
                "line": None if branch.place is None else branch.place.line,
                "column": None if branch.place is None else branch.place.column,
            }
            for rule in rules
            for branch in rule.missing
        ],
    }


def print_coverage(rules: Sequence[RuleCoverage], output: Output) -> None:
    """A table of what no case exercises, and one line for all."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("place", "rule", "exercised", "no case"):
        table.add_column(heading, overflow="fold")
    for rule in rules:
        done = f"{rule.branches - len(rule.missing)} of {rule.branches}"
        for branch in rule.missing:
            place = "" if branch.place is None else f"{branch.place.file}:{branch.place.line}"
            name = Text(escaped(f"{rule.policy}/{rule.rule}"), "bold")
            never = Text(escaped(f"{branch.part} {branch.never}".strip()))
            table.add_row(Text(escaped(place)), name, done, never)
    if table.row_count:
        output.print(Text(), table, Text())
    branches = sum(rule.branches for rule in rules)
    missing = sum(len(rule.missing) for rule in rules)
    output.print(
        f"{percent(rules):.1f} % covered: {branches - missing:,} of {branches:,} branches, "
        f"{sum(map(_fires, rules)):,} of {counted(len(rules), 'rule')} fired{_errored(rules)}"
    )


def _errored(rules: Sequence[RuleCoverage]) -> str:
    errored = sum(rule.errors > 0 for rule in rules)
    return f", {errored:,} could not be evaluated in some case" if errored else ""


def _fires(rule: RuleCoverage) -> bool:
    return all(branch.what != "fires" for branch in rule.missing)
