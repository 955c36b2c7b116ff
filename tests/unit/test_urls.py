"""URLs are shown without what is secret in them, and malformed ones are told by their setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarden.errors import ConfigurationError, StreamwardenError
from streamwarden.policy.guard import Guard
from streamwarden.policy.store import open_store
from streamwarden.producers.log_target import log_target
from streamwarden.reconciler.decision_log import check_log_place
from streamwarden.reconciler.metrics import push
from streamwarden.schemas.pull import pull
from streamwarden.urls import http_url, shown_url

SECRET = "geheim"
#: What people write behind `SCHEME://` when a password has something in it that belongs escaped.
MALFORMED = (
    *("u:geheim@[x", "u:geheim@h:port", "u:geheim@h:99999999", "u:geheim@h℀:1", "u:geheim@"),
    *("u:a@geheim@[x", "u:x/geheim@h:y", "u:x?geheim@h:y", "u:x#geheim@h:y"),
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://registry:8081/apis", "http://registry:8081/apis"),
        ("http://[::1]:8081", "http://[::1]:8081"),
        ("kafka://one:9092,two:9092/bundles", "kafka://one:9092,two:9092/bundles"),
        ("https://user:pa%40ss@registry/v7?key=SECRET#x", "https://***@registry/v7"),
        ("http://u:p@q/r@host:1/x", "http://***@host:1/x"),
        ("http://u:p?q@host:1", "http:***"),
        ("http://u:p#q@host:1", "http://***@host:1"),
        ("http://u:p", "http:***"),
        ("http://h/x?token=a@b", "http:***"),
        ("redis://u:p@[x", "redis://***@[x"),
        ("redis:u:p@h", "***"),
        ("u:p@h", "***"),
        ("redis+unix:///run/redis.sock?db=1", "redis+unix:///run/redis.sock"),
        ("dir:/srv/me@work/store?bundle=b", "dir:/srv/me@work/store"),
        ("file://u:p@h/log", "file://***@h/log"),
        ("store", "store"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@given(st.text(max_size=8), st.text(max_size=8), st.sampled_from(["", ":1", ":1/x", "/0?bundle=b"]))
def test_no_password_is_shown_whatever_is_in_it(before: str, after: str, rest: str) -> None:
    """Escaped or not: what is shown is what stands behind it, or less."""
    url = f"redis://ann:{before}{SECRET}{after}@host{rest}"

    assert SECRET not in shown_url(url)


def test_the_parts_of_a_url() -> None:
    """Credentials are unescaped, and no part of what is passed on has them."""
    found = http_url(" https://ann:s%40c%2Fret@[::1]:8081/apis?x=1 ", "schemas")

    assert (found.bare, found.place) == ("https://[::1]:8081/apis?x=1", "[::1]:8081")
    assert (found.user, found.password) == ("ann", "s@c/ret")
    assert "ret" not in repr(found)


@pytest.mark.parametrize("rest", MALFORMED)
def test_a_malformed_registry_is_told_when_the_guard_is_made(tmp_path: Path, rest: str) -> None:
    """Not with the first event, by an error that says that the registry is away."""
    for schemas in (
        f"http://{rest}",
        {"url": f"http://{rest}"},
        {"url": f"http://a,https://{rest}"},
    ):
        with pytest.raises(ConfigurationError, match=r"^`schemas` is ") as raised:
            Guard.from_directory(tmp_path, schemas=schemas)
        assert SECRET not in str(raised.value)
    with pytest.raises(ConfigurationError, match=r"^`registry` is "):
        pull(f"http://{rest}", tmp_path)


@pytest.mark.parametrize("rest", MALFORMED)
def test_no_malformed_url_shows_its_password(rest: str) -> None:
    """Of a store, a decision log, a push gateway: an error of our own, in one line."""
    report = {"bundle": "b@1", "complete": True}
    asked: tuple[Callable[[], object], ...] = (
        lambda: open_store(f"kafka://{rest}/t?bundle=b"),
        lambda: log_target(f"kafka://{rest}/t"),
        lambda: check_log_place(f"kafka://{rest}/t"),
        lambda: push(report, f"http://{rest}"),
        lambda: http_url(f"http://{rest}", "FILE|URL"),
    )

    for ask in asked:
        with pytest.raises(StreamwardenError) as raised:
            ask()
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("schemas", ["ftp://registry", {}, {"url": ""}, {"url": 7}])
def test_what_is_no_url_of_a_registry(tmp_path: Path, schemas: object) -> None:
    with pytest.raises(ConfigurationError, match="`schemas`") as raised:
        Guard.from_directory(tmp_path, schemas=schemas)  # type: ignore[arg-type]

    assert "http://HOST:PORT" in raised.value.remedy
