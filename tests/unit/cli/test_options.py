"""Where policies come from, as options name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.cli.options import PolicySource
from streamwarden.errors import ConfigurationError


def test_a_mask_key_is_asked_for_only_where_events_are_masked(tmp_path: Path) -> None:
    """Reviewers list, and parking topics are made, without the secret of the services."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\n"
        "rules: [{id: h, effect: mask, mask: [{field: value.a, with: hash}]}]\n"
    )
    source = PolicySource((tmp_path,))

    with source.guard(masks=False) as guard:
        assert guard.bundle.policies[0].id == "p"
    with pytest.raises(ConfigurationError, match="no mask key"):
        source.guard()
