"""The globs of `ignore:`: `*` and `?` inside a name, `**` for any directories."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

__all__ = ["is_ignored"]


def is_ignored(relative: str, patterns: Iterable[str]) -> bool:
    """True where a pattern matches the file, or a directory that it lies in."""
    parts = tuple(relative.split("/"))
    return any(_matches(tuple(pattern.rstrip("/").split("/")), parts) for pattern in patterns)


def _matches(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """True where `pattern` matches the beginning of `parts`.

    `reached` holds the positions of `parts` that the pattern so far can have come to.
    """
    reached = {0}
    for segment in pattern:
        if segment == "**":
            reached = set(range(min(reached, default=len(parts)), len(parts) + 1))
        else:
            reached = {
                at + 1
                for at in reached
                if at < len(parts) and fnmatch.fnmatchcase(parts[at], segment)
            }
        if not reached:
            return False
    # `drafts` names the directory and what is in it; after `**` something must be left.
    return True
