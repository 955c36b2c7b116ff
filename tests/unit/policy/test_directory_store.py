"""The directory store: numbers once, activation by epoch, safe between processes, clear errors."""

from __future__ import annotations

import json
import multiprocessing
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from streamwarden.errors import StoreError
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.store import BundleStore, StoreAddress, open_store, register_store

from .store_contract import OpenStore, StoreContract, bundle


class TestContract(StoreContract):
    """What every store promises."""

    @pytest.fixture
    def open_it(self, tmp_path: Path) -> OpenStore:
        (tmp_path / "store").mkdir()
        return lambda name: DirectoryStore(tmp_path / "store", name=name)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store whose clock ticks once a reading."""
    ticks: Iterator[int] = count(1000)
    (tmp_path / "store").mkdir()
    return DirectoryStore(tmp_path / "store", clock=lambda: next(ticks))


def test_an_empty_store_has_nothing(store: DirectoryStore) -> None:
    """Nothing is made by looking."""
    assert store.active() is None
    assert store.history() == ()
    assert store.activations() == ()
    assert store.by_digest("0" * 12) is None
    assert list(store.path.iterdir()) == []


@pytest.mark.parametrize("name", [None, "payments"])
def test_a_directory_that_is_not_there_is_no_empty_store(tmp_path: Path, name: str | None) -> None:
    """A mistyped path is told by whoever reads; publishing makes the directory."""
    store = DirectoryStore(tmp_path / "stroe", name=name)

    for action in (
        store.active,
        store.history,
        store.activations,
        lambda: store.get(1),
        lambda: store.by_digest("0" * 12),
        lambda: store.activate(1, by="ann", reason="go"),
    ):
        with pytest.raises(StoreError, match=r"there is no store at `.*stroe`") as caught:
            action()
        assert caught.value.code == "SW196"
    assert not store.exists()

    store.publish(bundle(), by="ann", reason="first")

    assert store.exists()
    assert [each.number for each in store.history()] == [1]


def test_what_is_published_is_numbered_and_found(store: DirectoryStore) -> None:
    """Numbers count from 1; the same content may be published again under the next."""
    one = store.publish(bundle("a"), by="ann", reason="first")
    two = store.publish(bundle("b"), by="bob", reason="second")
    again = store.publish(bundle("a"), by="ann", reason="back")

    assert [one.label, two.label, again.label] == ["payments@1", "payments@2", "payments@3"]
    assert store.get(2).digest == two.digest
    assert store.get(2).label == "payments@2"
    assert store.by_digest(one.digest[:12]) == store.get(1)
    assert store.by_digest(one.digest) == store.get(1)
    assert [(p.number, p.digest, p.at, p.by, p.reason) for p in store.history()] == [
        (1, one.digest, 1000, "ann", "first"),
        (2, two.digest, 1001, "bob", "second"),
        (3, one.digest, 1002, "ann", "back"),
    ]


def test_activation_is_a_record_of_its_own(store: DirectoryStore) -> None:
    """Rollback is the activation of an older number; the epoch increases."""
    store.publish(bundle("a"), by="ann", reason="first")
    store.publish(bundle("b"), by="ann", reason="second")

    forward = store.activate(2, by="ann", reason="go")
    back = store.activate(1, by="bob", reason="it refused everything", expected=1)

    active = store.active()
    assert active is not None
    assert active.activation == back
    assert active.bundle.label == "payments@1"
    assert (forward.epoch, back.epoch) == (1, 2)
    assert store.activations() == (forward, back)


def test_publishing_expects_what_was_seen(store: DirectoryStore) -> None:
    """With `expected`, a change in between is refused and nothing is written."""
    store.publish(bundle("a"), by="ann", reason="first", expected=0)

    with pytest.raises(StoreError) as caught:
        store.publish(bundle("b"), by="bob", reason="late", expected=0)

    assert caught.value.code == "SW193"
    assert len(store.history()) == 1
    assert store.publish(bundle("b"), by="bob", reason="looked", expected=1).number == 2


def test_activating_expects_what_was_seen(store: DirectoryStore) -> None:
    """Likewise for epochs."""
    store.publish(bundle("a"), by="ann", reason="first")
    store.activate(1, by="ann", reason="go", expected=0)

    with pytest.raises(StoreError) as caught:
        store.activate(1, by="bob", reason="late", expected=0)

    assert caught.value.code == "SW193"


def test_what_is_not_there(store: DirectoryStore) -> None:
    """Unknown numbers cannot be read or activated."""
    for action in (
        lambda: store.get(1),
        lambda: store.activate(1, by="ann", reason="go"),
    ):
        with pytest.raises(StoreError) as caught:
            action()
        assert caught.value.code == "SW194"
        assert str(caught.value).startswith(f"there is no bundle 1 in `{store.path}`; nothing was")


@pytest.mark.parametrize(
    ("published", "says"),
    [(1, "there is 1"), (3, "there are 1, 2, 3"), (12, "there are 1 to 12")],
)
def test_what_there_is_is_listed(store: DirectoryStore, published: int, says: str) -> None:
    """Who asks for an unknown number hears the ones that are known."""
    for note in range(published):
        store.publish(bundle(str(note)), by="ann", reason="x")

    with pytest.raises(StoreError) as caught:
        store.get(40)

    assert str(caught.value) == f"there is no bundle `payments@40` in `{store.path}`; {says}"


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("who", " ")])
def test_who_and_why_are_kept(store: DirectoryStore, by: str, reason: str) -> None:
    """Nothing is published or activated by nobody or without a reason."""
    with pytest.raises(StoreError):
        store.publish(bundle(), by=by, reason=reason)
    store.publish(bundle(), by="ann", reason="first")
    with pytest.raises(StoreError):
        store.activate(1, by=by, reason=reason)


def test_a_number_whose_publisher_died_is_not_given_again(store: DirectoryStore) -> None:
    """An empty file is a number taken; readers pass over it."""
    store.publish(bundle("a"), by="ann", reason="first")
    (store.path / "payments/bundles/00000002.json").touch()

    three = store.publish(bundle("c"), by="ann", reason="third")

    assert three.number == 3
    assert [p.number for p in store.history()] == [1, 3]
    with pytest.raises(StoreError):
        store.get(2)


def test_an_activation_that_never_finished_changes_nothing(store: DirectoryStore) -> None:
    """The highest finished epoch counts."""
    store.publish(bundle("a"), by="ann", reason="first")
    store.activate(1, by="ann", reason="go")
    (store.path / "payments/activations/00000002.json").touch()

    active = store.active()

    assert active is not None
    assert active.activation.epoch == 1
    assert store.activate(1, by="ann", reason="again").epoch == 3


def test_several_bundles_in_one_store(store: DirectoryStore) -> None:
    """Each has its own numbers; without a name the store says that one is needed."""
    store.publish(bundle(name="payments"), by="ann", reason="x")
    other = store.publish(bundle(name="orders"), by="ann", reason="x")

    with pytest.raises(StoreError, match="orders, payments") as caught:
        store.active()

    assert caught.value.code == "SW195"
    assert other.number == 1
    named = DirectoryStore(store.path, name="orders")
    assert named.get(1).label == "orders@1"
    with pytest.raises(StoreError, match="payments"):
        named.publish(bundle(name="payments"), by="ann", reason="x")


# ------------------------------------------------------------------- damage


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"publication": 1}', "\x00\x00"])
def test_damaged_bundles_are_told(store: DirectoryStore, content: str) -> None:
    """A torn file is a StoreError that names it; the other bundles are still there."""
    one = store.publish(bundle("a"), by="ann", reason="x")
    two = store.publish(bundle("b"), by="ann", reason="x")
    file = store.path / "payments/bundles/00000002.json"
    file.write_text(content)
    fresh = DirectoryStore(store.path)

    for action in (lambda: fresh.get(2), fresh.history, lambda: fresh.by_digest(two.digest[:12])):
        with pytest.raises(StoreError, match=r"00000002\.json") as caught:
            action()
        assert caught.value.code == "SW192"
    assert fresh.get(1).digest == one.digest
    assert fresh.by_digest(one.digest[:12]) == fresh.get(1)
    assert fresh.publish(bundle("c"), by="ann", reason="x").number == 3


def test_damaged_activations_are_told_and_not_skipped(store: DirectoryStore) -> None:
    """Falling back to an older activation would be a rollback that nobody asked for."""
    store.publish(bundle("a"), by="ann", reason="x")
    store.activate(1, by="ann", reason="x")
    store.activate(1, by="ann", reason="x")
    (store.path / "payments/activations/00000002.json").write_text('{"epoch": 2')

    with pytest.raises(StoreError, match=r"00000002\.json"):
        DirectoryStore(store.path).active()


def test_a_bundle_under_another_number_is_told(store: DirectoryStore) -> None:
    """Files that were copied over each other do not pass for what they are named."""
    store.publish(bundle("a"), by="ann", reason="x")
    store.publish(bundle("b"), by="ann", reason="x")
    files = store.path / "payments/bundles"
    (files / "00000001.json").write_bytes((files / "00000002.json").read_bytes())

    with pytest.raises(StoreError, match="another bundle"):
        DirectoryStore(store.path).get(1)


def test_a_changed_bundle_is_told(store: DirectoryStore) -> None:
    """The digest is checked whenever a bundle is read."""
    store.publish(bundle("a"), by="ann", reason="x")
    file = store.path / "payments/bundles/00000001.json"
    record = json.loads(file.read_text())
    record["bundle"]["lists"] = {}
    file.write_text(json.dumps(record))

    with pytest.raises(StoreError) as caught:
        DirectoryStore(store.path).get(1)

    assert caught.value.code == "SW191"


def test_an_activation_of_a_replaced_bundle_is_told(store: DirectoryStore, tmp_path: Path) -> None:
    """What was activated is a digest, not just a number."""
    store.publish(bundle("a"), by="ann", reason="x")
    store.activate(1, by="ann", reason="x")
    other = DirectoryStore(tmp_path / "other")
    other.publish(bundle("b"), by="ann", reason="x")
    name = "payments/bundles/00000001.json"
    (store.path / name).write_bytes((other.path / name).read_bytes())

    with pytest.raises(StoreError, match="not the one that was activated"):
        DirectoryStore(store.path).active()


def test_foreign_files_do_not_disturb(store: DirectoryStore) -> None:
    """Temporary files, backups and other names are passed over."""
    store.publish(bundle("a"), by="ann", reason="x")
    for name in (".00000009.json.tmp", "00000009.json~", "9.json", "README"):
        (store.path / "payments/bundles" / name).write_text("x")
    (store.path / "backup").mkdir()

    assert [p.number for p in DirectoryStore(store.path).history()] == [1]


def test_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    """A file in the place of the directory is a StoreError, not a traceback."""
    (tmp_path / "file").write_text("x")
    store = DirectoryStore(tmp_path / "file", name="payments")

    for action in (
        store.active,
        store.history,
        lambda: store.publish(bundle(), by="ann", reason="x"),
    ):
        with pytest.raises(StoreError, match="cannot be used"):
            action()


# -------------------------------------------------------------- at the same time


def publish_many(path: str, who: int, times: int) -> list[int]:
    """What one of several publishers does; gives its numbers."""
    store = DirectoryStore(path)
    return [
        store.publish(bundle(f"{who}-{time}"), by=f"p{who}", reason="race").number
        for time in range(times)
    ]


@pytest.mark.slow
def test_two_processes_publish_a_thousand_times(tmp_path: Path) -> None:
    """No number is given twice, none is lost, and every bundle is whole."""
    path = str(tmp_path / "store")
    context = multiprocessing.get_context("spawn")

    with context.Pool(2) as pool:
        numbers = pool.starmap(publish_many, [(path, who, 250) for who in range(4)], chunksize=1)

    taken = [number for batch in numbers for number in batch]
    assert sorted(taken) == list(range(1, 1001))
    store = DirectoryStore(path)
    by_number = {publication.number: publication for publication in store.history()}
    assert len(by_number) == 1000
    for who, batch in enumerate(numbers):
        for time, number in enumerate(batch):
            assert store.get(number).digest == bundle(f"{who}-{time}").digest
            assert by_number[number].by == f"p{who}"


def test_readers_never_see_half_a_record(store: DirectoryStore) -> None:
    """While one thread activates, another always reads a whole and later one."""
    store.publish(bundle("a"), by="ann", reason="x")
    store.publish(bundle("b"), by="ann", reason="x")
    store.activate(1, by="ann", reason="x")
    writer = threading.Thread(
        target=lambda: [store.activate(1 + i % 2, by="ann", reason="x") for i in range(100)]
    )
    reader = DirectoryStore(store.path)
    epochs: list[int] = []

    writer.start()
    while writer.is_alive():
        active = reader.active()
        assert active is not None
        epochs.append(active.activation.epoch)
    writer.join()

    assert epochs == sorted(epochs)
    last = reader.active()
    assert last is not None
    assert last.activation.epoch == 101


# -------------------------------------------------------------------------- URLs


def test_urls_open_stores(tmp_path: Path) -> None:
    """`dir:PATH`, absolute, with slashes or relative, with the bundle's name."""
    DirectoryStore(tmp_path).publish(bundle(name="orders"), by="ann", reason="x")

    for url in (f"dir:{tmp_path}", f"dir://{tmp_path}", f"dir:{tmp_path}?bundle=orders"):
        assert [p.number for p in open_store(url).history()] == [1]
    assert open_store(f"dir:{tmp_path}?bundle=payments").history() == ()
    spaced = tmp_path / "a b"
    DirectoryStore(spaced).publish(bundle(), by="ann", reason="x")
    assert len(open_store(f"dir:{tmp_path}/a%20b").history()) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("", "dir", "dir:", "/var/lib/store", "ftp://user:secret@host/x"),
        *("dir:x?name=y", "dir:x?bundle=a&bundle=b", "dir:x?bundle=../x", "dir:x?bundle="),
    ],
)
def test_urls_that_name_no_store(url: str) -> None:
    """StoreError that says what to write, and never shows a password."""
    with pytest.raises(StoreError) as caught:
        open_store(url)

    assert caught.value.remedy
    assert "secret" not in str(caught.value)


def test_other_stores_can_be_registered(tmp_path: Path) -> None:
    """A store that needs a client library brings its own scheme."""
    opened: list[StoreAddress] = []

    def opener(address: StoreAddress) -> BundleStore:
        opened.append(address)
        return DirectoryStore(tmp_path)

    register_store("test", opener)

    open_store("test://ann:secret@host:1/x?bundle=payments&password=secret", client={"a": "secret"})

    (address,) = opened
    assert (address.location, address.bundle) == ("//ann:secret@host:1/x", "payments")
    assert (address.options, address.client) == ({"password": "secret"}, {"a": "secret"})
    assert address.shown == "test://***@host:1/x"
    assert "secret" not in repr(address)
