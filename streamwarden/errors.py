"""Everything streamwarden raises, in one tree.

    StreamwardenError
    ├── PolicyError            documents that cannot become a bundle; `.problems` lists all of them
    ├── ConfigurationError     a setting, flag or key file that makes no sense
    ├── NoPolicyError          a guard that has never had a policy
    ├── SchemaUnavailableError nobody can say now how an event is to be read
    ├── StoreError             a bundle store that refuses or cannot be read
    ├── QuarantineError        a parked event that cannot be selected, released or discarded
    ├── DeliveryError          the broker did not take what had to be written
    ├── DecisionLogFullError   the decision log has no room, and nothing may be missing in it
    ├── FloodError             most events were refused, and the guard has stopped
    └── ReconcileError         a reconciliation that cannot start or go on

`producers.producer.PolicyRejected` derives from confluent-kafka's KafkaException, so that callers
who catch that one see it. A bad event is never an exception: it is a decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ConfigurationError",
    "DecisionLogFullError",
    "DeliveryError",
    "FloodError",
    "Location",
    "NoPolicyError",
    "PolicyError",
    "Problem",
    "QuarantineError",
    "ReconcileError",
    "SchemaUnavailableError",
    "StoreError",
    "StreamwardenError",
]


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a document: line and column count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document, and what to do about it.

    `code` is stable (`SW104`); `text` is the offending line or expression as written; `remedy`
    says what to do next; `corrected` is the repaired line where one can be offered.
    """

    code: str
    message: str
    location: Location
    text: str = ""
    remedy: str = ""
    corrected: str | None = None
    severity: str = "error"

    def __str__(self) -> str:
        lines = [f"{self.location}: {self.severity} {self.code}: {self.message}"]
        if self.text:
            lines.append(f"    {self.text}")
        if self.corrected is not None:
            lines.append(f"  write: {self.corrected}")
        if self.remedy:
            lines.append(f"  help: {self.remedy}")
        return "\n".join(lines)


class StreamwardenError(Exception):
    """Base of every error here: `code` is stable, `remedy` says what to do next."""

    code = "SW000"

    def __init__(self, message: str, *, remedy: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class PolicyError(StreamwardenError):
    """Documents that cannot become a bundle. `problems` holds all of them, in file order."""

    code = "SW100"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the policies"
        super().__init__("\n".join([head, *map(str, self.problems)]))


class ConfigurationError(StreamwardenError):
    """A setting, flag or key file that makes no sense; nothing was started."""

    code = "SW001"


class NoPolicyError(StreamwardenError):
    """A guard was asked to decide and has never had a policy."""

    code = "SW002"


class StoreError(StreamwardenError):
    """A bundle store refused a change or cannot be read; its state is as it was."""

    code = "SW003"


class QuarantineError(StreamwardenError):
    """A parked event cannot be selected, released or discarded; nothing was written."""

    code = "SW004"


class DeliveryError(StreamwardenError):
    """The broker did not take what had to be written."""

    code = "SW005"


class ReconcileError(StreamwardenError):
    """A reconciliation cannot start or go on."""

    code = "SW006"


class SchemaUnavailableError(StreamwardenError):
    """The schema of an event cannot be had now: nothing was decided, and nothing written."""

    code = "SW007"


class DecisionLogFullError(StreamwardenError, BufferError):
    """The decision log has no room and must not lose an entry: nothing was decided or written.

    A BufferError, as a full queue of the client is: the event can be tried again.
    """

    code = "SW008"


class FloodError(StreamwardenError):
    """Most events were refused, and the guard has stopped: nothing was decided or written.

    It goes on once another version of the policy is taken, or after `guard.reset_flood()`.
    """

    code = "SW009"
