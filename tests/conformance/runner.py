"""Running cases: those of the public CEL specification, and the project's own YAML cases.

The first are plain JSON with typed values (`{"t": "int", "v": "1"}`); a pass is type-strict.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from streamwarden.policy.cel import (
    CelError,
    CelSyntaxError,
    CelType,
    Duration,
    Environment,
    Timestamp,
    UInt,
    Unknown,
    check,
    compile_exact,
    parse,
)
from streamwarden.policy.cel.library import FUNCTIONS, Function, Overload
from streamwarden.policy.cel.names import resolve
from streamwarden.policy.cel.types import DURATION, DYN, TIMESTAMP, Type
from streamwarden.policy.cel.values import is_list, is_map, map_key

Case = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one case; `problem` says why it failed, and is empty where it passed."""

    name: str
    group: str
    core: bool
    expr: str
    problem: str
    needs: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.problem


def name_of(case: Case) -> str:
    """`file/section/name`, which is how expected failures are listed; without what is not said."""
    return "/".join(str(case[part]) for part in ("file", "section", "name") if part in case)


def load(path: Path) -> list[Case]:
    """The cases of a JSON file. Raises ValueError where it is none, OSError likewise."""
    try:
        found: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    cases = cast("list[object]", found) if isinstance(found, list) else [None]
    if not all(isinstance(case, dict) for case in cases):
        raise ValueError("it is not a list of cases")
    return cast("list[Case]", cases)


def run_all(cases: Iterable[Case]) -> list[Outcome]:
    """Every case with its outcome; nothing raises."""
    return [
        Outcome(
            name_of(case),
            str(case.get("file", "")),
            case.get("core") is True,
            str(case.get("expr", "")),
            run(case),
            _needs(case.get("needs")),
        )
        for case in cases
    ]


def _needs(said: object) -> tuple[str, ...]:
    if isinstance(said, list):
        return tuple(map(str, cast("list[object]", said)))
    return (said,) if isinstance(said, str) else ()


def run(case: Case) -> str:
    """What is wrong with the outcome of a case, or with the case; empty when it is as expected."""
    try:
        try:
            got = _outcome(case)
        except CelSyntaxError as error:
            got = CelError("syntax", error.message)
        return _compare(case["expected"], got)
    except Exception as error:  # noqa: BLE001 - a case that cannot be run is one that fails
        return f"cannot be run: {type(error).__name__}: {error}"


def _compare(expected: Mapping[str, Any], got: object) -> str:
    if "error" in expected:
        failed = isinstance(got, CelError) and got.code != "internal"
        return "" if failed else f"got {got!r}, not an error"
    if "type" in expected:
        wanted: object = str(type_of(expected["type"]))
        return "" if got == wanted else f"got the type {got}, not {wanted}"
    wanted = value_of(expected["value"])
    return "" if same(got, wanted) else f"got {got!r}, not {wanted!r}"


def _outcome(case: Case) -> object:
    declared: list[dict[str, Any]] = case.get("type_env") or []
    bound: dict[str, dict[str, Any]] = case.get("bindings") or {}
    bindings = {name: value_of(value) for name, value in bound.items()}
    variables = dict.fromkeys(bindings, DYN)
    variables |= {d["name"]: type_of(d["type"]) for d in declared if d["kind"] == "ident"}
    container = case.get("container") or ""
    expr = parse(case["expr"])
    if not case.get("disable_check"):
        functions = dict(FUNCTIONS) | {
            d["name"]: _function(d) for d in declared if d["kind"] == "function"
        }
        env = Environment(variables, expect_bool=False, functions=functions)
        checked = check(resolve(expr, variables, container), env)
        if not checked.ok:
            return CelError("check", "; ".join(problem.message for problem in checked.problems))
        if "type" in case["expected"]:
            return str(checked.type)
    return compile_exact(expr, names=variables, container=container)(bindings)


def _function(declared: Mapping[str, Any]) -> Function:
    function = Function(declared["name"])
    for overload in declared["overloads"]:
        params = tuple(map(type_of, overload["params"]))
        result = type_of(overload["result"])
        function.overloads.append(Overload(params, result, overload["instance"], lambda *_: None))
    return function


def type_of(text: str) -> Type:
    """The type that a case writes as text, such as `map(string, list(int))`."""
    head, bracket, rest = text.partition("(")
    params = tuple(map(type_of, _split(rest[:-1]))) if bracket else ()
    if head.startswith("param:"):
        return Type("param", (), head.removeprefix("param:"))
    plain = {"timestamp": TIMESTAMP, "duration": DURATION}.get(head)
    if plain is not None:
        return plain
    known = "bool int uint double string bytes null_type type dyn list map optional_type"
    return Type(head, params) if head in known.split() else Type("abstract", params, head)


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def value_of(typed: Mapping[str, Any]) -> object:
    """The value that a case writes with its type."""
    kind = typed["t"]
    if kind in ("timestamp", "duration"):
        ns = int(typed.get("seconds", 0)) * 10**9 + int(typed.get("nanos", 0))
        return Timestamp(ns) if kind == "timestamp" else Duration(ns)
    raw: Any = typed.get("v")
    match kind:
        case "int":
            return int(raw)
        case "uint":
            return UInt(raw)
        case "double":
            return float(raw)
        case "bytes":
            return base64.b64decode(raw)
        case "list":
            return [value_of(item) for item in raw]
        case "map":
            return {map_key(value_of(key)): value_of(value) for key, value in raw}
        case "type":
            return CelType(raw)
        case "null":
            return None
        case "bool" | "string":
            return raw
        case _:
            raise ValueError(f"there is no type of values `{kind}`")


def same(got: object, wanted: object) -> bool:
    """Equality that tells types apart, and takes NaN for NaN."""
    if type(got) is not type(wanted):
        return False
    if isinstance(got, float) and isinstance(wanted, float):
        return got == wanted or (math.isnan(got) and math.isnan(wanted))
    if is_list(got) and is_list(wanted):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    if is_map(got) and is_map(wanted):
        keys = {(type(key), key): value for key, value in got.items()}
        return len(got) == len(wanted) and all(
            (type(key), key) in keys and same(keys[type(key), key], value)
            for key, value in wanted.items()
        )
    if isinstance(got, Unknown) and isinstance(wanted, Unknown):
        return got.paths == wanted.paths
    return got == wanted
