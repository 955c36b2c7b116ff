"""Topic names against globs and against the templates of parking topics."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["best_pattern", "fits_template", "matches_glob"]


def matches_glob(pattern: str, topic: str) -> bool:
    """True where `topic` fits `pattern`; `*` stands for any characters, dots included.

    Takes at most len(pattern) x len(topic) steps, whatever the pattern.
    """
    at, where, star, resume = 0, 0, -1, 0
    while where < len(topic):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, where
            at += 1
        elif at < len(pattern) and pattern[at] == topic[where]:
            at += 1
            where += 1
        elif star >= 0:
            resume += 1
            at, where = star + 1, resume
        else:
            return False
    return pattern[at:].strip("*") == ""


def fits_template(template: str, topic: str) -> bool:
    """True where `topic` is what `template` (`quarantine.{topic}`) makes of some topic."""
    head, placeholder, tail = template.partition("{topic}")
    if not placeholder:
        return topic == template
    return len(topic) > len(head) + len(tail) and topic.startswith(head) and topic.endswith(tail)


def best_pattern(patterns: Iterable[str], topic: str) -> str | None:
    """The pattern that counts for `topic`: its exact name, else the longest glob."""
    best: str | None = None
    for pattern in patterns:
        if pattern == topic:
            return pattern
        if "*" not in pattern or not matches_glob(pattern, topic):
            continue
        if best is None or (-len(pattern), pattern) < (-len(best), best):
            best = pattern
    return best
