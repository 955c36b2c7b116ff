"""Run conformance cases: `python -m tests.conformance [CASES.json] [--json]`.

Without a file, the project's own cases and the specification's (where they are at hand) are run.
Prints the names of the cases that failed and, as the last line, `N passed, N failed`. Exit status
0 when exactly the failures that expected_failures.yaml lists were found, 1 otherwise, 2 when the
file cannot be read.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from pathlib import Path

from .expectations import default_cases, expected_failures, surprises
from .own_cases import own_cases, run_own
from .runner import Outcome, load, run_all


def main(arguments: list[str]) -> int:
    """Run the cases and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("cases", nargs="?", type=Path, help="a file of cases; else all at hand")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # whatever text the cases have
    try:
        outcomes = _run(options.cases)
    except (OSError, ValueError) as error:
        parser.error(f"{options.cases} cannot be read: {error}")
    reasons = expected_failures()
    surprising = surprises(outcomes, reasons)
    failures = [outcome for outcome in outcomes if not outcome.passed]
    if options.json:
        print(json.dumps(_summary(outcomes, failures, surprising), ensure_ascii=False, indent=1))
    else:
        for outcome in failures:
            print(f"{outcome.name}: {outcome.problem}")
        for line in surprising:
            print(f"surprise: {line}", file=sys.stderr)
    closing = f"{len(outcomes) - len(failures)} passed, {len(failures)} failed"
    print(closing, file=sys.stderr if options.json else sys.stdout)
    return 1 if surprising else 0


def _run(cases: Path | None) -> list[Outcome]:
    if cases is not None:
        return run_all(load(cases))
    own = [
        Outcome(f"own/{case.name}", "own", True, case.expr, run_own(case)) for case in own_cases()
    ]
    default = default_cases()
    return own + (run_all(load(default)) if default is not None else [])


def _summary(
    outcomes: list[Outcome], failures: list[Outcome], surprising: list[str]
) -> dict[str, object]:
    passed = Counter(outcome.group for outcome in outcomes if outcome.passed)
    failed = Counter(outcome.group for outcome in failures)
    return {
        "passed": len(outcomes) - len(failures),
        "failed": len(failures),
        "groups": {
            group: {"passed": passed[group], "failed": failed[group]}
            for group in sorted({outcome.group for outcome in outcomes})
        },
        "failures": [
            {"name": f.name, "core": f.core, "expr": f.expr, "problem": f.problem} for f in failures
        ],
        "surprises": surprising,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
