"""A pytest plugin for services that use streamwarden; pytest finds it by itself.

    # pytest.ini
    [pytest]
    streamwarden_policies = policies/
    streamwarden_schemas = schemas/

    def test_large_payments_wait(streamwarden_policies):
        streamwarden_policies.assert_held({"amount": 60000}, topic="payments", rule="over-limit")

`@pytest.mark.streamwarden("other/", topic="payments", schemas=…, mode=…)` says otherwise for one
test, class or module: each setting is that of the nearest marker that has it. Without `mask_keys`,
`hash` masks are made with a key of zeros, `replay`. Nothing but pytest is imported before a fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from streamwarden.policy.guard import Guard
    from streamwarden.testing import FakeGuard, PolicyAssertions

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "streamwarden_fake_guard",
    "streamwarden_guard",
    "streamwarden_policies",
]

_POLICIES, _SCHEMAS = "streamwarden_policies", "streamwarden_schemas"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The settings of the plugin."""
    parser.addini(_POLICIES, "directories of policies, which make one bundle", type="paths")
    parser.addini(_SCHEMAS, "a directory of schemas, or the URL of a registry", default="")


def pytest_configure(config: pytest.Config) -> None:
    """The marker of the plugin."""
    config.addinivalue_line(
        "markers",
        "streamwarden(*policies, topic=None, **settings): the directories of policies, the topic "
        "and the settings of the guard that the fixtures of streamwarden give",
    )


@pytest.fixture
def streamwarden_guard(request: pytest.FixtureRequest) -> Iterator[Guard]:
    """A guard on the directories of the marker, else of the setting `streamwarden_policies`."""
    from streamwarden.errors import StreamwardenError  # noqa: PLC0415 - not before it is used
    from streamwarden.policy.guard import Guard  # noqa: PLC0415 - as above
    from streamwarden.policy.keys import TRIAL_KEYS  # noqa: PLC0415 - as above

    directories, settings = _asked(request)
    if not directories:
        pytest.fail(
            f"no policies were named; set `{_POLICIES}` or mark the test with "
            "`@pytest.mark.streamwarden('policies/')`",
            pytrace=False,
        )
    settings.pop("topic", None)
    settings.setdefault("mask_keys", TRIAL_KEYS)
    try:
        guard = Guard.from_directory(*directories, **settings)
    except (StreamwardenError, TypeError, ValueError) as error:
        # Nothing of the plugin's inside would help.
        pytest.fail(f"the guard of `{request.node.name}` cannot be made: {error}", pytrace=False)
    with guard:
        yield guard


@pytest.fixture
def streamwarden_policies(
    request: pytest.FixtureRequest, streamwarden_guard: Guard
) -> PolicyAssertions:
    """Assertions about what that guard decides: `assert_rejected(value, rule=…)` and so on."""
    from streamwarden.testing import PolicyAssertions  # noqa: PLC0415 - as above

    return PolicyAssertions(streamwarden_guard, topic=_asked(request)[1].get("topic"))


@pytest.fixture
def streamwarden_fake_guard() -> Iterator[FakeGuard]:
    """A guard without policies that lets everything pass, or answers as it is told."""
    from streamwarden.testing import FakeGuard  # noqa: PLC0415 - as above

    with FakeGuard() as guard:
        yield guard


def _asked(request: pytest.FixtureRequest) -> tuple[list[Path], dict[str, Any]]:
    """Directories and settings; relative ones of a marker lie below pytest's root directory.

    Of several markers, the nearest that says a setting, or names directories, is followed in that.
    """
    config = request.config
    root = config.rootpath
    directories: list[Path] = list(config.getini(_POLICIES))
    settings: dict[str, Any] = {}
    if schemas := str(config.getini(_SCHEMAS)):
        settings["schemas"] = schemas if "://" in schemas else root / schemas
    given: list[Path] = []
    for marker in reversed(list(request.node.iter_markers("streamwarden"))):  # the nearest last
        _check_marker(marker)
        given = [root / each for each in marker.args] or given
        settings |= marker.kwargs
    for name in ("schemas", "mask_keys", "stamp_keys"):
        path = settings.get(name)
        if isinstance(path, str) and "://" not in path:
            settings[name] = root / path
    directories = given or directories
    return directories, settings


def _check_marker(marker: pytest.Mark) -> None:
    """Fail with what is wrong with the arguments of a marker, as far as pytest can tell."""
    import inspect  # noqa: PLC0415 - not before it is used

    from streamwarden.policy.guard import Guard  # noqa: PLC0415 - as above
    from streamwarden.policy.problems import closest  # noqa: PLC0415 - as above
    from streamwarden.settings import SourceSettings  # noqa: PLC0415 - as above

    for given in marker.args:
        if not isinstance(given, (str, os.PathLike)):
            _wrong(f"`{given!r}` is no directory of policies", "write its path")
    topic: object = marker.kwargs.get("topic")
    if topic is not None and not isinstance(topic, str):
        _wrong(f"`topic={topic!r}` names no topic", "write its name")
    own = [
        name
        for name, each in inspect.signature(Guard).parameters.items()
        if each.kind is each.KEYWORD_ONLY and name != "source"
    ]
    known = ["topic", *own, *SourceSettings.model_fields]
    for name in marker.kwargs:
        if name not in known:
            _wrong(f"there is no `{name}`", closest(name, known) or f"there are {', '.join(known)}")


def _wrong(what: str, remedy: str) -> NoReturn:
    pytest.fail(f"`@pytest.mark.streamwarden`: {what}; {remedy}", pytrace=False)
