"""The command line as it was called: whole, for a shell, and without secrets."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from streamwarden.cli.called import called
from streamwarden.cli.client import Client
from streamwarden.cli.options import client_options, topic_option
from streamwarden.cli.output import SECRETS
from streamwarden.cli.times import Instant


@click.command("reconcile")
@topic_option(multiple=True)
@click.option("--since", type=Instant())
@click.option("--retroactive", is_flag=True)
@click.option("--stage")
@client_options
@click.pass_context
def command(context: click.Context, /, client: Client, **_: object) -> None:
    """Say how it was called."""
    assert client.timeout_s
    click.echo(called(context))


def test_what_was_given_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated options, flags, and what the environment gave; no defaults, no secrets."""
    monkeypatch.setenv("STREAMWARDEN_BOOTSTRAP_SERVERS", "broker:9092")
    secret = "correct horse"
    arguments = ["-t", "a b", "--topic", "c", "--since", "2026-03-01", "--retroactive"]

    result = CliRunner().invoke(command, [*arguments, "-X", f"sasl.password={secret}"])
    SECRETS.forget()

    words = shlex.split(result.output)
    assert result.exit_code == 0, result.output
    assert secret not in result.output
    assert words[:5] == ["reconcile", "--topic", "a b", "--topic", "c"]
    assert words[5:8] == ["--since", "2026-03-01T00:00:00.000Z", "--retroactive"]
    assert "sasl.password=***" in words
    assert words[words.index("--bootstrap-servers") + 1] == "broker:9092"
    assert "--timeout" not in words
    assert "--stage" not in words
