"""The line that begins in another column than its siblings, moved to where it was meant to begin.

Such a line breaks a document, or makes YAML read it as more of the text above it. The move is
offered only when YAML then reads beyond the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .nodes import Source
from .problems import quoted
from .yaml_events import YamlError, yaml_events
from .yaml_repair import Repair

__all__ = ["realign"]

_LINE: Final = re.compile(r"(?P<dashes>(?P<indent>[ ]*)(?:-[ ]+)*)(?P<key>[\w-]+)[ ]*:(?=[ ]|$)")
_DASH: Final = re.compile(r"(?P<indent>[ ]*)-(?=[ ]|$)")
#: Keys whose unquoted text may go on over more lines; a `word:` there is hardly a key.
_TEXT: Final = re.compile(
    r"[ ]*(?:-[ ]+)*(?:reason|title|remediation|note|when|require)[ ]*:[ ]+\S"
)
#: What else stands beside such a text: keys of rules, policies and cases.
_KEYS: Final = frozenset((
    *("id", "when", "where", "require", "effect", "exempts", "mode", "on_error", "mask", "approvals"),
    *("reason", "severity", "remediation", "exemptible_by", "title", "owner", "class", "topics"),
    *("stages", "schema", "effective", "review", "sensitive", "tombstones", "park", "rules"),
))  # fmt: skip
#: Siblings are looked for so far above, and what follows is tried so far below.
_LINES_MAX: Final = 50
_COLUMNS_MAX: Final = 4


def realign(source: Source, index: int) -> Repair | None:
    """The text with the line that `index` is on moved; None where that is not what is wrong.

    `index` is where YAML broke: at the key of the line, at its `-`, or at the colon of its key.
    """
    number = source.location(index).line
    line = source.line(number)
    at = len(source.before_on_line(index))
    indent = len(line) - len(line.lstrip(" "))
    match = _LINE.match(line)
    if at != indent and (match is None or at != line.find(":", match.end("key"))):
        return None
    if match is None and not _DASH.match(line):
        return None
    goes_on = at != indent and _TEXT.match(source.line(number - 1)) is not None
    if goes_on and match is not None and match["key"] not in _KEYS:
        return None  # quotes around all of it may help
    found: tuple[int, list[str], int, int] | None = None
    for above, column in _columns(source, number, indent):
        for moved in _moves(source, number, indent, column):
            reach = _reach(source, above, number, moved)
            if reach > number and (found is None or reach > found[0]):
                found = reach, moved, above, column
    if found is None:
        return None
    _, moved, above, column = found
    return _made(source, number, moved, above, column)


def _columns(source: Source, number: int, indent: int) -> list[tuple[int, int]]:
    """Lines above and the columns (from 0) that their siblings begin at; the likeliest first."""
    group = "indent" if _DASH.match(source.line(number)) else "dashes"
    pattern = _DASH if group == "indent" else _LINE
    found: dict[int, int] = {}
    for above in range(number - 1, max(0, number - _LINES_MAX), -1):
        match = pattern.match(source.line(above))
        if match is not None and len(match[group]) != indent:
            found.setdefault(len(match[group]), above)
    nearest = sorted(found, key=lambda column: abs(column - indent))
    return [(found[column], column) for column in nearest[:_COLUMNS_MAX]]


def _moves(source: Source, number: int, indent: int, column: int) -> Iterator[list[str]]:
    """The moved lines from `number` on: with all that is below them, or those beside them alone."""
    below: list[str] = []
    beside: list[str] = []
    for line in _following(source, number):
        depth = len(line) - len(line.lstrip(" "))
        if line.strip() and (depth < indent or (below and _DASH.match(line) and depth < column)):
            break
        if len(beside) == len(below) and depth == indent:
            beside.append(line)
        below.append(line)
    while not below[-1].strip():
        below.pop()
    for lines in (below, beside) if len(beside) < len(below) else (below,):
        yield [" " * column + line[indent:] if line.strip() else line for line in lines]


def _reach(source: Source, above: int, number: int, moved: list[str]) -> int:
    """The line that YAML breaks at with `moved` in place, reading from the line `above` on."""
    lines = [source.line(each) for each in range(above, number)]
    start = len(lines[0]) - len(lines[0].lstrip(" "))
    lines += moved
    end = number + len(moved) + _LINES_MAX
    for line in _following(source, number + len(moved)):
        if line.strip() and len(line) - len(line.lstrip(" ")) < start:
            break
        lines.append(line)
    text = "\n".join(lines) + "\n"
    try:
        for _ in yaml_events(text):
            pass
    except YamlError as error:
        return above + text.count("\n", 0, error.index)
    return end


def _following(source: Source, number: int) -> Iterator[str]:
    last = source.text.count("\n") + 1
    for each in range(number, min(number + _LINES_MAX, last + 1)):
        yield source.line(each)


def _made(source: Source, number: int, moved: list[str], above: int, column: int) -> Repair:
    written = source.text.split("\n")
    line = source.line(number)
    sibling = None if _DASH.match(line) else _LINE.match(source.line(above))
    key = "-" if sibling is None else f"{sibling['key']}:"
    indent = len(line) - len(line.lstrip(" "))
    what = "this line" if len(moved) == 1 else f"lines {number}-{number + len(moved) - 1}"
    return Repair(
        text="\n".join([*written[: number - 1], *moved, *written[number - 1 + len(moved) :]]),
        line=number,
        column=indent + 1,
        corrected=moved[0] if len(moved) == 1 else "",  # one line is told
        message=f"this line begins at column {indent + 1}, and its siblings at {column + 1}",
        remedy=f"indent {what} like {quoted(key)} on line {above}: column {column + 1}",
        meaningful=True,
        code="SW104",
        lines=len(moved),
        shift=column - indent,
    )
