"""What people did with parked events so far, as the parking topics record it.

Reviews stand in the partition of the parked record, behind it. A replay goes slice by slice, so
they are read first, up to the same frozen ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..policy.keys import KeyRing
from ..producers.reviews import is_review, parse_review
from .reading import Reader
from .slices import Slice

__all__ = ["Reviewed", "read_reviews"]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Records of parking topics that nobody waits for any more.

    `settled` holds (topic, partition, offset) of what was released or discarded.
    """

    settled: frozenset[tuple[str, int, int]] = frozenset()


def read_reviews(reader: Reader, slices: Iterable[Slice], keys: KeyRing | None) -> Reviewed:
    """The reviews in `slices`; with `keys` only those made with one of them.

    What cannot be read here is not missed in silence: the replay reads the same slices again.
    """
    settled: set[tuple[str, int, int]] = set()
    for piece in slices:
        for record in reader.read(piece):
            if not is_review(record.headers):
                continue
            review = parse_review(record.value, record.headers, piece.topic, keys)
            if review is None or review.verified is False:
                continue
            if review.action in ("released", "discarded"):
                settled.add((piece.topic, piece.partition, review.offset))
    return Reviewed(frozenset(settled))
