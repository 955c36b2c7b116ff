"""Published and active versions as lines and JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..policy.store import Activation, ActiveBundle, Publication
from .output import Output, escaped

__all__ = ["activation_json", "active_json", "print_active", "print_history", "publication_json"]


def publication_json(each: Publication) -> dict[str, object]:
    """A publication; `at` in milliseconds."""
    return {
        "bundle": f"{each.name}@{each.number}",
        "number": each.number,
        "digest": each.digest,
        "at": each.at // 1_000_000,
        "by": each.by,
        "reason": each.reason,
    }


def activation_json(each: Activation) -> dict[str, object]:
    """An activation; `at` in milliseconds."""
    return {
        "epoch": each.epoch,
        "number": each.number,
        "digest": each.digest,
        "at": each.at // 1_000_000,
        "by": each.by,
        "reason": each.reason,
    }


def active_json(found: ActiveBundle) -> dict[str, object]:
    """The active version with how it came to be so."""
    return {"bundle": found.bundle.label, **activation_json(found.activation)}


def print_active(found: ActiveBundle, output: Output) -> None:
    """The active version, on one line."""
    activation = found.activation
    output.print(
        f"{found.bundle.label} ({found.bundle.digest[:12]}) since {_time(activation.at)} "
        f"by {escaped(activation.by)}: {escaped(activation.reason)}"
    )


def print_history(
    published: Sequence[Publication],
    activated: Sequence[Activation],
    active: ActiveBundle | None,
    output: Output,
) -> None:
    """A table of versions, and when each was active."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("version", "digest", "published", "by", "why", "activated"):
        table.add_column(heading, overflow="fold")
    for each in published:
        times = [a for a in activated if a.number == each.number]
        current = active is not None and active.activation.number == each.number
        shown = [f"{_time(a.at)} by {a.by}: {a.reason}" for a in times]
        table.add_row(
            Text(f"{each.name}@{each.number}", "bold green" if current else ""),
            each.digest[:12],
            _time(each.at),
            Text(escaped(each.by)),
            Text(escaped(each.reason)),
            Text("\n".join(map(escaped, shown))),
        )
    output.print(table)
    if not published:
        output.note("nothing was published yet")


def _time(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC):%Y-%m-%d %H:%M:%S}"
