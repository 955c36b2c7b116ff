"""What a consumer makes of the stamp that an event comes with, before its own policy is asked.

Only a guard with one of the settings `verify_stamps` and `stale_stamp`, or with stamp keys, comes
here. By default the stamp of an event is neither read nor trusted, but for a signed approval: what
people released is not held a second time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from streamwarden.errors import ConfigurationError
from streamwarden.settings import SourceSettings

from ..schemas.event import Event
from .bundle import Bundle
from .compiler import UnavailableError, Undecodable
from .compiler.reads import reads_of
from .decision import Decision
from .keys import KeyRing
from .masking import MaskError
from .model import Effect, Mode
from .plan import Entry, Outcome, Plan, SyntheticRule
from .stamp import STAMP_HEADER, Stamp, StampError, find_stamps, verify

if TYPE_CHECKING:
    from .guard import Guard

__all__ = ["Received", "check_stamp_settings", "check_trust", "looks_at_stamps"]

log = logging.getLogger("streamwarden")

#: One line for each finding in this time; the next one says how many there were.
_TOLD_EVERY_S = 60.0
_REFUSING = (Effect.HOLD.value, Effect.REJECT.value)
_HOLDING = (Effect.HOLD.value,)
#: What is wrong with a stamp, by the name under which it is counted.
_FINDINGS: Mapping[str, str] = {
    "missing": "it has no stamp",
    "doubled": "it has more than one stamp",
    "malformed": "its stamp cannot be read",
    "unsigned": "its stamp is not signed",
    "unknown_key": "its stamp is signed with a key that is not known here",
    "invalid": "its stamp was signed for another record",
}


def looks_at_stamps(settings: SourceSettings, keys: KeyRing | None) -> bool:
    """Whether events are looked at before they are decided on."""
    if keys is not None:
        return True
    return settings.verify_stamps != "ignore" or settings.stale_stamp != "re-evaluate"


def check_stamp_settings(settings: SourceSettings, keys: KeyRing | None) -> None:
    """Raise ConfigurationError where stamps are to be verified and there is no key."""
    for name, value in (
        ("verify_stamps", settings.verify_stamps if settings.verify_stamps != "ignore" else ""),
        ("stale_stamp", settings.stale_stamp if settings.stale_stamp == "trust" else ""),
    ):
        if value and keys is None:
            raise ConfigurationError(
                f"`{name}` is `{value}`, and this guard has no stamp key",
                remedy="give `stamp_keys` (`--stamp-keys FILE`)",
            )


def check_trust(settings: SourceSettings, bundle: Bundle) -> None:
    """Raise ConfigurationError where stale stamps are trusted and a rule reads headers.

    A signature does not cover headers: whoever can write them could have changed them since.
    """
    if settings.stale_stamp != "trust":
        return
    for policy in bundle.policies:
        for rule in policy.rules:
            condition = None if rule.mode is Mode.OFF else rule.condition
            if condition is not None and reads_of(condition.expr).reads_headers:
                raise ConfigurationError(
                    f"`stale_stamp` is `trust`, and rule `{policy.id}/{rule.id}` reads headers, "
                    "which a signature does not cover",
                    remedy="use re-evaluate or quarantine",
                )


class Received:
    """Decides on received events in the place of `guard.evaluate`. Thread-safe."""

    def __init__(self, guard: Guard, *, clock: Callable[[], float] = time.monotonic) -> None:
        settings = guard.failing
        self._guard, self._keys, self._clock = guard, guard.stamp_keys, clock
        self._verifies, self._stale = settings.verify_stamps, settings.stale_stamp
        self._age_s = settings.stale_stamp_age_s
        versions = settings.stale_stamp_versions
        #: One version is enough where nobody says from when on.
        self._versions = 1 if versions is None and self._age_s is None else versions
        self._told: dict[str, tuple[float, int]] = {}
        #: Nothing is asked but whether people have approved.
        self._only_approvals = not looks_at_stamps(settings, None)

    def evaluate(self, event: Event, stage: str) -> Decision:
        """The decision on one received event; raises as `Guard.evaluate` does."""
        table = self._guard.table
        plan = table.plan(event.topic, stage, event.now)
        if self._only_approvals and not _claims_approval(event):
            return plan.decide(event)
        stamp, finding = _read(event)
        if not finding and stamp is not None and self._keys is not None:
            finding = _verified(stamp, self._keys, event)
        if finding and self._verifies != "ignore":
            self._tell(finding, event)
            if self._verifies == "require" and plan.mode is Mode.ENFORCE:
                return self._refuse(plan, event, _unverified(finding, event))
        if stamp is not None and self._stale != "re-evaluate":
            behind = table.bundle.number - stamp.number
            if stamp.bundle == table.bundle.name and self._is_stale(stamp, behind, event):
                self._guard.count("stamps/stale")
                if self._stale == "quarantine" and plan.mode is Mode.ENFORCE:
                    return self._refuse(plan, event, _stale(stamp, plan, behind))
                if self._stale == "trust" and not finding and _let_through(stamp):
                    return self._passed(plan, event, f"stamp/{stamp.label}", _REFUSING)
        if stamp is not None and stamp.ap is not None and not finding and self._keys is not None:
            return self._passed(plan, event, f"approval/{stamp.ap}", _HOLDING)
        return plan.decide(event)

    def _is_stale(self, stamp: Stamp, behind: int, event: Event) -> bool:
        """Whether it is of an older version, and by enough versions or for long enough."""
        if behind < 1:
            return False
        if self._versions is not None and behind >= self._versions:
            return True
        at = event.timestamp if stamp.at is None else stamp.at
        age_s = 0.0 if at is None else (event.now // 1_000_000 - at) / 1000
        return self._age_s is not None and age_s >= self._age_s

    def _refuse(self, plan: Plan, event: Event, why: SyntheticRule) -> Decision:
        entry = Entry(why, False, why.effect.value, plan.mode)
        return plan.record(event, plan.outcome_of((entry,)))

    def _passed(self, plan: Plan, event: Event, by: str, effects: Collection[str]) -> Decision:
        """What the rules refuse today, where that comes to one of `effects`, passes.

        Everything else is as today's.
        """
        try:
            hits = plan.compiled.run(event)
        except UnavailableError:
            return plan.decide(event)
        if not hits:
            return plan.decide(event)
        if isinstance(hits, Undecodable):
            return plan.conclude(event, hits)
        outcome = plan.resolve(hits)
        refused_anyway = event.value is None and plan.tombstone_rejects
        if outcome.effect.passes or outcome.effect.value not in effects or refused_anyway:
            return plan.conclude(event, hits)
        lifted = _lifted(plan, outcome, by)
        masked: bytes | None = None
        if lifted.masks and event.value is not None:
            try:
                masked = plan.mask(event.value, event.headers, lifted.masks)
            except MaskError:
                return plan.conclude(event, hits)
        self._guard.count("stamps/approved" if effects is _HOLDING else "stamps/trusted")
        return plan.record(event, lifted, masked=masked)

    def _tell(self, finding: str, event: Event) -> None:
        self._guard.count(f"stamps/{finding}")
        now = self._clock()
        since, held_back = self._told.get(finding, (float("-inf"), 0))
        if now - since < _TOLD_EVERY_S:
            self._told[finding] = since, held_back + 1
            return
        self._told[finding] = now, 0
        more = f" ({held_back} more since the last line)" if held_back else ""
        log.warning("an event of %s: %s%s", event.topic, _FINDINGS[finding], more)


def _read(event: Event) -> tuple[Stamp | None, str]:
    """The stamp, where there is one and no other, and what is wrong with it."""
    stamps = find_stamps(event.headers)
    if not stamps:
        return None, "missing"
    if len(stamps) > 1:
        return None, "doubled"
    try:
        return Stamp.parse(stamps[0]), ""
    except StampError:
        return None, "malformed"


def _verified(stamp: Stamp, keys: KeyRing, event: Event) -> str:
    found = verify(stamp, keys, event.topic, event.key, event.value)
    return "" if found == "valid" else found.replace("-", "_")


def _let_through(stamp: Stamp) -> bool:
    """Whether the stamp says that the event was to pass."""
    return stamp.effect.passes or stamp.ov is not None or stamp.ap is not None


def _claims_approval(event: Event) -> bool:
    """Whether a stamp says so; only then it is worth verifying."""
    for name, value in event.headers:
        if name == STAMP_HEADER and value is not None and b";ap=" in value:
            return True
    return False


def _lifted(plan: Plan, outcome: Outcome, by: str) -> Outcome:
    """`outcome` without what refuses, which stays recorded as lifted."""
    return plan.outcome_of(
        tuple(
            replace(entry, exempted_by=by)
            if entry.effect in _REFUSING
            and entry.exempted_by is None
            and entry.mode is Mode.ENFORCE
            else entry
            for entry in outcome.entries
        )
    )


def _unverified(finding: str, event: Event) -> SyntheticRule:
    return SyntheticRule(
        "unverified-stamp",
        Effect.REJECT,
        f"the stamp of this event cannot be verified: {_FINDINGS[finding]}",
        f"let a guard with a stamp key publish to {event.topic}, and give its key here",
    )


def _stale(stamp: Stamp, plan: Plan, behind: int) -> SyntheticRule:
    versions = "1 version" if behind == 1 else f"{behind} versions"
    return SyntheticRule(
        "stale-stamp",
        Effect.REJECT,
        f"stamped by {stamp.label}, {versions} before {plan.label}",
        "release it: it is then judged by the policy of that time",
    )
