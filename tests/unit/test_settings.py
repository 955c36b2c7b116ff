"""Settings for what fails: keyword before variable before default, and nothing unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ConfigurationError
from streamwarden.policy.guard import Guard
from streamwarden.settings import GivenSettings, SourceSettings, source_settings


def test_keywords_beat_variables_beat_defaults() -> None:
    """None is not given, and so is an empty variable."""
    environ = {
        "STREAMWARDEN_SOURCE_UNREACHABLE": "stop",
        "STREAMWARDEN_STALE_AFTER_S": "60",
        "STREAMWARDEN_LAST_KNOWN_GOOD": "",
    }

    found = source_settings({"stale_after_s": 5, "source_unreachable": None}, environ)

    assert str(found) == (
        "no_policy=refuse source_unreachable=stop stale_after_s=5.0 last_known_good=default "
        "schema_unavailable=error schema_timeout_s=5.0 schema_wait_s=60.0 "
        "decision_log_unreachable=drop flood=stop flood_ratio=0.5 flood_events=500 "
        "flood_window_s=60.0 verify_stamps=ignore stale_stamp=re-evaluate "
        "stale_stamp_versions=None stale_stamp_age_s=None waiting_keys_max=10000 "
        "waiting_keys_full=stop"
    )


@pytest.mark.parametrize(
    ("given", "environ", "said"),
    [
        ({"no_policy": "open"}, {}, "`no_policy` is `open`; use `refuse` or `fail_open`"),
        ({"stale_after_s": 0}, {}, "`stale_after_s` is `0`; use greater than 0"),
        ({"stale_after_s": "nan"}, {}, "`stale_after_s` is `nan`"),
        ({}, {"STREAMWARDEN_STALE_AFTER_S": "soon"}, "`stale_after_s` is `soon`"),
        ({"no_polici": "refuse"}, {}, "no setting `no_polici`; did you mean `no_policy`?"),
        ({"colour": "red"}, {}, "no setting `colour`; there are no_policy, source_unreachable, "),
        ({}, {"STREAMWARDEN_NO_POLICI": "refuse"}, "write STREAMWARDEN_NO_POLICY"),
        ({}, {"STREAMWARDEN_MODE": "shadow"}, "give `mode` to the guard, as a keyword"),
        ({}, {"STREAMWARDEN_STAMP_KEYS": "keys.json"}, "give `stamp_keys` to the guard"),
    ],
)
def test_what_makes_no_sense_is_refused(
    given: dict[str, object], environ: dict[str, str], said: str
) -> None:
    """With what to write instead; a misspelt variable counts as unknown, not as nothing."""
    with pytest.raises(ConfigurationError) as caught:
        source_settings(given, environ)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mod", "did you mean `mode`?"),
        ("stampkeys", "did you mean `stamp_keys`?"),
        ("flod", "did you mean `flood`?"),
    ],
)
def test_a_misspelt_keyword_of_a_guard_is_told_with_the_one_that_was_meant(
    tmp_path: Path, given: str, said: str
) -> None:
    """Settings and the other keywords alike; where none is near, all of them are named."""
    settings: dict[str, Any] = {given: "shadow"}
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_directory(tmp_path, **settings)
    assert said in str(caught.value)

    unlike: dict[str, Any] = {"colour": "red"}
    with pytest.raises(ConfigurationError) as caught:
        Guard(**unlike)
    for name in ("mode", "stamp_keys", "mask_keys", "decision_log", "no_policy"):
        assert f" {name}," in str(caught.value)


def test_variables_of_others_are_left_alone() -> None:
    """Settings of clients, and what a cluster puts into a container called streamwarden."""
    others = (
        *("SERVICE_HOST", "BOOTSTRAP_SERVERS", "PARKING_UNREACHABLE"),
        *("DECISION_LOG", "ON_HANDLER_ERROR", "DEBUG"),
    )
    environ = {f"STREAMWARDEN_{name}": "x" for name in others}

    assert source_settings({}, environ) == source_settings({}, {})


def test_a_guard_takes_them_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And by keyword."""
    monkeypatch.setenv("STREAMWARDEN_NO_POLICY", "fail_open")

    guard = Guard(last_known_good=tmp_path / "x.json")

    assert guard.failing.no_policy == "fail_open"
    assert guard.failing.last_known_good == str(tmp_path / "x.json")
    assert guard.start().bundle.label == "none@0"


def test_every_setting_is_a_keyword() -> None:
    """Type checkers know each of them, and no other."""
    assert set(GivenSettings.__annotations__) == set(SourceSettings.model_fields)
