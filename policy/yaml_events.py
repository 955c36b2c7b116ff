"""The events of a YAML text, typed: the one place that touches the YAML library.

ruamel.yaml is pure Python and knows YAML 1.2; only its scanner and parser are used, so that no
name in a document is ever looked up or constructed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from ruamel.yaml import YAML, error, events

__all__ = ["YamlError", "YamlEvent", "yaml_events"]

_KINDS: Final[dict[object, str]] = {
    events.ScalarEvent: "scalar",
    events.AliasEvent: "alias",
    events.SequenceStartEvent: "list",
    events.MappingStartEvent: "map",
    events.SequenceEndEvent: "end",
    events.MappingEndEvent: "end",
    events.DocumentStartEvent: "document",
}


class YamlEvent(NamedTuple):
    """One event. `kind`: scalar, alias, list, map, end (of either) or document.

    `start` and `end` are character positions; `style` is empty for an unquoted scalar.
    `directive` is True for a document that directives stand before.
    """

    kind: str
    start: int
    end: int
    text: str = ""
    style: str = ""
    anchor: bool = False
    tag: str | None = None
    directive: bool = False


class YamlError(Exception):
    """The text is malformed at `index`; `opened` is where the construct around it begins.

    `problem` and `context` are the parser's words; without `problem` it failed in another way.
    """

    def __init__(self, problem: str, context: str, index: int, opened: int) -> None:
        super().__init__(problem)
        self.problem, self.context, self.index, self.opened = problem, context, index, opened


def yaml_events(text: str) -> Iterator[YamlEvent]:
    """The events of `text` as they are parsed; raises `YamlError`."""
    at = 0
    try:
        for event in _parsed(text):
            kind = _KINDS.get(event.__class__)
            at = int(event.start_mark.index)
            if kind is not None:
                yield _typed(kind, event)
    except error.MarkedYAMLError as problem:
        raise _error(problem, len(text)) from None
    except (error.YAMLError, ValueError, IndexError, AttributeError, TypeError, OverflowError):
        # The scanner hands some malformed escapes on to chr() and the like.
        raise YamlError("", "", at, at) from None


def _parsed(text: str) -> Iterator[Any]:
    library: Any = YAML
    return cast("Iterator[Any]", library(typ="safe", pure=True).parse(text))


def _typed(kind: str, event: Any) -> YamlEvent:
    tag = getattr(event, "tag", None)
    return YamlEvent(
        kind,
        int(event.start_mark.index),
        int(event.end_mark.index),
        str(event.value) if kind == "scalar" else "",
        str(event.style or "") if kind == "scalar" else "",
        getattr(event, "anchor", None) is not None,
        None if tag is None else str(tag),
        kind == "document" and bool(event.version or event.tags),
    )


def _error(problem: Any, length: int) -> YamlError:
    mark = problem.problem_mark or problem.context_mark
    index = min(int(mark.index), length) if mark is not None else 0
    opened = int(problem.context_mark.index) if problem.context_mark is not None else index
    return YamlError(str(problem.problem or "malformed"), str(problem.context or ""), index, opened)
