"""One rule that fired on an event, with its evidence."""

from __future__ import annotations

from typing import Any

import msgspec

from .model import Mode

__all__ = ["Match"]


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that fired, or failed, on an event. Sensitive values are already masked.

    A msgspec Struct for the same reason as Event: every refused event makes one.

    `effect` is the effect that counted: the rule's own, the one `on_error` names, `none` under
    `on_error: skip`, or `exempt` for a rule that lifted others.
    """

    policy: str
    rule: str
    effect: str
    mode: Mode
    exempted_by: str | None
    reason: str
    severity: str | None
    remediation: str | None
    owner: str
    class_: str | None
    error: str | None
    why: dict[str, Any] | None

    @property
    def counts(self) -> bool:
        """True where the match is acted on: enforced, not lifted, not skipped."""
        return (
            self.mode is Mode.ENFORCE
            and self.exempted_by is None
            and self.effect not in ("exempt", "none")
        )

    def to_dict(self) -> dict[str, Any]:
        """The match as JSON has it."""
        return {
            "policy": self.policy,
            "rule": self.rule,
            "effect": self.effect,
            "mode": self.mode.value,
            "exempted_by": self.exempted_by,
            "reason": self.reason,
            "severity": self.severity,
            "remediation": self.remediation,
            "owner": self.owner,
            "class": self.class_,
            "error": self.error,
            "why": self.why,
        }
