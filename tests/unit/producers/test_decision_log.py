"""The decision log: what is in it, in which room it waits, and what is counted when it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from streamwarden import Guard, GuardedConsumer, GuardedProducer
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, DecisionLogFullError
from streamwarden.policy.decision import Decision
from streamwarden.producers.decision_log import DecisionLog
from streamwarden.producers.log_file import FileWriter
from streamwarden.producers.log_target import log_target
from streamwarden.producers.log_writer import Line
from tests.guards import BAD, CARD, CLEAN, LARGE, SHADY, Told, event, guard_for, write_policy
from tests.servers.topics import read_topic

WAIT_S = 30.0


def read(path: Path) -> list[dict[str, Any]]:
    """The entries of a log in a file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def decide(guard: Guard, *values: bytes) -> list[Decision]:
    return [guard.decide(topic="t", value=value, key=b"k") for value in values]


def test_all_but_plain_allows_are_logged_with_why(tmp_path: Path) -> None:
    """One line for each decision of another kind, in order, as the decision's own JSON."""
    log = tmp_path / "decisions.jsonl"
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}")

    decisions = decide(guard, CLEAN, BAD, LARGE, CLEAN, CARD, SHADY, b"no JSON")
    guard.close()

    expected = [made.to_dict() for made in decisions if not made.clear]
    assert read(log) == json.loads(json.dumps(expected))
    assert [line["effect"] for line in read(log)] == ["reject", "hold", "mask", "warn", "reject"]
    assert read(log)[1]["matches"][0]["why"]["parts"][0]["value"] == 60_000


def test_without_a_setting_nothing_is_logged(tmp_path: Path) -> None:
    """No log, no thread, nothing to wait for."""
    guard = guard_for(tmp_path, "t")

    decide(guard, BAD)

    assert guard.sink is None
    assert guard.flush_log(0)


def test_the_variable_names_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STREAMWARDEN_DECISION_LOG where no keyword is given; `off` as keyword wins over it."""
    log = tmp_path / "decisions.jsonl"
    monkeypatch.setenv("STREAMWARDEN_DECISION_LOG", f"file:{log}")

    with guard_for(tmp_path / "p", "t") as guard:
        decide(guard, BAD)
    off = guard_for(tmp_path / "p", "t", decision_log="off")

    assert [line["effect"] for line in read(log)] == ["reject"]
    assert off.sink is None


def test_produce_consume_route_and_parked_records_agree(
    tmp_path: Path, embedded_broker: EmbeddedBroker
) -> None:
    """Each way through a guard is logged once; a parked record shows the id of its entry."""
    log = tmp_path / "decisions.jsonl"
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}")
    for topic in ("t", "quarantine.t", "held.t"):
        embedded_broker.create_topic(topic)
    config = {"bootstrap.servers": embedded_broker.bootstrap}
    with GuardedProducer(config, guard=guard) as producer:
        producer.produce("t", BAD, on_delivery=Told())
        producer.produce("t", CARD)
    with GuardedConsumer(
        {**config, "group.id": "g", "auto.offset.reset": "earliest"}, guard=guard
    ) as consumer:
        consumer.subscribe(["t"])
        consumer.run(lambda _: None, max_messages=1)
    routed = guard.route(topic="t", value=LARGE)
    guard.close()

    lines = read(log)
    headers = dict(routed.records[0].headers)
    assert [(line["stage"], line["effect"]) for line in lines] == [
        ("produce", "reject"),
        ("produce", "mask"),
        ("consume", "mask"),
        ("produce", "hold"),
    ]
    assert json.loads(headers["streamwarden-decision"] or b"")["id"] == lines[3]["id"]
    assert lines[2]["event"]["offset"] == 0


def test_no_secret_is_written(tmp_path: Path) -> None:
    """What is sensitive shows nowhere in the log: not in why, reason, key, facts or errors."""
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "s.yaml").write_text(
        "policy: s\nowner: o\ntopics: [t]\nsensitive: [value.pin, key, facts.score]\nrules:\n"
        '  - {id: a, when: \'value.pin == "SECRET-PIN"\', effect: warn, reason: "pin {value.pin}"}\n'
        "  - {id: b, when: value.pin > 5, effect: warn}\n"
        '  - {id: c, when: \'key == "SECRET-KEY"\', effect: hold, reason: "key {key}"}\n'
        '  - {id: d, when: facts.score == "SECRET-FACT", effect: warn}\n'
        "  - {id: e, when: has(value.card), effect: mask,"
        " mask: [{field: value.card, with: redact}], reason: 'card {value.card}'}\n"
    )
    log = tmp_path / "decisions.jsonl"
    guard = Guard.from_directory(tmp_path / "p", decision_log=f"file:{log}")

    guard.decide(
        topic="t",
        key=b"SECRET-KEY",
        value=b'{"pin": "SECRET-PIN", "card": "SECRET-CARD"}',
        facts={"score": "SECRET-FACT"},
    )
    guard.close()

    text = log.read_text()
    assert len(read(log)[0]["matches"]) == 5
    assert "SECRET" not in text.replace('value.pin == \\"SECRET-PIN\\"', "").replace(
        'key == \\"SECRET-KEY\\"', ""
    ).replace('facts.score == \\"SECRET-FACT\\"', "")


def test_samples_are_the_same_ones_every_time(tmp_path: Path) -> None:
    """Which allows and shadow matches are logged follows from the event's bytes alone."""
    values = [event(number=number) for number in range(400)]
    logged: list[set[str]] = []
    for turn in ("one", "two"):
        log = tmp_path / f"{turn}.jsonl"
        guard = guard_for(tmp_path / "p", "t", decision_log={"url": f"file:{log}", "allow": 0.25})
        decide(guard, *values)
        guard.close()
        assert {line["effect"] for line in read(log)} == {"allow"}
        logged.append({line["event"]["sha256"] for line in read(log)})

    sample = {sha256(value).hexdigest() for value in values if crc32(value) < 2**30}
    assert logged[0] == logged[1] == sample
    assert 50 < len(logged[0]) < 150


@pytest.mark.parametrize(("share", "count"), [(0, 0), (1, 20)])
def test_shadow_matches_have_a_share_of_their_own(tmp_path: Path, share: int, count: int) -> None:
    """A rule in shadow mode that fires is a sample; what is enforced is always logged."""
    log = tmp_path / "decisions.jsonl"
    write_policy(tmp_path / "p", "t", bundle="mode: shadow")
    guard = Guard.from_directory(tmp_path / "p", decision_log=f"file:{log}?shadow={share}")

    decide(guard, *[event(currency="XXX", number=number) for number in range(20)])
    guard.close()

    assert (len(read(log)) if log.exists() else 0) == count


def test_samples_never_push_out_what_is_enforced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room of samples is full, and every enforced decision is logged all the same."""
    log = tmp_path / "decisions.jsonl"
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}?allow=1&room=50")
    write, going_on = FileWriter.write, threading.Event()

    def slow(self: FileWriter, lines: Sequence[Line]) -> int:
        assert going_on.wait(WAIT_S)
        return write(self, lines)

    monkeypatch.setattr(FileWriter, "write", slow)
    decide(guard, *[event(number=number) for number in range(300)])
    decide(guard, *[event(currency="XXX", number=number) for number in range(40)])
    going_on.set()
    guard.close()

    effects = [line["effect"] for line in read(log)]
    dropped = guard.counters["dropped/decision_log/sample_full"]
    assert effects.count("reject") == 40
    assert dropped >= 200
    assert effects.count("allow") + dropped == 300


def test_what_finds_no_room_is_counted(tmp_path: Path) -> None:
    """By default an entry that does not fit is dropped: written and dropped are all."""
    log = tmp_path / "folder" / "decisions.jsonl"
    log.parent.mkdir()
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}?room=10")
    log.mkdir()  # nothing can be written there

    decide(guard, *[event(currency="XXX", number=number) for number in range(300)])
    guard.close()

    counted = {
        name: count for name, count in guard.counters.items() if name.startswith("dropped/decision")
    }
    assert sum(counted.values()) == 300
    assert set(counted) <= {"dropped/decision_log/full", "dropped/decision_log/write_failed"}


def test_block_decides_nothing_that_cannot_be_logged(tmp_path: Path) -> None:
    """Lossless: `decide` raises when the log stays full, plain allows go on, and nothing is lost."""
    log = tmp_path / "decisions.jsonl"
    guard = guard_for(
        tmp_path / "p", "t", decision_log=f"file:{log}?room=3", decision_log_unreachable="block"
    )
    log.mkdir()
    made: list[str] = []

    def fill() -> None:
        for number in range(1000):
            made.extend(d.id for d in decide(guard, event(currency="XXX", number=number)))

    with pytest.raises(DecisionLogFullError, match="takes no more entries"):
        fill()
    decide(guard, CLEAN)
    log.rmdir()
    assert guard.flush_log(WAIT_S)
    made += [d.id for d in decide(guard, LARGE)]
    guard.close()

    assert [line["id"] for line in read(log)] == made
    assert not any(name.startswith("dropped/") for name in guard.counters)


def test_a_blocked_produce_raises_as_a_full_queue_does(
    tmp_path: Path, embedded_broker: EmbeddedBroker
) -> None:
    """`produce()` waits within its deadline; what it raised for was neither sent nor logged."""
    log = tmp_path / "decisions.jsonl"
    guard = guard_for(
        tmp_path / "p", "t", decision_log=f"file:{log}?room=1", decision_log_unreachable="block"
    )
    log.mkdir()
    for topic in ("t", "quarantine.t"):
        embedded_broker.create_topic(topic)
    config = {"bootstrap.servers": embedded_broker.bootstrap}
    made: list[Decision] = []

    def fill() -> None:
        values = (event(currency="XXX", number=number) for number in range(1000))
        made.extend(producer.produce("t", value) for value in values)

    with GuardedProducer(config, guard=guard, queue_full_wait_s=0.05) as producer:
        with pytest.raises(BufferError, match="decision log"):
            fill()
        log.rmdir()
        assert guard.flush_log(WAIT_S)
        made.append(producer.produce("t", event(currency="XXX", number=-1)))
    guard.close()

    parked = read_topic(embedded_broker.bootstrap, "quarantine.t")
    assert [line["id"] for line in read(log)] == [decision.id for decision in made]
    assert len(parked) == len(made) < 1000


def test_a_file_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    """As logrotate does it: rename, and go on; no line is lost or doubled."""
    log, old = tmp_path / "decisions.jsonl", tmp_path / "decisions.jsonl.1"
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}")

    first = decide(guard, BAD)[0].id
    assert guard.flush_log(WAIT_S)
    log.rename(old)
    second = decide(guard, BAD)[0].id
    guard.close()

    assert [line["id"] for line in read(old)] == [first]
    assert [line["id"] for line in read(log)] == [second]
    assert log.stat().st_mode & 0o007 == 0


def test_half_a_line_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that is full for a moment, what was written whole counts as written."""
    failed: list[tuple[str, int]] = []
    writer = FileWriter(
        tmp_path / "log", block=True, failed=lambda reason, _, count: failed.append((reason, count))
    )
    lines = [Line("t", b'{"n": %d}' % number) for number in range(3)]
    real, room = os.write, [12]

    def write(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        cut, room[0] = data[: room[0]], 0
        return real(file, cut)

    monkeypatch.setattr(os, "write", write)
    done = writer.write(lines)
    monkeypatch.setattr(os, "write", real)
    rest = writer.write(lines[done:])
    writer.close()

    text = (tmp_path / "log").read_bytes()
    assert (done, rest, failed) == (1, 2, [("write_failed", 0)])
    assert text == b'{"n": 0}\n{"n\n{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize(("there", "then"), [(b'{"id": 1}\n{"id', b"\n"), (b'{"id": 1}\n', b"")])
def test_a_log_that_ends_in_half_a_line_goes_on_in_a_new_one(
    tmp_path: Path, there: bytes, then: bytes
) -> None:
    """A process that was killed in the middle of a line costs that line, and not the next too."""
    log = tmp_path / "decisions.jsonl"
    log.write_bytes(there)
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}")

    (made,) = decide(guard, BAD)
    guard.close()

    assert log.read_bytes() == there + then + made.to_json() + b"\n"


def test_a_new_file_does_not_begin_with_the_end_of_another_ones_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was full, then the file was moved away: the new one holds whole lines only."""
    log = tmp_path / "log"

    def failed(*_: object) -> None:
        return None

    writer = FileWriter(log, block=True, failed=failed)
    lines = [Line("t", b'{"n": %d}' % number) for number in range(2)]
    real = os.write

    def write(file: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(28, "No space left on device")
        return real(file, data[:12])

    monkeypatch.setattr(os, "write", write)
    done = writer.write(lines)
    monkeypatch.setattr(os, "write", real)
    log.rename(tmp_path / "log.1")
    writer.write(lines[done:])
    writer.close()

    assert (tmp_path / "log.1").read_bytes() == b'{"n": 0}\n{"n'
    assert log.read_bytes() == b'{"n": 1}\n'


def test_a_room_that_fills_is_emptied_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread comes seldom; it does not wait for its time where entries would be dropped."""
    monkeypatch.setattr("streamwarden.producers.decision_log._LINGER_S", 3600.0)
    log = tmp_path / "decisions.jsonl"
    guard = guard_for(tmp_path / "p", "t", decision_log=f"file:{log}?room=20")

    decide(guard, *[event(currency="XXX", number=number) for number in range(10)])
    until = time.monotonic() + WAIT_S
    while not log.exists() or len(read(log)) < 10:
        assert time.monotonic() < until, "nothing was written"
        time.sleep(0.01)
    guard.close()


@pytest.mark.parametrize("block", [True, False])
def test_a_disk_that_stays_full_costs_what_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: bool
) -> None:
    """However little fits each time: every line is whole in the file, or was counted as dropped."""
    dropped: list[int] = []
    writer = FileWriter(
        tmp_path / "log", block=block, failed=lambda _reason, _why, count: dropped.append(count)
    )
    lines = [Line("t", b'{"n": %d}' % number) for number in range(8)]
    real, given = os.write, [0]

    def write(file: int, data: bytes) -> int:
        given[0] += 1
        if given[0] % 2 == 0:
            raise OSError(28, "No space left on device")
        return real(file, data[:12])

    monkeypatch.setattr(os, "write", write)
    left = lines
    while left:
        left = left[writer.write(left[:3]) :]
    monkeypatch.setattr(os, "write", real)
    writer.close()

    whole = {line.data for line in lines} & set((tmp_path / "log").read_bytes().split(b"\n"))
    assert len(whole) + sum(dropped) == len(lines)
    assert sum(dropped) == 0 or not block


def test_a_large_decision_is_cut_to_a_line_that_fits(tmp_path: Path) -> None:
    """A thousand matches: as many as fit, and the number of those that are missing."""
    rules = "".join(
        f"  - {{id: r{number}, when: value.a > {number}, effect: warn, reason: '{'x' * 280}', remediation: '{'y' * 280}'}}\n"
        for number in range(1000)
    )
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "p.yaml").write_text(f"policy: p\nowner: o\ntopics: [t]\nrules:\n{rules}")
    log = tmp_path / "decisions.jsonl"
    guard = Guard.from_directory(tmp_path / "p", decision_log=f"file:{log}")

    decide(guard, b'{"a": 5000}')
    guard.close()

    assert log.stat().st_size <= 512 * 1024
    line = read(log)[0]
    assert line["matched"] == 1000
    assert len(line["matches"]) + line["cut"] == 1000


def test_several_guards_and_producers_share_a_log(tmp_path: Path) -> None:
    """A log given to two guards has the entries of both, and is closed with neither alone."""
    log = tmp_path / "decisions.jsonl"
    shared = DecisionLog(f"file:{log}")
    one = guard_for(tmp_path / "one", "t", decision_log=shared)
    two = guard_for(tmp_path / "two", "t", decision_log=shared)

    decide(one, BAD)
    one.close()
    decide(two, LARGE)
    decide(one, SHADY)
    two.close()

    assert [line["effect"] for line in read(log)] == ["reject", "hold", "warn"]


def test_entries_are_written_when_nobody_closes_anything(tmp_path: Path) -> None:
    """At the end of the process, and when a guard is just dropped."""
    write_policy(tmp_path / "p", "t")
    program = (
        "import sys; from streamwarden import Guard\n"
        f"guard = Guard.from_directory({str(tmp_path / 'p')!r},"
        f" decision_log='file:{tmp_path / 'log'}')\n"
        f"guard.decide(topic='t', value={BAD!r})\n"
        "del guard\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    assert [line["effect"] for line in read(tmp_path / "log")] == ["reject"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_logs_its_own_decisions(tmp_path: Path) -> None:
    """Parent and child share the file; no entry is lost or doubled."""
    write_policy(tmp_path / "p", "t")
    program = (
        "import os; from streamwarden import Guard\n"
        f"guard = Guard.from_directory({str(tmp_path / 'p')!r},"
        f" decision_log='file:{tmp_path / 'log'}')\n"
        f"for _ in range(20): guard.decide(topic='t', value={BAD!r})\n"
        "child = os.fork()\n"
        f"for _ in range(20): guard.decide(topic='t', value={LARGE!r})\n"
        "guard.close()\n"
        "if not child: os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )

    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=60)

    effects = [line["effect"] for line in read(tmp_path / "log")]
    assert (effects.count("reject"), effects.count("hold")) == (20, 40)
    assert len({line["id"] for line in read(tmp_path / "log")}) >= 40


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("redis://host/0", {}, "no decision log"),
        ("kafka://host:9092", {}, "no decision log"),
        ("kafka://user:secret@host:9092/t", {}, "no decision log"),
        ("kafka://user:secret?x@host:9092/t", {}, "`kafka:***` are malformed"),
        ("kafka://host:9092/t?allow=2", {}, "share from 0 to 1"),
        ("kafka://host:9092/t?acks=0", {}, "takes no `acks`"),
        ("kafka://host:9092/t", {"shadows": 1}, "takes no `shadows`"),
        ("kafka://host:9092/t?room=0", {}, "how many decisions"),
        ("kafka://host:9092/t?allow=1&allow=1", {}, "each once"),
        ("file:/no/such/folder/log", {}, "folder that is there"),
        ("file:/tmp?security.protocol=SSL", {}, "takes no `security.protocol`"),
    ],
)
def test_what_is_no_log_is_said(url: str, options: dict[str, object], said: str) -> None:
    """Before anything starts, in one line, without secrets."""
    with pytest.raises(ConfigurationError) as raised:
        log_target(url, options)

    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_the_own_topic_is_no_matter_of_policy(tmp_path: Path) -> None:
    """No glob matches the topic that decisions are logged to."""
    guard = guard_for(tmp_path, "*", decision_log="kafka://127.0.0.1:1/decisions")

    assert guard.decide(topic="decisions", value=BAD).effect == "none"
    assert guard.plan("other", "produce", guard.now()).covered
