"""The way of decisions out of a guard: to a log that somebody else writes, since it may be in Kafka."""

from __future__ import annotations

import importlib
import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

from streamwarden.errors import ConfigurationError

if TYPE_CHECKING:
    from .decision import Decision

__all__ = ["DecisionLogSetting", "DecisionSink", "open_sink"]

_VARIABLE = "STREAMWARDEN_DECISION_LOG"
#: Where logs are written; the client library that one kind needs has no place in this package.
_HOME = "streamwarden.producers.decision_log"


@runtime_checkable
class DecisionSink(Protocol):
    """Takes decisions as they are made; must cost the one who makes them next to nothing."""

    @property
    def takes_clear(self) -> bool:
        """True where it wants to see plain allows too, to sample them."""
        ...

    @property
    def topics(self) -> Collection[str]:
        """The topics that it writes to."""
        ...

    def take(self, decision: Decision) -> None:
        """Note a decision that was just made.

        Raises DecisionLogFullError where it has no room and must not lose it: the decision counts
        as not made then.
        """
        ...

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until there is room again; False at the end of that time."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written; False at the end of that time."""
        ...

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is there for up to `timeout_s`, and let go of file or client."""
        ...


#: The setting `decision_log`: a URL (`kafka://HOST:PORT/TOPIC`, `file:PATH`), a mapping with `url`
#: and options, or a log that several guards share.
DecisionLogSetting: TypeAlias = str | Mapping[str, object] | DecisionSink


def open_sink(
    given: DecisionLogSetting | None, *, unreachable: str, counters: defaultdict[str, int]
) -> DecisionSink | None:
    """The log that a guard was given, else the one of STREAMWARDEN_DECISION_LOG; None for `off`.

    What is dropped is counted in `counters`. Raises ConfigurationError; nothing is connected to.
    """
    wanted = os.environ.get(_VARIABLE) or "off" if given is None else given
    if isinstance(wanted, DecisionSink):
        return wanted
    options: dict[str, Any] = {"url": wanted} if isinstance(wanted, str) else dict(wanted)
    url = options.pop("url", None)
    if not isinstance(url, str):
        raise ConfigurationError(
            "`decision_log` names no `url`", remedy="write `kafka://HOST:PORT/TOPIC` or `file:PATH`"
        )
    if url == "off":
        return None
    home: Any = importlib.import_module(_HOME)
    opened = home.open_decision_log(url, options, unreachable=unreachable, counters=counters)
    return cast("DecisionSink", opened)
