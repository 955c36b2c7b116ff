"""`quarantine release --from-report` on files that name nothing of the topic, or nothing at all."""

from __future__ import annotations

import json
from pathlib import Path

from streamwarden.embedded import EmbeddedBroker

from .conftest import Run


def test_a_report_on_other_topics_is_said(
    run: Run, policies: Path, embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Nothing is done, and nobody takes that for the end of it."""
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 1)
    findings = tmp_path / "found.jsonl"

    def release(topic: str) -> tuple[int, str]:
        found = [
            {"kind": "now-allowed", "topic": topic, "partition": 0, "offset": offset}
            for offset in (1, 2)
        ]
        lines = [json.dumps({**each, "versions": {"current": "b@1"}}) + "\n" for each in found]
        findings.write_text("".join(lines))
        result = run(
            *("quarantine", "release", "-b", embedded_broker.bootstrap, "-t", "payments"),
            *("--policies", policies, "--from-report", findings, "--dry-run"),
        )
        return result.exit_code, result.stderr

    status, others = release("quarantine.orders")
    same, own = release("quarantine.payments")

    assert (status, same) == (0, 0)
    assert "warning: the report has 2 candidates, none of topic `payments`" in others
    assert "all are in `quarantine.orders`" in others
    assert "none of topic" not in own
    assert "2 gone" in own


def test_a_device_is_no_report(run: Run, policies: Path) -> None:
    """It is refused before anything of it is read."""
    result = run(
        *("quarantine", "release", "-b", "localhost:1", "-t", "payments"),
        *("--policies", policies, "--from-report", "/dev/urandom"),
    )

    assert result.exit_code == 1
    assert "`/dev/urandom` is no report: it is no regular file" in result.stderr
