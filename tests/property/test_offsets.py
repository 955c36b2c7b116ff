"""No commit ever passes a parked event that is not safely written, and none gets stuck before."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamwarden.consumers.offsets import PartitionOffsets


class Reading(RuleBasedStateMachine):
    """A partition read in order, with gaps, next to a model that keeps every event by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = PartitionOffsets()
        self.at = 0
        self.open: set[int] = set()  # delivered, not done
        self.pending: set[int] = set()
        self.read_to: int | None = None
        self.done_to: int | None = None
        self.seen: set[int] = set()

    def agrees(self, offset: int | None) -> bool:
        """Whether to commit `offset` leaves the same events to be read again as the model does.

        Offsets differ within a gap, where there is nothing to read.
        """
        expected = self.committable()
        if offset is None or expected is None:
            return offset is expected
        low, high = sorted((offset, expected))
        return offset <= expected and self.seen.isdisjoint(range(low, high))

    def committable(self) -> int | None:
        known = [x for x in (self.read_to, self.done_to) if x is not None]
        if not known:
            return None
        return min([max(known), *self.open, *self.pending])

    @rule(gap=st.integers(0, 3))
    def deliver(self, gap: int) -> None:
        offset = self.at + gap
        self.at = self.read_to = offset + 1
        self.seen.add(offset)
        self.offsets.delivered(offset)
        if self.done_to is None or offset >= self.done_to:
            self.open.add(offset)

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=5))
    def deliver_in_a_row(self, gaps: list[int]) -> None:
        """As one by one, in one go."""
        found: list[int] = []
        for gap in gaps:
            found.append(self.at + gap)
            self.at = self.read_to = found[-1] + 1
        self.seen.update(found)
        self.offsets.delivered(found[0], found[-1])
        self.open.update(o for o in found if self.done_to is None or o >= self.done_to)

    @rule(gap=st.integers(0, 3))
    def park(self, gap: int) -> None:
        offset = self.at + gap
        self.at = self.read_to = offset + 1
        self.seen.add(offset)
        assert self.offsets.parked(offset)
        self.pending.add(offset)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.pending)))
        self.pending.discard(offset)
        self.offsets.acknowledged(offset)

    @precondition(lambda self: self.read_to is not None)
    @rule(ahead=st.integers(0, 6))
    def finish(self, ahead: int) -> None:
        """The application is through with some more, perhaps with more than it was given."""
        base = self.done_to or 0
        upto = base + ahead
        self.done_to = upto
        self.open = {offset for offset in self.open if offset >= upto}
        assert self.agrees(self.offsets.done(upto))

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def fail_and_read_again(self, data: st.DataObject) -> None:
        """Parking fails: the consumer goes back to the event and parks it again."""
        offset = data.draw(st.sampled_from(sorted(self.pending)))
        self.offsets.failed(offset)
        self.offsets.sought(offset, by_application=False)
        assert self.offsets.cap(2**62) <= offset
        self.open = {o for o in self.open if o < offset}
        self.read_to = offset
        assert self.agrees(self.offsets.frontier())
        assert self.offsets.parked(offset)  # to be written once more
        self.read_to = self.at = offset + 1
        # What was delivered behind it is read again by later steps, as if for the first time.
        self.seen = {o for o in self.seen if o <= offset}
        # Later parked ones are on their way already: they are not parked a second time.
        for later in sorted(o for o in self.pending if o > offset):
            assert not self.offsets.parked(later)
            self.read_to = self.at = later + 1
            self.seen.add(later)

    @invariant()
    def never_beyond_what_is_safe_and_never_before_it(self) -> None:
        assert self.agrees(self.offsets.frontier())
        assert self.offsets.pending == len(self.pending)


TestReading = Reading.TestCase


@given(st.lists(st.sampled_from(["deliver", "park"]), max_size=60), st.randoms())
def test_when_all_is_done_and_acknowledged_the_commit_reaches_the_end(
    kinds: list[str], random: Random
) -> None:
    """Never stuck: whatever the order of acknowledgements, the end is reached."""
    offsets = PartitionOffsets()
    parked: list[int] = []
    for offset, kind in enumerate(kinds):
        if kind == "park":
            assert offsets.parked(offset)
            parked.append(offset)
        else:
            offsets.delivered(offset)
            offsets.done(offset + 1)
    random.shuffle(parked)
    for offset in parked:
        offsets.acknowledged(offset)
    assert offsets.frontier() == (len(kinds) or None)
