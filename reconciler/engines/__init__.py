"""Where slices are replayed. An engine only maps: it runs the same code on slices, elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streamwarden.errors import ConfigurationError

from ..checkpoint import Spool
from ..slices import Slice
from ..work import Watch, Work

__all__ = ["Engine", "make_engine"]


class Engine(Protocol):
    """Has slices replayed and their outcomes put into the spool, in any order."""

    def prepare(self) -> None:
        """Begin with what takes a while: what there is to read is found out meanwhile."""
        ...

    def run(self, work: Work, slices: Sequence[Slice], spool: Spool, watch: Watch) -> None:
        """Returns when every slice was tried; one whose worker died is missing in the spool."""
        ...


def make_engine(name: str, options: Mapping[str, str]) -> Engine:
    """The engine called `name`. Raises ConfigurationError for it or for one of `options`."""
    if name == "local":
        from .local import LocalEngine  # noqa: PLC0415 - an engine is loaded when it is asked for

        return LocalEngine.of(options)
    if name == "spark":
        from .spark import SparkEngine  # noqa: PLC0415 - likewise

        return SparkEngine.of(options)
    raise ConfigurationError(f"there is no engine `{name}`", remedy="use `local` or `spark`")
