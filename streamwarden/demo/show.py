"""One run through everything, on a broker inside this process, told on the terminal.

The payments are made up and the broker is librdkafka's own test broker; everything else (policy,
producer, consumer, quarantine, reconciler) is what a service would run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.rule import Rule as Line
from rich.table import Table

from streamwarden import Effect, Guard, GuardedConsumer, GuardedMessage, GuardedProducer
from streamwarden.cli.output import escaped
from streamwarden.cli.trails import decision_tree, effect_style
from streamwarden.demo.events import payments
from streamwarden.embedded import EmbeddedBroker
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.loader import load_directories
from streamwarden.producers.quarantine import Quarantine, Selection, list_parked
from streamwarden.producers.release import release
from streamwarden.producers.reviews import Signature
from streamwarden.reconciler.options import ReconcileOptions
from streamwarden.reconciler.run import reconcile
from streamwarden.reconciler.text import render

__all__ = ["run_demo"]

_TOPIC = "payments"
_PARTITIONS = 3
_EVENTS = 5000
_BEFORE, _AFTER = "value.amount > 50000", "value.amount > 10000"
_TIMEOUT_S = 30.0


def run_demo(console: Console, *, events: int = _EVENTS) -> None:
    """Show the whole way of `events` payments. Leaves nothing behind.

    Raises DeliveryError when the broker inside this process does not take them in time.
    """
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="streamwarden-demo-") as folder,
        EmbeddedBroker() as broker,
    ):
        for topic in (_TOPIC, f"quarantine.{_TOPIC}", f"held.{_TOPIC}"):
            broker.create_topic(topic, _PARTITIONS)
        _Demo(console, broker, Path(folder), events).run()
    spent = time.monotonic() - started
    console.print(
        f"\n[dim]Made-up payments, a broker inside this process, {spent:.1f} s; "
        "nothing is left behind. Next: README.md, or[/] streamwarden --help"
    )


class _Demo:
    def __init__(self, console: Console, broker: EmbeddedBroker, folder: Path, events: int) -> None:
        self._console, self._broker, self._events = console, broker, events
        self._client = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        self._policies = folder / "policies"
        with resources.as_file(resources.files("streamwarden.demo") / "policies") as packaged:
            shutil.copytree(packaged, self._policies)
        self._store_folder = folder / "bundles"
        self._store = DirectoryStore(self._store_folder, name="payments")

    def run(self) -> None:
        """Tell the story, one step after the other."""
        guard = Guard(self._publish_bundle("the first version"))
        self._say("1", "A policy: documents in a directory, numbered and digested")
        self._show_policy(guard)
        self._say("2", f"{self._events:,} payments, some of them bad, through GuardedProducer")
        self._produce(guard)
        self._say("3", "One quarantined event, and why")
        self._show_quarantined(guard)
        self._say("4", "The passing ones, through GuardedConsumer")
        self._consume(guard)
        self._say("5", "A person releases one held payment")
        self._release(guard)
        self._say("6", f"The limit is tightened: {_BEFORE} becomes {_AFTER}")
        self._tighten()
        self._say("7", "History is replayed against today's policy")
        self._reconcile()

    def _say(self, number: str, title: str) -> None:
        self._console.print()
        self._console.print(Line(f"[bold]{number}  {title}", align="left", style="blue"))

    def _publish_bundle(self, reason: str) -> Bundle:
        bundle = self._store.publish(load_directories([self._policies]), by="demo", reason=reason)
        self._store.activate(bundle.number, by="demo", reason=reason)
        return bundle

    def _show_policy(self, guard: Guard) -> None:
        bundle = guard.bundle
        table = Table(box=None, pad_edge=False)
        for name in ("policy", "owner", "rule", "when it fires"):
            table.add_column(name)
        for policy in bundle.policies:
            for rule in policy.rules:
                effect = "exempts" if rule.effect is None else rule.effect.value
                when = "" if rule.condition is None else rule.condition.text
                table.add_row(
                    policy.id,
                    policy.owner,
                    rule.id,
                    f"[{effect_style(effect) or 'blue'}]{effect:<8}[/] {escaped(when)}",
                )
        self._console.print(table)
        self._console.print(f"\n[bold]{bundle.label}[/]  digest {bundle.digest[:12]}…")

    def _produce(self, guard: Guard) -> None:
        effects: Counter[Effect] = Counter()
        told: Counter[str] = Counter()

        def report(error: object, _message: object) -> None:
            told["delivered" if error is None else "refused, and told so"] += 1

        started = time.perf_counter()
        with GuardedProducer(self._client, guard=guard) as producer:
            for payment in payments(self._events):
                decision = producer.produce(
                    _TOPIC,
                    payment.value,
                    payment.key,
                    headers=payment.headers,
                    on_delivery=report,
                )
                effects[decision.effect] += 1
            unsent = producer.flush(_TIMEOUT_S)
        spent = time.perf_counter() - started
        table = Table(box=None, pad_edge=False)
        table.add_column("effect")
        table.add_column("events", justify="right")
        table.add_column("where they are")
        places = {
            Effect.HOLD: f"held.{_TOPIC}, byte for byte, waiting for a person",
            Effect.REJECT: f"quarantine.{_TOPIC}, byte for byte, with the decision",
            Effect.MASK: f"{_TOPIC}, card number shortened, stamped",
        }
        for effect in Effect:
            if effects[effect]:
                table.add_row(
                    f"[{effect_style(effect.value)}]{effect.value}[/]",
                    f"{effects[effect]:,}",
                    places.get(effect, f"{_TOPIC}, stamped"),
                )
        self._console.print(table)
        counted = ", ".join(f"{count:,} {what}" for what, count in sorted(told.items()))
        self._console.print(
            f"\nThe delivery callback heard of every one: {counted}; {unsent} unsent. {spent:.1f} s."
        )

    def _quarantine(self, guard: Guard) -> Quarantine:
        return Quarantine(self._client, guard, _TOPIC, timeout_s=_TIMEOUT_S)

    def _show_quarantined(self, guard: Guard) -> None:
        rule = "payment-limits/sanctioned-country"
        listing = list_parked(self._quarantine(guard), Selection(kind="quarantined", rule=rule))
        event = listing.events[0]
        self._console.print(
            f"{event.topic} partition {event.partition} offset {event.offset}, "
            f"one of {len(listing.events)} that rule {rule} rejected:\n"
        )
        if event.parked.decision is not None:
            self._console.print(decision_tree(event.parked.decision))

    def _consume(self, guard: Guard) -> None:
        seen: Counter[str] = Counter()
        shown: list[str] = []

        def handle(message: GuardedMessage) -> None:
            seen[message.decision.effect.value] += 1
            value = message.value()
            if not shown and message.decision.effect is Effect.MASK and value is not None:
                shown.append(value.decode())

        config = {
            **self._client,
            **self._broker.group_settings,
            "group.id": "fulfilment",
            "auto.offset.reset": "earliest",
        }
        consumer = GuardedConsumer(config, guard=guard)
        consumer.subscribe([_TOPIC])
        handled = consumer.run(handle, until_end=True)
        consumer.close()
        counted = ", ".join(f"{count:,} {effect}" for effect, count in seen.most_common())
        self._console.print(f"{handled:,} handled: {counted}. One of them:\n")
        self._console.print(f"  {escaped(shown[0])}" if shown else "  none masked")

    def _release(self, guard: Guard) -> None:
        quarantine = self._quarantine(guard)
        waiting = list_parked(quarantine, Selection(kind="held")).events
        event = waiting[0]
        chosen = Selection(at=frozenset({(event.partition, event.offset)}), kind="held")
        signature = Signature(by="A. Jones", reason="confirmed by phone")
        for _ in range(2):
            report = release(quarantine, chosen, signatures=[signature])
            outcome = report.outcomes[0]
            said = f": {outcome.why}" if outcome.why else f" to {outcome.to}"
            self._console.print(
                f"{event.topic} {outcome.partition}:{outcome.offset}  "
                f"[bold]{outcome.outcome}[/]{escaped(said)}"
            )
        self._console.print(f"{len(waiting) - 1:,} still wait; a second release is refused.")

    def _tighten(self) -> None:
        limits = self._policies / "limits.yaml"
        limits.write_text(limits.read_text().replace(_BEFORE, _AFTER))
        bundle = self._publish_bundle("limit lowered")
        self._console.print(
            f"[bold]{bundle.label}[/]  digest {bundle.digest[:12]}…  published and active; "
            "running guards on this store swap within a second."
        )

    def _reconcile(self) -> None:
        options = ReconcileOptions(
            config=self._client, topics=(_TOPIC,), store=self._store, timeout_s=_TIMEOUT_S
        )
        report = reconcile(options)
        self._console.print(render(report))
