"""What today's policy says against an event that was let through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from ..policy.masking import MaskError
from ..policy.model import Effect, MaskField, Path
from ..policy.plan import Plan
from ..policy.stamp import Stamp
from .possibilities import OPAQUE, Branch, Case
from .unknowns import looks_masked

__all__ = ["drift_of", "masks_anew"]

_MASKS = ("redact", "hash", "last4")


def drift_of(stamp: Stamp | None, then_masks: Iterable[MaskField], now: Branch) -> str | None:
    """The drift of an event that was delivered under `stamp` (None: without one to go by).

    `then_masks` are the masks that its version applied. What people approved is drift only where
    today's policy is stricter than what they had before them; a consumer holds nothing a second
    time whose approval is signed, whatever the producer's guard had said of it.
    """
    effect = now.effect
    if stamp is not None and stamp.ap is not None and effect is not Effect.MASK:
        signed = stamp.mac is not None and now.side.plan.stage == "consume"
        if effect.rank <= stamp.effect.rank or (signed and effect is Effect.HOLD):
            return None
    if effect is Effect.REJECT:
        return "now-rejected"
    if effect is Effect.HOLD:
        return "now-held"
    if effect is not Effect.MASK:
        return None
    if stamp is not None and (stamp.effect is Effect.MASK or stamp.ap is not None):
        anew = masks_anew(now.case, now.side.plan, now.masks, then_masks)
        return "now-masked" if anew else None
    return "now-masked"


def masks_anew(
    case: Case, plan: Plan, masks: Iterable[MaskField], then_masks: Iterable[MaskField]
) -> bool:
    """True where `masks`, those of `plan`, change a field of an event that was not masked then.

    A field that its version should have masked and that plainly is not masked counts too: whoever
    wrote the stamp did not do what it says. Where an element was dropped from a list, what stands
    at a position now need not be what stood there then, and says nothing about masks that were due.
    """
    if case.event.value is None:
        return False
    applied = tuple(then_masks)
    done = {mask.path for mask in applied}
    moved = [mask.path[:-1] for mask in applied if mask.how == "drop" and _is_position(mask.path)]
    decoded = case.decoded if plan.value_format in ("auto", "json") else OPAQUE
    for mask in masks:
        if decoded is OPAQUE:
            if mask.path not in done and _changes(case, plan, mask):
                return True
            continue
        if mask.path in done and any(_moves(where, mask.path) for where in moved):
            continue
        plain = [leaf for leaf in _leaves(decoded, mask.path) if not looks_masked(leaf, _MASKS)]
        if mask.path in done:
            plain = [leaf for leaf in plain if leaf is not None]
        if plain and _changes(case, plan, mask):
            return True
    return False


def _is_position(path: Path) -> bool:
    return bool(path) and isinstance(path[-1], int)


def _moves(where: Path, path: Path) -> bool:
    """True where `path` names a position in a list at `where`."""
    size = len(where)
    return (
        len(path) > size
        and isinstance(path[size], int)
        and all(
            one == other or (None in (one, other) and not {type(one), type(other)} & {str})
            for one, other in zip(where, path, strict=False)
        )
    )


def _changes(case: Case, plan: Plan, mask: MaskField) -> bool:
    value = case.event.value or b""
    try:
        return plan.mask(value, case.event.headers, (mask,)) != value
    except MaskError:
        return True


def _leaves(node: object, path: Path) -> Iterator[object]:
    """What `path` names in a decoded value; nothing where it leads nowhere."""
    if not path:
        yield node
        return
    segment, rest = path[0], path[1:]
    if isinstance(segment, str):
        if isinstance(node, dict):
            members = cast("dict[Any, object]", node)
            if segment in members:
                yield from _leaves(members[segment], rest)
        return
    if isinstance(node, list):
        items = cast("list[object]", node)
        if segment is None:
            for item in items:
                yield from _leaves(item, rest)
        elif -len(items) <= segment < len(items):
            yield from _leaves(items[segment], rest)
