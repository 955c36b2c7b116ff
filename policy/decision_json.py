"""A decision as bytes of JSON that fit: in the header of a parked record, in the decision log."""

from __future__ import annotations

import json
from typing import Any

import msgspec

__all__ = ["decision_json"]

#: What is kept of a decision in any case.
_HEAD = ("v", "id", "at", "effect", "bundle", "digest", "stage", "kind")


def decision_json(said: dict[str, Any], max_bytes: int) -> bytes:
    """`said` (`Decision.to_dict()` and more) as compact JSON on one line.

    Within `max_bytes` it is cut by whole matches and then to its head; `cut` says how many matches
    are missing.
    """
    text = _json(said)
    matches: list[Any] = said["matches"]
    keep = len(matches)
    while len(text) > max_bytes and keep > 0:
        # Halving keeps the number of encodings logarithmic for a thousand matches.
        keep = keep // 2
        text = _json({**said, "matches": matches[:keep], "cut": len(matches) - keep})
    if len(text) > max_bytes:
        head = {name: said[name] for name in _HEAD if name in said}
        text = _json({**head, "matches": [], "cut": len(matches)})
    return text


def _json(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate, as only a caller's own text can hold
        return json.dumps(value, separators=(",", ":")).encode()
