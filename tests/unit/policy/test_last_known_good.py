"""The last good policy on disk: whole, checked, never older, never in the way."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import StoreError
from streamwarden.policy.canonical import canonical_json
from streamwarden.policy.last_known_good import LastKnownGood, default_path
from streamwarden.policy.store import Activation, ActiveBundle

from .store_contract import bundle


def active(epoch: int, note: str = "a") -> ActiveBundle:
    """Some bundle, active since `epoch`."""
    published = bundle(note).with_number(epoch)
    return ActiveBundle(Activation(epoch, epoch, published.digest, 1, "ann", "go"), published)


@pytest.fixture
def file(tmp_path: Path) -> LastKnownGood:
    return LastKnownGood(tmp_path / "deep" / "policy.json")


def test_what_is_kept_comes_back(file: LastKnownGood) -> None:
    """With its activation; for nobody else's eyes."""
    assert file.read() is None

    assert file.write(active(3))

    assert file.read() == active(3)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert sorted(path.name for path in file.path.parent.iterdir()) == [
        ".policy.json.lock",
        "policy.json",
    ]


def test_an_older_activation_never_replaces_a_newer_one(file: LastKnownGood) -> None:
    """Several processes share the file, and one of them may be slow."""
    file.write(active(3))

    assert not file.write(active(2, "b"))
    assert not file.write(active(3, "b"))
    assert file.read() == active(3)
    assert file.write(active(4, "b"))
    assert file.read() == active(4, "b")


def changed(file: LastKnownGood, *, sum_up: bool = True, **changes: Any) -> None:
    """Rewrite the file with other contents, and a checksum that fits."""
    record = {**json.loads(file.path.read_bytes()), **changes}
    del record["sha256"]
    digest = hashlib.sha256(canonical_json(record)).hexdigest()
    record["sha256"] = digest if sum_up else "0" * 64
    file.path.write_bytes(canonical_json(record))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_torn_and_foreign_files_are_refused_and_replaced(
    file: LastKnownGood, content: bytes
) -> None:
    """StoreError SW192 that says to delete the file; the next good policy takes the place."""
    file.write(active(1))
    file.path.write_bytes(content)

    with pytest.raises(StoreError) as caught:
        file.read()

    assert caught.value.code == "SW192"
    assert f"`{file.path}`" in caught.value.message
    assert "needs the store to start" in caught.value.remedy
    assert file.write(active(1))
    assert file.read() == active(1)


def test_every_changed_byte_is_noticed(file: LastKnownGood) -> None:
    """Whichever byte a disk loses, the policy is not used."""
    file.write(active(1))
    whole = file.path.read_bytes()

    for place in range(0, len(whole), 7):
        torn = bytearray(whole)
        torn[place] ^= 1
        file.path.write_bytes(torn)
        with pytest.raises(StoreError):
            file.read()


def test_what_contradicts_itself_is_refused(file: LastKnownGood) -> None:
    """A checksum proves that a file is whole, not that it is right."""
    file.write(active(1))
    changed(file, activation=json.loads(file.path.read_bytes())["activation"] | {"digest": "0"})

    with pytest.raises(StoreError) as caught:
        file.read()

    assert caught.value.code == "SW191"
    assert f"`{file.path}` is damaged: bundle `" in caught.value.message
    assert "delete it" in caught.value.remedy


def test_a_newer_format_is_neither_read_nor_replaced(file: LastKnownGood) -> None:
    """After a downgrade the newer version's file still belongs to it."""
    file.write(active(1))
    changed(file, format=2)
    before = file.path.read_bytes()

    for action in (file.read, lambda: file.write(active(9))):
        with pytest.raises(StoreError) as caught:
            action()
        assert caught.value.code == "SW190"
    assert file.path.read_bytes() == before


def test_a_disk_that_takes_nothing_leaves_the_old_file(
    file: LastKnownGood, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OSError, the old policy stands, and no temporary file stays."""
    file.write(active(1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.write(active(2))

    assert file.read() == active(1)
    assert len(list(file.path.parent.iterdir())) == 2


def test_each_store_has_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the user's state directory; passwords are no part of the name."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = default_path("redis://***@host:1/0", "payments")
    other = default_path("redis://***@host:2/0", "payments")

    assert one is not None
    assert one.parent == tmp_path / "streamwarden"
    assert one.name.startswith("payments-")
    assert one != other
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    home = default_path("redis://host", None)
    assert home is not None
    assert home.parent == tmp_path / "home/.local/state/streamwarden"
