"""Documents in one layout, with every comment, and never with another meaning.

What is laid out: indentation (two columns a level, lists two columns inside their key), blanks
inside `{…}` and `[…]`, comments (on lines of their own: as what follows; behind something: two
blanks before them), blank lines (one at most, none at the beginning), white space at the ends of
lines. What stands in `{…}` or `[…]` and ends beyond column 100 is written one entry a line.

What is left alone: the order of keys, quotes, numbers and every text, conditions included, since a
bundle's digest is taken over documents as they are written.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from .canonical import canonical_json, portable
from .nodes import data_of
from .problems import Problems
from .yaml_events import YamlError, YamlEvent, yaml_events
from .yaml_reader import read_yaml

__all__ = ["COLUMNS_MAX", "KINDS", "FormatError", "document_kind", "formatted"]

COLUMNS_MAX: Final = 100
KINDS: Final = ("policy", "bundle", "tests")
#: Collections inside collections that are written out one after the other.
_PASSES_MAX: Final = 70
#: Wider than any line: texts are not wrapped.
_WIDTH: Final = 1 << 30
_KIND: Final = re.compile(
    r"(?:[ \t]*(?:#[^\n]*)?\n|---[ \t]*\n)*(?P<kind>policy|bundle|tests)[ \t]*:"
)


class FormatError(ValueError):
    """The text cannot be laid out without losing something; it says what."""


def document_kind(text: str) -> str | None:
    """policy, bundle or tests where a YAML text begins so; None for anything else."""
    match = _KIND.match(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    return None if match is None else match["kind"]


def formatted(data: bytes, file: str) -> str:
    """The document in `data`, laid out. Laid out again it stays as it is.

    Raises PolicyError with every problem of a text that cannot be read, FormatError for one that
    can be read and not laid out.
    """
    problems = Problems()
    document = read_yaml(data, file, problems)
    problems.raise_errors()
    if document is None:
        raise FormatError("there is no document in it")
    text = before = document.source.text
    try:
        for _ in range(_PASSES_MAX):
            laid_out = _tidied(_emitted(text))
            if laid_out == text:
                break
            text = laid_out
    except (YAMLError, YamlError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise FormatError("the layout of its YAML is not understood") from error
    again = read_yaml(text.encode(), file, problems)
    if again is None or problems.errors or _meaning(again.root) != _meaning(document.root):
        raise FormatError("its meaning would not stay the same")
    if _Layout.of(text).texts != _Layout.of(before).texts:
        raise FormatError("a comment would be lost; move comments out of `{…}`, `[…]` and texts")
    return text


def _meaning(node: Any) -> bytes:
    return canonical_json(portable(data_of(node)))


# --------------------------------------------------------------------- emitting


def _emitted(text: str) -> str:
    """`text` as the YAML library writes it, with wide collections written out."""
    library: Any = YAML(typ="rt")
    library.width = _WIDTH
    library.brace_single_entry_mapping_in_flow_sequence = True
    library.indent(mapping=2, sequence=4, offset=2)
    root = library.compose(text)
    _spread(root)
    out = io.StringIO()
    library.serialize(root, out)
    return out.getvalue()


def _spread(root: Any) -> None:
    """Writes the outermost collections that end too far to the right one entry a line."""
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if getattr(node, "flow_style", None) and node.value and _wide(node):
            node.flow_style = False
            continue  # what is inside moves, and is looked at in the next pass
        held: Any = node.value
        for entry in () if isinstance(held, str) else held:
            stack += entry if isinstance(entry, tuple) else (entry,)


def _wide(node: Any) -> bool:
    start, end = node.start_mark, node.end_mark
    # A collection of several lines is joined first, and measured in the next pass.
    return bool(start.line == end.line and end.column > COLUMNS_MAX)


# ----------------------------------------------------------------------- tidying


@dataclass(frozen=True, slots=True)
class _Layout:
    """What stands where in a text, by the position at which a line begins.

    `inside` are lines that go on with a scalar of several lines; `comments` where the comment of a
    line begins.
    """

    inside: frozenset[int]
    comments: Mapping[int, int]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> _Layout:
        spans = list(_scalars(text))
        inside: set[int] = set()
        for start, end in spans:
            at = text.find("\n", start, end)
            while at >= 0 and at + 1 < end:
                inside.add(at + 1)
                at = text.find("\n", at + 1, end)
        comments: dict[int, int] = {}
        texts: list[str] = []
        at = 0
        for start, end in [*spans, (len(text), len(text))]:
            for match in _COMMENT.finditer(text, at, max(at, start)):
                comments[text.rfind("\n", 0, match.start()) + 1] = match.start()
                texts.append(match.group().rstrip())
            header = text[start:end].partition("\n")[0]
            if header[:1] in ("|", ">") and "#" in header:
                texts.append(header.partition("#")[2].rstrip())
            at = max(at, end)
        return cls(frozenset(inside), comments, tuple(texts))


def _scalars(text: str) -> Iterator[tuple[int, int]]:
    """Where texts, numbers and so on stand, quotes included, and nothing that follows them."""
    for event in yaml_events(text):
        if event.kind == "scalar" and event.end > event.start:
            block = event.style in ("|", ">")
            yield event.start, _block_end(text, event) if block else event.end


def _block_end(text: str, event: YamlEvent) -> int:
    """Where the last line of a block scalar ends, not counting blank lines that mean nothing."""
    header, _, rest = text[event.start : event.end].partition("\n")
    if re.search(r"[0-9+]", header.partition("#")[0]):
        return event.end  # blank lines and indentation are content
    end = at = event.start + len(header) + 1
    depth: int | None = None
    for line in rest.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        if line.strip():
            depth = indent if depth is None else depth
            if indent < depth:
                break
            end = at + len(line)
        at += len(line)
    return min(end, event.end)


def _tidied(text: str) -> str:
    """`text` with comments and blank lines in their places; scalars of several lines are kept."""
    layout = _Layout.of(text)
    lines: list[tuple[str, bool]] = []  # with whether it is a comment on a line of its own
    begin = 0
    for whole in text.splitlines(keepends=True):
        line, at = whole.rstrip("\n"), begin
        begin += len(whole)
        if at in layout.inside:
            lines.append((line, False))
            continue
        comment = layout.comments.get(at)
        if comment is not None:
            head, said = line[: comment - at].rstrip(), line[comment - at :].rstrip()
            lines.append((f"{head}  {said}", False) if head else (line.rstrip(), True))
        elif line.strip() or (lines and lines[-1][0]):
            lines.append((line if begin in layout.inside else line.rstrip(), False))
    return "\n".join(_placed(lines)).strip("\n") + "\n"


def _placed(lines: Sequence[tuple[str, bool]]) -> list[str]:
    """Comments on lines of their own stand no less far in than what follows them.

    And no farther than what follows or precedes them, so that one may close a block.
    """
    after: list[int] = []
    column = 0
    for line, alone in reversed(lines):
        if line and not alone:
            column = _column(line)
        after.append(column)
    placed: list[str] = []
    before = 0
    for (line, alone), least in zip(lines, reversed(after), strict=True):
        if alone:
            column = min(max(_column(line), least), max(before, least))
            placed.append(" " * (column - column % 2) + line.lstrip())
            continue
        before = _column(line) if line else before
        placed.append(line)
    return placed


def _column(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


_COMMENT: Final = re.compile(r"(?:(?<=\s)|(?<![\s\S]))#[^\n]*")
