"""Log lines about refused events are few, and say nothing of what is in them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from streamwarden.producers.notices import Notices
from streamwarden.producers.unparked import unparked
from tests.guards import event, guard_for


def test_a_flood_of_refused_events_is_one_line_that_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each topic and rule in a while, then how many there were."""
    now = 0.0
    counted: list[str] = []
    notices = Notices(counted.append, clock=lambda: now)
    guard = guard_for(tmp_path, "payments")
    decision = guard.decide(topic="payments", value=event(currency="SECRET"), key="4711")

    with caplog.at_level(logging.WARNING, "streamwarden"):
        for _ in range(50):
            notices.refused(decision)
        now = 11.0
        notices.refused(decision)

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "limits/currency-known" in caplog.text
    assert "49 more" in caplog.text
    assert "SECRET" not in caplog.text
    assert "4711" not in caplog.text
    assert counted.count("dropped/notices/rate_limited") == 49


def test_an_event_that_is_nowhere_is_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused and not parked: that is as loud as it gets, and in words of the guard's own."""
    decision = guard_for(tmp_path, "payments").decide(topic="payments", value=event(currency="X"))

    Notices(lambda _: None).nowhere(decision, KafkaError(KafkaError._MSG_TIMED_OUT, "SECRET"))

    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "_MSG_TIMED_OUT" in record.getMessage()
    assert "`quarantine.payments`" in record.getMessage()
    assert "SECRET" not in record.getMessage()


def test_the_reason_changes_nothing_that_code_branches_on(tmp_path: Path) -> None:
    """Code and flags are those of the write's own error."""
    decision = guard_for(tmp_path, "payments").decide(topic="payments", value=event(currency="X"))
    error = KafkaError(KafkaError._FATAL, "gone", fatal=True, retriable=True)

    named = unparked(decision, error, "held")

    assert (named.code(), named.fatal(), named.retriable()) == (KafkaError._FATAL, True, True)
    assert not named.txn_requires_abort()
    assert "`held.payments` did not take it: gone (_FATAL)" in named.str()
