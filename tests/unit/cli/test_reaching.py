"""A broker that is not there, in the same words whatever the command."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streamwarden.cli.client import Client, Trouble
from streamwarden.cli.reaching import no_connection, reach, what_to_check
from streamwarden.cli.stores import store_client
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import DeliveryError

from .conftest import Run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "command",
    [
        ("reconcile",),
        ("quarantine", "list"),
        ("quarantine", "show"),
        ("quarantine", "release", "--since", "1d"),
        ("quarantine", "discard", "--since", "1d", "--by", "Ann", "--reason", "old"),
        ("topics", "ensure"),
        ("publish", "-"),
        ("consume", "--group", "g", "--until-end"),
    ],
    ids=" ".join,
)
def test_every_command_names_the_address_and_what_to_do(
    run: Run, policies: Path, command: tuple[str, ...]
) -> None:
    """Within `--timeout`, with what the client says, and nothing of the client's own."""
    began = time.monotonic()

    result = run(
        *(*command, "-t", "payments", "--policies", policies),
        *("-b", "localhost:1", "--timeout", "500ms"),
        stdin=b"{}\n",
    )

    assert result.exit_code == 1
    assert time.monotonic() - began < 10
    assert "no connection to localhost:1 within 0.5 s: localhost:1/bootstrap" in result.stderr
    assert "; check -b, and that the broker runs and can be reached from here" in result.stderr
    assert "Local:" not in result.stderr


def test_the_topic_of_a_decision_log_has_brokers_of_its_own(run: Run) -> None:
    """What names them is what to check."""
    result = run(
        *("topics", "ensure", "--decision-log", "kafka://localhost:1/decisions"),
        *("--timeout", "500ms"),
    )

    assert result.exit_code == 1
    assert "no connection to localhost:1 within 0.5 s" in result.stderr
    assert "; check --decision-log, and that the broker runs" in result.stderr


def test_a_password_that_is_refused_is_another_matter() -> None:
    """The broker is there, and waiting longer does not help."""
    trouble = Trouble()
    trouble.last, trouble.refused = "wrong password", True

    assert no_connection("b:9092", trouble, 30.0) == "no connection to b:9092: wrong password"
    assert what_to_check(trouble) == "check sasl.mechanism, sasl.username and sasl.password"


def test_a_broker_that_comes_is_waited_for(embedded_broker: EmbeddedBroker) -> None:
    """As long as the timeout says, and no longer than it takes."""
    client = Client({"bootstrap.servers": embedded_broker.bootstrap}, 30.0)
    embedded_broker.go_down()
    with pytest.raises(DeliveryError, match="no connection to"):
        reach(Client(client.properties, 0.3))
    embedded_broker.come_up()

    reach(client)


def test_a_store_is_read_no_longer_than_the_timeout() -> None:
    """A shorter one counts, and what the URL says counts most; files and Redis have their own."""
    short, long = Client(timeout_s=2.0), Client(timeout_s=30.0)

    assert store_client("kafka://h:1/s", short)["timeout_s"] == 2.0
    assert "timeout_s" not in store_client("kafka://h:1/s", long)
    assert "timeout_s" not in store_client("kafka://h:1/s?timeout_s=4", short)
    assert store_client("dir:bundles", short) == {}
