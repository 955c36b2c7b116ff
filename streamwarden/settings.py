"""Settings for what fails: by keyword, else by `STREAMWARDEN_…` variables, else the safe default."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamwarden.errors import ConfigurationError

__all__ = ["GivenSettings", "SourceSettings", "source_settings"]

_PREFIX: Final = "STREAMWARDEN_"
#: What somebody might well expect of the environment, and would go without if it were ignored.
_KEYWORDS_ALONE: Final = frozenset({"mode", "stamp_keys", "mask_keys", "labels", "client_id"})
#: Above this a variable is a setting misspelt; below, it is somebody else's. Not every unknown name
#: can be refused: a cluster puts variables like STREAMWARDEN_SERVICE_HOST into every container.
_ALIKE: Final = 0.8


class SourceSettings(BaseModel):
    """What a guard does when something fails: its policy's source, what it needs, what it meets.

    `no_policy`: `refuse` to decide, or `fail_open`, where every event passes, stamped `none`.
    `source_unreachable`: `keep` the last good policy, or `stop` deciding once nothing was heard for
    `stale_after_s`. `last_known_good`: the file that the policy is kept in for the next start;
    `default` is a file of the user's state directory for stores that are not on this machine, `off`
    is none. `schema_unavailable`: an event whose schema cannot be had now is an `error` to the
    caller (a consumer waits for up to `schema_wait_s` first), or `undecodable`; one lookup takes up
    to `schema_timeout_s`. `decision_log_unreachable`: an entry that the decision log has no room for
    is dropped and counted (`drop`), or nothing is decided until there is (`block`). `flood`: when
    more than `flood_ratio` of at least `flood_events` events within `flood_window_s` are refused,
    nothing more is decided (`stop`), or it is only said (`warn`). `verify_stamps`: whether events
    that are consumed need a stamp signed with a known key (`require`), are only told of where they
    have none (`warn`), or are not looked at (`ignore`). `stale_stamp`: what is done with those that
    an older version stamped, by `stale_stamp_versions` or for `stale_stamp_age_s` seconds: today's
    policy decides (`re-evaluate`), or their signed stamp (`trust`), or they are refused
    (`quarantine`). `waiting_keys_full`: with `park: key`, what is done where events of
    `waiting_keys_max` keys of a partition wait and one more is refused: a consumer stops before it
    (`stop`), or its key is not remembered, and later events of it go on (`pass`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_policy: Literal["refuse", "fail_open"] = "refuse"
    source_unreachable: Literal["keep", "stop"] = "keep"
    stale_after_s: Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False)] = 300.0
    last_known_good: Annotated[str, Field(min_length=1)] = "default"
    schema_unavailable: Literal["error", "undecodable"] = "error"
    schema_timeout_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 5.0
    schema_wait_s: Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)] = 60.0
    decision_log_unreachable: Literal["drop", "block"] = "drop"
    flood: Literal["stop", "warn"] = "stop"
    flood_ratio: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.5
    flood_events: Annotated[int, Field(ge=1, le=1_000_000_000)] = 500
    flood_window_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 60.0
    verify_stamps: Literal["ignore", "warn", "require"] = "ignore"
    stale_stamp: Literal["re-evaluate", "trust", "quarantine"] = "re-evaluate"
    stale_stamp_versions: Annotated[int | None, Field(ge=1, le=1_000_000_000)] = None
    stale_stamp_age_s: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    waiting_keys_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    waiting_keys_full: Literal["stop", "pass"] = "stop"

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.model_dump().items())


class GivenSettings(TypedDict, total=False):
    """SourceSettings as keywords; None is not given."""

    no_policy: str | None
    source_unreachable: str | None
    stale_after_s: float | None
    last_known_good: str | Path | None
    schema_unavailable: str | None
    schema_timeout_s: float | None
    schema_wait_s: float | None
    decision_log_unreachable: str | None
    flood: str | None
    flood_ratio: float | None
    flood_events: int | None
    flood_window_s: float | None
    verify_stamps: str | None
    stale_stamp: str | None
    stale_stamp_versions: int | None
    stale_stamp_age_s: float | None
    waiting_keys_max: int | None
    waiting_keys_full: str | None


def source_settings(
    given: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
    *,
    beside: Iterable[str] = (),
) -> SourceSettings:
    """The effective settings; None among the `given` is not given. Raises ConfigurationError.

    Unknown names are refused, and so are variables that look like a setting misspelt, or like a
    keyword of the guard that is no setting. `beside` are the other keywords that may have been meant.
    """
    known = SourceSettings.model_fields
    variables = os.environ if environ is None else environ
    for variable in variables:
        name = variable.removeprefix(_PREFIX).lower()
        if variable.startswith(_PREFIX) and variables[variable] and name in _KEYWORDS_ALONE:
            raise ConfigurationError(
                f"`{variable}` is no setting", remedy=f"give `{name}` to the guard, as a keyword"
            )
        if variable.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
            if near:
                raise ConfigurationError(
                    f"`{variable}` is no setting", remedy=f"write {_PREFIX}{near[0].upper()}"
                )
    values: dict[str, Any] = {
        name: variables[_PREFIX + name.upper()]
        for name in known
        if variables.get(_PREFIX + name.upper())
    }
    for name, value in given.items():
        if value is not None:
            values[name] = str(value) if isinstance(value, Path) else value
    try:
        return SourceSettings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        if name not in known:
            raise _unknown(name, [*beside, *known]) from None
        raise ConfigurationError(
            f"`{name}` is `{values[name]}`", remedy=_remedy(first["msg"])
        ) from None


def _unknown(name: str, keywords: list[str]) -> ConfigurationError:
    """What is said of a keyword that is none of `keywords`."""
    near = difflib.get_close_matches(name.lower(), keywords, n=1)
    remedy = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(keywords)}"
    return ConfigurationError(f"there is no setting `{name}`", remedy=remedy)


def _remedy(message: str) -> str:
    """What pydantic says, in our words: lower case, without quotes."""
    text = message.removeprefix("Input should be ").replace("'", "`")
    return f"use {text[:1].lower()}{text[1:]}"
