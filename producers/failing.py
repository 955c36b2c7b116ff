"""What the guarded clients do when something fails: by keyword, else by variable, else safely."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

from streamwarden.errors import ConfigurationError

__all__ = ["failure_mode"]

log = logging.getLogger("streamwarden")

#: The default of `parking_unreachable` has one name for each client; one variable serves both.
_SAME = {"error": "stop", "stop": "error"}


def failure_mode(
    name: str,
    given: str | None,
    choices: Sequence[str],
    environ: Mapping[str, str] | None = None,
) -> str:
    """The effective value of a setting, the first of `choices` when nobody says; logged.

    `given` is the keyword; else `STREAMWARDEN_…` of `environ` counts. Raises ConfigurationError.
    """
    value, said_by = given, name
    if value is None:
        variables = os.environ if environ is None else environ
        said_by = f"STREAMWARDEN_{name.upper()}"
        value = variables.get(said_by) or choices[0]
        if value not in choices:
            value = _SAME.get(value, value)
    if value not in choices:
        remedy = f"this client takes {' or '.join(choices)}"
        raise ConfigurationError(f"`{said_by}` is `{value}`", remedy=remedy)
    log.info("settings: %s=%s", name, value)
    return value
