"""The report as JUnit XML, for pipelines that show test results.

One test case for each kind of finding, for each cause of what fails, for each partition, and for the
log of decisions where one was compared.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from .findings import NOT_DRIFT
from .words import cause_sentence, judged_by, log_sentences, meaning, missed_places, missed_sentence

__all__ = ["junit"]

#: What XML 1.0 cannot hold, whatever the escape.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Mapping[str, Any], fail_on: Collection[str] = ()) -> bytes:
    """The XML of a report as JSON has it. `fail_on` as in `Report.exit_status`."""
    failing = set(fail_on) or set(report["counts"]) - NOT_DRIFT
    root = ET.Element("testsuites", name="streamwarden reconcile")
    suites = [_findings(report, failing), _causes(report, failing), _completeness(report)]
    if report.get("decision_log"):
        suites.append(_decision_log(report["decision_log"]))
    began = dt.datetime.fromtimestamp(report["started"] / 1000, dt.UTC)
    for suite in suites:
        suite.set("timestamp", f"{began:%Y-%m-%dT%H:%M:%S}")
        suite.set("tests", str(len(suite.findall("testcase"))))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("errors", str(len(suite.findall("testcase/error"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        suite.set("time", "0")
        root.append(suite)
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", str(report["seconds"]))
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _findings(report: Mapping[str, Any], failing: Collection[str]) -> ET.Element:
    suite = ET.Element("testsuite", name="findings")
    for kind, count in report["counts"].items():
        case = _case(suite, "findings", kind)
        said = f"{count:,} event{'' if count == 1 else 's'}: {meaning(kind, judged_by(report))}"
        if count and kind in failing:
            _said(case, "failure", kind, said)
        elif count:
            ET.SubElement(case, "system-out").text = _text(said)
        elif not report["events"]:
            ET.SubElement(case, "skipped", message="no event was judged")
    return suite


def _causes(report: Mapping[str, Any], failing: Collection[str]) -> ET.Element:
    suite = ET.Element("testsuite", name="causes")
    for cause in report["causes"]:
        if cause["kind"] not in failing:
            continue
        rule, change, stamped = cause["rule"], cause["change"], cause["stamped"]
        name = ", ".join(part for part in (cause["kind"], rule, change, stamped) if part)
        places = [f"{e['topic']}[{e['partition']}]@{e['offset']}" for e in cause["examples"]]
        sentence = cause_sentence(
            cause["kind"],
            cause["count"],
            rule=rule or "",
            change=change,
            drift=cause["drift"] or "",
            stamped=stamped or "",
            by=judged_by(report),
        )
        case = _case(suite, "causes", name)
        _said(case, "failure", cause["kind"], sentence, f"for example {', '.join(places)}")
    return suite


def _completeness(report: Mapping[str, Any]) -> ET.Element:
    suite = ET.Element("testsuite", name="completeness")
    for part in report["partitions"]:
        case = _case(suite, "completeness", f"{part['topic']}[{part['partition']}]")
        left = part["end"] - part["first"] - part["covered"]
        if part.get("problem"):
            _said(case, "error", "unread", f"not read: {part['problem']}")
        elif left:
            _said(case, "error", "unread", f"{left:,} offsets were not read")
        elif "removed" in part:
            removed = f"offsets below {part['removed']} were removed before this run"
            _said(case, "error", "retention", removed)
    for problem in report.get("problems", ()):
        _said(_case(suite, "completeness", problem), "error", "problem", problem)
    if "sample" in report:
        said = f"only a sample of {report['sample']['asked']} was judged"
        _said(_case(suite, "completeness", "sample"), "error", "sample", said)
    return suite


def _decision_log(log: Mapping[str, Any]) -> ET.Element:
    """What the log should tell of and does not fails whatever kinds of findings do."""
    suite = ET.Element("testsuite", name="decision log")
    case = _case(suite, "decision_log", "every event has its entry")
    if log.get("problem"):
        _said(case, "error", "decision-log", f"not compared: {log['problem']}")
    elif log["missed"]:
        _said(case, "failure", "missed", missed_sentence(log), f"for example {missed_places(log)}")
    said = " ".join(log_sentences(log))
    ET.SubElement(case, "system-out").text = _text(said)
    return suite


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=f"streamwarden.reconcile.{group}", name=_text(name), time="0"
    )


def _said(case: ET.Element, tag: str, kind: str, message: str, more: str = "") -> None:
    found = ET.SubElement(case, tag, type=kind, message=_text(message))
    found.text = _text("\n".join(text for text in (message, more) if text))


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
