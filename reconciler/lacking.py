"""Schemas that a replay does not have: whether a guard had them then, nobody knows now.

A guard at work calls bytes of an unknown schema undecodable, and that is its decision. A replay that
lacks the schema knows neither what the guard read nor what today's policy would say.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..policy.compiler.framed import frame_or_error
from ..policy.plan import Plan
from ..schemas.event import Event
from ..schemas.framing import schema_id
from ..schemas.json_projection import DecodeError, decode_json
from ..schemas.registry import NotFound

__all__ = ["LACKING_MAX", "lacking_schema", "lacks", "needs_schemas", "told_lacking"]

#: Ids that a report names; a hostile producer may make up any number.
LACKING_MAX = 20
_FORMATS = ("auto", "avro")


def needs_schemas(plan: Plan) -> bool:
    """True where what `plan` decides may hang on the schema of a value."""
    reads = plan.compiled.reads
    needed = (
        reads.reads_value
        or reads.reads_schema
        or plan.settings.strict_values
        or any(planned.rule.masks for planned in plan.rules)
    )
    return needed and plan.value_format in _FORMATS


def lacking_schema(event: Event, plan: Plan) -> str:
    """The id of the schema that the value of `event` names and that is not at hand; else empty.

    A schema that cannot be had now, but may be later, is not meant. Without any schemas, JSON is
    JSON, whatever headers stand beside it.
    """
    value = event.value
    if value is None:
        return ""
    try:
        frame = frame_or_error(value, event.headers, "value")
    except DecodeError:
        return ""
    if frame is None:
        return ""
    named = schema_id(frame.identity)
    if plan.framed is not None:
        return str(named) if isinstance(plan.framed.schemas.schema(named), NotFound) else ""
    try:
        decode_json(value)
    except DecodeError:
        return str(named)
    return ""


def lacks(name: str) -> str:
    """Why nothing can be said of an event whose schema is not at hand."""
    return f"schema `{name}` is not at hand"


def told_lacking(ids: Iterable[str]) -> tuple[str, ...]:
    """What a report says of schemas that were lacking: one line, or none."""
    found = list(ids)
    if not found:
        return ()
    names = ", ".join(f"`{each}`" for each in found[:LACKING_MAX])
    more = " and others" if len(found) > LACKING_MAX else ""
    are = "schemas" if len(found) > 1 else "schema"
    said = (
        f"{are} {names}{more} not at hand: what hangs on their values is undecidable; "
        "give `--schemas` a directory or registry that has them"
    )
    return (said,)
