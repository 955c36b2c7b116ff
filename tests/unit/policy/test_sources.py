"""Following a store: what is taken, what is refused, what happens when it is silent."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streamwarden.errors import ConfigurationError, NoPolicyError, StoreError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.policy.sources import StoreSource, open_source
from streamwarden.policy.store import ActiveBundle

from .store_contract import bundle


class Moody(DirectoryStore):
    """A directory store that fails when it is told to."""

    failure: Exception | None = None

    def active(self) -> ActiveBundle | None:
        if self.failure is not None:
            raise self.failure
        return super().active()


UNREACHABLE = StoreError("it is away", remedy="wait", code="SW196")


@pytest.fixture
def store(tmp_path: Path) -> Moody:
    return Moody(tmp_path / "store", name="payments")


def follow(store: Moody, **settings: object) -> Guard:
    """A guard that follows `store`, and asks it often."""
    source = StoreSource(lambda: store, poll_s=0.02)
    return Guard(source=source, **{"last_known_good": "off", **settings})  # type: ignore[arg-type]


def put(store: Moody, published: Bundle) -> None:
    number = store.publish(published, by="ann", reason="x").number
    store.activate(number, by="ann", reason="go")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.005)


def started(guard: Guard) -> bool:
    try:
        guard.start()
    except NoPolicyError:
        return False
    return True


def test_nothing_is_read_before_the_start(store: Moody) -> None:
    """A guard can be made where its store is out of reach."""
    store.failure = UNREACHABLE

    guard = follow(store)

    with pytest.raises(StoreError, match="it is away"):
        guard.decide(topic="t", value=b"{}")
    assert guard.source_last_success is None


def test_a_guard_without_policy_takes_the_first_one(store: Moody) -> None:
    """It refuses until then; `fail_open` passes everything until then."""
    put_later = bundle("a")
    store.path.mkdir()
    refusing, open_ = follow(store), follow(store, no_policy="fail_open")
    store.failure = UNREACHABLE
    with open_:
        assert open_.bundle.label == "none@0"
        store.failure = None
        with pytest.raises(NoPolicyError):
            refusing.start()

        put(store, put_later)

        until(lambda: open_.bundle.label == "payments@1")
        until(lambda: started(refusing))
        assert refusing.bundle.label == "payments@1"
        refusing.close()


def test_what_the_disk_does_not_take_is_written_once_it_does(store: Moody, tmp_path: Path) -> None:
    """It is used meanwhile, told once, and there for a start without the store."""
    folder = tmp_path / "kept"
    folder.write_text("in the way")
    put(store, bundle("a"))

    with follow(store, last_known_good=folder / "policy.json") as guard:
        guard.start()
        until(lambda: guard.counters["dropped/last_known_good/write_failed"] == 1)
        folder.unlink()
        until((folder / "policy.json").exists)
        assert guard.counters["dropped/last_known_good/write_failed"] == 1
    store.failure = UNREACHABLE

    with follow(store, last_known_good=folder / "policy.json") as again:
        again.start()
        assert again.bundle.label == "payments@1"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A mistyped path refuses to start; `fail_open` starts, counts it, and follows once it is there."""
    url = f"dir:{tmp_path / 'store'}"
    with pytest.raises(StoreError, match="there is no store at"):
        Guard.from_url(url).start()
    with Guard.from_url(url, no_policy="fail_open") as guard:
        assert guard.decide(topic="t", value=b"{}").bundle == "none@0"
        assert guard.counters["fallbacks/source"] >= 1

        put(Moody(tmp_path / "store", name="payments"), bundle("a"))

        until(lambda: guard.bundle.label == "payments@1")


@pytest.mark.slow
def test_a_silent_store_is_counted_and_told_once(
    store: Moody, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it says, however often; and when it answers again."""
    caplog.set_level(logging.INFO, "streamwarden")
    put(store, bundle("a"))
    with follow(store) as guard:
        first = guard.source_last_success
        store.failure = UNREACHABLE
        until(lambda: guard.counters.get("fallbacks/source", 0) > 5)
        store.failure = RuntimeError("a bug")
        until(lambda: "internal error: a bug" in caplog.text)
        store.failure = None
        until(lambda: "answers again" in caplog.text)
        put(store, bundle("b"))
        until(lambda: guard.bundle.label == "payments@2")
        last = guard.source_last_success

    assert caplog.text.count("it is away") == 1
    assert first is not None
    assert last is not None
    assert last > first


def test_stop_stops_and_goes_on(store: Moody) -> None:
    """After `stale_after_s` without a word nothing is decided, until the store answers."""
    put(store, bundle("a"))
    with follow(store, source_unreachable="stop", stale_after_s=0.1) as guard:
        store.failure = UNREACHABLE
        until(lambda: guard.counters.get("fallbacks/stopped", 0) == 1)
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                guard.decide(topic="t", value=b"{}")
            assert caught.value.code == "SW198"
            assert "it is away" in str(caught.value)
        store.failure = None
        put(store, bundle("b"))

        until(lambda: guard.halted is None)

        assert guard.decide(topic="t", value=b"{}").bundle == "payments@2"


def test_keep_keeps(store: Moody, caplog: pytest.LogCaptureFixture) -> None:
    """By default a guard decides on, and says how long it has heard nothing."""
    put(store, bundle("a"))
    with follow(store, stale_after_s=0.05) as guard:
        store.failure = UNREACHABLE
        until(lambda: "has been silent for" in caplog.text)

        assert guard.decide(topic="t", value=b"{}").bundle == "payments@1"


@pytest.mark.parametrize(
    ("code", "reason"), [("SW190", "newer_format"), ("SW191", "digest"), ("SW192", "damaged")]
)
def test_a_bundle_that_is_not_right_is_refused(store: Moody, code: str, reason: str) -> None:
    """Counted once; the store has answered, so that nothing is stale."""
    put(store, bundle("a"))
    with follow(store, source_unreachable="stop", stale_after_s=0.1) as guard:
        store.failure = StoreError("not right", code=code)
        until(lambda: guard.counters.get(f"bundle_refused/{reason}", 0) == 1)
        time.sleep(0.2)

        assert guard.decide(topic="t", value=b"{}").bundle == "payments@1"
        assert "fallbacks/source" not in guard.counters


def test_what_the_guard_refuses_is_refused_once(
    store: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard stays as it was, is not compiled again and again, and takes the next one."""
    put(store, bundle("a"))
    tried: list[str] = []
    with follow(store) as guard:
        swap = guard.swap

        def picky(given: Bundle) -> None:
            tried.append(given.label)
            if given.number == 2:
                raise ConfigurationError("no mask key")
            if given.number == 3:
                raise RuntimeError("a bug")
            swap(given)

        monkeypatch.setattr(guard, "swap", picky)
        put(store, bundle("b"))
        until(lambda: guard.counters.get("bundle_refused/configuration", 0) == 1)
        put(store, bundle("c"))
        until(lambda: guard.counters.get("bundle_refused/internal", 0) == 1)
        time.sleep(0.1)
        assert guard.bundle.label == "payments@1"
        put(store, bundle("d"))
        until(lambda: guard.bundle.label == "payments@4")

    assert tried == ["payments@2", "payments@3", "payments@4"]


def test_the_last_good_policy_counts_as_known(
    store: Moody, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is older than the file is not believed; without the file it would be."""
    file = tmp_path / "policy.json"
    put(store, bundle("a"))
    put(store, bundle("b"))
    with follow(store, last_known_good=file) as guard:
        assert guard.bundle.label == "payments@2"
    older = Moody(tmp_path / "older", name="payments")
    put(older, bundle("z"))

    with follow(older, last_known_good=file) as guard:
        assert guard.bundle.digest == bundle("b").digest
        assert guard.counters["bundle_refused/lower_epoch"] == 1
    with follow(older) as guard:
        assert guard.bundle.digest == bundle("z").digest
    assert f"remove `{file}`" in caplog.text


@pytest.mark.parametrize("what", ["damaged", "unreadable", "unwritable"])
def test_a_file_that_is_of_no_use_is_never_fatal(
    store: Moody, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted and told; the store's own policy decides."""
    put(store, bundle("a"))
    file = tmp_path / "policy.json"
    if what == "damaged":
        file.write_text("{")
    elif what == "unreadable":
        file.mkdir()
    else:
        (tmp_path / "file").touch()
        file = tmp_path / "file" / "policy.json"

    with follow(store, last_known_good=file) as guard:
        assert guard.decide(topic="t", value=b"{}").bundle == "payments@1"
        counted = dict(guard.counters)

    if what == "damaged":
        assert counted == {"bundle_refused/last_known_good_damaged": 1}
    else:
        assert any(name.startswith("dropped/last_known_good/") for name in counted)
    assert str(file) in caplog.text


def test_a_directory_needs_no_file(store: Moody) -> None:
    """It is on this machine already; the user's state directory stays empty."""
    put(store, bundle("a"))
    state = Path(os.environ["XDG_STATE_HOME"])
    before = sorted(state.rglob("*"))

    with Guard.from_url(f"dir:{store.path}?bundle=payments") as guard:
        assert guard.bundle.label == "payments@1"

    assert sorted(state.rglob("*")) == before


def test_closing_waits_no_longer_than_it_is_told(
    store: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a store that does not answer; what is asked just then is let go of later."""
    put(store, bundle("a"))
    asked, answer = threading.Event(), threading.Event()

    def wait_for_change(timeout_s: float) -> bool:  # noqa: ARG001 - as a store's
        asked.set()
        return answer.wait(30)

    monkeypatch.setattr(store, "wait_for_change", wait_for_change)
    others = {*threading.enumerate()}  # other tests may have left some that go on for a while
    guard = follow(store).start()
    assert asked.wait(30)

    guard.close(timeout=0.05)

    assert not answer.is_set()  # or it would have waited for that
    begun = {*threading.enumerate()} - others
    following = [each for each in begun if each.name == "streamwarden-source"]
    assert following
    answer.set()
    for thread in following:
        thread.join(30)
        assert not thread.is_alive()


def test_closing_ends_the_thread(store: Moody) -> None:
    """At once; the guard goes on deciding by what it has."""
    put(store, bundle("a"))
    guard = follow(store).start()

    start = time.monotonic()
    guard.close()
    guard.close()

    assert time.monotonic() - start < 1
    assert guard.decide(topic="t", value=b"{}").bundle == "payments@1"


def test_a_forked_child_follows_by_itself(store: Moody) -> None:
    """Threads do not survive a fork: the child has one of its own, and so has the parent."""
    put(store, bundle("a"))
    source = open_source(f"dir:{store.path}?bundle=payments")
    with Guard(source=source) as guard:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.write(write, b"x")
                until(lambda: guard.bundle.label == "payments@2")
                status = 0
            finally:
                os._exit(status)
        assert os.read(read, 1) == b"x"
        put(store, bundle("b"))

        _, status = os.waitpid(child, 0)

        until(lambda: guard.bundle.label == "payments@2")
        os.close(read)
        os.close(write)
    assert os.waitstatus_to_exitcode(status) == 0
