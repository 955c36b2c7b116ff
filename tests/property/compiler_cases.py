"""Random rules and events that hold generated code against the exact evaluator.

Everything is drawn from a `random.Random`, so that hypothesis and seeded campaigns share it.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from streamwarden.policy.cel import parse
from streamwarden.policy.cel.values import Timestamp
from streamwarden.policy.compiler import Compiled, RuleInput, UnavailableError, compile_rules
from streamwarden.schemas.event import Event, Headers
from streamwarden.schemas.json_projection import DecodeError, Node

__all__ = ["Case", "draw_case", "draw_event"]

NUMBERS: Sequence[Any] = [
    *(0, 1, 2, 3, -1, 10, 1.0, 0.0, -0.0, 2.5, -1.5, 1e300, 2**53, 2**53 + 1, float(2**53)),
    *(2**63 - 1, 2**63, -(2**63), 10**30, 10**400, 2**27, 1e9 + 0.5, -1e200),
]
TIMES = [
    "2025-01-01T00:00:00Z",
    "2025-06-01T12:00:00.500Z",
    "2025-06-01T12:00:00.5Z",
    "2025-06-01T12:00:00.123456789+02:00",
    "2025-06-01T10:00:00.123456Z",
    "2025-13-01T00:00:00Z",
    "2025-06-01T24:00:00Z",
    "0001-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "2025-06-01t12:00:00z",
    "2025-06-01T12:00:60Z",
    "1823-11-12T00:00:00Z",
    "2116-02-20T23:53:38.427387903Z",
    "2116-02-20T23:53:38.427387904Z",
    "9999-12-31T23:59:59Z",
]
WORDS = [
    "1",
    "2.5",
    "NaN",
    "1e400",
    "-inf",
    "",
    "a",
    "ab",
    "abc",
    "b",
    "é",
    "xé日本",
    "heron",
    "ref-12x",
    "\U0001f600a",
    "ab\n",
    "x",
]
VALUES: Sequence[Any] = [
    *NUMBERS,
    *TIMES,
    *WORDS,
    *(True, False, None, [], {}, [1, 2, 3], [1.0, "a", True], ["a", "b"], ["heron", None]),
    *({"x": 1}, {"x": True, "y": "a"}, {"a": {"x": 2}}, [{"q": 1}, {"q": 5.5}], [{"q": 1}, {}]),
    *([{"q": True}], [{"q": "a"}], [[1], {"q": 2**53 + 1}], [[["a"]]], {"q": {"q": {"q": 1}}}),
]
LITERALS = [
    *("0", "1", "2", "3", "-1", "1.0", "2.5", "2u", "9007199254740993", "9007199254740992.0"),
    *("9223372036854775807", "-9223372036854775808", "18446744073709551615u", "1e300"),
    *('"a"', '"ab"', '""', '"é"', '"heron"', "true", "false", "null", 'b"a"', "[1, 2, 3]"),
    *('double("NaN")', "1 + 1", "client.labels.tier", "client.limit", "client.nothing", "topic"),
]
MOMENTS = [
    'timestamp("2025-01-01T00:00:00Z")',
    'timestamp("2025-06-01T12:00:00.5Z")',
    'timestamp("2025-06-01T10:00:00.123456789Z")',
    'timestamp("2025-03-01T00:00:00+01:00")',
    'timestamp("2025-06-01T12:00:00Z") - duration("1h")',
    'timestamp("nonsense")',
]
SNIPPETS = ["a", "ab", "b", "é", "her", "on", "xé", "", "ref-"]
PATTERNS = [
    *("^ab", "^a*b", "a.c$", "^[a-z]+$", "é", "^her[a-z]+", "^x", "(a|b)c", "^ref-[0-9]*x$"),
    *("[0-9]", "^2025-", "^(a+)+$", "^ref-", "$", "(?i)AB", "ab$"),
    *("(a|b)c$", "^[a-z]*bc$", "her[o]n$", "^x.*日本$", "a|bc$", "^a[.]b", "b{2}c$", "a$b$"),
]
ORDER = ["<", "<=", ">", ">="]

#: Conditions on a place that are computed inline.
COMPUTED = [
    "{0} < value.b",
    "{0} >= value.c",
    "{0} == value.a",
    "{0} != value.b",
    "!({0} == value.c)",
    "!({0} > value.c)",
    "{0} + 1 > 2",
    "{0} + value.b > value.c",
    "{0} * 2 == value.b",
    "{0} - value.b * 3 <= 1.5",
    "!({0} + value.b < 3)",
    "{0} * {0} > value.b + 1",
    "{0} * value.b > 1e9",
    "double({0}) > 1.5",
    "!(double({0}) * 2.0 <= value.b)",
    "double({0}) == value.a",
    "{0} - double(value.b) * value.c < 3",
    "double({0}) + double(value.a) >= double(value.b)",
    "timestamp({0}) < now",
    "timestamp({0}) == timestamp",
    "timestamp({0}) > now - duration('24h')",
    "timestamp({0}) - timestamp(value.b) > duration('1h')",
    "timestamp({0}) + duration('1h') < timestamp(value.a)",
    "!(now - timestamp({0}) <= duration('-5s'))",
    "duration('1h') < now - timestamp",
    "{0} - now > duration('1s')",
    "{0} > timestamp('2025-01-01T00:00:00Z')",
    "({0} > 1 ? has(value.a) : value.b == 1)",
    "(has(value.o.x) ? 1 / 0 > 1 : {0} == 1)",
    "!({0} ? {0} : value.flag) || {0} == 2",
]
#: Computations that many rules compare with limits.
MEASURES = [
    ("value.a * value.b", ["0", "1", "2.5", "-3", "1e9", "1e300"]),
    ("value.a + 1 - value.c", ["0", "1", "2.5", "-3"]),
    ("double(value.a)", ["0.0", "1", "2.5", "1e300"]),
    ("double(value.b) * 2.0 - value.c", ["0", "1.5", "3"]),
    ("facts.score * 2", ["1", "1.4", "0"]),
    ("timestamp(value.a) - timestamp(value.b)", ["duration('0s')", "duration('1h')"]),
    ("now - timestamp(value.a)", ["duration('-5s')", "duration('24h')", "duration('100000h')"]),
]
#: Conditions that the exact evaluator decides, or that are errors.
UNUSUAL = [
    "type({0}) == int",
    "cel.bind(w, {0}, w == 1 || w == 'a')",
    "!cel.bind(w, {0} + 1, w > 1 && w < 3 || true)",
    "cel.bind(value, {0}, value == 1 || value.x == 1)",
    "cel.bind(w, {0}, value.l.exists(v, v == w) || w.exists(w, w == 1))",
    "cel.bind(v, value.l, v.exists(w, w == {0}) && v.size() > 1)",
    "cel.bind(w, value.l.filter(v, v == 1), w.size() > 0 || w == [])",
    "cel.bind(w, {0}, cel.bind(v, w, v == 1) && w != 2)",
    "{0} > (type({0}) == google.protobuf.Timestamp ? timestamp('2025-01-01T00:00:00Z') : '2025-01-01T00:00:00Z')",
    "!({0} <= (type({0}) == google.protobuf.Timestamp ? timestamp('2025-06-01T12:00:00Z') : '2025-06-01T12:00:00Z'))",
    "value.b < (type({0}) == google.protobuf.Timestamp ? timestamp('2025-06-01T12:00:00Z') : '2025-06-01T12:00:00Z')",
    "{0} in ['2025-01-01T00:00:00Z', timestamp('2025-01-01T00:00:00Z')]",
    "!({0} in ['2025-06-01T12:00:00.5Z', timestamp('2025-06-01T12:00:00.5Z'), 1])",
    'string({0}) == "1"',
    '{0} < "b"',
    '{0}["x"] == 1',
    "10 / {0} > 3",
    "{0}[value.b] == 1",
    "{0}.filter(v, v == 1).size() > 0",
    "{0}.nothing() == 1",
    "{0}.?x.orValue(1) == 1",
    "nothing == {0}",
    "{0} in value.l",
    "{0}.exists(v, v.exists(w, w == 1))",
    "{0}.exists_one(v, v == 1)",
    "{0}.exists(v, v + 1 > value.b)",
    "-{0} < 1",
    "dyn({0}) == 1",
    "1 / 0 == 1",
    "topic == 't'",
    "stage == 'produce' && {0} == 1",
    "schema == {{}}",
    "schema.id == 3",
    "has(client.labels.tier)",
]

#: What the exact evaluator computes once for all rules that compare it with constants.
CALCULATED = [
    *("size({0})", "{0}.size()", "{0} % 2", "-{0}", "{0} / 2", "int({0})", "uint({0})"),
    *("string({0})", "bytes({0})", "dyn({0})", "type({0})", "duration({0})", "{0}[0]"),
    *("{0} + 'a'", "{0}.lowerAscii()", "{0}.split('a')", "{0}.substring(1)", "{0} + value.b"),
    *("({0} == 1 ? value.b : 'a')", "{0}.?x.orValue(1)", "[1, {0}]", "{{'a': {0}}}"),
    *("{0}.map(v, v)", "{0}.filter(v, v == 1)", "{0}.exists_one(v, v == 1)", "cel.bind(w, {0}, w)"),
    *(
        "timestamp({0})",
        "timestamp({0}).getFullYear()",
        "now - timestamp({0})",
        "double({0}) / 3.0",
    ),
    *("{0} == value.b", "{0} in value.l", "has(value.o.x) && {0} == 1", "{0}", "isEmail({0})"),
]

SETTING: dict[str, Any] = {
    "client": {"id": "c", "labels": {"tier": "a"}, "limit": 2},
    "lists": {
        "words": ["a", "heron", "é"],
        "mixed": [1, "a", 2.5, True, None],
        "odd": [[1], 2**60],
        "map": {"a": 1, "b": 2},
        "empty": [],
    },
}


class Registry:
    """Stands for a schema registry: framed bytes name an object of `OBJECTS`, plain ones are JSON."""

    def reader(
        self, root: Node, unframed: Callable[[bytes], object] | None, *, strict: bool
    ) -> Callable[[bytes, Headers], object]:
        del strict

        def read(data: bytes, headers: Headers) -> object:
            del headers
            if data[:1] == b"\0":
                if len(data) != 3:
                    raise UnavailableError("nobody knows that schema")
                return projected(OBJECTS[data[1]], root)
            if unframed is None:
                raise DecodeError("the bytes are not framed")
            return unframed(data)

        return read

    def key_reader(
        self,
        root: Node,
        unframed: Callable[[bytes], object] | None,
        json: Callable[[bytes], object],
    ) -> Callable[[bytes, Headers], object]:
        del root, json

        def read(data: bytes, headers: Headers) -> object:
            del headers
            if unframed is None or data[:1] == b"\0":
                raise DecodeError("nobody knows that schema")
            return unframed(data)

        return read

    def schema(self, topic: str, value: bytes | None, headers: Headers) -> dict[str, object]:
        del topic, headers
        return {"id": value[1], "tags": ["a"]} if value and value[0] == 0 else {}


def projected(value: object, node: Node) -> Any:
    """A plain value as the classes of a projection."""
    if isinstance(value, dict) and node.type is not None:
        held = cast("dict[str, object]", value)
        members = {
            attribute: projected(held[name], sub)
            for name, (attribute, sub) in node.members.items()
            if name in held
        }
        return node.type(**members)
    if isinstance(value, list) and node.elements is not None:
        return [projected(item, node.elements) for item in cast("list[object]", value)]
    return cast("Any", value)


ODD_VALUES: Sequence[Any] = [
    *(Decimal("0.1"), Decimal(1), Decimal("2.50"), Decimal("1e30"), 0.1, math.nan, math.inf),
    *(Timestamp(1_735_689_600 * 10**9), Timestamp(1_748_779_200 * 10**9 + 1), b"a", b"ab", 1, 2.5),
    *("a", "ab", None, True, 2**53 + 1, -math.inf),
]
_random = random.Random(5)
OBJECTS: Sequence[Any] = [
    *({}, {"a": Decimal(1)}, 5, [], "a"),
    *(
        {
            **{name: _random.choice(ODD_VALUES) for name in "abc" if _random.random() < 0.9},
            "o": {name: _random.choice(ODD_VALUES) for name in "xya" if _random.random() < 0.9},
            "l": [
                _random.choice([{"q": _random.choice(ODD_VALUES)}, _random.choice(ODD_VALUES)])
                for _ in range(_random.randrange(4))
            ],
        }
        for _ in range(60)
    ),
]


@dataclass(frozen=True)
class Case:
    """Rules with their text, compiled."""

    conditions: tuple[str | None, ...]
    tombstones: tuple[bool, ...]
    compiled: Compiled
    options: dict[str, Any]


class Drawer:
    """Conditions over the places of a value called a, b, c, o (an object) and l (a list)."""

    def __init__(self, random: random.Random) -> None:
        self.random = random

    def one(self, items: Sequence[Any]) -> Any:
        return items[self.random.randrange(len(items))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def path(self) -> str:
        names = ["a", "b", "c", "o", "l", "o.x", "o.y", "o.a.x", "a.x", "l[0]", "l[1].q", "l[-1]"]
        names += ['o["x"]', "`odd-name`", 'o["q\\"q"]', "a", "b", "c"]
        if self.chance(0.8):
            return f"{self.one(['value', 'value', 'value', 'message'])}.{self.one(names)}"
        return str(
            self.one(
                [
                    *("key", "key.a", 'headers["h"]', "headers.i", "facts.score", "facts.deep.x"),
                    *("stamp.effect", "headers.streamwarden", "offset", "value", "topic"),
                ]
            )
        )

    def leaf(self, place: str) -> str:
        kind = self.random.randrange(28)
        literal = self.one(LITERALS)
        if kind < 4:
            sign = self.one(["==", "!="])
            pair = (place, sign, literal) if self.chance(0.8) else (literal, sign, place)
            return "{} {} {}".format(*pair)
        if kind < 6:
            items = ", ".join(self.random.sample(LITERALS[:20], self.random.randint(0, 4)))
            lists = ["lists.words", "lists.mixed", "lists.odd", "lists.map", "lists.empty"]
            return f"{place} in {self.one([f'[{items}]', self.one(lists)])}"
        if kind < 10:
            sign = self.one(ORDER)
            pair = (place, sign, literal) if self.chance(0.8) else (literal, sign, place)
            return "{} {} {}".format(*pair)
        if kind < 12:
            left = self.one(
                [f"timestamp({place})", f"timestamp({place})", "now", "timestamp", place]
            )
            return f"{left} {self.one([*ORDER, '=='])} {self.one(MOMENTS)}"
        if kind < 13:
            size = self.one([f"size({place})", f"{place}.size()"])
            return f"{size} {self.one([*ORDER, '=='])} {self.one(['0', '1', '2', '2.5', '3'])}"
        if kind < 17:
            test = self.one(["startsWith", "endsWith", "contains", "matches", "matches"])
            text = self.one(PATTERNS if test == "matches" else SNIPPETS)
            return f"{place}.{test}({json.dumps(text, ensure_ascii=False)})"
        if kind < 18:
            return place
        if kind < 20 and "." in place and not place.endswith(("]", "`")):
            return f"has({place})"
        if kind < 21:
            return f"{self.one(SNIPPETS)!r} in {self.one([place, 'headers', 'value', place])}"
        if kind < 24:
            return self.odd(place)
        if kind < 25:
            text = json.dumps(self.one(WORDS), ensure_ascii=False)
            left, right = (place, text) if self.chance(0.8) else (text, place)
            return f"{left} {self.one(ORDER)} {right}"
        return self.calculated(place)

    def calculated(self, place: str) -> str:
        """A condition on what has to be computed."""
        made = f"({self.one(CALCULATED).format(place)})"
        kind = self.random.randrange(6)
        if kind == 0:
            return f"!{made}" if self.chance(0.5) else made
        if kind == 1:
            items = ", ".join(self.random.sample(LITERALS[:20], self.random.randint(0, 4)))
            return f"{made} in [{items}]"
        if kind == 2:
            test = self.one(["startsWith", "endsWith", "contains", "matches"])
            text = self.one(PATTERNS if test == "matches" else SNIPPETS)
            return f"{made}.{test}({json.dumps(text, ensure_ascii=False)})"
        if kind == 3:
            return f"size({made}) {self.one([*ORDER, '==', '!='])} {self.random.randrange(4)}"
        return f"{made} {self.one([*ORDER, '==', '!='])} {self.one(LITERALS)}"

    def odd(self, place: str) -> str:
        """What is computed inline, and what the generator leaves to the exact evaluator."""
        return str(self.one(COMPUTED if self.chance(0.5) else UNUSUAL)).format(place)

    def quantified(self) -> str:
        body = self.one(["v", "v.q", "v.q", "v.q.x"])
        inner = self.leaf(body)
        if self.chance(0.3):
            inner = (
                f"{inner} {self.one(['&&', '||'])} {self.leaf(self.one(['v', 'v.q', self.path()]))}"
            )
        range_ = self.one(
            ["value.l", "value.l", "value.o", "value.a", "value.o.x", "facts.list", "key"]
        )
        macro = self.one(["exists", "exists", "exists", "all", "all", "exists_one"])
        return f"{self.one(['', '', '!'])}{range_}.{macro}(v, {inner})"

    def condition(self, depth: int = 3) -> str:
        share = self.random.random()
        if depth and share < 0.28:
            count = self.random.randint(2, 3)
            return " && ".join(f"({self.condition(depth - 1)})" for _ in range(count))
        if depth and share < 0.4:
            count = self.random.randint(2, 3)
            return " || ".join(f"({self.condition(depth - 1)})" for _ in range(count))
        if depth and share < 0.52:
            return f"!({self.condition(depth - 1)})"
        if share < 0.68:
            return self.quantified()
        if share < 0.76:
            name = self.one(["o", "a", "o.x", "a.x", "l"])
            return f"has(value.{name}) && {self.leaf('value.' + name + self.one(['', '.x']))}"
        return self.leaf(self.path())

    def value(self) -> bytes | None:
        if self.chance(0.15):
            return b"\0" + bytes([self.random.randrange(len(OBJECTS))]) + b"x"
        if self.chance(0.04):
            odd: list[bytes | None] = [
                None,
                b"",
                b" ",
                b"\0\0\0\0\7x",
                b"5",
                b"[]",
                b'"a"',
                b"null",
                b"{",
                b"\xff",
            ]
            odd += [b'{"a": 1e999}', b'{"zz": 1e999}', b'{"b": "\\ud800"}', b"true", b"{} x"]
            odd += [
                b'{"zz": "\xff"}',
                b'{"a": "\xff"}',
                b"[" * 2000,
                b'{"o":' + b"[" * 340 + b"]" * 340 + b"}",
            ]
            return odd[self.random.randrange(len(odd))]
        event = {name: self.one(VALUES) for name in "abcol" if self.chance(0.88)}
        if self.chance(0.6):
            event["o"] = {
                name: self.one(VALUES) for name in ["x", "y", "a", 'q"q'] if self.chance(0.85)
            }
        if self.chance(0.5):
            event["l"] = [
                self.one([{"q": self.one(VALUES)}, {"q": self.one(NUMBERS)}, {}, self.one(VALUES)])
                for _ in range(self.random.randint(0, 3))
            ]
        if self.chance(0.3):
            event |= {"a": "ab", "b": self.random.randint(0, 4), "c": self.random.randint(0, 3)}
        if self.chance(0.3):
            event["odd-name"] = self.one(VALUES)
        text = json.dumps(event, ensure_ascii=self.chance(0.3))
        if self.chance(0.1):
            text = text[:-1] + (', "a": 1, "o": 2}' if event else "}")
        return text.encode()


def draw_case(random: random.Random) -> Case:
    """A set of rules, compiled."""
    drawer = Drawer(random)
    base: list[str | None] = [drawer.condition() for _ in range(random.randint(1, 12))]
    base += [drawer.one(base) for _ in range(random.randint(0, 3))]
    if drawer.chance(0.3):
        base += [f'value.a == "ab" && {drawer.condition(1)}' for _ in range(8)]
    if drawer.chance(0.3):
        sign = drawer.one(ORDER)
        rest = drawer.one(["value.c > 1", drawer.leaf("value.c")])
        base += [f"value.b {sign} {drawer.one(LITERALS[:7])} && {rest}" for _ in range(9)]
    if drawer.chance(0.3):
        measure, limits = drawer.one(MEASURES)
        rests = ["", "", " && value.c > 1", f" && {drawer.leaf('value.c')}"]
        for _ in range(9):
            compared = f"{measure} {drawer.one(ORDER)} {drawer.one(limits)}"
            base.append(drawer.one(["{}", "!({})"]).format(compared) + drawer.one(rests))
    if drawer.chance(0.2):
        common = drawer.one(["value.b > 1", "size(value.l) > 0", "value.o.x == 1", "value.a"])
        base += [
            f"{common} && {drawer.one(['value.c', 'value.b'])} {drawer.one(ORDER)} {n}"
            for n in range(8)
        ]
    if drawer.chance(0.2):
        base += [
            f"value.l.exists(v, v.q {drawer.one(ORDER)} {drawer.one(LITERALS[:7])})"
            for _ in range(9)
        ]
    if drawer.chance(0.2):
        for _ in range(6):
            one = f"v.q {drawer.one(ORDER)} {drawer.one(LITERALS[:7])}"
            other = drawer.leaf(drawer.one(["v", "v.q", "v.x"]))
            body = drawer.one([f"{one} && {other}", f"{other} && {one}", f"{one} && v.q != 2"])
            base.append(f"{drawer.one(['', 'value.b > 1 && '])}value.l.exists(v, {body})")
    if drawer.chance(0.2):
        tests = [
            ("startsWith", SNIPPETS),
            ("endsWith", SNIPPETS),
            ("contains", SNIPPETS),
            ("matches", PATTERNS),
        ]
        name, texts = drawer.one(tests)
        base += [f"value.a.{name}({json.dumps(text, ensure_ascii=False)})" for text in texts]
    if drawer.chance(0.1):
        base.append(None)
    options: dict[str, Any] = {
        "topic": "t",
        "stage": drawer.one(["produce", "consume"]),
        "value_format": drawer.one(["auto", "auto", "json", "json", "text", "bytes", "avro"]),
        "key_format": drawer.one(["auto", "text", "json", "bytes"]),
        "strict_values": drawer.chance(0.1),
        "framed": Registry() if drawer.chance(0.4) else None,
        **SETTING,
    }
    tombstones = tuple(drawer.chance(0.3) for _ in base)
    rules = [
        RuleInput(None if text is None else parse(text), tombstone)
        for text, tombstone in zip(base, tombstones, strict=True)
    ]
    return Case(tuple(base), tombstones, compile_rules(rules, **options), options)


def draw_event(random: random.Random) -> Event:
    """An event, ordinary or not."""
    drawer = Drawer(random)
    headers: Any = [
        (drawer.one(["h", "i", "streamwarden", "x"]), drawer.one([b"a", b"ab", b"\xff", None, b""]))
        for _ in range(random.randint(0, 4))
    ]
    if drawer.chance(0.1):
        headers = [("streamwarden", b"1;payments@15;9f3a1c2b7d4e;allow;produce")]
    if drawer.chance(0.03):
        headers = drawer.one([None, [("h",)], 5, [("h", "a"), (3, b"x")], [("h", 7)]])
    facts: Any = drawer.one(
        [
            *(
                None,
                None,
                {},
                {"score": 0.7},
                {"score": float("nan")},
                {"score": "a", "deep": {"x": 1}},
            ),
            *({"score": drawer.one(VALUES), "list": ["a", {"q": 1}]}, {"list": 5, "score": b"a"}),
        ]
    )
    key = drawer.one(
        [
            None,
            b"",
            b"a",
            b"abc",
            b"\xff",
            b'{"a": 1}',
            b"\0\0\0\0\1",
            b"5",
            b'["a"]',
            b'{"zz":1e999}',
        ]
    )
    now = drawer.one([10**18, 1_748_779_200 * 10**9, 1_748_779_200 * 10**9 + 1, 10**20])
    timestamp = drawer.one([None, 0, 1_748_779_200_000, 10**15, -1])
    return Event("t", drawer.value(), key, headers, timestamp, now, 3, drawer.one([None, 7]), facts)
