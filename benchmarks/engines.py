"""The engines that are measured side by side, each used in its fastest form that gives all hits.

An engine is made for conditions and a format, and is then called with the bytes of an event. What
it needs is imported when it is made: one that is not installed is left out. JSON is decoded for the
peers by the fastest decoder there is, Avro by fastavro.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import fastavro
import msgspec

from benchmarks.rule_mix import SCHEMA
from benchmarks.workload import TOPIC
from streamwarden import Guard
from streamwarden.schemas.event import Event

__all__ = ["CONFLUENT", "ENGINES", "STREAMWARDEN", "Engine", "Prepared", "streamwarden"]

#: From the bytes of an event to a decision, in which the hits can be found.
Decide: TypeAlias = Callable[[bytes], Any]
_Decode: TypeAlias = Callable[[bytes], dict[str, Any]]

STREAMWARDEN: Final = "streamwarden"
CONFLUENT: Final = "Confluent's rule executor"
_PREFIX_SIZE: Final = 5
#: The C++ engine takes 100,000 characters an expression; other engines like lists of this size too.
_LIST_MAX: Final = 500
#: A policy file has at most a megabyte.
_FILE_RULES_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """An engine with its rules: `hits` gives the indexes of the rules that fired, from a decision."""

    decide: Decide
    hits: Callable[[Any], Iterable[int]] = iter


@dataclass(frozen=True, slots=True)
class Engine:
    """One contender: what has to be installed for it, and what makes it."""

    name: str
    package: str
    make: Callable[[Sequence[str], str], Prepared]
    native: bool = False


def _decoder(format_: str) -> _Decode:
    if format_ == "json":
        return msgspec.json.Decoder(dict[str, Any]).decode
    schema = fastavro.parse_schema(SCHEMA)

    def decode(value: bytes) -> dict[str, Any]:
        source = io.BytesIO(value)
        source.seek(_PREFIX_SIZE)
        return cast("dict[str, Any]", fastavro.schemaless_reader(source, schema, None))

    return decode


def _lists(conditions: Sequence[str]) -> list[str]:
    """All conditions as a few lists of verdicts."""
    return [
        "[" + ", ".join(f"({each})" for each in conditions[start : start + _LIST_MAX]) + "]"
        for start in range(0, len(conditions), _LIST_MAX)
    ]


def streamwarden(conditions: Sequence[str], format_: str) -> Prepared:
    """`guard.evaluate`, as guarded producers call it, on a directory of policies."""
    with tempfile.TemporaryDirectory() as name:
        policies, schemas = Path(name, "policies"), Path(name, "schemas")
        policies.mkdir()
        schemas.mkdir()
        for start in range(0, len(conditions), _FILE_RULES_MAX):
            part = conditions[start : start + _FILE_RULES_MAX]
            rules = [
                {"id": f"r{number}", "when": condition, "effect": "reject"}
                for number, condition in enumerate(part, start)
            ]
            policy = {
                "policy": f"mix-{start}",
                "owner": "orders",
                "topics": [TOPIC],
                "rules": rules,
            }
            (policies / f"mix-{start}.yaml").write_text(json.dumps(policy))  # which is YAML, too
        (schemas / f"{TOPIC}-value.avsc").write_text(json.dumps(SCHEMA))
        guard = Guard.from_directory(policies, schemas=schemas if format_ == "avro" else None)

    def decide(value: bytes) -> Any:
        return guard.evaluate(Event(TOPIC, value, None, (), None, guard.now()), "produce")

    return Prepared(decide, lambda decision: [int(match.rule[1:]) for match in decision.matches])


def _google(conditions: Sequence[str], format_: str) -> Prepared:
    """Google's C++ engine: some hundred rules an expression; rule by rule where one has failed."""
    cel: Any = importlib.import_module("cel_expr_python.cel")
    type_ = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    environment = cel.NewEnv(variables={"message": type_})
    programs = [environment.compile(each) for each in _lists(conditions)]
    alone = functools.cache(environment.compile)
    decode = _decoder(format_)

    def decide(value: bytes) -> list[int]:
        known = {"message": decode(value)}
        found: list[int] = []
        for place, program in enumerate(programs):
            told: Any = program.eval(data=known).plain_value()
            # Text where a condition has failed, which fails them all.
            verdicts: list[Any] = told if type(told) is list else one_by_one(place, known)
            if True in verdicts:
                start = place * _LIST_MAX
                found += [start + n for n, verdict in enumerate(verdicts) if verdict is True]
        return found

    def one_by_one(place: int, known: dict[str, Any]) -> list[Any]:
        start = place * _LIST_MAX
        return [
            alone(each).eval(data=known).plain_value()
            for each in conditions[start : start + _LIST_MAX]
        ]

    return Prepared(decide)


def _rust(conditions: Sequence[str], format_: str) -> Prepared:
    """The Rust engine: one context an event, a program a rule or lists of rules, as is faster."""
    cel: Any = importlib.import_module("cel")
    decode = _decoder(format_)
    if len(conditions) < _LIST_MAX:
        programs = [cel.compile(each) for each in conditions]

        def decide(value: bytes) -> list[int]:
            context = cel.Context({"message": decode(value)})
            return [n for n, each in enumerate(programs) if each.execute(context) is True]

        return Prepared(decide)
    lists = [cel.compile(each) for each in _lists(conditions)]

    def decide_lists(value: bytes) -> list[int]:
        context = cel.Context({"message": decode(value)})
        found: list[int] = []
        for place, each in enumerate(lists):
            verdicts = each.execute(context)
            if True in verdicts:
                start = place * _LIST_MAX
                found += [start + n for n, verdict in enumerate(verdicts) if verdict is True]
        return found

    return Prepared(decide_lists)


def _celpy(conditions: Sequence[str], format_: str) -> Prepared:
    """cel-python, transpiled to Python: three times as fast as its interpreter.

    That is asked where the transpiled form fails, as it does for `a != null && a.b > 0` and a null.
    """
    celpy: Any = importlib.import_module("celpy")
    parser: Any = importlib.import_module("celpy.celparser").CELParser
    to_cel = celpy.adapter.json_to_cel
    decode = _decoder(format_)

    def programs(runner: Any) -> list[Any]:
        parser.CEL_PARSER = None  # one for all, which is bound to the kind of runner
        environment = celpy.Environment(runner_class=runner)
        made = [environment.program(environment.compile(each)) for each in conditions]
        parser.CEL_PARSER = None
        return made

    # It writes every failure to its log.
    logging.getLogger("celpy").setLevel(logging.CRITICAL)
    transpiled, interpreted = programs(celpy.CompiledRunner), programs(celpy.InterpretedRunner)

    def decide(value: bytes) -> list[int]:
        known = {"message": to_cel(decode(value))}
        found: list[int] = []
        for number, program in enumerate(transpiled):
            try:
                fires = program.evaluate(known)
            except celpy.CELEvalError:
                fires = interpreted[number].evaluate(known)
            if fires:
                found.append(number)
        return found

    return Prepared(decide)


def _confluent(conditions: Sequence[str], format_: str) -> Prepared:
    """What Confluent's (de)serializers call for each rule of a data contract, without the rest.

    The rules are compiled by the first event; the caller has one decided before the time counts.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = "confluent_kafka.schema_registry"
        registry: Any = importlib.import_module(root)
        serde: Any = importlib.import_module(f"{root}.serde")
        parser: Any = importlib.import_module("celpy.celparser").CELParser
        parser.CEL_PARSER = None
        cel: Any = importlib.import_module(f"{root}.rules.cel.cel_executor")
        executor = cel.CelExecutor()
    mode, kind = registry.RuleMode.WRITE, registry.RuleKind.CONDITION
    rules = [
        registry.Rule(f"r{n}", None, kind, mode, "CEL", None, None, each, None, None, False)
        for n, each in enumerate(conditions)
    ]
    schema = registry.Schema(json.dumps(SCHEMA), format_.upper())
    contexts = [
        serde.RuleContext(None, None, None, schema, TOPIC, mode, rule, n, rules, None, None)
        for n, rule in enumerate(rules)
    ]
    decode = _decoder(format_)

    def decide(value: bytes) -> list[int]:
        event = decode(value)
        return [n for n, each in enumerate(contexts) if executor.transform(each, event)]

    return Prepared(decide)


ENGINES: Final = (
    Engine(STREAMWARDEN, "streamwarden", streamwarden),
    Engine("cel-expr-python (C++)", "cel-expr-python", _google, native=True),
    Engine("common-expression-language (Rust)", "common-expression-language", _rust, native=True),
    Engine("cel-python", "cel-python", _celpy),
    Engine(CONFLUENT, "confluent-kafka[rules]", _confluent),
)
