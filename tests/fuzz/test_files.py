"""Files that runs leave and others read: reports, findings, checkpoints, logs, and lines of events."""

# ruff: noqa: PT017 - whether there is an error depends on the bytes

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import msgspec
from hypothesis import example, given

from streamwarden.cli.events import EventReader
from streamwarden.errors import ReconcileError
from streamwarden.reconciler.checkpoint import Plan, Spool
from streamwarden.reconciler.releasing import read_candidates
from streamwarden.reconciler.runs import read_report
from streamwarden.reconciler.slices import Partition, Slice
from streamwarden.reconciler.tally import SliceReport

from .damage import damaged

REPORT = json.dumps(
    {
        "verdict": "drift",
        "counts": {"now-allowed": 1},
        "bundle": "payments@15",
        "causes": [
            {"kind": "now-allowed", "examples": [{"topic": "t", "partition": 0, "offset": 7}]}
        ],
    }
).encode()
FINDING = json.dumps(
    {"kind": "now-allowed", "topic": "t", "partition": 0, "offset": 7, "versions": {"current": "p"}}
).encode()
LINES = (
    b'{"topic": "t", "key": {"base64": "aGk="}, "value": "x", "headers": [["h", null]]}',
    b'{"value": "x", "timestamp": 1767225600000, "partition": 0, "facts": {"score": 0.2}}',
    b'{"value": null}',
)
PIECE = Slice(0, "t", 0, 0, 10)
PLAN = msgspec.json.encode(
    Plan({"topics": "t"}, 1, 100, (Partition("t", 0, False, 0, 0, 10, 0),), (("p", 1, "d"),), 0.5)
)
ACCOUNT = msgspec.json.encode(SliceReport(10, counts={"t": {"forged": 1}}, drift={"now-held": 2}))


@given(damaged(REPORT))
@example(REPORT.replace(b'"offset": 7', b'"offset": 1e999'))
def test_reports(data: bytes) -> None:
    """What is released by a report: places, or that it is none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        path.write_bytes(data)
        try:
            read_report(path)
            found = read_candidates(path)
        except ReconcileError:
            return
    assert all(isinstance(offset, int) for _, _, offset in found.places)


@given(damaged(FINDING + b"\n" + FINDING))
def test_findings(data: bytes) -> None:
    """The same of a file of findings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "findings.jsonl"
        path.write_bytes(data)
        try:
            found = read_candidates(path)
        except ReconcileError:
            return
    for topic, partition, offset in found.places:
        assert (type(topic), type(partition), type(offset)) == (str, int, int)


@given(damaged(PLAN), damaged(ACCOUNT))
def test_checkpoints(plan: bytes, account: bytes) -> None:
    """A plan that is damaged is an error; a slice whose account is, is done again."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        (Path(folder) / "plan.json").write_bytes(plan)
        (Path(folder) / "00000000.json").write_bytes(account)
        try:
            found = spool.plan()
        except ReconcileError:
            found = None
        report = spool.load(PIECE)
    assert found is None or isinstance(found, Plan)
    assert report is None or isinstance(report, SliceReport)


@given(damaged(*LINES))
def test_lines_of_events(line: bytes) -> None:
    """An event, or what is wrong with the line."""
    for line_format, path in (("record", None), ("record", "value.a[0]"), ("value", "value.a")):
        reader = EventReader("t", line_format, path)
        try:
            event = reader.read(line)
        except ValueError as error:
            assert str(error)
            continue
        assert event.value is None or isinstance(event.value, bytes)
