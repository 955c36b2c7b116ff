"""Running the cases of `tests:` documents: what a bundle decides against what was expected.

A case is decided as the guard would decide it, by the mode of its policy and rules; only the mode
of the bundle does not count: tests say what policies do once the bundle is enforced, and hold while
it is still in shadow. `expect` compares

- `effect`: the effect of the decision;
- `rules`: the rules that count (enforced, not lifted, not skipped), exactly these, in any order;
- `exempted`: the rules that fired and were lifted; `errors`: those that could not be evaluated;
- `shadow`: the rules that fired in shadow mode, which never count;
- `reason`: a text that is part of the reason of a rule that counts;
- `value`: the value after masks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, cast
from uuid import UUID

import msgspec

from ..schemas.avro_json import avro_bytes
from ..schemas.event import Event
from ..schemas.framing import with_id
from ..schemas.registry import Schema
from .bundle import Bundle
from .canonical import canonical_json, portable
from .case_documents import Case
from .compiler.framed import FramedValues
from .decision import Decision, Match
from .keys import KeyRing
from .model import Effect, Mode
from .plan_table import PlanTable
from .privacy import show
from .unjudged import unjudged

__all__ = ["CaseResult", "run_cases", "unlike", "value_writer"]

_CLIENTS_MAX = 64
#: Differences of one value that are told, and how much of each side.
_UNLIKE_MAX = 5
_SHOWN_MAX_CHARS = 300

_Members: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one case: `failures` are its differences in words, none where it passed.

    `decision` is None where the case could not be tried. `doubts` are the rules that count and
    could not be evaluated, where the case does not expect that: it may have passed by them alone.
    """

    case: Case
    failures: tuple[str, ...]
    decision: Decision | None
    doubts: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True where everything is as expected."""
        return not self.failures


def run_cases(
    bundle: Bundle,
    cases: Iterable[Case] | None = None,
    *,
    clock: Callable[[], int],
    mask_keys: KeyRing | None = None,
    framed: FramedValues | None = None,
) -> Iterator[CaseResult]:
    """Try `cases` (those of the bundle without) one by one.

    `clock` gives the `now` of cases that name none, in nanoseconds. Without `mask_keys`, `hash`
    masks are made with a key that is thrown away. With `framed`, values of topics that have an Avro
    schema under the subject `TOPIC-value` are written by its newest version.
    """
    enforced = replace(bundle, settings=replace(bundle.settings, mode=Mode.ENFORCE))
    rules = {f"{rule.policy}/{rule.id}" for policy in bundle.policies for rule in policy.rules}
    tables: dict[object, PlanTable] = {}
    for case in bundle.tests if cases is None else cases:
        client = (case.client, tuple(sorted(case.labels.items())))
        table = tables.get(client)
        if table is None:
            if len(tables) >= _CLIENTS_MAX:
                tables.clear()
            table = tables[client] = PlanTable(
                enforced,
                client={"client": case.client or "", "labels": dict(case.labels)},
                mask_keys=mask_keys,
                replay=True,
                framed=framed,
            )
        yield _run(case, table, clock() if case.now is None else case.now, rules)


def _run(case: Case, table: PlanTable, now: int, rules: set[str]) -> CaseResult:
    plan = table.plan(case.topic, case.stage, now)
    try:
        write = value_writer(case.topic, plan.value_format, table.framed)
        value = None if case.value is None else write(case.value)
    except ValueError as error:
        return CaseResult(case, (str(error),), None)
    event = Event(
        case.topic,
        value,
        None if case.key is None else case.key.encode(),
        [(name, text.encode()) for name, text in case.headers.items()],
        None if case.timestamp is None else case.timestamp // 1_000_000,
        now,
        case.partition,
        case.offset,
        case.facts or None,
    )
    decision = plan.decide(event)
    failures = tuple(_differences(case, decision, rules, write, table.bundle))
    return CaseResult(case, failures, decision, () if failures else _doubts(case, decision))


def _doubts(case: Case, decision: Decision) -> tuple[str, ...]:
    """The rules that count since they failed, in words; `expect.errors` has compared them."""
    if case.expect.errors is not None or decision.clear:
        return ()
    return tuple(
        f"rule `{match.policy}/{match.rule}` could not be evaluated: {match.error}"
        for match in decision.matches
        if match.counts and match.error is not None
    )


def value_writer(
    topic: str, value_format: str, framed: FramedValues | None
) -> Callable[[object], bytes]:
    """What makes of a value the bytes that a producer would send; ValueError where nothing can."""
    if framed is not None and value_format in ("avro", "auto"):
        schema = framed.schemas.latest(f"{topic}-value")
        if isinstance(schema, Schema) and schema.avro is not None:
            root, name = schema.avro.root, schema.id
            identity = b"\1" + name.bytes if isinstance(name, UUID) else with_id(name, b"")
            return lambda value: identity + avro_bytes(root, value)
    if value_format == "avro":
        raise ValueError(f"there is no schema for the subject `{topic}-value`; give --schemas")
    return lambda value: _plain_bytes(value, value_format)


def _plain_bytes(value: object, value_format: str) -> bytes:
    if value_format in ("text", "bytes") and isinstance(value, str):
        return value.encode()
    return msgspec.json.encode(value)


def _differences(
    case: Case,
    decision: Decision,
    rules: set[str],
    write: Callable[[object], bytes],
    bundle: Bundle,
) -> Iterator[str]:
    expect, matches = case.expect, decision.matches
    counted = [m for m in matches if m.counts and f"{m.policy}/{m.rule}" in rules]
    if decision.effect is not expect.effect:
        yield f"the effect is {decision.effect.value}, not {expect.effect.value}{_why(decision, bundle)}"
    if expect.rules is not None:
        yield from _compare(expect.rules, counted, "counts", matches)
    if expect.exempted is not None:
        lifted = [m for m in matches if m.exempted_by is not None]
        yield from _compare(expect.exempted, lifted, "was lifted", matches)
    if expect.errors is not None:
        failed = [m for m in matches if m.error is not None]
        yield from _compare(expect.errors, failed, "could not be evaluated", matches)
    if expect.shadow is not None:
        shy = [m for m in matches if m.mode is Mode.SHADOW and m.exempted_by is None]
        yield from _compare(expect.shadow, shy, "fired in shadow mode", matches)
    if expect.reason is not None and not any(expect.reason in m.reason for m in counted):
        said = "; ".join(m.reason for m in counted) or "none"
        yield f"no reason contains `{expect.reason}`: {said}"
    if expect.has_value and (text := _other_value(expect.value, decision, write)) is not None:
        yield text


def _why(decision: Decision, bundle: Bundle) -> str:
    """What the bundle itself said, or why the strictest rule fired, or why nothing looked at it."""
    if decision.undecodable is not None:
        return f": the value cannot be decoded ({decision.undecodable})"
    said: str | None = decision.reasons()
    if decision.effect is Effect.NONE:
        said = unjudged([bundle], decision.event.topic, decision.stage, decision.event.now)
    return f": {said}" if said else ""


def _compare(
    expected: Iterable[str], found: Iterable[Match], verb: str, matches: Iterable[Match]
) -> Iterator[str]:
    """Rules are named by id, or by `policy/rule`."""
    left = {f"{match.policy}/{match.rule}": match for match in found}
    for name in expected:
        fitting = [full for full in left if name in (full, left[full].rule)]
        if not fitting:
            yield f"no rule `{name}` {verb}{_hint(name, matches)}"
        for full in fitting[:1]:
            del left[full]
    for full in left:
        yield f"the rule `{full}` {verb}, which was not expected"


def _hint(name: str, matches: Iterable[Match]) -> str:
    """Why a rule that fired does not count."""
    for match in matches:
        if name in (match.rule, f"{match.policy}/{match.rule}"):
            if match.exempted_by is not None:
                return f": it fired and was lifted by `{match.exempted_by}`"
            if match.mode is Mode.SHADOW:
                return ": it fired in shadow mode"
            if match.error is not None:
                return f": {match.error}"
    return ""


def _other_value(
    expected: object, decision: Decision, write: Callable[[object], bytes]
) -> str | None:
    """How the value after masks differs from `expected`; None where it does not."""
    masked = decision.masked_value
    data = decision.event.value if masked is None else masked
    if data is None:
        return None if expected is None else "the event has no value"
    if data[:1] in (b"\0", b"\1"):
        try:
            return None if write(expected) == data else "the value is another one"
        except ValueError as error:
            return f"the expected value does not fit the schema: {error}"
    if decision.plan.value_format in ("text", "bytes"):
        found: object = data.decode("utf-8", "replace")
    else:
        try:
            found = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return "the value is not JSON"
    return unlike(expected, found)


def unlike(expected: object, found: object) -> str | None:
    """Where a JSON value differs from what a test expects, with both sides; None where it does not."""
    unlike = list(_unlike(expected, found, "value"))
    more = f"; and {len(unlike) - _UNLIKE_MAX} more" if len(unlike) > _UNLIKE_MAX else ""
    said = "; ".join(unlike[:_UNLIKE_MAX])
    return f"the value is another one: {said}{more}" if unlike else None


def _unlike(expected: object, found: object, path: str) -> Iterator[str]:
    """Each difference in words."""
    if _canonical(expected) == _canonical(found):
        return
    if not all(isinstance(side, Mapping) for side in (expected, found)):
        yield f"{path} is {_shown(found)}, not {_shown(expected)}"
        return
    wanted, present = cast("_Members", expected), cast("_Members", found)
    for name in dict.fromkeys([*wanted, *present]):
        if name not in present:
            yield f"{path}.{name} is missing, not {_shown(wanted[name])}"
        elif name not in wanted:
            yield f"{path}.{name} is {_shown(present[name])}, and should not be there"
        else:
            yield from _unlike(wanted[name], present[name], f"{path}.{name}")


def _shown(value: object) -> str:
    """A value of a test as JSON, on one line and bounded."""
    text = json.dumps(show(value), ensure_ascii=False)
    return text if len(text) <= _SHOWN_MAX_CHARS else text[: _SHOWN_MAX_CHARS - 1] + "…"


def _canonical(value: object) -> bytes:
    return canonical_json(portable(value))
