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


@pytest.mark.parametrize(("given", "variable"), [("explode", None), (None, "explode")])
def test_what_makes_no_sense_is_refused(given: str | None, variable: str | None) -> None:
    """Never guessed."""
    environ = {"STREAMWARDEN_ON_HANDLER_ERROR": variable} if variable else {}

    with pytest.raises(ConfigurationError, match="`on_handler_error` is `explode`"):
        failure_mode("on_handler_error", given, CHOICES, environ)
