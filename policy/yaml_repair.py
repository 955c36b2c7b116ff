"""The line as it should have been written, where YAML broke on a text that needs quotes.

Conditions are full of what YAML takes for its own: `!`, `: `, ` #`, quotes, braces and brackets.
The repair quotes the whole text of the key that the broken place belongs to, and is offered only
when YAML then reads exactly that text (and, for a condition, the language accepts it).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .cel import CelSyntaxError, parse
from .nodes import ScalarNode, Source
from .paths import PathError, parse_path
from .yaml_events import YamlError, yaml_events

__all__ = ["Repair", "cut_text", "quote", "repair"]

_CONDITIONS: Final = ("when", "require")
_PATHS: Final = ("field",)
_TEXTS: Final = ("reason", "title", "remediation", "note")
_KEYS: Final = "|".join((*_CONDITIONS, *_PATHS, *_TEXTS))
_BLOCK_KEY: Final = re.compile(rf"(?P<head>[ ]*(?:-[ ]+)*)(?P<key>{_KEYS})[ ]*:[ ]+(?=\S)")
_FLOW_KEY: Final = re.compile(rf"[{{,][ ]*(?P<key>{_KEYS})[ ]*:[ ]+(?=[^\s'])")
_FLOW_END: Final = re.compile(r",[ ]*[\w-]+[ ]*:|[ ]*\}|,?[ ]*$")
_FLOW_PATH: Final = re.compile(
    r"(?<=[\[, ])(?P<path>[a-z]+(?:\.\w+|\[[^\]\s,]*\])*\[[^\]\s,]*\][\w.\[\]]*)"
)
_STRUCTURED: Final = re.compile(r"\[?\s*\{\s*(?:field|operator|value)\s*:")
#: What an unquoted text cannot begin with.
_SIGNS: Final = "!&*%@`|>{}[],#?-'\""
#: `value.kind: "card"` is how YAML compares, so to speak.
_COLON: Final = re.compile(r"(?<=[\w\]])\s*:\s+")
_BLOCK_SCALAR: Final = re.compile(r"[|>][-+0-9]*(?:[ ]+#.*)?$")
#: A text that goes on over more lines than this is hardly one that only lacks quotes.
_LINES_MAX: Final = 30
#: Nobody reads a corrected line that is longer, and every attempt reads it again.
_CHARS_MAX: Final = 2000
_ENDS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Repair:
    """The text with one line corrected. `line` and `column` say where the unquoted text begins.

    `meaningful` is False where quoting pleases YAML, and the condition is still malformed. What
    stands behind `column` moves by `shift`; `lines` that are only indented anew move as a whole.
    """

    text: str
    line: int
    column: int
    corrected: str
    message: str
    remedy: str
    meaningful: bool
    code: str = "SW105"
    lines: int = 1
    shift: int = 1


@dataclass(frozen=True, slots=True)
class _Lines:
    """Consecutive lines of a source as one: continuations are joined with spaces."""

    first: int  # from 1
    count: int
    joined: str


def repair(source: Source, index: int) -> Repair | None:
    """A repair of the text around `index`, or None where quotes would not help."""
    number = source.location(index).line
    if len(source.line(number)) > _CHARS_MAX:
        return None
    lines = _around(source, number)
    if lines is not None and len(lines.joined) <= _CHARS_MAX:
        found = _block(source, lines)
        if found is not None:
            return found
    return _flow(source, number)


def quote(text: str) -> str:
    """`text` as a quoted YAML scalar on one line."""
    if "'" in text and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def cut_text(source: Source, node: ScalarNode) -> tuple[str, str] | None:
    """What an unquoted `node` would be without the comment that ends it, and the corrected line.

    None where no comment follows, or where the text is not the last thing on its line.
    """
    if node.style or node.start == node.end:
        return None
    rest = source.line_at(node.end)[len(source.before_on_line(node.end)) :]
    if not rest.lstrip(" ").startswith("#"):
        return None
    whole = node.text + rest.rstrip()
    return whole, source.before_on_line(node.start) + quote(whole)


def _around(source: Source, number: int) -> _Lines | None:
    """The lines of the block key that line `number` belongs to, with all continuations."""
    first = number
    while first > max(0, number - _LINES_MAX):
        match = _BLOCK_KEY.match(source.line(first))
        if match is not None:
            break
        first -= 1
    else:
        return None
    indent = len(match["head"])
    parts = [source.line(first).rstrip()]
    last = first
    while last - first < _LINES_MAX:
        following = source.line(last + 1)
        if not following.strip() or len(following) - len(following.lstrip(" ")) <= indent:
            break
        last += 1
        parts.append(following.strip())
    if last < number:
        return None
    return _Lines(first, last - first + 1, " ".join(parts))


def _block(source: Source, lines: _Lines) -> Repair | None:
    match = _BLOCK_KEY.match(lines.joined)
    if match is None:
        return None
    key, start = match["key"], match.end()
    written = lines.joined[start:]
    if _BLOCK_SCALAR.match(written) or _reads_as(written) is not None:
        return None
    if _STRUCTURED.match(written):
        return None  # a list of structured conditions: its parts may need quotes, it does not
    value, comment = _split_comment(written, conditional=key in _CONDITIONS)
    if key in _CONDITIONS:
        value = _meant(value)
        if value[:1] in ("'", '"') and not _accepts(key, value):
            return None  # a quote that is never closed, or closed too early
    corrected = lines.joined[:start] + quote(value) + comment
    if not value or _reads_as(quote(value)) != value:
        return None
    return _made(source, lines, key, value, start, corrected)


def _flow(source: Source, number: int) -> Repair | None:
    """As `_block`, for a key or path inside `{…}` or `[…]` on one line."""
    line = source.line(number).rstrip()
    lines = _Lines(number, 1, line)
    for match in _FLOW_KEY.finditer(line):
        key, start = match["key"], match.end()
        for end in _flow_ends(line, start):
            value = line[start:end].rstrip()
            if not value or _reads_as(f"[{value}]", inside=True) == value:
                continue
            if key not in _TEXTS and not _accepts(key, value):
                continue
            if _reads_as(quote(value)) != value:
                continue
            corrected = line[:start] + quote(value) + line[start + len(value) :]
            return _made(source, lines, key, value, start, corrected)
    for match in _FLOW_PATH.finditer(line):
        value, start = match["path"], match.start()
        if _accepts("field", value):
            corrected = line[:start] + quote(value) + line[match.end() :]
            return _made(source, lines, "field", value, start, corrected)
    return None


def _flow_ends(line: str, start: int) -> list[int]:
    """Where a text that starts at `start` may end: before `, key:`, `}` or the line's end."""
    ends = [
        index
        for index in _outside_quotes(line, start)
        if line[index] in ",} " and _FLOW_END.match(line, index)
    ]
    return [*ends[:_ENDS_MAX], len(line)]


def _made(
    source: Source, lines: _Lines, key: str, value: str, start: int, corrected: str
) -> Repair:
    """The repair itself. Continuations become empty, so that lines keep their numbers."""
    written = source.text.split("\n")
    before = written[: lines.first - 1]
    after = written[lines.first - 1 + lines.count :]
    text = "\n".join([*before, corrected, *[""] * (lines.count - 1), *after])
    last = lines.first + lines.count - 1
    what = "condition" if key in _CONDITIONS else "path" if key in _PATHS else "text"
    first = lines.joined[start]
    signs = (": ", " #", ", ", "[", "{")
    sign = first if first in _SIGNS else next((s for s in signs if s in value), ": ")
    return Repair(
        text=text,
        line=lines.first,
        column=min(start, len(source.line(lines.first))) + 1,
        corrected=corrected,
        message=f"this {what} needs quotes, since YAML has its own meaning for `{sign}` here",
        remedy=f"put the whole {what} in single quotes, and double each single quote inside it"
        + (f"; in place of lines {lines.first}-{last}" if last > lines.first else ""),
        meaningful=key in _TEXTS or _accepts(key, value),
    )


def _meant(condition: str) -> str:
    """The condition that was meant, where a small change makes `condition` one.

    Quotes around all of it, which the quotes inside end too early; `:` between its parts for `==`.
    """
    if _accepts("when", condition):
        return condition
    if len(condition) > 2 and condition[0] == condition[-1] and condition[0] in "'\"":
        inner = condition[1:-1].strip()
        if _accepts("when", inner):
            return inner
    outside = set(_outside_quotes(condition, 0))
    changed = _COLON.sub(
        lambda match: " == " if match.start() in outside else match.group(), condition
    )
    return changed if _accepts("when", changed) else condition


def _accepts(key: str, value: str) -> bool:
    try:
        if key in _PATHS:
            parse_path(value, each=True)
        else:
            parse(value)
    except (CelSyntaxError, PathError):
        return False
    return True


def _reads_as(written: str, *, inside: bool = False) -> str | None:
    """The text that YAML makes of `written` as the value of a key; None where it is no text.

    `inside`: `written` is a list whose only element is meant.
    """
    try:
        events = list(yaml_events(f"k: {written}\n"))
    except YamlError:
        return None
    # Document, mapping, key; then the list, if any; and as many ends.
    around = 4 if inside else 3
    if len(events) != around + 1 + around - 2 or events[around].kind != "scalar":
        return None
    scalar = events[around]
    return None if scalar.anchor or scalar.tag is not None else scalar.text


def _split_comment(written: str, *, conditional: bool) -> tuple[str, str]:
    """The text and the comment behind it. In a condition `#` inside quotes starts none."""
    indexes = _outside_quotes(written, 0) if conditional else range(len(written))
    for index in indexes:
        if written[index] == "#" and index and written[index - 1] == " ":
            value = written[:index].rstrip()
            return value, written[len(value) :]
    return written.rstrip(), ""


def _outside_quotes(text: str, start: int) -> list[int]:
    """The positions from `start` that are not inside a text in single or double quotes."""
    outside: list[int] = []
    index, opened = start, ""
    while index < len(text):
        character = text[index]
        if opened:
            if character == "\\":
                index += 1
            elif character == opened:
                opened = ""
        elif character in "\"'":
            opened = character
        else:
            outside.append(index)
        index += 1
    return outside
