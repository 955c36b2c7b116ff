"""A guard for tests that needs no policies goes with all that it remembers."""

from __future__ import annotations

import gc
import weakref

from streamwarden.testing import FakeGuard


def test_a_guard_that_remembers_decisions_goes_with_them() -> None:
    """They lead to its plan, and the plan to where they are remembered."""
    guard = FakeGuard()
    guard.decide(topic="payments", value=b"{}")
    plan = weakref.ref(guard.plan("payments", "produce", guard.now()))

    del guard
    gc.collect()

    assert plan() is None
