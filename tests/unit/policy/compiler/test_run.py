"""What compiled rules say about events."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from streamwarden.policy.compiler import Undecodable

from .rules import NOW, compiled, event, hits


def test_hits_are_in_the_order_of_the_rules() -> None:
    """`i` for a rule that is true, `~i` for one whose condition is an error."""
    rules = compiled("value.a == 1", "value.b > 1", "value.a == 2", None, "value.c.d == 1")

    assert rules.run(event(b'{"a": 1, "b": "x", "c": 5}')) == (0, ~1, 3, ~4)


def test_an_event_that_is_clear_costs_no_tuple() -> None:
    """All clear is one object, so that a caller may ask for it by identity."""
    rules = compiled("value.a == 1", "value.b > 1")

    found = rules.run(event(b'{"a": 2, "b": 0}'))

    assert found == ()
    assert found is rules.run(event(b'{"a": 3, "b": 0}'))


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ("value.a > 5", b'{"a": 6}', True),
        ("value.a > 5", b'{"a": 5.0}', False),
        ("value.a > 5", b'{"a": "6"}', "error"),
        ("value.a > 5", b'{"a": true}', "error"),
        ("value.a > 5", b"{}", "error"),
        ("!(value.a > 5)", b'{"a": 6}', False),
        ("!(value.a > 5)", b"{}", "error"),
        ("value.a > 5 && value.b == 1", b'{"b": 2}', False),
        ("value.a > 5 || value.b == 1", b'{"b": 1}', True),
        ("value.a > 5 || value.b == 1", b'{"b": 2}', "error"),
        ("value.a == 1", b'{"a": 1.0}', True),
        ("value.a == 1", b'{"a": true}', False),
        ("value.a == true", b'{"a": 1}', False),
        ("value.a in [1, 'x', null]", b'{"a": null}', True),
        ("value.a in []", b'{"a": null}', False),
        ("value.a in []", b"{}", "error"),
        ("!(value.a in ['x'])", b'{"a": []}', True),
        ("value.a == 18446744073709551616.0", b'{"a": 18446744073709551616}', True),
        ("value.a > 9007199254740992", b'{"a": 9007199254740993}', True),
        ("value.a > 9007199254740992.0", b'{"a": 9007199254740993}', False),
        ("value.a > 5", b'{"a": 1' + b"0" * 400 + b"}", True),
        ("type(value.a) == double", b'{"a": 9223372036854775808}', True),
        ("has(value.a)", b'{"a": null}', True),
        ("has(value.a.b)", b'{"a": {}}', False),
        ("has(value.a.b)", b'{"a": 5}', "error"),
        ("has(value.a.b)", b"{}", "error"),
        ("has(value.a) && value.a.b > 1", b"{}", False),
        ("value.a.b == 1", b'{"a": 5}', "error"),
        ("value.a.b == 1 && value.c == 1", b'{"a": 5, "c": 2}', False),
        ("value.a[0] == 1", b'{"a": [1]}', True),
        ("value.a[1] == 1", b'{"a": [1]}', "error"),
        ("value.a[-1] == 1", b'{"a": [1]}', "error"),
        ('value["odd name"] == 1', b'{"odd name": 1}', True),
        ('value["q\\"q"].x == 1', b'{"q\\"q": {"x": 1}}', True),
        ("value.l.exists(x, x.q > 5)", b'{"l": [{"q": 1}, {"q": 6}]}', True),
        ("value.l.exists(x, x.q > 5)", b'{"l": [{"q": 1}, {}]}', "error"),
        ("value.l.exists(x, x.q > 5)", b'{"l": [{}, {"q": 6}]}', True),
        ("value.l.exists(x, x.q > 5)", b'{"l": []}', False),
        ("value.l.exists(x, x.q > 5)", b'{"l": {"q": 6}}', "error"),
        ("value.l.all(x, x.q > 5)", b'{"l": []}', True),
        ("'a' in value.l", b'{"l": {"a": 1}}', True),
        ("'a' in value.l", b'{"l": "a"}', "error"),
        ("value.flag", b'{"flag": true}', True),
        ("value.flag", b'{"flag": "true"}', "error"),
        ("size(value.a) > 1", b'{"a": {"x": 1, "y": 2}}', True),
        ("size(value.a) > 1", b'{"a": 12}', "error"),
        ("value.a.startsWith('')", b'{"a": ""}', True),
        ("value.a.matches('^a+$')", b'{"a": "aaa\\n"}', False),
        ("timestamp(value.t) < timestamp('2025-01-01T00:00:00Z')", b'{"t": 0}', True),
        (
            "timestamp(value.t) < timestamp('2025-01-01T00:00:00Z')",
            b'{"t": "2024-12-31T24:00:00Z"}',
            "error",
        ),
        (
            "timestamp(value.t) < timestamp('2025-01-01T00:00:00Z')",
            b'{"t": "2024-12-31T23:59:59.999999999Z"}',
            True,
        ),
        ("value == 5", b"5", True),
        ("value.a == 5", b"5", "error"),
        ("message.a == 5", b'{"a": 5}', True),
        ("value.a == 1", b'{"a": 0, "a": 1}', True),
        ("value.a.b == 1", b'{"a": {"b": 1}, "a": {}}', "error"),
        ("value.a", b'{"a": 1}', "error"),
        ("5", b"{}", "error"),
        ("nonsense > 5", b"{}", "error"),
        ("nonsense > 5 && value.a == 1", b'{"a": 0}', False),
    ],
)
def test_conditions(condition: str, value: bytes, expected: object) -> None:
    assert hits(condition, value) == expected


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ("key == 'k'", {"key": b"k"}, True),
        ("key == null", {"key": None}, True),
        ("key == b'\\xff'", {"key": b"\xff"}, True),
        ("key.startsWith('k')", {"key": b"\xff"}, "error"),
        ("key == 'x'", {"key": b"\0\0\0\0\1x"}, "error"),
        ("key == b'\\x00k'", {"key": b"\0k", "key_format": "bytes"}, True),
        ("key.id == 7", {"key": b'{"id": 7}', "key_format": "json"}, True),
        ("key.id == 7", {"key": b"nonsense", "key_format": "json"}, "error"),
        ("has(key.id)", {"key": b"nonsense", "key_format": "json"}, "error"),
        ("key.id == 7", {"key": b'{"id": 7, "x": 1e999}', "key_format": "json"}, True),
        ("headers.h == 'b'", {"headers": [("h", b"a"), ("h", b"b")]}, True),
        ("headers.h == null", {"headers": [("h", None)]}, True),
        ("headers.h == 'a'", {"headers": []}, "error"),
        ("'h' in headers && headers['h'] == 'a'", {"headers": []}, False),
        ("headers.h == b'\\xff'", {"headers": [("h", b"\xff")]}, True),
        ("has(headers.streamwarden)", {"headers": [("streamwarden", b"x")]}, False),
        ("'streamwarden-x' in headers", {"headers": [("streamwarden-x", b"x")]}, False),
        ("'__rule.name' in headers", {"headers": [("__rule.name", b"x")]}, False),
        ("'__dlq.errors.topic' in headers", {"headers": [("__dlq.errors.topic", b"x")]}, False),
        ("size(headers) == 1", {"headers": [("__rule.name", b"x"), ("h", b"")]}, True),
        ("timestamp == now", {"timestamp": None}, True),
        ("timestamp < now", {"timestamp": 1}, True),
        ("timestamp < now", {"timestamp": 2**62}, "error"),
        ("now == timestamp('2026-01-01T00:00:00Z')", {"now": NOW}, True),
        ("facts.score > 0.5", {"facts": {"score": 0.7}}, True),
        ("facts.score > 0.5", {"facts": None}, "error"),
        ("has(facts.score)", {"facts": None}, False),
        ("facts.score > 0.5", {"facts": {"score": float("nan")}}, False),
        ("!(facts.score > 0.5)", {"facts": {"score": float("nan")}}, True),
        ("stamp.effect == 'allow'", {"headers": [("streamwarden", b"1;p@1;0123456789ab;allow;produce")]}, True),
        ("has(stamp.effect)", {"headers": [("streamwarden", b"1;nonsense")]}, False),
        ("topic == 'payments' && stage == 'produce'", {}, True),
        ("partition == 3", {"stage": "consume", "partition": 3}, True),
        ("offset > 3", {"stage": "reconcile", "offset": None}, "error"),
        ("partition == 3", {"stage": "produce", "partition": 3}, "error"),
        ("client.labels.tier == 'a'", {"client": {"labels": {"tier": "a"}}}, True),
        ("'x' in lists.words", {"lists": {"words": ["x"]}}, True),
        ("schema == {}", {}, True),
    ],
)  # fmt: skip
def test_variables(condition: str, fields: dict[str, Any], expected: object) -> None:
    assert hits(condition, b"{}", **fields) == expected


@pytest.mark.parametrize(
    ("value", "value_format", "expected"),
    [
        (b'{"a": 1}', "auto", True),
        (b"\0\0\0\0\1x", "auto", "undecodable"),
        (b"\0\0\0\0\1x", "avro", "undecodable"),
        (b"", "auto", "undecodable"),
        (b"  ", "json", "undecodable"),
        (b'{"a": 1} x', "json", "undecodable"),
        (b'{"a": 1e999}', "json", "undecodable"),
        (b'{"a": "\xff"}', "json", "undecodable"),
        (b'{"a": "\\ud800"}', "json", "undecodable"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "json", "undecodable"),
        (b'{"a": 1, "zz": 1e999}', "json", True),
        (b'{"a": 1, "zz": "\xff"}', "json", True),
        (b"text", "text", "error"),
        (b"\xff", "text", "undecodable"),
        (b"\xff", "bytes", "error"),
    ],
)
def test_formats(value: bytes, value_format: str, expected: object) -> None:
    assert hits("value.a == 1", value, value_format=value_format) == expected


def test_text_and_bytes_are_values_themselves() -> None:
    """A format other than JSON gives one value, and empty bytes are one, too."""
    assert hits("value == 'x'", b"x", value_format="text") is True
    assert hits("value == ''", b"", value_format="text") is True
    assert hits("value == b'\\xff'", b"\xff", value_format="bytes") is True


def test_strict_values_checks_what_nobody_reads() -> None:
    """And decodes even where no rule reads the value."""
    value = b'{"a": 1, "zz": "\xff"}'

    assert hits("value.a == 1", value, strict_values=True) == "undecodable"
    assert hits("key == null", value, strict_values=True) == "undecodable"
    assert hits("key == null", value) is True


def test_undecodable_still_judges_what_does_not_need_the_value() -> None:
    """Rules on key, headers and topic always run; the reason holds nothing of the bytes."""
    rules = compiled("value.a == 1", "key == null", "headers.h == 'x'", None)

    found = rules.run(event(b'{"secret-4111'))

    assert found == Undecodable((1, ~2, 3), "the bytes are not JSON")


def test_tombstones() -> None:
    """Rules that read the value are asked only where they want to be, and see null."""
    quiet = compiled("value.a == 1", "key == null", None, "value == null")
    asked = compiled("value.a == 1", "key == null", None, "value == null", tombstone=True)

    assert quiet.run(event(None)) == (1, 2)
    assert asked.run(event(None)) == (~0, 1, 2, 3)


@pytest.mark.parametrize("headers", [None, 5, [("h",)], [("h", "text")], [(3, b"x")], {"h": b"a"}])
def test_headers_that_are_none_do_not_raise(headers: Any) -> None:
    rules = compiled("headers.h == 'a'", "'h' in headers", "key == null")

    assert rules.run(event(headers=headers)) == rules.definition.run(event(headers=headers))


def test_facts_that_cannot_be_read_are_errors() -> None:
    """The mapping is the caller's own code; whatever it does, a decision is made."""

    class Broken(dict[str, object]):
        def items(self) -> Any:
            raise RuntimeError

    rules = compiled("facts.score > 1", "has(facts.score)", "key == null")

    assert rules.run(event(facts=Broken(score=2))) == (~0, ~1, 2)


def test_depth_does_not_hang_on_the_stack() -> None:
    """A value that decodes on a shallow stack decodes on a deep one."""
    rules = compiled("size(value.a) == 1")
    deep = event(b'{"a": ' + b"[" * 340 + b"]" * 340 + b"}")

    def at_depth(depth: int) -> object:
        return rules.run(deep) if depth == 0 else at_depth(depth - 1)

    assert at_depth(0) == (0,)
    assert at_depth(sys.getrecursionlimit() - 300) == (0,)


def test_compiled_rules_are_shared_by_threads() -> None:
    """Nothing of one evaluation is seen by another."""
    rules = compiled(
        *(f"value.a == {n}" for n in range(50)),
        *(f"value.a + 0 == {n} && value.l.exists(x, x.q == {n})" for n in range(20)),
    )
    events = [event(b'{"a": %d, "l": [{"q": %d}]}' % (n, n)) for n in range(50)]
    expected = [rules.definition.run(each) for each in events]
    wrong: list[object] = []

    def work() -> None:
        for _ in range(20):
            for each, wanted in zip(events, expected, strict=True):
                if rules.run(each) != wanted:
                    wrong.append(each)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


@pytest.mark.parametrize("make", [compiled, lambda: compiled("true == false")])
def test_without_rules_nothing_is_decoded(make: Callable[[], Any]) -> None:
    assert make().run(event(b"nonsense")) == ()
