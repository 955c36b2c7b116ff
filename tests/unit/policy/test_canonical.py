"""RFC 8785, and that no two documents have the same canonical form."""

from __future__ import annotations

import json
import math
import struct

import pytest

from streamwarden.policy.canonical import canonical_json, from_portable, portable

#: Appendix B of RFC 8785: the bits of a double, and its text.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize("bits", NUMBERS)
def test_numbers_are_written_as_in_the_standard(bits: str) -> None:
    """Appendix B of RFC 8785, line by line."""
    number: float = struct.unpack(">d", bytes.fromhex(bits))[0]

    assert canonical_json(number).decode() == NUMBERS[bits]


def test_the_example_of_the_standard() -> None:
    """Section 3.2.2 and 3.2.3 of RFC 8785."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }

    assert canonical_json(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf16_code_units() -> None:
    """Section 3.2.3 of RFC 8785: a character beyond the first plane sorts by its surrogates."""
    keys = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]

    written = json.loads(canonical_json(dict.fromkeys(keys, 0)))

    assert list(written) == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


@pytest.mark.parametrize(
    "value",
    [2**53, -(2**53), math.nan, math.inf, -math.inf, {1: 2}, "\ud800", b"x", {1, 2}, object],
    ids=repr,
)
def test_what_json_does_not_have_is_refused(value: object) -> None:
    """ValueError for numbers beyond I-JSON, keys that are no text, broken Unicode, other values."""
    with pytest.raises(ValueError, match=r".*"):
        canonical_json(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (1.5, 1.5),
        (1.0, {"$double": "1"}),
        (-0.0, {"$double": "-0"}),
        (0.0, {"$double": "0"}),
        (1e300, {"$double": "1e+300"}),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$int": "9007199254740992"}),
        (-(2**64), {"$int": "-18446744073709551616"}),
        ({"$int": "1"}, {"$map": {"$int": "1"}}),
        ({"$map": {"a": 1}}, {"$map": {"$map": {"a": 1}}}),
        ({"$int": "1", "a": 2.0}, {"$int": "1", "a": {"$double": "2"}}),
        ([{"a": [2.0, "x", None, True]}], [{"a": [{"$double": "2"}, "x", None, True]}]),
        ({}, {}),
    ],
)
def test_portable_tells_apart_what_json_numbers_do_not(value: object, expected: object) -> None:
    """A value becomes what RFC 8785 can carry, and comes back as it was."""
    made = portable(value)

    assert made == expected
    assert repr(from_portable(json.loads(canonical_json(made)))) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        *({"$int": 1}, {"$double": "x"}, {"$other": "1"}, {"$map": 1}, {"$map": {"a": 1}}),
        *({"$int": "1"}, {"$int": "1_0"}, {"$double": "1.0"}, {"$double": "nan"}, [1.0], 2**53),
    ],
    ids=repr,
)
def test_forms_that_portable_never_makes_are_refused(value: object) -> None:
    """ValueError, so that a stored bundle has one form only."""
    with pytest.raises(ValueError, match=r".*"):
        from_portable(value)


def test_portable_refuses_what_documents_do_not_have() -> None:
    """ValueError for numbers that are not finite and values that are not JSON."""
    for value in (math.nan, math.inf, b"x", object()):
        with pytest.raises(ValueError, match=r".*"):
            portable([value])
