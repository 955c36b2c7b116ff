"""Findings as a Parquet file, for those who ask questions of many of them.

One row a finding. What findings share are columns; the decision and the stamp are JSON texts.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from streamwarden.errors import ConfigurationError

__all__ = ["check_parquet", "write_parquet"]

#: Rows that are held at a time; a decision has some kilobytes.
_ROWS = 5_000


def check_parquet() -> tuple[Any, Any]:
    """Pyarrow and its Parquet module. Raises ConfigurationError where it is not installed."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            "Parquet needs pyarrow, which is not installed",
            remedy="install `streamwarden[parquet]`, or write `.jsonl`",
        ) from None


def write_parquet(lines: Iterable[bytes], path: Path) -> None:
    """Write findings, one line of JSON each, to `path`; it appears when it is whole."""
    pa, pq = check_parquet()
    schema = pa.schema(
        [
            ("kind", pa.dictionary(pa.int32(), pa.string())),
            ("topic", pa.dictionary(pa.int32(), pa.string())),
            ("partition", pa.int32()),
            ("offset", pa.int64()),
            ("timestamp", pa.timestamp("ms", tz="UTC")),
            ("key", pa.string()),
            ("drift", pa.string()),
            ("effect", pa.string()),
            ("stamped_version", pa.string()),
            ("current_version", pa.string()),
            ("severity", pa.string()),
            ("owners", pa.list_(pa.string())),
            ("rules", pa.list_(pa.string())),
            ("reasons", pa.list_(pa.string())),
            ("change", pa.string()),
            ("detail", pa.string()),
            ("stamped", pa.string()),
            ("current", pa.string()),
            ("what_if", pa.string()),
            ("unknown", pa.list_(pa.string())),
        ]
    )
    part = path.with_name(path.name + ".part")
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        rows = map(_row, lines)
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    part.replace(path)


def _row(line: bytes) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(line)
    rules: list[dict[str, Any]] = said["rules"]
    key = said["key"]
    return {
        **said,
        "key": key if key is None or isinstance(key, str) else _json(key),
        "effect": said["current"].get("effect"),
        "stamped_version": said["versions"]["stamped"],
        "current_version": said["versions"]["current"],
        "rules": [f"{rule['policy']}/{rule['rule']}" for rule in rules],
        "reasons": [rule["reason"] for rule in rules],
        "stamped": None if said["stamped"] is None else _json(said["stamped"]),
        "current": _json(said["current"]),
        "what_if": _json(said["what_if"]) if "what_if" in said else None,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
