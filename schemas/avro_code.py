"""The code of an Avro projection: statements for every type, to read a value or to skip it.

In generated code `b` are the bytes, `p` is the position, `d` says how many functions for records
may still be called inside each other; `n`, `q`, `u` and `w` are scratch. A function that would be
one too many gives a negative position, which its callers pass on: an exception takes as long as all
the calls.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .avro_statements import (
    HELPERS,
    Case,
    blank,
    check_scalar,
    choice,
    jump,
    read_key,
    read_scalar,
    skip_scalar,
)
from .avro_types import (
    Array,
    AvroType,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
    min_width,
    static_width,
)
from .avro_wire import DEPTH_MAX
from .code_templates import compile_functions, constant, fill, name
from .json_projection import Node

__all__ = ["AvroCode"]

#: Types with more members than this are read and skipped by functions of their own, so that the
#: code is not much longer than the schema however often a type is used.
_INLINE_MAX: Final = 24
#: CPython takes 20 blocks inside each other; an array takes two.
_LOOPS_MAX: Final = 4
#: Records inside records whose members are read, until functions begin.
_INLINE_DEPTH_MAX: Final = 12
_ENDLESS: Final = 10**6

_WHOLE: Final = Node()

_DECODE: Final = """
def decode(b, p, again=True):
    s = p
    d = DEPTH
    try:
        BODY
        END
        return v
    except Exception as e:
        return FAILED(e, decode, b, s, again)
"""
_SKIP: Final = """
def skip(b, p):
    d = DEPTH
    BODY
    return p
"""
_FUNCTION: Final = """
def F(b, p, d):
    DEEPER
    BODY
    RETURN
"""
#: What leads back to itself does so by a record; lists that stand in lists are as deep as they are.
_DEEPER: Final = """
if d == 0:
    LEAVE
d -= 1
"""
#: How functions that read and functions that skip end: with a value, and nested too deeply.
_ENDS: Final = (("return v, p", "return None, -1"), ("return p", "return -1"))
_TOO_DEEP: Final = """
raise MALFORMED("the Avro bytes are nested too deeply")
"""
_HAND_ON: Final = """
if p < 0:
    LEAVE
"""
#: A record that ends in one of its own type, as in a list that is linked, is skipped in a loop.
_CHAIN: Final = """
while True:
    BODY
    return p
"""
_STRICT_END: Final = "END_OF_BYTES(b, p)"
_END: Final = """
if p > len(b):
    raise MALFORMED("the Avro bytes end too early")
"""
_UNION: Final = """
u = b[p]
if u > 127:
    u, p = UNION_AT(b, p)
else:
    p += 1
CHOICE
"""
_NO_BRANCH: Final = """
raise MALFORMED("the Avro bytes name a branch that the union does not have")
"""
_BLOCKS: Final = """
while True:
    C = NUMBERS[b[p]]
    if C is None or C < 0:
        C, p, E = BLOCK(b, p, WIDTH)
    else:
        p += 1
        E = -1
    if C == 0:
        break
    ITEMS
    if E != -1 and E != p:
        raise MALFORMED("the Avro bytes hold a block that is not as long as it says")
"""
_EACH: Final = """
for _ in range(C):
    ITEM
"""


class AvroCode:
    """Makes one function; used once. `strict` and `time` are the projection's."""

    def __init__(self, *, strict: bool = False, time: Callable[[int], object] = int) -> None:
        self._strict, self._time = strict, time
        self._values: dict[str, Any] = {**HELPERS, "TIME": time}
        self._functions: list[ast.stmt] = []
        #: Functions by type and node; both are kept, since their ids are the keys.
        self._made: dict[tuple[int, int], tuple[str, AvroType, Node | None]] = {}
        self._weights: dict[int, int] = {}
        self._names = 0
        self._loops: int = 0
        self._depth: int = 0
        #: Leaves the function at hand, whose data is nested too deeply.
        self._leave = fill(_TOO_DEEP)

    def decoder(
        self, type_: AvroType, root: Node, failed: Callable[..., object]
    ) -> Callable[[bytes, int], object]:
        """The function from bytes and where the value begins to what is read of it.

        `failed(error, decode, data, start, again)` says what an exception comes to.
        """
        self._values["FAILED"] = failed
        body = self._body(type_, root, "v", last=not self._strict)
        end = fill(_STRICT_END if self._strict else _END)
        self._functions += fill(_DECODE, BODY=body, END=end, DEPTH=constant(DEPTH_MAX))
        compile_functions(self._functions, self._values, "avro projection")
        made: Callable[[bytes, int], object] = self._values["decode"]
        return made

    def skipper(self, types: Sequence[AvroType]) -> Callable[[bytes, int], int]:
        """The function from where the first of some values begins to where the last one ends."""
        body = [line for type_ in types for line in self._skip(type_)]
        self._functions += fill(_SKIP, BODY=body, DEPTH=constant(DEPTH_MAX))
        compile_functions(self._functions, self._values, "avro skipper")
        made: Callable[[bytes, int], int] = self._values["skip"]
        return made

    def _read(
        self, type_: AvroType, node: Node, target: str, *, last: bool = False
    ) -> list[ast.stmt]:
        """Set `target` to what `node` wants of a value. `last`: `p` is not needed any more."""
        node = _WHOLE if _is_whole(type_, node) else node
        if not self._apart(type_, node):
            return self._body(type_, node, target, last=last)
        called = fill("V, p = F(b, p, d)", V=target, F=self._function(type_, node))
        return called + fill(_HAND_ON, LEAVE=self._leave)

    def _body(
        self, type_: AvroType, node: Node, target: str, *, last: bool = False
    ) -> list[ast.stmt]:
        whole = _is_whole(type_, node)
        match type_:
            case Union():
                return self._union(
                    type_, lambda branch: self._read(branch, node, target, last=last)
                )
            case Record():
                return self._record(type_, None if whole else node, target, last)
            case Map() if whole:
                return self._entries(type_, target)
            case Map() if node.type is not None:
                return self._members(type_, node, target)
            case Array() if whole or node.elements is not None:
                return self._items(type_, node.elements or _WHOLE, target)
            case _ if whole:
                return read_scalar(type_, target, self._value)
            case _:
                return self._kind(type_, target)

    def _kind(self, type_: AvroType, target: str) -> list[ast.stmt]:
        """Something of the value's kind: only that is asked."""
        made = self._skip(type_)
        if isinstance(type_, Array):
            return made + fill("V = []", V=target)
        return made + fill("V = B", V=target, B=self._value(blank(type_, self._time)))

    def _record(self, type_: Record, node: Node | None, target: str, last: bool) -> list[ast.stmt]:
        """A dict of all fields, or an object of `node`."""
        wanted: Mapping[str, Node] = {field.name: _WHOLE for field in type_.fields}
        if node is not None:
            wanted = {member: inner for member, (_, inner) in node.members.items()}
        made, found = self._fields(type_, wanted, last)
        return made + fill("V = MADE", V=target, MADE=self._object(node, found))

    def _fields(
        self,
        type_: Record,
        wanted: Mapping[str, Node],
        last: bool,
        chain: AvroType | None = None,
    ) -> tuple[list[ast.stmt], dict[str, str]]:
        """Read the fields that are wanted into locals, skip the others."""
        left = sum(field.name in wanted for field in type_.fields)
        found: dict[str, str] = {}
        made: list[ast.stmt] = []
        width = 0  # to jump over, together
        self._depth += 1
        for field in type_.fields:
            if last and not left:
                break
            if field.name in wanted:
                left -= 1
                local = found[field.name] = self._fresh("m")
                made += jump(width)
                made += self._read(field.type, wanted[field.name], local, last=last and not left)
                width = 0
            elif (fixed := self._jump(field.type)) is not None:
                width += fixed
            else:
                follows = field is not type_.fields[-1]
                made += jump(width) + self._skip(field.type, None if follows else chain)
                width = 0
        self._depth -= 1
        return made + jump(0 if last else width), found

    def _object(self, node: Node | None, found: Mapping[str, str]) -> ast.expr:
        """What holds the members in the locals `found`: an object of `node`, or a dict."""
        if node is None:
            members: list[ast.expr] = [name(local) for local in found.values()]
            return ast.Dict([constant(member) for member in found], members)
        assert node.type is not None, "elsewhere the whole is read"
        members = [name(found.get(member, "MISSING")) for member in node.members]
        return ast.Call(self._value(node.type), members, [])

    def _union(self, type_: Union, action: Callable[[AvroType], list[ast.stmt]]) -> list[ast.stmt]:
        choices: list[Case] = [
            (2 * place, action(branch)) for place, branch in enumerate(type_.branches)
        ]
        return fill(_UNION, CHOICE=choice("u", choices, fill(_NO_BRANCH)))

    def _items(self, type_: Array, node: Node, target: str) -> list[ast.stmt]:
        items, item = self._fresh("l"), self._fresh("i")
        each = self._read_in_loop(type_.items, node, item)
        each += fill("L.append(I)", L=items, I=item)
        made = fill("L = []", L=items) + self._blocks(min_width(type_.items), each)
        return made + fill("V = L", V=target, L=items)

    def _entries(self, type_: Map, target: str) -> list[ast.stmt]:
        entries, key, item = self._fresh("e"), self._fresh("k"), self._fresh("i")
        each = read_key(key, as_text=True)
        each += self._read_in_loop(type_.values, _WHOLE, item)
        each += fill("M[K] = I", M=entries, K=key, I=item)
        made = fill("M = {}", M=entries) + self._blocks(1, each)
        return made + fill("V = M", V=target, M=entries)

    def _members(self, type_: Map, node: Node, target: str) -> list[ast.stmt]:
        """The entries of a map that are read by name; the last one of a name counts."""
        key = self._fresh("k")
        each = read_key(key, as_text=False, checked=self._strict)
        found = {member: self._fresh("m") for member in node.members}
        cases: list[Case] = []
        for member, (_, inner) in sorted(node.members.items()):
            body = self._read_in_loop(type_.values, inner, found[member])
            cases.append((member.encode(), body))
        each += choice(key, sorted(cases), self._skip_in_loop(type_.values))
        made = [line for local in found.values() for line in fill("V = MISSING", V=local)]
        made += self._blocks(1, each)
        return made + fill("V = MADE", V=target, MADE=self._object(node, found))

    def _skip(self, type_: AvroType, chain: AvroType | None = None) -> list[ast.stmt]:
        """Move `p` behind a value.

        `chain` is the type that the function at hand skips, if nothing of it follows: another one
        of them is skipped by beginning anew.
        """
        width = self._jump(type_)
        if width is not None:
            return jump(width)
        if not self._apart(type_, _WHOLE):
            return self._skipped(type_, chain)
        if type_ is chain:
            return [ast.Continue()]
        called = fill("p = F(b, p, d)", F=self._function(type_, None))
        return called + fill(_HAND_ON, LEAVE=self._leave)

    def _skipped(self, type_: AvroType, chain: AvroType | None) -> list[ast.stmt]:
        match type_:
            case Union():
                return self._union(type_, lambda branch: self._skip(branch, chain))
            case Record():
                return self._fields(type_, {}, last=False, chain=chain)[0]
            case Array():
                width = self._jump(type_.items)
                if width is not None:
                    return self._blocks(min_width(type_.items), [], step=width)
                each = self._skip_in_loop(type_.items)
                return self._blocks(min_width(type_.items), each)
            case Map():
                each = self._skip(Primitive("string")) + self._skip_in_loop(type_.values)
                return self._blocks(1, each)
            case _ if self._strict:
                return check_scalar(type_, self._value)
            case _:
                return skip_scalar(type_)

    def _jump(self, type_: AvroType) -> int | None:
        """How far to jump over a value where that is always the same and nothing is checked."""
        if self._strict and not isinstance(type_, Fixed):
            plain = isinstance(type_, Primitive) and type_.name in ("null", "float", "double")
            return static_width(type_) if plain else None
        return static_width(type_)

    def _blocks(
        self, width: int, each: list[ast.stmt], *, step: int | None = None
    ) -> list[ast.stmt]:
        """Run `each` for the items of all blocks, or jump over each; `width` is their least."""
        count = self._fresh("c")
        body = fill(_EACH, ITEM=each, C=count)
        if step is not None:
            body = fill("p += C * WIDTH", C=count, WIDTH=constant(step))
        return fill(_BLOCKS, ITEMS=body, WIDTH=constant(width), C=count, E=self._fresh("z"))

    def _read_in_loop(self, type_: AvroType, node: Node, target: str) -> list[ast.stmt]:
        self._loops += 1
        made = self._read(type_, node, target)
        self._loops -= 1
        return made

    def _skip_in_loop(self, type_: AvroType) -> list[ast.stmt]:
        self._loops += 1
        made = self._skip(type_)
        self._loops -= 1
        return made

    def _apart(self, type_: AvroType, node: Node) -> bool:
        """Whether a value is read or skipped by a function of its own."""
        if isinstance(type_, Record):
            whole = _is_whole(type_, node)
            return self._weight(type_) > _INLINE_MAX if whole else self._depth >= _INLINE_DEPTH_MAX
        return isinstance(type_, Array | Map) and self._loops >= _LOOPS_MAX

    def _weight(self, type_: AvroType) -> int:
        """How much code reading or skipping takes; that of a recursive record has no end."""
        match type_:
            case Record():
                known = self._weights.get(id(type_))
                if known is None:
                    self._weights[id(type_)] = _ENDLESS
                    known = sum(self._weight(field.type) for field in type_.fields)
                    self._weights[id(type_)] = known = min(known, _ENDLESS)
                return known
            case Union():
                return 1 + sum(self._weight(branch) for branch in type_.branches)
            case Array():
                return 2 + self._weight(type_.items)
            case Map():
                return 2 + self._weight(type_.values)
            case _:
                return 1

    def _function(self, type_: AvroType, node: Node | None) -> str:
        """The name of the function that reads what `node` wants of a value, or skips it for None."""
        key = (id(type_), id(node))
        if key not in self._made:
            label = self._fresh("f")
            self._made[key] = (label, type_, node)
            outside = self._loops, self._depth, self._leave
            end, leave = (fill(line) for line in _ENDS[node is None])
            self._loops, self._depth, self._leave = 0, 0, leave
            if node is not None:
                body = self._body(type_, node, "v")
            else:
                body = self._skipped(type_, type_)
                if _goes_on(body):
                    body = fill(_CHAIN, BODY=body)
            deeper = fill(_DEEPER, LEAVE=leave) if isinstance(type_, Record) else []
            self._functions += fill(_FUNCTION, F=label, DEEPER=deeper, BODY=body, RETURN=end)
            self._loops, self._depth, self._leave = outside
        return self._made[key][0]

    def _fresh(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _value(self, value: object) -> ast.expr:
        label = self._fresh("V_")
        self._values[label] = value
        return name(label)


def _goes_on(body: Sequence[ast.stmt]) -> bool:
    return any(isinstance(node, ast.Continue) for line in body for node in ast.walk(line))


def _is_whole(type_: AvroType, node: Node) -> bool:
    """Whether all of a value is read. A list's elements cannot be those of an object."""
    if node.type is not None:
        return False
    return node.elements is None or isinstance(type_, Record | Map)
