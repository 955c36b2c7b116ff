"""A decision as bytes of JSON that fit: in the header of a parked record, in the decision log.

What no event changes is prepared for each plan and effect, so that writing a decision down costs
little more than looking at what it is about.
"""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from streamwarden._version import __version__

from .explain import write_matches
from .json_text import json_bytes
from .privacy import HIDDEN

if TYPE_CHECKING:
    from .decision import Decision

__all__ = ["decision_json", "key_text", "sha256_text", "write"]

#: What is kept of a decision in any case.
_HEAD = ("v", "id", "at", "effect", "bundle", "digest", "stage", "kind")
_KEY_MAX_CHARS = 256


def decision_json(decision: Decision, max_bytes: int, **more: object) -> bytes:
    """`decision` with `more` fields as compact JSON on one line.

    Within `max_bytes` it is cut by whole matches and then to its head; `cut` says how many matches
    are missing.
    """
    text = decision.to_json()
    if more:
        text = b"%b,%b" % (text[:-1], json_bytes(more)[1:])
    if len(text) <= max_bytes:
        return text
    said: dict[str, Any] = {**decision.to_dict(), **more}
    matches: list[Any] = said["matches"]
    keep = len(matches)
    while len(text) > max_bytes and keep > 0:
        # Halving keeps the number of encodings logarithmic for a thousand matches.
        keep = keep // 2
        text = json_bytes({**said, "matches": matches[:keep], "cut": len(matches) - keep})
    if len(text) > max_bytes:
        head = {name: said[name] for name in _HEAD if name in said}
        text = json_bytes({**head, "matches": [], "cut": len(matches)})
    return text


def write(decision: Decision) -> tuple[bytes, str]:
    """`decision.to_dict()` as compact JSON, and the reasons in one line."""
    plan, event, at = decision.plan, decision.event, decision.at
    frame = plan.frames.get(decision.effect)
    if frame is None:
        frame = plan.frames[decision.effect] = _frame(decision)
    schema = b"null"
    if plan.framed is not None:
        schema = json_bytes(plan.framed.named(event.topic, event.value, event.headers))
    said = write_matches(decision)
    text = frame % (
        json_bytes(decision.id),
        at,
        b"null" if event.partition is None else b"%d" % event.partition,
        b"null" if event.offset is None else b"%d" % event.offset,
        at if event.timestamp is None else event.timestamp,
        b"null" if event.key is None else json_bytes(key_text(event.key, hidden=plan.hides_key)),
        json_bytes(sha256_text(event.value)),
        schema,
        said.matched,
        said.matches,
        said.remediation,
    )
    more: dict[str, object] = {}
    if decision.undecodable is not None:
        more["undecodable"] = decision.undecodable
    if event.facts is not None and plan.reads_facts:
        more["facts"] = plan.privacy.shown_map(event.facts, ("facts",))
    if more:
        text = text[:-1] + b"," + json_bytes(more)[1:]
    return text, said.reasons


def _frame(decision: Decision) -> bytes:
    """What is the same for all decisions of one plan and effect, to be formatted by `write`."""
    plan = decision.plan

    def fixed(value: object) -> bytes:
        return json_bytes(value).replace(b"%", b"%%")

    head = {
        "effect": decision.effect.value,
        "mode": plan.mode.value,
        "bundle": plan.label,
        "digest": plan.digest,
        "language": plan.language,
        "stage": plan.stage,
    }
    evaluated = b"%d" % len(plan.rules)
    return (
        b'{"v":1,"id":%b,"at":%d,'
        + fixed(head)[1:-1]
        + b',"event":{"topic":'
        + fixed(plan.topic)
        + b',"partition":%b,"offset":%b,"timestamp":%d,"key":%b,"sha256":%b},"schema":%b,"guard":'
        + fixed({**plan.client, "version": __version__})
        + b',"evaluated":'
        + evaluated
        + b',"matched":%d,"matches":[%b],"remediation":[%b]}'
    )


def key_text(key: bytes | None, *, hidden: bool = False) -> str | dict[str, str] | None:
    """A key for JSON: its text, `{"base64": …}` where it is none, cut at a fixed length."""
    if key is None:
        return None
    if hidden:
        return HIDDEN
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(key[:_KEY_MAX_CHARS]).decode()}
    return text if len(text) <= _KEY_MAX_CHARS else text[: _KEY_MAX_CHARS - 1] + "…"


def sha256_text(value: bytes | None) -> str | None:
    """The SHA-256 of a value in hex; None for a tombstone."""
    return None if value is None else sha256(value).hexdigest()
