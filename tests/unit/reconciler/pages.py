"""Reports with something of everything in them, for what renders reports."""

from __future__ import annotations

import functools
from dataclasses import replace

from streamwarden.policy.bundle import Bundle
from streamwarden.reconciler.breakdown import DAY_MS
from streamwarden.reconciler.catalogue import catalogue_of
from streamwarden.reconciler.judge import Terms
from streamwarden.reconciler.reading import Gap
from streamwarden.reconciler.report import Report
from streamwarden.reconciler.rows import Rows
from streamwarden.reconciler.slices import Partition, Slice
from streamwarden.reconciler.tally import SliceReport, Tally, merge_all

from .histories import NOON, Past, make_bundle

__all__ = ["CARD", "HOSTILE", "RTL", "eventful", "report_of", "with_rows"]

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
RTL = "\u202eevil\u2066 \u05e9\u05dc\u05d5\u05dd"
CARD = "4111111111111111"

_DAY = DAY_MS * 1_000_000

_POLICY = """policy: payment-limits
title: Limits on card payments
owner: payments-risk
topics: [t]
sensitive: [value.iban]
rules:
  - id: over-limit
    when: value.amount > {limit} && !(value.country in ["US", "CA"])
    effect: {effect}
    reason: amount {{value.amount}} from {{value.name}} to {{value.iban}} is over the limit
    severity: high
    remediation: ask the risk desk for a second pair of eyes
  - id: card-number
    when: has(value.card)
    effect: mask
    mask: [{{field: value.card, with: last4}}]
"""
_MORE = """policy: contact-data
owner: privacy-office
topics: [t]
rules:
  - id: mail
    when: has(value.mail)
    effect: mask
    mask: [{field: value.mail, with: redact}]
    severity: medium
"""


def _known(kind: str, name: str) -> bool:
    return (kind, name) == ("ov", "grant-7")


def report_of(past: Past, today: Bundle, *, gaps: dict[str, list[Gap]] | None = None) -> Report:
    """The report on all of `past`, one partition a topic."""
    tallies: dict[str, Tally] = {}
    for found, record in past.judged(today, terms=Terms(now=NOON, known_id=_known)):
        tally = tallies.setdefault(record.topic, Tally())
        tally.events += 1
        tally.parked += record.topic != "t"
        tally.count_day(record.timestamp, 1)
        if found is not None:
            tally.add(found)
    pieces = [
        Slice(place, topic, 0, 0, len(past.topics[topic])) for place, topic in enumerate(tallies)
    ]
    account = with_rows(
        merge_all(
            tallies[piece.topic].report(piece, (gaps or {}).get(piece.topic, []), "")
            for piece in pieces
        )
    )
    made = Report(
        bundle=today.label,
        digest=today.digest,
        partitions=tuple(
            Partition(piece.topic, 0, piece.topic != "t", 0, 0, piece.end, 0) for piece in pieces
        ),
        account=account,
        seconds=83.4,
    )
    return Report(
        made.bundle,
        made.digest,
        made.partitions,
        account,
        made.seconds,
        catalogue=catalogue_of([today, *past.versions], made.rule_names()),
        started=NOON // 1_000_000,
        command="streamwarden reconcile --topic t --policies policies/ -X sasl.password=***",
    )


def with_rows(account: SliceReport) -> SliceReport:
    """An account with its tables of rules and versions, as a run sums them."""
    with Rows.opened() as rows:
        for cause in account.causes:
            rows.add(cause)
        rules, versions = rows.total()
    return replace(account, rules=rules, versions=versions)


@functools.cache
def eventful() -> Report:
    """Forty days under three versions, with every kind of finding and with hostile content."""
    v1, v2, v3 = (
        make_bundle(_POLICY.format(limit=limit, effect=effect), *also, number=number)
        for number, (limit, effect, also) in enumerate(
            [(50_000, "hold", ()), (50_000, "reject", ()), (10_000, "reject", (_MORE,))], 1
        )
    )
    past = Past(v1, v2, v3)
    hostile = {"amount": 20_000, "country": RTL, "name": HOSTILE, "iban": "SECRET-IBAN"}
    at = NOON - 41 * _DAY
    past.guarded(v1, hostile, at=at, timestamp=at // 1_000_000, key=HOSTILE.encode())
    past.guarded(
        v1,
        {**hostile, "name": RTL + "x" * 50_000},
        at=at,
        timestamp=at // 1_000_000,
        key=RTL.encode(),
    )
    for day in range(40):
        at = NOON - (40 - day) * _DAY
        version = v1 if day < 15 else v2 if day < 32 else v3
        for number in range(30 + day % 7 * 5):
            amount = 900 * number if day % 3 else 700 * number
            value = {
                "amount": amount,
                "country": "DE",
                "name": "Jo",
                "iban": "DE02120300000000202051",
            }
            past.guarded(version, value, at=at, timestamp=at // 1_000_000)
        if day % 5 == 0:
            value = {"amount": 5, "country": "US", "mail": "jo@example.org", "card": CARD}
            past.guarded(version, value, at=at, timestamp=at // 1_000_000)
    at = NOON - _DAY
    past.bypass({"amount": 1, "country": "DE"}, timestamp=at // 1_000_000, key=b"\xff" * 4000)
    past.bypass({"amount": 99_999, "country": "DE"}, timestamp=at // 1_000_000)
    past.bypass(b"\xff\xfe", timestamp=at // 1_000_000)
    past.bypass({"amount": 1}, stamp="1;<b>@3;short;allow;produce", timestamp=at // 1_000_000)
    stamp = f"1;b@3;{v3.digest[:12]};allow;produce"
    past.bypass({"amount": 77_777, "country": "DE"}, stamp=stamp, timestamp=at // 1_000_000)
    past.released(v3, {"amount": 66_666, "country": "DE"}, field="ov", id="grant-7")
    gaps = {"t": [Gap(12, 14, "transaction"), Gap(40, 41, "compacted"), Gap(60, 63, "retention")]}
    return report_of(past, v3, gaps=gaps)
