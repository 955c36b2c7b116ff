"""YAML 1.2 core schema to nodes: safe, bounded, and every problem with its place.

What the events of a text mean is decided here. There are no anchors, aliases, merges, tags or
directives, so that a document means what it shows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from streamwarden.errors import Location

from .nodes import DEPTH_MAX, ListNode, MapNode, Node, ScalarNode, Source
from .problems import Problems, quoted
from .yaml_columns import realign
from .yaml_events import YamlError, YamlEvent, yaml_events
from .yaml_repair import Repair, repair

__all__ = ["DOCUMENT_MAX_BYTES", "NODES_MAX", "Document", "decode", "read_yaml"]

#: About 6,000 rules. The reader takes some four seconds for it; larger sets are several documents.
DOCUMENT_MAX_BYTES: Final = 1024 * 1024
#: A full document of rules has about 60,000; `[1,1,1,…]` would have half a million.
NODES_MAX: Final = 100_000
#: Each repair reads the file again, so that one mistake does not hide the next ones.
_REPAIRS_MAX: Final = 20
_REPAIRED_MAX_CHARS: Final = 2 * DOCUMENT_MAX_BYTES  # so that a large file takes seconds at most
#: More digits than any number that a rule compares with; int() of a huge text takes quadratic time.
_DIGITS_MAX: Final = 400

# The core schema, YAML 1.2.2 section 10.3.2.
_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
#: Numbers with a leading zero that are told of one document: whoever sees these knows the others.
_ZEROS_TOLD_MAX: Final = 10
_LEADING_ZERO: Final = re.compile(r"[-+]?0[0-9]+")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
#: The parser's names for what it met.
_TOKENS: Final = {
    "the node content": "a value",
    "'<block end>'": "the end of the block",
    "<block end>": "the end of the block",
    "'<block mapping start>'": "a key",
    "'<block sequence start>'": "a list",
    "'<scalar>'": "a text",
    "'<stream end>'": "the end of the file",
    "'<document start>'": "another document",
    "<document start>": "a document",
    "'<anchor>'": "an anchor",
    "'<tag>'": "a tag",
}
# Control characters, what Unicode reserves, and the line separators that YAML 1.2 does not count.
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """One file that could be read: its root, and the text that positions refer to."""

    source: Source
    root: Node


class _Broken(Exception):  # noqa: N818 - never leaves this module, and is no error of the program
    """The text cannot be followed beyond this place."""

    def __init__(
        self,
        code: str,
        message: str,
        index: int,
        remedy: str = "",
        fix: Repair | None = None,
        *,
        noticed: int | None = None,
    ) -> None:
        super().__init__(message)
        self.noticed = index if noticed is None else noticed  # where a repair is to look
        self.code, self.message, self.index = code, message, index
        self.remedy, self.fix = remedy, fix


def read_yaml(
    data: bytes, file: str, problems: Problems, *, max_bytes: int = DOCUMENT_MAX_BYTES
) -> Document | None:
    """The document in `data`, or None with the reasons added to `problems`.

    Where quotes are missing or a line is indented otherwise than its siblings, the corrected line
    is told and reading goes on with it, so that the problems behind it are told too.
    """
    text = decode(data, file, problems, max_bytes=max_bytes)
    if text is None:
        return None
    source = before = Source(file, text)
    fix: Repair | None = None
    for _ in range(1 + min(_REPAIRS_MAX, _REPAIRED_MAX_CHARS // (len(text) + 1))):
        reader = _Reader(source)
        broken: _Broken | None = None
        root: Node | None = None
        try:
            root = reader.read()
        except _Broken as error:
            broken = error
        if fix is not None:
            _tell_repair(fix, before, source.location(broken.index).line if broken else 0, problems)
        if broken is None:
            reader.flush(problems)
            return None if root is None else Document(source, root)
        fix = broken.fix or _fixed(source, broken.noticed)
        if fix is None:
            _tell(broken, source, problems)
            reader.flush(problems)
            return None
        before, source = source, _repaired(source, fix)
    if fix is not None:
        # As many as are looked for; whether the last one helps was not tried.
        _tell_repair(fix, before, fix.line, problems)
    return None


def _tell(broken: _Broken, source: Source, problems: Problems) -> None:
    problems.add(
        broken.code,
        broken.message,
        source.location(broken.index),
        text=source.shown_at(broken.index),
        remedy=broken.remedy,
    )


def _fixed(source: Source, index: int) -> Repair | None:
    return realign(source, index) or repair(source, index)


def _repaired(source: Source, fix: Repair) -> Source:
    """The corrected text, which tells places as in the file."""
    behind = fix.column if fix.code == "SW105" else 0  # an indented line moves as a whole
    repaired = dict(source.repaired)
    for line in range(fix.line, fix.line + fix.lines):
        written, moves = repaired.get(line, (source.line(line), ()))
        repaired[line] = written, (*moves, (behind, fix.shift))
    return Source(source.file, fix.text, repaired)


def _tell_repair(fix: Repair, before: Source, next_broken: int, problems: Problems) -> None:
    """Tells the corrected line, where reading went on beyond it (0: to the end)."""
    helped = fix.meaningful and (next_broken == 0 or next_broken > fix.line)
    problems.add(
        fix.code,
        fix.message,
        before.place(fix.line, fix.column),
        text=before.repaired.get(fix.line, (before.line(fix.line), 0))[0],
        remedy=fix.remedy,
        corrected=(fix.corrected or None) if helped else None,
    )


def decode(data: bytes, file: str, problems: Problems, *, max_bytes: int) -> str | None:
    """`data` as text, every line end one line feed; a leading byte order mark is dropped."""
    start = Location(file, 1, 1)
    if len(data) > max_bytes:
        problems.add(
            "SW102",
            f"the file has {len(data):,} bytes; at most {max_bytes:,} are read",
            start,
            remedy="split it into several files",
        )
        return None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        problems.add("SW103", "the file is UTF-16", start, remedy="save it as UTF-8")
        return None
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problems.add(
            "SW103",
            f"the byte 0x{data[error.start]:02X} here is not UTF-8",
            Location(file, line, column),
            remedy="save the file as UTF-8",
        )
        return None
    bad = _FORBIDDEN.search(text)
    if bad is None:
        return text
    source = Source(file, text)
    character = ord(bad.group())
    problems.add(
        "SW103",
        f"the character U+{character:04X} may not stand in a document",
        source.location(bad.start()),
        text=source.line_at(bad.start()),
        remedy=f'remove it, or write it as "\\u{character:04X}" inside double quotes',
    )
    return None


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read."""

    start: int
    is_map: bool
    items: list[Node] = field(default_factory=list["Node"])
    keys: dict[str, ScalarNode] = field(default_factory=dict[str, ScalarNode])
    entries: list[tuple[ScalarNode, Node]] = field(default_factory=list[tuple[ScalarNode, "Node"]])
    key: ScalarNode | None = None
    skip: bool = False  # the value of a key that was refused


class _Reader:
    """Reads one text once; problems that do not end the reading are kept until `flush`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[tuple[str, str, int, str]] = []
        self._zeros: list[tuple[int, str]] = []
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._at = 0
        self._documents = 0
        self._nodes = 0

    def flush(self, problems: Problems) -> None:
        """Hands over what was found."""
        for code, message, index, remedy in self._found:
            problems.add(
                code,
                message,
                self._source.location(index),
                text=self._source.shown_at(index),
                remedy=remedy,
            )
        for index, written in self._zeros:
            problems.add(
                "SW119",
                f"{quoted(written)} without quotes is the number {quoted(int(written))}",
                self._source.location(index),
                text=self._source.shown_at(index),
                remedy=f"quote it where it is a code, {quoted(repr(written))}, or leave out the zero",
                severity="warning",
            )

    def read(self) -> Node | None:
        """The root, or None where there is no document; raises `_Broken`."""
        try:
            for event in yaml_events(self._source.text):
                self._take(event)
        except YamlError as error:
            raise self._explained(error) from None
        if self._documents == 0 and not self._found:
            self._add("SW114", "the file holds no document", 0, "remove it, or add it to `ignore:`")
        return self._root

    def _explained(self, error: YamlError) -> _Broken:
        """The parser's error in our words."""
        problem, index = error.problem, error.index
        line = self._source.line_at(index)
        if not problem:
            return _Broken(
                "SW104",
                "cannot be read as YAML from about here on",
                index,
                "look for a malformed escape (`\\x`, `\\u`, `\\U`) in a double-quoted text",
            )
        if "\t" in line[: len(line) - len(line.lstrip())]:
            return _Broken("SW111", "a tab indents this line", index, "indent with spaces")
        if "quoted scalar" in error.context and "end of stream" in problem:
            return _Broken("SW104", "the quote that opens here is never closed", error.opened)
        if error.context.startswith("while parsing a flow") and self._unclosed(error):
            closer = "]" if self._source.text[error.opened] == "[" else "}"
            return _Broken(
                "SW104",
                f"the {quoted(self._source.text[error.opened])} that opens here is never closed",
                error.opened,
                f"add {quoted(closer)}",
                noticed=index,
            )
        if "mapping values are not allowed" in problem:
            return _Broken(
                "SW104",
                "a `:` that is not expected here",
                index,
                "put the text in single quotes, or check the indentation",
            )
        if "could not find expected ':'" in problem:
            return _Broken(
                "SW104",
                "a key without `:` and a value",
                error.opened,
                "write `key: value`, with a space",
            )
        for theirs, ours in _TOKENS.items():
            problem = problem.replace(theirs, ours)
        return _Broken("SW104", problem.lower().replace("'", "`"), index)

    def _unclosed(self, error: YamlError) -> bool:
        """Whether the bracket at `opened` lacks its end: what follows is not indented below it."""
        source = self._source
        if source.text[error.opened : error.opened + 1] not in ("[", "{"):
            return False
        if error.index >= len(source.text.rstrip()):
            return True
        opening, line = source.line_at(error.opened), source.line_at(error.index)
        deeper = len(line) - len(line.lstrip(" ")) > len(opening) - len(opening.lstrip(" "))
        return not deeper and source.location(error.index).line > source.location(error.opened).line

    def _take(self, event: YamlEvent) -> None:
        if event.kind in ("scalar", "alias", "list", "map"):
            self._limits(event)
            self._properties(event)
        if event.kind == "scalar":
            self._put(self._scalar(event), complete=True)
        elif event.kind == "alias":
            self._put(ScalarNode(None, "", "", event.start, event.start), complete=True)
        elif event.kind in ("list", "map"):
            self._stack.append(_Open(event.start, event.kind == "map"))
        elif event.kind == "end":
            self._close(event.end)
        else:
            self._document(event)

    def _document(self, event: YamlEvent) -> None:
        if event.directive or self._source.text.startswith("%"):
            raise _Broken("SW110", "a directive (`%…`)", 0, "remove it; documents are YAML 1.2")
        self._documents += 1
        if self._documents > 1:
            raise _Broken(
                "SW110", "a second document begins here", event.start, "put it in a file of its own"
            )

    def _limits(self, event: YamlEvent) -> None:
        self._nodes += 1
        index = event.start
        if self._nodes > NODES_MAX:
            raise _Broken(
                "SW112", f"more than {NODES_MAX:,} values", index, "split it into several files"
            )
        if len(self._stack) > DEPTH_MAX:
            raise _Broken("SW112", f"nested more than {DEPTH_MAX} levels deep", index)

    def _properties(self, event: YamlEvent) -> None:
        """Refuses anchors, aliases and tags, each where quotes were not meant."""
        index, tag = event.start, event.tag
        if event.kind == "alias" or event.anchor:
            code, message = "SW108", "an anchor or alias (`&name`, `*name`)"
            remedy = "write the value in place; quote a text that starts with `&` or `*`"
        elif tag is not None:
            written = self._source.text[index : event.end].split(maxsplit=1)
            code, message = "SW109", f"a tag ({quoted(written[0] if written else tag)})"
            remedy = "remove it; quote a text that starts with `!`"
        else:
            return
        fix = repair(self._source, index)
        if fix is not None:
            raise _Broken(code, message, index, remedy, fix)
        self._add(code, message, index, remedy)

    def _scalar(self, event: YamlEvent) -> ScalarNode:
        text, style, start, end = event.text, event.style, event.start, event.end
        if style == '"' and not text.isascii():
            text = _joined(text)
        value = text if style or event.tag else self._resolve(text, start)
        if not text.isascii() and not _encodable(text):
            self._add("SW113", "half of a surrogate pair", start, "write the whole character")
            text = value = "?"
        return ScalarNode(value, text, style, start, end)

    def _resolve(self, text: str, index: int) -> bool | int | float | str | None:
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _INT.fullmatch(text):
            if len(text) > _DIGITS_MAX:
                self._add("SW113", "a number with too many digits", index, "quote it, as a text")
                return 0
            if _LEADING_ZERO.fullmatch(text) and len(self._zeros) < _ZEROS_TOLD_MAX:
                self._zeros.append((index, text))
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text[2:] if base != 10 else text, base)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number - number == 0:
                return number
        elif not _NOT_FINITE.fullmatch(text):
            return text
        self._add("SW113", f"{quoted(text)} is not a finite number", index, "quote it, as a text")
        return 0

    def _put(self, node: Node, *, complete: bool) -> None:
        """Gives a finished node to what is open around it."""
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if not top.is_map:
            top.items.append(node)
        elif top.key is None and not top.skip:
            self._key(top, node, complete=complete)
        else:
            if top.key is not None:
                if isinstance(node, ScalarNode) and not node.text and not node.style:
                    # Nothing is written, and the parser is on one of the next lines by now.
                    node = replace(node, start=top.key.start, end=top.key.start)
                top.entries.append((top.key, node))
            top.key, top.skip = None, False

    def _key(self, top: _Open, node: Node, *, complete: bool) -> None:
        top.skip = True  # until it is found to be in order
        if not complete or not isinstance(node, ScalarNode):
            self._add("SW113", "a key that is a list or mapping", node.start, "keys are text")
            return
        if not isinstance(node.value, str):
            self._add(
                "SW113",
                f"the key {quoted(node.text)} is not text",
                node.start,
                f'quote it: `"{node.text}":`' if node.text.isprintable() else "quote it",
            )
            return
        if node.value == "<<" and not node.style:
            self._add("SW108", "a merge key (`<<`)", node.start, "write the keys in place")
            return
        first = top.keys.get(node.value)
        if first is not None:
            line = self._source.location(first.start).line
            self._add(
                "SW107",
                f"the key {quoted(node.value)} was given before, on line {line}",
                node.start,
                "keep one of them",
            )
            return
        top.keys[node.value] = node
        top.key, top.skip = node, False

    def _close(self, end: int) -> None:
        top = self._stack.pop()
        node: Node
        if top.is_map:
            node = MapNode(tuple(top.entries), top.start, end)
        else:
            node = ListNode(tuple(top.items), top.start, end)
        self._put(node, complete=False)

    def _add(self, code: str, message: str, index: int, remedy: str = "") -> None:
        self._found.append((code, message, index, remedy))


def _joined(text: str) -> str:
    """Both halves of a character as the one that they are: JSON may write it as two escapes."""
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return text


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
