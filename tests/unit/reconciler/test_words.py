"""Findings in plain words."""

from __future__ import annotations

import pytest

from streamwarden.reconciler.findings import KINDS, WOULD_CHANGE
from streamwarden.reconciler.words import ADVICE, MEANING, cause_sentence


@pytest.mark.parametrize("kind", [*KINDS, WOULD_CHANGE])
def test_every_kind_has_its_words(kind: str) -> None:
    """What it means, what to do, and a sentence that is not just its name."""
    sentence = cause_sentence(kind, 2, rule="limits/over", change="", drift="", stamped="p@1")

    assert MEANING[kind]
    assert ADVICE[kind].endswith(".")
    assert sentence.startswith("2 events")
    assert kind not in sentence
