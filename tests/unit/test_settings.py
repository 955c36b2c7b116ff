"""Settings for what fails: keyword before variable before default, and nothing unknown."""

from __future__ import annotations

from pathlib import Path

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
        ({"no_polici": "refuse"}, {}, "no setting `no_polici`"),
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
