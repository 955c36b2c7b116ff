"""A failure mode is what the keyword says, else the variable, else the safe default."""

from __future__ import annotations

import pytest

from streamwarden.errors import ConfigurationError
from streamwarden.producers.failing import failure_mode

CHOICES = ("stop", "block")


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [
        (None, None, "stop"),
        (None, "", "stop"),
        (None, "block", "block"),
        ("stop", "block", "stop"),
        (None, "error", "stop"),  # what a producer calls the same default
    ],
)
def test_keyword_before_variable_before_default(
    given: str | None, variable: str | None, expected: str
) -> None:
    """One variable serves producers and consumers of a process."""
    environ = {} if variable is None else {"STREAMWARDEN_PARKING_UNREACHABLE": variable}

    assert failure_mode("parking_unreachable", given, CHOICES, environ) == expected


@pytest.mark.parametrize(
    ("given", "variable", "named"),
    [
        ("explode", None, "parking_unreachable"),
        ("explode", "block", "parking_unreachable"),
        (None, "explode", "STREAMWARDEN_PARKING_UNREACHABLE"),
    ],
)
def test_what_makes_no_sense_is_refused(
    given: str | None, variable: str | None, named: str
) -> None:
    """Never guessed: told by the name that was used, with the values that there are."""
    environ = {"STREAMWARDEN_PARKING_UNREACHABLE": variable} if variable else {}

    with pytest.raises(ConfigurationError) as caught:
        failure_mode("parking_unreachable", given, CHOICES, environ)

    assert str(caught.value) == f"`{named}` is `explode`; this client takes stop or block"
