"""Every failure is words and a status; none is a traceback."""

from __future__ import annotations

import json
import logging
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest
from confluent_kafka import KafkaError, KafkaException

from streamwarden.cli.failures import describe
from streamwarden.cli.failures import run as run_command
from streamwarden.cli.output import SECRETS, escaped, write_json
from streamwarden.errors import ConfigurationError, Location, PolicyError, Problem

from .conftest import Run


def failing(error: BaseException) -> int:
    def command() -> int:
        raise error

    return run_command(command)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConfigurationError("it is odd", remedy="mend it"), "error: it is odd; mend it\n"),
        (FileNotFoundError(2, "No such file", "x.json"), "error: `x.json`: No such file\n"),
        (
            KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)),
            "error: Broker: Topic authorization failed (TOPIC_AUTHORIZATION_FAILED); ask for",
        ),
        (click.ClickException("Odd."), "error: odd\n"),
        (click.ClickException("DB is odd."), "error: DB is odd\n"),
        (KeyboardInterrupt(), "interrupted\n"),
        (ValueError("a\nb\x1b[31m"), "error: internal error: ValueError: a b\\x1b[31m; "),
    ],
)
def test_a_failure_is_one_line(
    error: BaseException, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do next; the status is 1."""
    assert failing(error) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(words)
    assert err.count("\n") == 1


def test_problems_in_policies_are_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    """They have lines of their own."""
    problems = [Problem("SW104", "not YAML", Location("a.yaml", n, 1)) for n in (1, 2)]

    assert failing(PolicyError(problems)) == 1

    _, err = capsys.readouterr()
    assert "a.yaml:1:1: error SW104: not YAML" in err
    assert "a.yaml:2:1: error SW104: not YAML" in err


def test_a_status_is_what_the_command_says() -> None:
    """Nothing said is clean."""
    assert run_command(lambda: None) == 0
    assert run_command(lambda: 2) == 2


def test_a_remedy_does_not_need_the_client() -> None:
    """What a KafkaException holds may be a text."""
    assert describe(KafkaException("odd")) == "the Kafka client: odd"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["polcy"], "no command `polcy`; did you mean `policy`?"),
        (["xyzzy"], "no command `xyzzy`; there are demo, policy"),
        (["policy", "chekc"], "did you mean `check`?"),
        (["--frobnicate"], "--frobnicate"),
        (["publish"], "missing argument"),
        (["publish", "x.jsonl"], "no topic was named; say --topic TOPIC"),
        (["decide", "--stage", "later", "-t", "x", "-"], "'later'"),
        (["publish", "--timeout", "soon", "-t", "x", "-"], "no duration"),
        (["decide", "--now", "2026", "-t", "x", "-"], "write `2026-01-01`"),
        (["decide", "-t", "x", "-"], "no policies were named; say --policies DIR"),
        (["decide", "-t", "x", "--policies", "absent", "-"], "there is no such directory"),
        (["decide", "-t", "x", "--policies", "a", "--store", "dir:b", "-"], "both --policies"),
        (["publish", "-t", "a", "x", "--topic", "b"], "-t/--topic is given 2 times, and takes one"),
        (["decide", "-t", "a", "--now", "1h", "--now=2h", "-"], "--now is given 2 times"),
        (
            ["bundle", "active", "--store", "dir:a", "--store", "dir:b"],
            "--store is given 2 times, and takes one value",
        ),
        (["policy", "check", "absent"], "there is no `absent`"),
        (["policy", "test", "absent"], "there is no `absent`"),
        (["policy", "explain-code", "SW999"], "no problem has the code `SW999`"),
    ],
)
def test_a_wrong_call_is_status_1_and_says_why(
    run: Run, arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2 is for violations alone."""
    monkeypatch.chdir(tmp_path)

    result = run(*arguments)

    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""


def test_help_is_shown_whatever_else_is_given(run: Run) -> None:
    """And what may be given several times may."""
    help_of = run("publish", "-t", "a", "-t", "b", "--help")
    several = run("decide", "-t", "a", "--policies", "absent", "--policies", "absent", "-")

    assert help_of.exit_code == 0
    assert "no such directory" in several.stderr


@pytest.mark.parametrize("arguments", [[], ["policy"], ["bundle"]])
def test_called_with_nothing_it_shows_its_help(run: Run, arguments: list[str]) -> None:
    """It is a wrong call all the same."""
    result = run(*arguments)

    assert result.exit_code == 1
    assert "Commands:" in result.stderr


def commands(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found += commands(command, (*path, name))
    return found


def test_every_command_has_help_with_an_example(run: Run) -> None:
    """The example starts with the name of the program and stands on a line of its own."""
    from streamwarden.cli import main

    for path in commands(main):
        result = run(*path, "--help")

        assert result.exit_code == 0, path
        assert any(
            line.startswith(("    streamwarden ", "    Try it"))
            for line in result.stdout.split("\n")
        ), path


def program(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    code = "from streamwarden.cli import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **options)  # type: ignore[call-overload, no-any-return]


def test_help_comes_at_once() -> None:
    """Nothing that takes long is imported for it; in seconds of its own, whatever else runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert program("--help", stdout=subprocess.DEVNULL).wait() == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_a_reader_that_leaves_is_no_trouble(policies: Path, tmp_path: Path) -> None:
    """`streamwarden … | head -1`: no complaint, no traceback at the exit of the interpreter."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(b'{"amount":1}\n' * 20_000)

    process = program(
        *("decide", "-t", "payments", "--policies", str(policies), "--json", str(events)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    json.loads(process.stdout.readline())
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()


def test_a_traceback_is_for_those_who_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """STREAMWARDEN_DEBUG shows it."""
    result = run("policy", "check", "absent")
    monkeypatch.setenv("STREAMWARDEN_DEBUG", "1")
    debugged = run("policy", "check", "absent")

    assert "Traceback" not in result.stderr
    assert "Traceback" in debugged.stderr
    assert "Traceback" in run("--debug", "policy", "check", "absent").stderr


def test_json_is_json_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Half a surrogate pair, infinities and line ends."""
    write_json({"a": "\ud800\n é", "b": [float("inf"), float("nan")], "c": (1.5,)})

    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": "\ud800\n é", "b": [None, None], "c": [1.5]}


def test_content_of_events_cannot_steer_a_terminal() -> None:
    """Escape sequences and direction marks are shown, not sent."""
    assert escaped("a\x1b[2J\u202eb é") == "a\\x1b[2J\\u202eb é"


def test_what_the_library_logs_is_said_likewise(capsys: pytest.CaptureFixture[str]) -> None:
    """On one line, escaped, without secrets; nothing stays behind."""
    SECRETS.note_property("sasl.password", "hunter2")
    log = logging.getLogger("streamwarden")

    def command() -> None:
        log.warning("odd: %s", "hunter2\x1b[2J")
        log.info("not told")

    assert run_command(command) == 0

    SECRETS.forget()
    assert capsys.readouterr().err == "warning: odd: ***\\x1b[2J\n"
    assert log.handlers == []


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_characters_shows_them_as_escapes(
    tmp_path: Path, encoding: str
) -> None:
    """Trees become plain lines; no event can end a command by what it is written in."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        "  - {id: r, when: 'value.a == \"€\"', effect: hold, reason: '{value.a} — odd'}\n"
    )
    terminal, side = pty.openpty()
    command = (sys.executable, "-m", "streamwarden", "policy", "explain", tmp_path, "-t", "t")
    with os.fdopen(side, "wb") as stdout:
        done = subprocess.run(
            [*command, "--value", '{"a": "€"}'],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            check=False,
        )
        shown = os.read(terminal, 65536)
    os.close(terminal)

    assert (done.returncode, done.stderr) == (2, b"")
    assert b"\\u20ac \\u2014 odd" in shown
