"""What every bundle store promises, as tests that each store inherits; see `StoreContract`."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import closing
from typing import TypeAlias

import pytest

from streamwarden.errors import StoreError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.model import BundleSettings
from streamwarden.policy.store import BundleStore, open_store

__all__ = ["ACTIVATED_EACH", "OpenStore", "StoreContract", "bundle", "published_by_processes"]

#: Of so many publications of a racing process one is activated.
ACTIVATED_EACH = 25

#: Opens the same store again, for a bundle's name (None: the only one).
OpenStore: TypeAlias = Callable[["str | None"], BundleStore]


def bundle(note: str = "", name: str = "payments") -> Bundle:
    """A bundle whose digest depends on `note`."""
    return Bundle.make(BundleSettings(name=name), (), lists={"note": [note]})


class StoreContract:
    """A subclass gives the fixture `open_it`, of an empty store."""

    @pytest.fixture
    def store(self, open_it: OpenStore) -> BundleStore:
        return open_it("payments")

    @pytest.mark.parametrize("name", ["payments", None])
    def test_an_empty_store_has_nothing(self, open_it: OpenStore, name: str | None) -> None:
        """Nothing is there, and nothing is made by looking."""
        store = open_it(name)

        assert store.active() is None
        assert store.history() == ()
        assert store.activations() == ()
        assert store.by_digest("0" * 12) is None
        for action in (lambda: store.get(1), lambda: store.activate(1, by="ann", reason="go")):
            with pytest.raises(StoreError) as caught:
                action()
            assert caught.value.code == "SW194"

    def test_what_is_published_is_numbered_and_found(self, open_it: OpenStore) -> None:
        """Numbers count from 1; the same content may be published again; another opener sees it."""
        store = open_it("payments")
        one = store.publish(bundle("a"), by="ann", reason="first")
        two = store.publish(bundle("b"), by="bob", reason="second")
        again = store.publish(bundle("a"), by="ann", reason="back")

        assert [one.label, two.label, again.label] == ["payments@1", "payments@2", "payments@3"]
        for reader in (store, open_it("payments"), open_it(None)):
            assert reader.get(2).digest == two.digest
            assert reader.get(2).to_json() == two.to_json()
            assert reader.get(3).label == "payments@3"
            assert reader.by_digest(one.digest[:12]) == reader.get(1)
            assert reader.by_digest(one.digest) == reader.get(1)
            assert reader.by_digest("0" * 12) is None
            assert [(p.name, p.number, p.digest, p.by, p.reason) for p in reader.history()] == [
                ("payments", 1, one.digest, "ann", "first"),
                ("payments", 2, two.digest, "bob", "second"),
                ("payments", 3, one.digest, "ann", "back"),
            ]
        times = [publication.at for publication in store.history()]
        assert times == sorted(times)
        assert store.active() is None

    def test_activation_is_a_record_of_its_own(self, open_it: OpenStore) -> None:
        """Rollback is the activation of an older number; the epoch increases."""
        store = open_it("payments")
        store.publish(bundle("a"), by="ann", reason="first")
        store.publish(bundle("b"), by="ann", reason="second")

        forward = store.activate(2, by="ann", reason="go")
        back = store.activate(1, by="bob", reason="it refused everything", expected=1)

        for reader in (store, open_it("payments"), open_it(None)):
            active = reader.active()
            assert active is not None
            assert active.activation == back
            assert active.bundle.label == "payments@1"
            assert reader.activations() == (forward, back)
        assert (forward.epoch, back.epoch) == (1, 2)
        assert (back.by, back.reason) == ("bob", "it refused everything")

    def test_a_change_expects_what_was_seen(self, store: BundleStore) -> None:
        """With `expected`, a change in between is refused and nothing is written."""
        store.publish(bundle("a"), by="ann", reason="first", expected=0)
        store.activate(1, by="ann", reason="go", expected=0)

        for action in (
            lambda: store.publish(bundle("b"), by="bob", reason="late", expected=0),
            lambda: store.publish(bundle("b"), by="bob", reason="early", expected=2),
            lambda: store.activate(1, by="bob", reason="late", expected=0),
            lambda: store.activate(1, by="bob", reason="early", expected=2),
        ):
            with pytest.raises(StoreError) as caught:
                action()
            assert caught.value.code == "SW193"
        assert len(store.history()) == 1
        assert len(store.activations()) == 1
        assert store.publish(bundle("b"), by="bob", reason="looked", expected=1).number == 2
        assert store.activate(2, by="bob", reason="looked", expected=1).epoch == 2

    @pytest.mark.parametrize(("by", "reason"), [("", "why"), ("who", " ")])
    def test_who_and_why_are_kept(self, store: BundleStore, by: str, reason: str) -> None:
        """Nothing is published or activated by nobody or without a reason."""
        with pytest.raises(StoreError):
            store.publish(bundle(), by=by, reason=reason)
        store.publish(bundle(), by="ann", reason="first")
        with pytest.raises(StoreError):
            store.activate(1, by=by, reason=reason)

    def test_several_bundles_in_one_store(self, open_it: OpenStore) -> None:
        """Each has its own numbers; without a name the store says that one is needed."""
        payments, orders, unnamed = open_it("payments"), open_it("orders"), open_it(None)
        payments.publish(bundle(), by="ann", reason="x")
        other = unnamed.publish(bundle(name="orders"), by="ann", reason="x")

        with pytest.raises(StoreError, match="orders, payments") as caught:
            unnamed.active()

        assert caught.value.code == "SW195"
        assert other.number == 1
        assert orders.get(1).label == "orders@1"
        with pytest.raises(StoreError, match="payments") as caught:
            orders.publish(bundle(), by="ann", reason="x")
        assert caught.value.code == "SW195"

    @pytest.mark.parametrize("prefix", ["", "abc", "A" * 12, "0" * 65, "z" * 12])
    def test_what_is_no_digest_is_told(self, store: BundleStore, prefix: str) -> None:
        """A short or malformed beginning could fit anything."""
        with pytest.raises(StoreError):
            store.by_digest(prefix)

    def test_readers_never_see_half_a_change(self, open_it: OpenStore) -> None:
        """While one activates, another always reads a whole and never an earlier one."""
        store = open_it("payments")
        store.publish(bundle("a"), by="ann", reason="x")
        store.publish(bundle("b"), by="ann", reason="x")
        store.activate(1, by="ann", reason="x")
        writer = threading.Thread(
            target=lambda: [store.activate(1 + i % 2, by="ann", reason="x") for i in range(50)]
        )
        reader = open_it("payments")
        epochs: list[int] = []

        writer.start()
        while writer.is_alive():
            active = reader.active()
            assert active is not None
            epoch = active.activation.epoch
            assert active.bundle.number == (1 if epoch == 1 else 1 + epoch % 2)
            epochs.append(epoch)
        writer.join()

        assert epochs == sorted(epochs)
        last = reader.active()
        assert last is not None
        assert last.activation.epoch == 51

    def test_a_change_is_noticed(self, open_it: OpenStore) -> None:
        """Whoever waits and then looks has the change within a second."""
        store, watcher = open_it("payments"), open_it("payments")
        store.publish(bundle("a"), by="ann", reason="x")
        store.activate(1, by="ann", reason="x")
        while watcher.wait_for_change(0.3):
            pass
        store.activate(1, by="ann", reason="again")

        watcher.wait_for_change(1)

        active = watcher.active()
        assert active is not None
        assert active.activation.epoch == 2


def published_by_processes(
    url: str, *, processes: int = 2, batches: int = 4, each: int, before: int = 0
) -> None:
    """Publish from several processes at once, and hold the store to what it promises.

    Every ACTIVATED_EACH-th is activated too; `before` have been published already.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        numbers = pool.starmap(
            _publish_many, [(url, who, each) for who in range(batches)], chunksize=1
        )

    taken = [number for batch in numbers for number in batch]
    assert sorted(taken) == list(range(before + 1, before + batches * each + 1))
    with closing(open_store(url)) as store:
        by_number = {publication.number: publication for publication in store.history()}
        assert len(by_number) == before + batches * each
        for who, batch in enumerate(numbers):
            for time, number in enumerate(batch):
                assert by_number[number].digest == bundle(f"{who}-{time}").digest
                assert by_number[number].by == f"p{who}"
            assert store.get(batch[-1]).digest == bundle(f"{who}-{each - 1}").digest


def _publish_many(url: str, who: int, times: int) -> list[int]:
    """What one of several publishers does; gives its numbers."""
    numbers: list[int] = []
    with closing(open_store(url)) as store:
        for time in range(times):
            published = store.publish(bundle(f"{who}-{time}"), by=f"p{who}", reason="race")
            numbers.append(published.number)
            if (time + 1) % ACTIVATED_EACH == 0:
                store.activate(published.number, by=f"p{who}", reason="go")
    return numbers
