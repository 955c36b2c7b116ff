"""Producers, consumers and the broker are killed at random moments, and every event is somewhere."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.campaign import BROKER_SETTINGS, Campaign, Plan, Tally
from tests.servers.kafka import StartKafka


def run(start_kafka: StartKafka, folder: Path, *, exactly_once: bool) -> tuple[Tally, Campaign]:
    seed = random.randrange(2**32)  # another one each time; the line with the tally tells it
    cluster = start_kafka(config=BROKER_SETTINGS)
    campaign = Campaign(cluster, folder, Plan(exactly_once, seed))
    return campaign.run(), campaign


# The only broker of a cluster, started again, looks for the leaders of a transaction's partitions
# before it knows any, and ends it without its markers there ("Couldn't find leader endpoint for
# partitions … these partitions are likely deleted already and hence can be skipped", says its log at
# INFO). What is open there stays so, and readers of committed records wait before it; or the next
# transaction of that id commits it too, and it is a further copy.
@pytest.mark.flaky(reruns=2)
@pytest.mark.slow
def test_with_transactions_every_event_is_in_exactly_one_place(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """Handled, quarantined or held: SIGKILL loses none and doubles none."""
    tally, campaign = run(start_kafka, tmp_path, exactly_once=True)

    assert (tally.missing, tally.misplaced, tally.copies) == ([], [], 0)
    assert tally.places == {"handled": 12_000, "quarantined": 4000, "held": 4000}
    assert {"producers killed", "consumers killed", "broker restarted"} <= campaign.killed.keys()


@pytest.mark.slow
def test_without_transactions_every_event_is_in_at_least_its_place(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """What was acknowledged or committed before a kill is never missing; some may come again."""
    tally, campaign = run(start_kafka, tmp_path, exactly_once=False)

    assert (tally.missing, tally.misplaced) == ([], [])
    assert tally.places == {"handled": 12_000, "quarantined": 4000, "held": 4000}
    assert {"producers killed", "consumers killed", "broker restarted"} <= campaign.killed.keys()
