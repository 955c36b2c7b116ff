"""JSON decoded as far as somebody reads it.

A `Shape` says which members of a value are read. `JsonProjection` turns it into one msgspec decoder
whose objects have an attribute for each of them: what nobody reads is skipped over, at C speed,
and never becomes a Python object. Every node of the projection takes any JSON value, so decoding
fails for bytes that are not JSON and for nothing else; a member that is not there is `MISSING`.

What counts as JSON is msgspec's reading of RFC 8259: UTF-8 only, no lone surrogates, numbers within
the range of a double, nesting that is not too deep (`json_nesting`; elsewhere what a fresh stack
takes, about 990 levels), and of a name that comes twice the last value. The content of
members that nobody reads, and of lists and objects where rules want something else, is only looked
at as far as needed to find their end.
"""

from __future__ import annotations

import re
import threading
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias, cast

import msgspec

from .json_nesting import LONG, is_too_deep, wary

__all__ = [
    "MISSING",
    "DecodeError",
    "JsonProjection",
    "Node",
    "Path",
    "Shape",
    "decode_again",
    "decode_json",
    "decode_schema",
    "decode_with",
    "on_fresh_stack",
]

#: Names are str; None stands for every element of a list.
Path: TypeAlias = tuple[str | None, ...]

#: What an absent member is.
MISSING: Final = msgspec.UNSET


class DecodeError(ValueError):
    """Bytes that are not what their format says. The text holds nothing of the bytes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Which parts of a value are read.

    `whole`: all of it, whatever it is; `flat`: but of a list or an object only how long it is.
    Otherwise `members` of an object and `elements` of a list; with neither only what kind of value
    stands there.
    """

    whole: bool = False
    members: Mapping[str, Shape] = field(default_factory=dict[str, "Shape"])
    elements: Shape | None = None
    flat: bool = False

    @classmethod
    def of(
        cls, whole: Iterable[Path], present: Iterable[Path] = (), flat: Iterable[Path] = ()
    ) -> Shape:
        """The shape in which every path of `whole` is read to the end.

        Of the paths in `present` only whether they are there; those in `flat` are read, too, but
        for what is in lists and objects.
        """
        tree: dict[Any, Any] = {}
        for paths, mark in ((present, None), (flat, _FLAT), (whole, _READ)):
            for path in paths:
                at = tree
                for segment in path:
                    at = at.setdefault(segment, {})
                if mark is not None:
                    at[mark] = True
        return _shape(tree)


_READ: Final = object()
_FLAT: Final = object()


def _shape(tree: dict[Any, Any]) -> Shape:
    """Recursion is bounded by the length of the paths, which the parser of rules bounds."""
    if _READ in tree or _FLAT in tree:
        return Shape(whole=True, flat=tree.keys() == {_FLAT})
    elements = tree.pop(None, None)
    if elements is not None and tree:  # read as a list and as an object: take what is there
        return Shape(whole=True)
    if any(_UNNAMEABLE.search(name) for name in tree):
        return Shape(whole=True)
    members = {name: _shape(sub) for name, sub in sorted(tree.items())}
    return Shape(False, members, None if elements is None else _shape(elements))


#: msgspec has no fields of such names; an object with one that is read becomes a dict.
_UNNAMEABLE: Final = re.compile(r'[\\"\x00-\x1f\ud800-\udfff]')


@dataclass(frozen=True, slots=True)
class Node:
    """One place of a projection, as the reader of a projected value finds it.

    `type` is the class of an object here, None where objects are dicts; `members` maps the names
    that are read to attribute and node; `elements` is the node of a list's elements. A `flat` place
    is read but for what is in lists and objects.
    """

    type: type | None = None
    members: Mapping[str, tuple[str, Node]] = field(default_factory=dict[str, "tuple[str, Node]"])
    elements: Node | None = None
    flat: bool = False


_WHOLE: Final = Node()
_FLATLY: Final = Node(flat=True)
#: What nobody looks into stays as it is written: hostile nesting is passed over, not built.
_UNREAD: Final = msgspec.Raw
_FLAT_VALUE: Final[Any] = (
    str | int | float | bool | list[msgspec.Raw] | dict[str, msgspec.Raw] | None
)
#: An object of which much is read.
_WIDE: Final[Any] = dict[str, object] | list[msgspec.Raw] | str | int | float | bool | None


class JsonProjection:
    """A decoder for one shape. Immutable; shared by threads.

    `decode(data)` raises DecodeError; `raw_decode` is the bare function, which may raise anything
    and refuse what can be decoded: pass its failures to `again`. `raw_decode_long` is the same
    for values of `json_nesting.LONG` bytes and more, and refuses at once what is nested too deeply.

    Objects with more than `members_max` members that are read are dicts where that is the whole
    value: they are found faster so. What counts as decodable is the same.
    """

    __slots__ = ("_made", "_narrow", "raw_decode", "raw_decode_long", "root")

    def __init__(self, shape: Shape, *, members_max: int | None = None) -> None:
        self._made = 0
        self._narrow: JsonProjection | None = None
        if members_max is not None and len(shape.members) > members_max:
            self._narrow = JsonProjection(shape)
            self.root, annotation = _WHOLE, _WIDE
        else:
            self.root = self._node(shape)
            annotation = self._annotation(self.root)
        decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder(annotation)
        self.raw_decode: Callable[[bytes], object] = decoder.decode
        self.raw_decode_long = wary(decoder.decode)

    def decode(self, data: bytes) -> object:
        """The projected value of `data`. Raises DecodeError."""
        try:
            return (self.raw_decode if len(data) < LONG else self.raw_decode_long)(data)
        except Exception as error:  # noqa: BLE001 — msgspec raises a handful of kinds
            value = self.again(data, error)
        if isinstance(value, DecodeError):
            raise value from None
        return value

    def again(self, data: bytes, error: Exception) -> object:
        """What becomes of `data`, which `raw_decode` has refused: a value, or a DecodeError."""
        if self._narrow is None:
            return decode_again(self.raw_decode, data, error)
        if is_too_deep(data, error):
            return DecodeError(_reason(data, error))
        try:
            return self._narrow.plain(self._narrow.decode(data))
        except DecodeError as refused:
            return refused

    @property
    def is_wide(self) -> bool:
        """Whether members that nobody reads may make `raw_decode` fail."""
        return self._narrow is not None

    def plain(self, projected: object) -> object:
        """`projected` as dicts and lists, absent members left out.

        What is in lists and objects that nobody looks into is of no use; `shown` has it.
        """
        return _plain(projected, self.root)

    def shown(self, projected: object) -> object:
        """The same with everything in it, for people; left out where it cannot be decoded."""
        return _plain(projected, self.root, _opened)

    def plain_part(self, shape: Shape) -> Callable[[object], object]:
        """The same for a part of what is projected: `shape` is within the projection's own."""
        part = _part(self.root, shape)
        return partial(_plain, node=part)

    def _node(self, shape: Shape) -> Node:
        if shape.whole:
            return _FLATLY if shape.flat else _WHOLE
        names = {name: f"f{i}" for i, name in enumerate(shape.members)}
        nodes = {name: self._node(sub) for name, sub in shape.members.items()}
        elements = None if shape.elements is None else self._node(shape.elements)
        made: type | None = None
        if elements is None:
            made = msgspec.defstruct(
                f"Object{self._made}",
                [(names[name], self._optional(node), MISSING) for name, node in nodes.items()],
                rename={attribute: name for name, attribute in names.items()},
                gc=False,
            )
            self._made += 1
        return Node(made, {name: (names[name], node) for name, node in nodes.items()}, elements)

    def _optional(self, node: Node) -> Any:
        return self._annotation(node) | msgspec.UnsetType if node is not _WHOLE else object

    def _annotation(self, node: Node) -> Any:
        """A type that takes every JSON value: objects as the node says, the rest as it is."""
        if node is _WHOLE:
            return object
        if node is _FLATLY:
            return _FLAT_VALUE
        members: Any = node.type or dict
        elements: Any = _UNREAD if node.elements is None else self._annotation(node.elements)
        items = types.GenericAlias(list, (elements,))
        return members | items | str | int | float | bool | None


def decode_json(data: bytes) -> object:
    """The whole of `data`. Raises DecodeError."""
    try:
        return (_decode_whole if len(data) < LONG else _decode_long)(data)
    except Exception as error:  # noqa: BLE001 — msgspec raises a handful of kinds
        return decode_with(_decode_whole, data, error)


def decode_schema(text: str) -> object:
    """A schema as JSON: its types may be nested deeper than events. Raises DecodeError."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise DecodeError("the text is not valid UTF-8") from None
    try:
        return _decode_whole(data)
    except Exception as error:  # noqa: BLE001 — msgspec raises a handful of kinds
        return decode_with(_decode_whole, data, error)


_decode_whole: Final[Callable[[bytes], object]] = msgspec.json.Decoder().decode
_decode_long: Final = wary(_decode_whole)


def decode_with(decode: Callable[[bytes], object], data: bytes, error: Exception) -> object:
    """What becomes of `data`, which `decode` has just refused with `error`: raises DecodeError."""
    value = decode_again(decode, data, error)
    if isinstance(value, DecodeError):
        raise value from None
    return value


def decode_again(decode: Callable[[bytes], object], data: bytes, error: Exception) -> object:
    """The same, with a DecodeError given back where it is hostile input that must stay cheap.

    How deep a document may be nested must not hang on how deep the caller's stack is: what was
    refused for that is tried once more on a fresh one.
    """
    if isinstance(error, RecursionError) and not is_too_deep(data, error):
        outcome = on_fresh_stack(decode, data)
        if not isinstance(outcome, Exception):
            return outcome
        error = outcome
    return DecodeError(_reason(data, error))


def on_fresh_stack(function: Callable[..., object], *args: object) -> object:
    """What `function(*args)` gives on a thread of its own: the value, or the exception."""
    outcome: list[object] = []

    def attempt() -> None:
        try:
            outcome.append(function(*args))
        except Exception as error:  # noqa: BLE001 — handed to the caller
            outcome.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join()
    return outcome[0]


#: What editors put before a text, which JSON does not have.
_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def _reason(data: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "the JSON holds text that is not valid UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return "the JSON holds a number that is out of range"
    if not data.strip(b" \t\r\n"):
        return "the value is empty"
    for mark, name in _MARKS:
        if data.startswith(mark):
            return f"the bytes are not JSON: they begin with the byte order mark of {name}"
    if data[1:2] == b"\0" and data[3:4] == b"\0":
        return "the bytes are not JSON: they look like UTF-16, and JSON is UTF-8"
    # The client's message ends in the position; the rest of it is left out, whatever it holds.
    _, found, position = str(error).rpartition("(byte ")
    digits = position.removesuffix(")")
    if found and digits.isdecimal():
        return f"the bytes are not JSON (byte {digits})"
    return "the bytes are not JSON"


def _part(node: Node, shape: Shape) -> Node:
    """What `shape` reads of `node`."""
    if shape.whole:
        return node
    members = {
        name: (attribute, _part(sub, shape.members[name]))
        for name, (attribute, sub) in node.members.items()
        if name in shape.members
    }
    elements = node.elements
    if elements is not None and shape.elements is not None:
        elements = _part(elements, shape.elements)
    return Node(node.type, members, elements)


def _plain(
    value: object, node: Node, end: Callable[[object], object] = lambda value: value
) -> object:
    """Recursion is bounded by the depth of the shape: what was read whole is not entered.

    `end` makes what is there of the rest.
    """
    if node.type is not None and type(value) is node.type:
        return {
            name: _plain(member, sub, end)
            for name, (attribute, sub) in node.members.items()
            if (member := getattr(value, attribute)) is not MISSING
        }
    if node.elements is not None and isinstance(value, list):
        return [_plain(item, node.elements, end) for item in cast("list[object]", value)]
    return end(value)


def _opened(value: object) -> object:
    """A list or object whose items nobody reads with these decoded, or empty where one cannot be."""
    if isinstance(value, list):
        try:
            return [_decoded(item) for item in cast("list[object]", value)]
        except DecodeError:
            return []
    if isinstance(value, dict):
        try:
            return {k: _decoded(v) for k, v in cast("dict[str, object]", value).items()}
        except DecodeError:
            return {}
    return value


def _decoded(item: object) -> object:
    return decode_json(bytes(item)) if isinstance(item, msgspec.Raw) else item
