"""Six versions that change modes, exemptions, dates, masks, keys and resolution, in one history."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any

import msgspec

from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.keys import KeyRing
from streamwarden.reconciler import reconcile

from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, policy_for, versions_of

DAY_NS = 86_400 * 10**9
CARD = "4111111111111111"
#: Rotated: what the first key signed is still known when the second signs.
OLD, NEW = {"k1": b"1" * 32}, {"k2": b"2" * 32, "k1": b"1" * 32}
STRANGER = {"k3": b"3" * 32}
MASK_KEYS = {"m1": b"m" * 32}
OVER = "{id: over, when: value.amount > LIMIT, effect: reject, exemptible_by: [team], mode: MODE}"
BIG = "{id: big, when: value.amount > LIMIT, effect: hold}"
CARDS = "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: HOW}]}"
MAIL = "{id: mail, when: has(value.mail), effect: mask, mask: [{field: value.mail, with: HOW}]}"
TRUST = (
    """{id: trusted, when: '"src" in headers && headers["src"] == "t"', exempts: [limits/over]}"""
)
LATE = "{id: late, when: 'has(value.country) && value.country == \"DE\"', effect: reject}"


def over(limit: int, mode: str = "enforce") -> str:
    """Rejects what is above the limit."""
    return OVER.replace("LIMIT", str(limit)).replace("MODE", mode)


class Mixture:
    """Two topics by one glob, one of them with the broker's times; days count from ten days ago."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.prefix = unique_name("mix")
        self.store = DirectoryStore(folder / "store", name="b")
        self.start = time.time_ns() // DAY_NS * DAY_NS - 10 * DAY_NS
        self.plants = {name: self._plant(bootstrap, name) for name in ("own", "appended")}
        self.expected: dict[tuple[str, int, int], tuple[str, str]] = {}

    def _plant(self, bootstrap: str, name: str) -> Planter:
        config = {"message.timestamp.type": "LogAppendTime"} if name == "appended" else {}
        topic = create_topic(bootstrap, f"{self.prefix}.{name}", partitions=2, config=config)
        for kind in ("quarantine", "held"):
            create_topic(bootstrap, f"{kind}.{topic}")
        return Planter(bootstrap, topic, self.store)

    def policy(self, *rules: str, name: str = "limits", more: str = "") -> str:
        """A policy on both topics."""
        return policy_for(f"'{self.prefix}.*'", *rules, name=name, more=more)

    def late(self, until: int | None = None) -> str:
        """In force from the fifth day on."""
        edges = {"from": self.date(5)} | ({} if until is None else {"until": self.date(until)})
        said = ", ".join(f"{name}: {date}" for name, date in edges.items())
        return self.policy(LATE, name="late", more=f"effective: {{{said}}}\n")

    def date(self, day: int) -> str:
        """The date of a day of the history."""
        return (
            dt.datetime.fromtimestamp((self.start + day * DAY_NS) / 1e9, dt.UTC).date().isoformat()
        )

    def plant(
        self,
        version: Any,
        day: int,
        value: dict[str, Any] | None,
        found: tuple[str, str] | None = None,
        *,
        topic: str = "own",
        keys: dict[str, bytes] | None = None,
        mode: str = "enforce",
        **event: Any,
    ) -> None:
        """One event at noon of a day, and the finding that is due: its kind, and what changed."""
        settings: dict[str, Any] = {"mask_keys": MASK_KEYS, "mode": mode}
        if keys is not None:
            settings["stamp_keys"] = keys
        clock = self.start + day * DAY_NS + DAY_NS // 2
        place = self.plants[topic].guarded(
            version, value, clock=clock, at=topic == "appended", settings=settings, **event
        )
        if found is not None:
            self.expected[place] = found


def test_exactly_what_is_due_is_found(kafka: Kafka, tmp_path: Path) -> None:
    """Honest events are accused by no version, mode, date, mask, key or topic of the others."""
    mixture = Mixture(kafka.bootstrap, tmp_path)
    policy, plant = mixture.policy, mixture.plant
    last4, redact = CARDS.replace("HOW", "last4"), CARDS.replace("HOW", "redact")
    trust = policy(TRUST, name="trust")
    dropped = policy(MAIL.replace("HOW", "drop"), name="mail")
    v1, v2, v3, v4, v5, v6 = versions_of(
        mixture.store,
        make_bundle(policy(over(50), last4)),
        make_bundle(policy(over(50, "shadow"), last4)),
        make_bundle(policy(over(50), last4), trust),
        make_bundle(policy(over(50), redact), trust, mixture.late(), dropped),
        make_bundle(
            policy(over(50), BIG.replace("LIMIT", "30")),
            *(trust, mixture.late(), dropped),
            settings="resolution: approval_first\n",
        ),
        make_bundle(
            policy(over(20), BIG.replace("LIMIT", "10"), last4),
            mixture.late(until=8),
            policy(MAIL.replace("HOW", "hash"), name="mail", more="tombstones: reject\n"),
        ),
    )
    shadowed = ("now-rejected", "over: mode shadow → enforce")
    plant(v1, 1, {"amount": 5})
    plant(v1, 1, {"amount": 15}, ("now-held", "big: added"), partition=1)
    plant(v1, 1, {"amount": 40}, ("now-rejected", "over: 50 → 20"))
    plant(v1, 1, {"amount": 60})
    plant(v1, 1, {"amount": 5, "card": CARD})
    plant(v1, 1, {"amount": 5, "card": CARD, "mail": "a@b"}, ("now-masked", "mail: added"))
    plant(v1, 1, {"amount": 5, "country": "DE"})
    plant(v1, 1, None, ("now-rejected", "mail: added, with tombstones: reject"), key=b"k")
    plant(v1, 2, {"amount": 60}, ("now-rejected", "guard: mode shadow → enforce"), mode="shadow")
    plant(v2, 2, {"amount": 60}, shadowed)
    plant(v2, 2, {"amount": 60, "card": CARD}, shadowed, partition=1)
    trusted = [("src", b"x"), ("src", b"t")]
    plant(v3, 3, {"amount": 60}, ("now-rejected", "trusted: removed"), headers=trusted)
    plant(v3, 3, {"amount": 60}, headers=[("src", b"x")])
    plant(v4, 4, {"amount": 5, "country": "DE"}, keys=OLD)
    plant(v4, 4, {"amount": 5, "card": CARD}, keys=OLD)
    plant(v4, 4, {"amount": 5, "mail": "a@b"}, keys=OLD, partition=1)
    plant(v4, 6, {"amount": 5, "country": "DE"}, keys=OLD)
    ended = (
        f"late: effective from {mixture.date(5)} → from {mixture.date(5)} until {mixture.date(8)}"
    )
    plant(v4, 9, {"amount": 5, "country": "DE"}, ("now-allowed", ended), keys=OLD)
    plant(v3, 6, {"amount": 5, "country": "DE"}, ("now-rejected", "late: added"), keys=NEW)
    plant(v5, 7, {"amount": 60}, keys=NEW)
    plant(v5, 7, {"amount": 8, "card": CARD}, ("now-masked", "card: added"), keys=NEW)
    plant(v6, 9, {"amount": 5, "card": CARD, "mail": "a@b"}, keys=NEW)
    plant(v6, 9, {"amount": 25}, keys=NEW)
    plant(v6, 9, {"amount": 5}, ("forged", ""), keys=STRANGER)
    plant(v6, 9, {"amount": 5}, ("forged", ""))
    for day, found in ((1, None), (6, ("now-rejected", "late: added")), (9, None)):
        keys = OLD if day > 3 else None
        plant(v1, day, {"amount": 5, "country": "DE"}, found, topic="appended", keys=keys)
    path = tmp_path / "findings.jsonl"
    options = mixture.plants["own"].options(
        findings=path,
        topics=(f"{mixture.prefix}.*",),
        stamp_keys=KeyRing(NEW),
        mac_since=(mixture.start + 4 * DAY_NS) // 10**6,
        mask_keys=KeyRing(MASK_KEYS),
    )

    report = reconcile(options)

    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    told = {
        (line["topic"], line["partition"], line["offset"]): (line["kind"], line["change"])
        for line in lines
    }
    assert told == mixture.expected
    assert (report.complete, report.account.unverifiable) == (True, 0)
