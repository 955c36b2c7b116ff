"""`streamwarden demo`: the product at work, without anything to set up."""

from __future__ import annotations

import click
from rich.console import Console

from streamwarden.demo import run_demo

__all__ = ["demo"]


@click.command("demo")
@click.option(
    "--events", type=click.IntRange(100, 1_000_000), default=5000, show_default=True, metavar="N"
)
def demo(events: int) -> None:
    """See it work on made-up payments, with a Kafka broker inside this process.

      streamwarden demo
      streamwarden demo --events 20000

    Events are published and parked, handled, released and reconciled after a change of policy.
    Nothing is left behind, and nothing is reached over the network.
    """
    run_demo(Console(highlight=False, emoji=False), events=events)
