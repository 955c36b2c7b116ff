"""Running the command line inside the test, and policies to run it with."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamwarden.cli import main
from streamwarden.cli.output import SECRETS

Run = Callable[..., Result]

POLICIES = {
    "bundle.yaml": "bundle: payments\nlists: {sanctioned: sanctioned.csv}\n",
    "sanctioned.csv": "KP\nSY\n",
    "limits.yaml": """
policy: limits
owner: risk
topics: [payments]
rules:
  - id: over-limit
    when: value.amount > 50000
    effect: hold
    reason: amount {value.amount} is over the limit
    severity: high
    remediation: ask the risk desk
  - id: sanctioned
    when: value.country in lists.sanctioned
    on_error: skip
    effect: reject
    reason: no payments to {value.country}
  - id: large
    when: value.amount > 1000
    effect: warn
  - id: tried-out
    when: value.amount > 10
    effect: reject
    mode: shadow
  - id: card
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: last4}]
""",
}


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A directory of policies for the topic `payments`."""
    directory = tmp_path / "policies"
    directory.mkdir()
    for name, text in POLICIES.items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def run() -> Iterator[Run]:
    """Call `streamwarden` with these arguments; the result has status, stdout and stderr."""

    def call(*args: object, stdin: bytes | io.BufferedIOBase = b"") -> Result:
        given: Any = stdin  # a stream of any kind will do
        return CliRunner().invoke(main, [str(arg) for arg in args], input=given)

    yield call
    SECRETS.forget()
