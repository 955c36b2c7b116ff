"""Every form of a report, made of real ones: valid, whole, and the same figures in all of them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from streamwarden.cli.root import main
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, ReconcileError
from streamwarden.reconciler.junit import junit
from streamwarden.reconciler.metrics import push, write_open, write_textfile
from streamwarden.reconciler.openreports import as_json, as_yaml
from streamwarden.reconciler.parquet import write_parquet
from streamwarden.reconciler.sampling import Sample
from streamwarden.reconciler.selection import Selection

from .test_scope import NOON_MS, V1, World

pytestmark = pytest.mark.slow

SCHEMA: dict[str, Any] = msgspec.json.decode(
    resources.files("streamwarden.schemas").joinpath("reconcile-report.schema.json").read_bytes()
)
FINDING = {"$ref": "#/$defs/finding", "$defs": SCHEMA["$defs"]}


@pytest.fixture
def world(embedded_broker: EmbeddedBroker, tmp_path: Path) -> World:
    """A history with drift, bypasses and parked events."""
    world = World(embedded_broker, tmp_path)
    world.write("t1", *({"amount": n, "country": "FR"} for n in (1, 20, 30, 99)))
    world.producer.produce("t1", b"\x00<&\xff", b"\x1b[1m", partition=0)
    world.producer.flush(30)
    return world


def is_valid(said: Any, schema: dict[str, Any] = SCHEMA) -> None:
    """Raises where the JSON is not what its schema says."""
    jsonschema.Draft202012Validator(schema).validate(msgspec.json.decode(msgspec.json.encode(said)))


def test_the_report_is_what_its_schema_says(world: World, tmp_path: Path) -> None:
    """Whatever was asked for; its findings too."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    log = tmp_path / "log.jsonl"
    log.touch()
    asked: list[dict[str, Any]] = [
        {},
        {"sample": Sample.parse("50%")},
        {"candidate": V1},
        {"selection": Selection(owners=("risk",))},
        {"decision_log": str(log), "lossless_since": NOON_MS},
        {"runs": tmp_path / "runs", "incremental": True},
    ]
    for more in asked:
        path = tmp_path / "findings.jsonl"
        is_valid(world.run("t1", findings=path, **more).to_dict())
        lines = path.read_bytes().splitlines()
        assert lines
        for line in lines:
            is_valid(msgspec.json.decode(line), FINDING)


def test_junit_fails_what_counts_and_nothing_else(world: World) -> None:
    """A case for each kind, cause and partition; what was not read is an error."""
    report = world.run("t1").to_dict()

    root = ET.fromstring(junit(report))
    mild = ET.fromstring(junit(report, ["forged"]))
    broken = {**report, "partitions": [{**report["partitions"][0], "covered": 0}]}
    unread = ET.fromstring(junit(broken))

    suites = {suite.get("name"): suite for suite in root}
    failed = [case.get("name") for case in suites["findings"] if case.find("failure") is not None]
    assert failed == ["unchecked", "now-rejected"]
    assert suites["findings"].get("tests") == str(len(report["counts"]))
    assert len(suites["causes"]) == sum(c["kind"] in failed for c in report["causes"])
    assert len(suites["completeness"]) == len(report["partitions"])
    assert (root.get("failures"), root.get("errors")) == (str(2 + len(suites["causes"])), "0")
    assert mild.get("failures") == "0"
    assert unread.get("errors") == "1"


def test_openreports_results(world: World) -> None:
    """The shape that clusters take; a result for each rule behind a cause, with its severity."""
    report = world.run("t1").to_dict()

    said = msgspec.json.decode(as_json(report))

    assert YAML(typ="safe").load(as_yaml(report)) == said
    assert (said["apiVersion"], said["kind"]) == ("openreports.io/v1alpha1", "Report")
    assert set(said) == {"apiVersion", "kind", "metadata", "source", "summary", "results"}
    (limit,) = [r for r in said["results"] if r["rule"] == "over"]
    assert (limit["policy"], limit["result"], limit["severity"]) == ("limits", "fail", "high")
    assert limit["properties"]["count"] == "2"
    assert limit["properties"]["change"] == "over: 50 → 10"
    assert {r["result"] for r in said["results"]} <= {"pass", "fail", "warn", "error", "skip"}
    assert sum(said["summary"].values()) == len(said["results"])
    assert all(
        isinstance(v, str) for r in said["results"] for v in r.get("properties", {}).values()
    )


def test_openreports_pass_no_event_that_was_left_out(world: World) -> None:
    """What a filter leaves out is not as it was, although no result tells of it."""
    whole = world.run("t1").to_dict()
    part = world.run("t1", selection=Selection(severities=("info",))).to_dict()

    told = [msgspec.json.decode(as_json(each))["results"][-1]["message"] for each in (whole, part)]

    fine = whole["events"] - sum(whole["counts"].values())
    left = sum(part["left_out"].values())
    assert left > 0
    assert told[0] == f"{fine} events as they were"
    assert told[1] == (
        f"{part['events'] - sum(part['counts'].values()) - left} events as they were; "
        f"{left} with findings that were not asked for"
    )


def test_what_the_decision_log_lacks_fails_in_every_form(world: World, tmp_path: Path) -> None:
    """An exit status of 2 has its reason in each of them, also where no kind of finding is there."""
    log, prom = tmp_path / "log.jsonl", tmp_path / "m.prom"
    log.touch()
    world.write("t2", {"amount": 1}, {"amount": 2})
    asked = {"bundle": world.versions[0], "decision_log": f"file:{log}"}
    drift = world.run("t2", lossless_since=NOON_MS, log_has_allows=True, **asked)
    fine = world.run("t2", **asked)
    assert (drift.exit_status(), fine.exit_status()) == (2, 0)

    for run, missed in ((drift, 2), (fine, 0)):
        report = run.to_dict()
        root = ET.fromstring(junit(report, ["forged"]))
        said = msgspec.json.decode(as_json(report))
        write_textfile(report, prom)

        (suite,) = [each for each in root if each.get("name") == "decision log"]
        (result,) = [each for each in said["results"] if each["rule"] == "decision-log"]
        figures = {
            sample.name: sample.value
            for family in text_string_to_metric_families(prom.read_text())
            for sample in family.samples
        }
        assert root.get("failures") == suite.get("failures") == str(int(missed > 0))
        assert result["result"] == ("fail" if missed else "pass")
        assert figures["streamwarden_reconcile_decision_log_missed"] == missed
        assert figures["streamwarden_reconcile_decision_log_unlogged"] == 2
        assert figures["streamwarden_reconcile_decision_log_unfound"] == 0
        if missed:
            wording = "2 events that guards decided on have no entry"
            assert wording in result["message"]
            assert result["properties"]["examples"] == "t2[0]@0, t2[1]@0"
            failure = suite.find("testcase/failure")
            assert failure is not None
            assert wording in failure.get("message", "")


def test_a_log_that_was_not_read_accuses_nobody(world: World, tmp_path: Path) -> None:
    """What its entries would have said is not known: that is an error, and no drift."""
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"amount": 1}\n')
    world.write("t2", {"amount": 1})

    run = world.run(
        "t2",
        bundle=world.versions[0],
        decision_log=f"file:{log}",
        lossless_since=NOON_MS,
        log_has_allows=True,
    )

    report = run.to_dict()
    root = ET.fromstring(junit(report))
    assert (run.verdict, run.exit_status()) == ("incomplete", 1)
    assert root.get("failures") == "0"
    assert int(root.get("errors", "0")) > 0
    (result,) = [
        each
        for each in msgspec.json.decode(as_json(report))["results"]
        if each["rule"] == "decision-log"
    ]
    assert result["result"] == "error"


def test_where_nothing_was_judged_nothing_passed(world: World) -> None:
    """A pipeline that looks at a range without events sees that."""
    report = world.run("t1", since=NOON_MS * 2).to_dict()

    root = ET.fromstring(junit(report))
    results = msgspec.json.decode(as_json(report))["results"]

    skipped = [suite.get("skipped") for suite in root]
    assert skipped == [str(len(report["counts"])), "0", "0"]
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    assert [result["result"] for result in results] == ["skip"]
    assert results[0]["message"].startswith("No event was judged")


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    return {
        (sample.name.removeprefix("streamwarden_reconcile_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_as_a_text_file(world: World, tmp_path: Path) -> None:
    """Findings by kind and topic; when a run was complete last outlives one that was not."""
    path = tmp_path / "reconcile.prom"
    report = world.run("t1").to_dict()

    write_textfile(report, path)
    first = figures(path.read_text())
    write_textfile({**report, "complete": False, "started": report["started"] + 5000}, path)
    second = figures(path.read_text())

    assert first["findings", "now-rejected", "t1"] == 2
    assert first["findings", "forged", "t1"] == 0
    assert (first["complete",], second["complete",]) == (1, 0)
    assert second["last_success_timestamp_seconds",] == first["last_success_timestamp_seconds",]
    assert second["last_run_timestamp_seconds",] > first["last_run_timestamp_seconds",]
    assert list(tmp_path.glob(".*")) == []
    write_open({"quarantine.t": 3}, path)
    assert figures(path.read_text()) == {("streamwarden_release_open", "quarantine.t"): 3.0}
    with pytest.raises(ReconcileError, match="cannot be written"):
        write_textfile(report, tmp_path / "nowhere" / "x.prom")


@contextmanager
def gateway(status: int) -> Generator[tuple[str, list[tuple[str, str, str, bytes]]]]:
    """A push gateway that answers with `status`, and what was pushed to it."""
    pushed: list[tuple[str, str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            pushed.append((self.command, self.path, self.headers.get("Authorization", ""), body))
            self.send_response(status)
            self.end_headers()

        do_PUT = do_POST = _take  # noqa: N815 - the names that the server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", pushed
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_figures_are_pushed(world: World) -> None:
    """In the place of the last ones; added to them, where the run was not complete."""
    report = world.run("t1").to_dict()

    with gateway(200) as (place, pushed):
        push(report, f"http://ann:s%40cret@{place}")
        push({**report, "complete": False}, f"http://{place}")

    (whole, part) = pushed
    assert whole[:2] == ("PUT", "/metrics/job/streamwarden_reconcile/bundle/b")
    assert whole[2] == f"Basic {base64.b64encode(b'ann:s@cret').decode()}"
    assert figures(whole[3].decode())["findings", "now-rejected", "t1"] == 2
    assert (part[0], part[2]) == ("POST", "")
    assert ("last_success_timestamp_seconds",) not in figures(part[3].decode())
    with gateway(500) as (place, _), pytest.raises(ReconcileError) as caught:
        push(report, f"http://ann:secret@{place}")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="`--metrics-push` is"):
        push(report, place)


def test_findings_as_parquet(world: World, tmp_path: Path) -> None:
    """The same findings as in the file of lines, in the same order, with types."""
    pq: Any = pytest.importorskip("pyarrow.parquet")
    lines, rows = tmp_path / "findings.jsonl", tmp_path / "findings.parquet"

    world.run("t1", findings=lines)
    world.run("t1", findings=rows)

    expected = [msgspec.json.decode(line) for line in lines.read_bytes().splitlines()]
    found = pq.read_table(rows).to_pylist()
    assert [(r["kind"], r["topic"], r["partition"], r["offset"]) for r in found] == [
        (e["kind"], e["topic"], e["partition"], e["offset"]) for e in expected
    ]
    assert [msgspec.json.decode(row["current"]) for row in found] == [
        e["current"] for e in expected
    ]
    assert found[-1]["rules"] == ["limits/over"]
    assert found[-1]["timestamp"].year == 2026


def _full(_line: bytes) -> bytes:
    raise OSError("disk full")


def test_parquet_appears_when_it_is_whole(tmp_path: Path) -> None:
    """What ends in the middle leaves no file of that name."""
    pytest.importorskip("pyarrow")
    path = tmp_path / "findings.parquet"

    lines: Iterator[bytes] = map(_full, [b"{}"])

    with pytest.raises(OSError, match="disk full"):
        write_parquet(lines, path)
    assert not path.exists()


def test_the_command_line_writes_every_form(world: World, tmp_path: Path) -> None:
    """Beside the JSON on stdout, which is what its schema says."""
    files = [tmp_path / name for name in ("j.xml", "o.yaml", "m.prom", "f.jsonl")]
    command = ["reconcile", "-b", world.broker.bootstrap, "-t", "t1", "--json"]
    command += ["--store", f"dir:{world.store.path}", "-X", "log_level=0"]
    forms = ["--junit", "--openreports", "--metrics-textfile", "--findings"]
    for option, file in zip(forms, files, strict=True):
        command += [option, str(file)]

    now = CliRunner().invoke(main, [*command, "--severity", "high", "--runs", str(tmp_path / "r")])
    then = CliRunner().invoke(main, [*command, "--as-of", "#1", "--partitions", "0-1"])
    tried = CliRunner().invoke(main, [*command, "--against", "#1"])
    wrong = CliRunner().invoke(main, [*command, "--sample", "most"])
    twice = CliRunner().invoke(main, [*command, "--report", str(files[0])])

    said, former, candidate = (msgspec.json.decode(run.stdout) for run in (now, then, tried))
    is_valid(said)
    is_valid(candidate)
    assert (now.exit_code, then.exit_code, wrong.exit_code) == (2, 2, 1)
    assert (twice.exit_code, "is to be written twice" in twice.stderr) == (1, True)
    assert said["counts"]["now-rejected"] == 2
    assert said["asked"] == {"topics": ["t1"], "severities": ["high"]}
    assert (former["bundle"], former["counts"]["now-rejected"]) == ("b@1", 0)
    assert (candidate["bundle"], candidate["what_if"]["current"]) == ("b@1", "b@2")
    assert candidate["what_if"]["changed"] == 2
    assert all(file.stat().st_size for file in files)
    assert (tmp_path / "r" / said["run"] / "findings.jsonl").exists()
