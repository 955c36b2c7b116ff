"""What stands in for a client that is not there any more: closed, or left in the parent process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["Absent"]


class Absent:
    """Calls `revive` for the client that takes its place, at the first use; or raises from it."""

    __slots__ = ("_revive",)

    def __init__(self, revive: Callable[[], Any]) -> None:
        self._revive = revive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._revive(), name)

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    @classmethod
    def closed(cls, what: str) -> Absent:
        """In the place of a closed client; the client itself raises RuntimeError too."""

        def revive() -> NoReturn:
            raise RuntimeError(f"{what} has been closed")

        return cls(revive)
