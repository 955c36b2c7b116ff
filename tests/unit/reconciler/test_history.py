"""Which version a stamp names, and what a store can show about it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from streamwarden.errors import StoreError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.model import Effect
from streamwarden.policy.stamp import Stamp
from streamwarden.reconciler.history import Found, History

from .histories import make_bundle, policy

V1, V2, V3 = (
    make_bundle(policy(f"{{id: over, when: value.amount > {n}, effect: reject}}"), number=n)
    for n in (1, 2, 3)
)


def stamp(label: str, digest: str) -> Stamp:
    """A stamp that names a version."""
    name, _, number = label.partition("@")
    return Stamp(name, int(number), digest[:12], Effect.ALLOW, "produce")


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A store with the first two versions."""
    made = DirectoryStore(tmp_path / "store", name="b")
    for bundle in (V1, V2):
        made.publish(bundle, by="ann", reason="test")
    return made


def found(history: History, label: str, digest: str) -> str:
    """The digest of what is found, why there never was anything, or nothing."""
    answer = history.find(stamp(label, digest))
    return answer.never or ("" if answer.version is None else answer.version.bundle.digest)


def test_versions_are_found_by_number_and_digest(store: DirectoryStore) -> None:
    """Published ones, today's own, and a directory that was published under a number."""
    history = History.of_store(make_bundle(policy("{id: w, effect: warn}")), store)

    assert found(history, "b@1", V1.digest) == V1.digest
    assert found(history, "b@2", V2.digest) == V2.digest
    assert found(history, "b@0", V1.digest) == V1.digest
    assert found(history, "b@0", history.today.digest) == history.today.digest


def test_a_store_shows_what_never_existed(store: DirectoryStore) -> None:
    """Another digest under a number, or a number that was never taken."""
    history = History.of_store(V2, store)

    assert found(history, "b@1", V2.digest) == "b@1 has another digest"
    assert found(history, "b@3", V3.digest) == "b@3 was never published"
    assert found(history, "b@3", V2.digest) == "b@3 was never published"


def test_a_store_shows_nothing_about_others(store: DirectoryStore) -> None:
    """Unpublished directories, and bundles that are kept elsewhere."""
    history = History.of_store(V2, store)

    assert history.find(stamp("b@0", "0" * 12)) == Found()
    assert history.find(stamp("other@1", V1.digest)) == Found()


def test_without_a_store_only_today_is_known(tmp_path: Path) -> None:
    """Nor does an empty one show anything."""
    for history in (History(V2), History.of_store(V2, DirectoryStore(tmp_path, name="b"))):
        assert found(history, "b@2", V2.digest) == V2.digest
        assert found(history, "b@9", V2.digest) == V2.digest
        assert history.find(stamp("b@1", V1.digest)) == Found()


def test_a_candidate_may_carry_the_next_number(store: DirectoryStore) -> None:
    """Today's own label is no forgery, though the store does not have it yet."""
    assert found(History.of_store(V3, store), "b@3", V3.digest) == V3.digest


def test_a_version_that_is_no_longer_kept_is_unverifiable() -> None:
    """Numbers taken and gone, and bundles that the store cannot read; the reason is kept."""

    def fetch(number: int) -> Bundle:
        raise StoreError(f"{number} is broken")

    published = [("b", 1, V1.digest), ("b", 4, V2.digest)]
    history = History(V3, published=published, fetch=fetch)

    assert history.find(stamp("b@1", V1.digest)) == Found()
    assert history.find(stamp("b@2", V2.digest)) == Found()
    assert "1 is broken" in history.lost[1]


def test_workers_need_no_store(store: DirectoryStore) -> None:
    """Pickled, a history takes its versions along."""
    history = History.of_store(V2, store)
    sent: History = pickle.loads(pickle.dumps(history))

    assert found(sent, "b@1", V1.digest) == V1.digest
    assert found(sent, "b@3", V3.digest) == "b@3 was never published"
    assert pickle.loads(pickle.dumps(sent)).find(stamp("b@1", V1.digest)).version is not None


def test_the_newest_versions_are_asked_first(store: DirectoryStore) -> None:
    """Today's, then as many as are wanted."""
    history = History.of_store(V3, store)

    assert [bundle.number for bundle in history.bundles(1)] == [3, 2]
    assert [bundle.number for bundle in history.bundles(9)] == [3, 2, 1]
