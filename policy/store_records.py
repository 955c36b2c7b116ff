"""The records that every store keeps, in their JSON form, and the words for what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from streamwarden.errors import StoreError

from .bundle import Bundle
from .canonical import canonical_json
from .store import Activation, Publication

__all__ = [
    "UNREACHABLE",
    "activation_json",
    "activation_of",
    "bundle_of",
    "check_digest",
    "check_said",
    "conflict",
    "damaged",
    "missing",
    "number_of_digest",
    "only_name",
    "publication_json",
    "publication_of",
    "record_of",
    "wrong_name",
]

#: The code of a store that does not answer, or does not let this process in: it may later.
UNREACHABLE: Final = "SW196"

#: Numbers that a message lists; the newest are the likeliest to be meant.
_LISTED_MAX: Final = 8
_DIGEST_PREFIX: Final = re.compile(r"[0-9a-f]{12,64}")


def publication_json(publication: Publication) -> dict[str, object]:
    """As it is kept; times are text, since they are beyond what JSON readers keep exact."""
    return {
        "name": publication.name,
        "number": publication.number,
        "digest": publication.digest,
        "at": str(publication.at),
        "by": publication.by,
        "reason": publication.reason,
    }


def publication_of(record: Any, place: str) -> Publication:
    """The publication in a JSON value; raises StoreError SW192 that names the `place`."""
    try:
        return Publication(
            str(record["name"]),
            int(record["number"]),
            str(record["digest"]),
            int(record["at"]),
            str(record["by"]),
            str(record["reason"]),
        )
    except (KeyError, OverflowError, TypeError, ValueError):
        raise damaged(place, "it is no published bundle") from None


def activation_json(activation: Activation) -> dict[str, object]:
    """Likewise."""
    return {
        "epoch": activation.epoch,
        "number": activation.number,
        "digest": activation.digest,
        "at": str(activation.at),
        "by": activation.by,
        "reason": activation.reason,
    }


def activation_of(record: Any, place: str) -> Activation:
    """The activation in a JSON value; raises StoreError SW192 that names the `place`."""
    try:
        return Activation(
            int(record["epoch"]),
            int(record["number"]),
            str(record["digest"]),
            int(record["at"]),
            str(record["by"]),
            str(record["reason"]),
        )
    except (KeyError, OverflowError, TypeError, ValueError):
        raise damaged(place, "it is no activation") from None


def record_of(data: bytes | str, place: str) -> dict[str, Any]:
    """The JSON object in `data`; raises StoreError SW192."""
    try:
        record: object = json.loads(data)
    except (ValueError, RecursionError):
        raise damaged(place, "it is not JSON, or only the beginning of it") from None
    if not isinstance(record, dict):
        raise damaged(place, "it is no JSON object")
    return cast("dict[str, Any]", record)


def check_said(by: str, reason: str) -> None:
    """Raises StoreError where nobody says who does this, and why."""
    if not by.strip() or not reason.strip():
        raise StoreError("who does this, and why, is not said", remedy="give `by` and `reason`")


def check_digest(activation: Activation, bundle: Bundle) -> None:
    """Raises StoreError SW191 where `bundle` is not the one that was activated."""
    if bundle.digest != activation.digest:
        raise StoreError(
            f"bundle `{bundle.label}` is not the one that was activated",
            remedy="restore it from a backup, or activate another number",
            code="SW191",
        )


def only_name(names: Iterable[str], place: str) -> str | None:
    """The one bundle that a store holds, None for none; several are StoreError SW195."""
    found = sorted(names)
    if len(found) > 1:
        raise StoreError(
            f"the store {place} holds several bundles: {', '.join(found[:8])}",
            remedy=f"say which one: `?bundle={found[0]}`",
            code="SW195",
        )
    return found[0] if found else None


def wrong_name(bundle: Bundle, name: str | None) -> StoreError:
    """Somebody publishes one bundle into the history of another."""
    return StoreError(
        f"the bundle is `{bundle.name}`, and the store is open for `{name}`",
        remedy=f"open it with `?bundle={bundle.name}`",
        code="SW195",
    )


def conflict(what: str, expected: int, found: int) -> StoreError:
    """`expected` did not hold."""
    return StoreError(
        f"{what} was expected at {expected}, and is at {found}",
        remedy="somebody else was first: look at what changed, and try again",
        code="SW193",
    )


def missing(name: str | None, number: int, place: str, known: Iterable[int] = ()) -> StoreError:
    """There is no bundle of that number; `known` are those there are, or were begun."""
    what = f"bundle {number}" if name is None else f"bundle `{name}@{number}`"
    numbers = sorted(known)
    if not numbers:
        remedy = "nothing was published there yet; `streamwarden bundle publish` does"
    elif len(numbers) == numbers[-1] - numbers[0] + 1 > _LISTED_MAX:
        remedy = f"there are {numbers[0]} to {numbers[-1]}"
    else:
        left = len(numbers) - _LISTED_MAX
        listed = ", ".join(map(str, numbers[-_LISTED_MAX:]))
        remedy = f"there is {listed}" if len(numbers) == 1 else f"there are {listed}"
        remedy += f" and {left} older ones" if left > 0 else ""
    return StoreError(f"there is no {what} in {place}", remedy=remedy, code="SW194")


def damaged(place: str, why: str) -> StoreError:
    """A record that is not what it should be."""
    return StoreError(
        f"`{place}` is damaged: {why}", remedy="restore it from a backup", code="SW192"
    )


def number_of_digest(
    prefix: str, numbers: Iterable[int], publication: Callable[[int], Publication | None]
) -> int | None:
    """The lowest of `numbers` whose digest begins with `prefix`; see `BundleStore.by_digest`.

    A publication that cannot be read is an error only where nothing else is found: it might have
    been the one.
    """
    if not _DIGEST_PREFIX.fullmatch(prefix):
        raise StoreError(
            f"`{prefix[:80]}` is no beginning of a digest", remedy="give 12 hex digits or more"
        )
    found: dict[str, int] = {}
    unreadable: StoreError | None = None
    for number in sorted(numbers):
        try:
            known = publication(number)
        except StoreError as error:
            unreadable = error
            continue
        if known is not None and known.digest.startswith(prefix):
            found.setdefault(known.digest, number)
    if len(found) > 1:
        raise StoreError(
            f"several bundles have a digest that begins with `{prefix}`",
            remedy="give more digits",
            code="SW195",
        )
    if not found and unreadable is not None:
        raise unreadable
    return next(iter(found.values()), None)


def bundle_of(record: object, publication: Publication, place: str) -> Bundle:
    """The bundle of a publication, from its stored form as a JSON value.

    Raises StoreError SW19x where it is another one.
    """
    bundle = Bundle.from_json(canonical_json(record))
    found = (bundle.name, bundle.number, bundle.digest)
    if found != (publication.name, publication.number, publication.digest):
        raise damaged(place, "it holds another bundle")
    return bundle
