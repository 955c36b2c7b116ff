"""What a run keeps of its slices: whole or not at all, and only of one run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.errors import ReconcileError
from streamwarden.reconciler.checkpoint import Plan, Spool
from streamwarden.reconciler.reading import Gap
from streamwarden.reconciler.slices import Partition, Slice

from .test_tally import account, finding

PLAN = Plan({"topics": "t"}, 7, 10, (Partition("t", 0, False, 0, 0, 20, 1),), (("b", 1, "d" * 64),))
PIECES = [Slice(0, "t", 0, 0, 10), Slice(1, "t", 0, 10, 20)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool in which a run has begun."""
    made = Spool(tmp_path / "checkpoint")
    with made.locked():
        made.begin(PLAN)
    return made


def test_what_was_saved_is_read_back(spool: Spool) -> None:
    """Plan and accounts survive the process."""
    report = account(PIECES[0], [finding(3)], [Gap(5, 6, "transaction")], "odd")
    spool.save(PIECES[0], report)
    again = Spool(spool.folder)

    assert again.plan() == PLAN
    assert again.load(PIECES[0]) == report
    assert again.load(PIECES[1]) is None


def test_findings_are_joined_in_the_order_of_the_slices(spool: Spool, tmp_path: Path) -> None:
    """Whichever slice was done first; the file appears when it is whole."""
    for piece in reversed(PIECES):
        with spool.findings(piece) as out:
            out.write(b"%d\n" % piece.index)
    target = tmp_path / "findings.jsonl"
    target.write_text("of an earlier run")

    spool.copy_findings(PIECES, target)

    assert target.read_text() == "0\n1\n"
    assert [path.name for path in tmp_path.iterdir()].count("findings.jsonl.part") == 0


def test_half_an_account_is_none(spool: Spool) -> None:
    """A slice is done when its account is there, which comes last and all at once."""
    with spool.findings(PIECES[0]) as out:
        out.write(b"something\n")
    (spool.folder / "00000001.json").write_bytes(b'{"events": 3')

    assert spool.load(PIECES[0]) is None
    assert spool.load(PIECES[1]) is None


def test_a_run_that_came_to_its_end_leaves_nothing(spool: Spool) -> None:
    """The next one starts anew; files of others stay."""
    spool.save(PIECES[0], account(PIECES[0], [], []))
    with spool.findings(PIECES[0]):
        pass
    (spool.folder / "notes.txt").write_text("mine")

    spool.clear()

    assert spool.plan() is None
    assert sorted(path.name for path in spool.folder.iterdir()) == ["lock", "notes.txt"]


def test_a_slice_can_be_done_again(spool: Spool) -> None:
    """What was not read the first time may be there the second."""
    spool.save(PIECES[0], account(PIECES[0], [], [Gap(0, 10, "unread")]))

    spool.forget(PIECES[0])
    spool.forget(PIECES[1])

    assert spool.load(PIECES[0]) is None


def test_two_runs_cannot_share_a_folder(spool: Spool) -> None:
    """The second is told so; after the first it may."""
    with (
        spool.locked(),
        pytest.raises(ReconcileError, match="another run is working"),
        Spool(spool.folder).locked(),
    ):
        pass
    with Spool(spool.folder).locked():
        pass


def test_a_broken_plan_is_an_error(spool: Spool) -> None:
    """Nothing is overwritten that may be somebody's work."""
    (spool.folder / "plan.json").write_text("{")

    with pytest.raises(ReconcileError, match="cannot be read"):
        spool.plan()
