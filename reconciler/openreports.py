"""The report as a `Report` of openreports.io/v1alpha1, as policy dashboards of clusters read it.

One result for each rule behind a cause, for each partition that was not read to its end, for the log
of decisions where one was compared, and one that passes for everything else.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from .findings import NOT_DRIFT
from .words import (
    cause_sentence,
    headline,
    judged_by,
    log_sentences,
    meaning,
    missed_places,
)

__all__ = ["as_json", "as_yaml", "openreports"]

_NAME = re.compile(r"[^a-z0-9.-]+")
#: What an object of a cluster may take, with room for the rest of it.
_RESULTS_MAX = 1000
_TEXT_MAX_CHARS = 1024
_STATES = ("pass", "fail", "warn", "error", "skip")


def openreports(report: Mapping[str, Any]) -> dict[str, Any]:
    """The object for a report as JSON has it.

    A cause that is drift is `fail`, one that is not `warn`; events whose decision cannot be known
    and what was not read are `error`.
    """
    seconds, left = divmod(report["started"], 1000)
    at = {"seconds": seconds, "nanos": left * 1_000_000}
    rules = {f"{rule['policy']}/{rule['rule']}": rule for rule in report.get("rules", ())}
    results = [*_decision_log(report, at), *_causes(report, rules, at), *_completeness(report, at)]
    results.append(_rest(report, at))
    kept = results[:_RESULTS_MAX]
    began = dt.datetime.fromtimestamp(seconds, dt.UTC)
    bundle = report["bundle"].partition("@")[0]
    return {
        "apiVersion": "openreports.io/v1alpha1",
        "kind": "Report",
        "metadata": {
            "name": _NAME.sub("-", f"streamwarden-{bundle}-{began:%Y%m%d-%H%M%S}").strip("-."),
            "labels": {"app.kubernetes.io/created-by": "streamwarden"},
            "annotations": {
                "streamwarden/bundle": report["bundle"],
                "streamwarden/digest": report["digest"],
                "streamwarden/verdict": report["verdict"],
                "streamwarden/events": str(report["events"]),
                "streamwarden/results-omitted": str(len(results) - len(kept)),
            },
        },
        "source": "streamwarden",
        "summary": {state: sum(r["result"] == state for r in kept) for state in _STATES},
        "results": kept,
    }


def as_json(report: Mapping[str, Any]) -> bytes:
    """The object as JSON."""
    return msgspec.json.format(msgspec.json.encode(openreports(report)), indent=2) + b"\n"


def as_yaml(report: Mapping[str, Any]) -> bytes:
    """The object as YAML."""
    import io  # noqa: PLC0415 - with the next: JSON needs neither

    from ruamel.yaml import YAML  # noqa: PLC0415 - as above

    out = io.BytesIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(openreports(report), out)
    return out.getvalue()


def _rest(report: Mapping[str, Any], at: Mapping[str, int]) -> dict[str, Any]:
    """What is neither a finding nor missing; where nothing was judged, nothing passed."""
    if not report["events"]:
        return _result("streamwarden", "reconcile", "skip", headline(report), at)
    unasked: Mapping[str, int] = report.get("left_out") or {}
    left_out = sum(unasked.values())
    fine = report["events"] - sum(report["counts"].values()) - left_out
    said = f"{fine:,} event{'' if fine == 1 else 's'} as they were"
    if left_out:
        said += f"; {left_out:,} with findings that were not asked for"
    return _result("streamwarden", "reconcile", "pass", said, at)


def _decision_log(report: Mapping[str, Any], at: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    log = report.get("decision_log")
    if not log:
        return
    state = "error" if log.get("problem") else "fail" if log["missed"] else "pass"
    said = _result("streamwarden", "decision-log", state, " ".join(log_sentences(log)), at)
    if log["missed"]:
        said["properties"] = {"count": str(log["missed"]), "examples": missed_places(log)}
    yield said


def _causes(
    report: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]], at: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    by = judged_by(report)
    for cause in report["causes"]:
        kind, joined = cause["kind"], cause["rule"] or ""
        state = "warn" if kind in NOT_DRIFT else "error" if kind == "undecidable" else "fail"
        said = cause_sentence(
            kind,
            cause["count"],
            rule=joined,
            change=cause["change"],
            drift=cause["drift"] or "",
            stamped=cause["stamped"] or "",
            by=by,
        )
        places = [f"{e['topic']}[{e['partition']}]@{e['offset']}" for e in cause["examples"]]
        properties = {
            "kind": kind,
            "count": str(cause["count"]),
            "meaning": meaning(kind, by),
            "change": cause["change"],
            "stamped": cause["stamped"] or "",
            "current": report["bundle"],
            "examples": ", ".join(places),
        }
        for name in joined.split(", "):
            known = rules.get(name, {})
            policy, _, rule = name.partition("/")
            result = _result(policy or "streamwarden", rule or kind, state, said, at)
            result["category"] = kind
            if known.get("severity"):
                result["severity"] = known["severity"]
            more = {"owner": known["owner"]} if known.get("owner") else {}
            result["properties"] = {
                key: value[:_TEXT_MAX_CHARS]
                for key, value in {**properties, **more}.items()
                if value
            }
            yield result


def _completeness(report: Mapping[str, Any], at: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for part in report["partitions"]:
        left = part["end"] - part["first"] - part["covered"]
        place = f"{part['topic']}[{part['partition']}]"
        if part.get("problem") or left:
            why = part.get("problem") or f"{left:,} offsets were not read"
            yield _result("streamwarden", "completeness", "error", f"{place}: {why}", at)
    if "sample" in report:
        said = f"only a sample of {report['sample']['asked']} was judged"
        yield _result("streamwarden", "completeness", "skip", said, at)


def _result(
    policy: str, rule: str, state: str, message: str, at: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "source": "streamwarden",
        "policy": policy,
        "rule": rule,
        "timestamp": dict(at),
        "result": state,
        "scored": state in ("pass", "fail"),
        "message": message[:_TEXT_MAX_CHARS],
    }
