"""The project's own cases: where the language goes beyond the specification, or fixes a choice.

Each file of `cases/` is a list of

    - note: what is promised
      expr: value.amount + 0.5 == 2.5
      input: {value: {amount: 2}}
      expect: true            # or {$error: code}, {$unknown: [value.a]}

Values that YAML does not have: `{$decimal: "1.10"}`, `{$bytes: "ff00"}`, `{$timestamp: "…"}`,
`{$duration: "90s"}`, `{$uint: 1}`, `{$unknown: [value.a]}`, `{$table: [a, b]}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from streamwarden.policy.cel import (
    CelError,
    CelSyntaxError,
    Table,
    UInt,
    Unknown,
    compile_exact,
    parse,
)
from streamwarden.policy.cel.values import is_list, is_map

from .runner import same

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True, slots=True)
class OwnCase:
    """One case of a YAML file."""

    name: str
    expr: str
    input: dict[str, object]
    expect: object


def own_cases() -> Iterator[OwnCase]:
    """All cases, in the order of files and lines."""
    for path in sorted(FOLDER.glob("*.yaml")):
        written: list[dict[str, Any]] = YAML(typ="safe").load(path)
        for case in written:
            variables = {name: _value(value) for name, value in case.get("input", {}).items()}
            yield OwnCase(
                f"{path.stem}/{case['note']}", case["expr"], variables, _value(case["expect"])
            )


def run_own(case: OwnCase) -> str:
    """What is wrong with the outcome; empty when it is as expected."""
    try:
        got = compile_exact(parse(case.expr))(case.input)
    except CelSyntaxError as error:
        got = CelError(error.code, error.message)
    if isinstance(case.expect, CelError):
        passed = isinstance(got, CelError) and got.code == case.expect.code
    else:
        passed = same(got, case.expect)
    return "" if passed else f"`{case.expr}` gave {got!r}, not {case.expect!r}"


def _paths(names: list[str]) -> Unknown:
    return Unknown(frozenset(tuple(name.split(".")) for name in names))


def _text(function: str) -> Callable[[str], object]:
    return lambda text: compile_exact(parse(f'{function}("{text}")'))({})


_MAKERS: dict[str, Callable[[Any], object]] = {
    "$decimal": Decimal,
    "$bytes": bytes.fromhex,
    "$timestamp": _text("timestamp"),
    "$duration": _text("duration"),
    "$uint": UInt,
    "$unknown": _paths,
    "$table": Table,
    "$error": lambda code: CelError(code, ""),
}


def _value(written: object) -> object:
    if is_map(written):
        if len(written) == 1:
            ((key, value),) = written.items()
            if key in _MAKERS:
                return _MAKERS[str(key)](value)
        return {str(key): _value(value) for key, value in written.items()}
    if is_list(written):
        return [_value(item) for item in written]
    return written
