"""What may be sent, and in which form the guard sees it."""

from __future__ import annotations

import pytest

from streamwarden.producers.outgoing import as_bytes, check_topic_name, normal_headers


@pytest.mark.parametrize("name", ["payments", "a.b_c-D9", "x" * 249])
def test_topic_names_that_kafka_takes_pass(name: str) -> None:
    """The rule is the broker's own."""
    check_topic_name(name)


@pytest.mark.parametrize("name", ["", "a b", ".", "..", "ä", "a/b", "x" * 250, "a\n", "a\0"])
def test_topic_names_that_no_topic_can_have_are_refused(name: str) -> None:
    """The client takes them, and the failure comes late or never."""
    with pytest.raises(ValueError, match="no topic name"):
        check_topic_name(name)


def test_a_topic_is_named_by_text() -> None:
    """As for the client."""
    with pytest.raises(TypeError):
        check_topic_name(b"payments")


def test_text_is_sent_as_utf_8() -> None:
    """As by the client."""
    assert as_bytes("ä", "key") == b"\xc3\xa4"
    assert as_bytes(b"\xff", "key") == b"\xff"
    assert as_bytes(None, "key") is None


@pytest.mark.parametrize("data", [1, bytearray(b"x"), memoryview(b"x"), {}])
def test_other_types_are_refused(data: object) -> None:
    """As by the client."""
    with pytest.raises(TypeError, match="a value is bytes, str or None"):
        as_bytes(data, "value")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, []),
        ([], []),
        ({}, []),
        ({"a": "text", "b": b"\xff", "c": None}, [("a", b"text"), ("b", b"\xff"), ("c", None)]),
        ([("a", b"1"), ("a", b"2")], [("a", b"1"), ("a", b"2")]),
        ([(b"a", b"1")], [("a", b"1")]),
    ],
)
def test_headers_keep_order_and_duplicates(
    given: object, expected: list[tuple[str, bytes | None]]
) -> None:
    """A dict or a list of tuples, as the client takes them."""
    assert normal_headers(given) == expected


@pytest.mark.parametrize("given", [(("a", b"x"),), [["a", b"x"]], [("a", 1)], [("a",)], [(1, b"")]])
def test_other_headers_are_refused_as_by_the_client(given: object) -> None:
    """What the client takes for a mistake is one here too."""
    with pytest.raises(TypeError):
        normal_headers(given)


def test_a_nul_in_a_header_name_is_refused() -> None:
    """The client would cut the name at the NUL, and send another header than was given."""
    with pytest.raises(ValueError, match="NUL"):
        normal_headers([("x-trusted\0y", b"1")])
