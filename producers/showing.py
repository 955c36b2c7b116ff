"""Showing what is in a parked event, to people: masked, unless someone says why not."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from streamwarden.errors import QuarantineError, SchemaUnavailableError

from ..policy.decision import new_ids
from ..policy.guard import Guard
from ..policy.masking import MaskError
from ..policy.model import Approvals, MaskField, Path
from ..policy.plan import Plan
from ..policy.privacy import HIDDEN, Privacy
from ..schemas.json_projection import DecodeError
from .approving import approvals_of
from .quarantine import ParkedEvent, Quarantine, Selection, check_places, load_values, opened, scan
from .reviews import Review, Signature
from .writing import write_reviews

__all__ = ["ShownEvent", "show_parked"]

#: Members inside members that are shown one by one.
_DEPTH_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """A parked event as people may see it: sensitive fields are `***` unless `unmasked`.

    `key`, `value` and header values are text, `{"base64": …}` where they are none, or None.
    `note` says what could not be shown and why. `approvals` is what a release asks for by the rules
    that held the event, as they are today; None where nobody has to agree, or it does not wait.
    """

    event: ParkedEvent
    key: Any
    value: Any
    headers: tuple[tuple[str, Any], ...]
    unmasked: bool = False
    note: str = ""
    approvals: Approvals | None = None


def show_parked(
    quarantine: Quarantine, selection: Selection, *, unmasked: Signature | None = None
) -> tuple[ShownEvent, ...]:
    """The selected events, whatever their state, with their content masked.

    `unmasked` names who wants to see everything, and why: that is recorded beside the events
    first, and where it cannot be, nothing is shown. Raises QuarantineError for coordinates at
    which nothing is.
    """
    with opened(quarantine) as reader:
        listing = scan(reader, quarantine, selection, all_states=True)
        check_places(selection, listing.events)
        loaded = [found for _, found in load_values(reader, listing.events) if found is not None]
        if unmasked is None:
            return tuple(_asked(_masked(event, quarantine.guard), quarantine) for event in loaded)
        if not unmasked.by or not unmasked.reason:
            raise QuarantineError(
                "to see everything, say who you are and why", remedy="give `--by` and `--reason`"
            )
        _record(quarantine, loaded, unmasked, reader.left_s())
        return tuple(_asked(_whole(event), quarantine) for event in loaded)


def _asked(shown: ShownEvent, quarantine: Quarantine) -> ShownEvent:
    """With what a release would ask for, where the event waits for one."""
    if shown.event.state != "waiting":
        return shown
    return replace(shown, approvals=approvals_of(shown.event, quarantine.guard.bundle))


def _record(
    quarantine: Quarantine, events: Sequence[ParkedEvent], who: Signature, timeout_s: float
) -> None:
    next_id, at = new_ids(), quarantine.guard.now() // 1_000_000
    reviews = [
        (event.topic, Review("shown", event.partition, event.offset, at, (who,), next_id()))
        for event in events
    ]
    write_reviews(quarantine.config, reviews, quarantine.guard.stamp_keys, timeout_s=timeout_s)


def _whole(event: ParkedEvent) -> ShownEvent:
    headers = tuple((name, _text(value)) for name, value in event.headers)
    return ShownEvent(event, _text(event.key), _text(event.value), headers, unmasked=True)


def _masked(event: ParkedEvent, guard: Guard) -> ShownEvent:
    stage = "consume" if event.parked.origin_offset is not None else "produce"
    plan = guard.plan(event.parked.origin_topic, stage, guard.now())
    privacy = plan.privacy
    value, note = _masked_value(event, plan)
    headers = tuple(
        (name, HIDDEN if privacy.hides(("headers", name)) else _text(data))
        for name, data in event.headers
    )
    key = HIDDEN if privacy.hides(("key",)) and event.key is not None else _text(event.key)
    return ShownEvent(event, key, value, headers, note=note)


def _masked_value(event: ParkedEvent, plan: Plan) -> tuple[Any, str]:
    value, privacy = event.value, plan.privacy
    if value is None:
        return None, ""
    paths = [path[1:] for path in privacy.paths if path[0] == "value"]
    if () in paths:
        return HIDDEN, "all of the value is sensitive"
    if plan.framed is not None and plan.value_format in ("auto", "avro"):
        try:
            whole = plan.framed.whole(value, event.headers)
        except DecodeError:  # not framed, or to be hidden below
            pass
        else:
            return json.dumps(_shown(whole, ("value",), privacy), ensure_ascii=False), ""
    if not paths:
        return _text(value), ""
    try:
        masks = [MaskField(path, "redact", "") for path in paths]
        return _text(plan.mask(value, event.headers, masks)), ""
    except (MaskError, SchemaUnavailableError) as error:
        return HIDDEN, f"all of the value is hidden, since {error}"


def _shown(value: object, path: Path, privacy: Privacy) -> Any:
    """A decoded value for JSON, sensitive members hidden."""
    leaf: object = value
    if len(path) <= _DEPTH_MAX and isinstance(value, dict) and value:
        members = cast("dict[str, object]", value)
        return {name: _shown(item, (*path, name), privacy) for name, item in members.items()}
    if len(path) <= _DEPTH_MAX and isinstance(value, list) and value:
        items = cast("list[object]", value)
        return [_shown(item, (*path, place), privacy) for place, item in enumerate(items)]
    return privacy.shown(leaf, path)


def _text(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
