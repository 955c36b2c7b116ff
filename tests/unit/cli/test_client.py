"""Client properties come from where they should, and secrets among them come out nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.cli.client import Client, Trouble, read_properties
from streamwarden.cli.output import Secrets
from streamwarden.errors import ConfigurationError

from .conftest import Run


def test_the_nearer_word_counts(tmp_path: Path) -> None:
    """`-b` beats `-X`, which beats `-F`; the environment comes last."""
    file = tmp_path / "kafka.properties"
    file.write_text("# ours\n\nbootstrap.servers = file:1\nlinger.ms=5\nacks=all\n")

    assert read_properties(None, ["acks=1"], [file]) == {
        "bootstrap.servers": "file:1",
        "linger.ms": "5",
        "acks": "1",
    }
    flag = read_properties("flag:1", [], [file])
    environment = read_properties("env:1", [], [file], servers_from_environment=True)
    alone = read_properties("env:1", [], [], servers_from_environment=True)
    assert flag["bootstrap.servers"] == "flag:1"
    assert environment["bootstrap.servers"] == "file:1"
    assert alone["bootstrap.servers"] == "env:1"


def test_an_old_name_of_the_servers_is_one() -> None:
    """Both given to the client would be refused by it."""
    client = Client(read_properties(None, ["metadata.broker.list=a:1"], []))

    assert client.config()["bootstrap.servers"] == "a:1"
    assert "metadata.broker.list" not in client.config()
    assert read_properties("b:1", ["metadata.broker.list=a:1"], []) == {"bootstrap.servers": "b:1"}


@pytest.mark.parametrize("text", ["sasl.password hunter2", "=hunter2", "hunter2", "Hunter2=x"])
def test_a_malformed_property_is_told_without_what_it_says(text: str) -> None:
    """It may be a password with a blank in the place of the sign."""
    with pytest.raises(ConfigurationError) as raised:
        read_properties(None, [text], [])

    assert "hunter2" not in str(raised.value).replace("`hunter2`", "")
    assert "name=value" in str(raised.value)


def test_a_callback_is_no_property() -> None:
    """The client would take the text for a function."""
    with pytest.raises(ConfigurationError, match="`error_cb` is no client property"):
        read_properties(None, ["error_cb=x"], [])


def test_nobody_named_a_broker() -> None:
    """What to say is said."""
    with pytest.raises(ConfigurationError, match="-b HOST:PORT"):
        _ = Client({}).servers


def test_a_file_that_is_not_there_or_no_properties(tmp_path: Path) -> None:
    """With the line where it is one."""
    (tmp_path / "f").write_text("acks=1\nsasl.password\n")

    with pytest.raises(ConfigurationError, match=r"f:2 is not name=value"):
        read_properties(None, [], [tmp_path / "f"])
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_properties(None, [], [tmp_path / "absent"])


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.jaas.config",
    ],
)
def test_secrets_are_known_by_the_names_of_their_properties(name: str) -> None:
    """Wherever they turn up in words."""
    secrets = Secrets()
    secrets.note_property(name, "hunter2")

    assert secrets.hide('Invalid value "hunter2" for it: hunter2!') == (
        'Invalid value "***" for it: ***!'
    )


def test_a_short_secret_is_hidden_where_it_is_quoted() -> None:
    """Anywhere else it is part of a word."""
    secrets = Secrets()
    secrets.note_property("sasl.password", "a")

    assert secrets.hide('the value "a" is bad') == 'the value "***" is bad'


def test_users_in_urls_are_hidden() -> None:
    """The password also in the form that it has after decoding."""
    secrets = Secrets()
    secrets.note_url("redis://app:p%40ss-word@host:1/0")

    assert secrets.hide("no redis://app:p%40ss-word@host:1/0 (p@ss-word)") == (
        "no redis://***@host:1/0 (***)"
    )


@pytest.mark.parametrize("command", ["publish", "produce"])
def test_no_password_comes_out_of_a_command(run: Run, policies: Path, command: str) -> None:
    """Not when it is the very value that the client complains about."""
    result = run(
        command,
        *("-t", "payments", "--policies", policies, "-b", "localhost:1", "--timeout", "300ms"),
        *("-X", "sasl.password=hunter2", "-X", "sasl.mechanism=hunter2"),
        *("-X", "security.protocol=sasl_plaintext", "-"),
        stdin=b"{}\n",
    )

    assert result.exit_code == 1
    assert "hunter2" not in result.output
    assert "SASL mechanism: ***" in result.stderr


@pytest.mark.parametrize("given", [["-X", "no.such.property=1"], ["-X", "message.max.bytes=soon"]])
def test_what_the_client_does_not_know_is_told(run: Run, policies: Path, given: list[str]) -> None:
    """With where the properties are listed; nothing is read."""
    result = run(
        *("publish", "-t", "payments", "--policies", policies, "-b", "localhost:1", *given, "-"),
        stdin=b"{}\n",
    )

    assert result.exit_code == 1
    assert given[1].partition("=")[0] in result.stderr
    assert "CONFIGURATION.md" in result.stderr
    assert result.stdout == ""


def test_trouble_keeps_the_last_complaint_of_a_client() -> None:
    """That all brokers are down says less than why."""

    class Error:
        def __init__(self, name: str, text: str) -> None:
            self._name, self._text = name, text

        def name(self) -> str:
            return self._name

        def str(self) -> str:
            return self._text

    trouble = Trouble()
    trouble.heard(Error("_TRANSPORT", "Connection refused"))
    trouble.heard(Error("_ALL_BROKERS_DOWN", "1/1 brokers are down"))

    assert (trouble.last, trouble.refused) == ("Connection refused", False)
    trouble.heard(Error("_AUTHENTICATION", "wrong password"))
    assert (trouble.last, trouble.refused) == ("wrong password", True)
