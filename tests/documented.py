"""The examples of a page of documentation: found, and run in order in one folder.

A comment above a fenced block says what is done with it; CONTRIBUTING.md lists the forms.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streamwarden.policy.loader import read_directories

__all__ = ["PAGES", "ROOT", "SERVERS", "Block", "blocks_of", "run_page", "servers_of"]

ROOT = Path(__file__).parents[1]
#: Pages whose every example has to say what is done with it.
PAGES = (
    "README.md",
    "docs/adopting.md",
    "docs/clients.md",
    "docs/policies.md",
    "docs/testing-policies.md",
    "docs/failure-modes.md",
)
#: What a server is called in examples, by the fixture that stands in for it.
SERVERS = {
    "kafka": "localhost:9092",
    "redis": "redis://localhost:6379/0",
    "registry": "http://localhost:8081",
}
WAIT_S = 90.0
#: A bundle needs one.
_OTHER = """
policy: other
owner: somebody
topics: [other]
rules: [{id: any, effect: warn}]
"""
_FENCE = re.compile(
    r"^(?:<!-- (?P<said>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `said` is the comment above it, `line` where it begins, from 1."""

    page: str
    line: int
    language: str
    said: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = (ROOT / page).read_text()
    return [
        Block(
            page,
            text.count("\n", 0, found.start("text")),
            found["language"],
            found["said"] or "",
            found["text"],
        )
        for found in _FENCE.finditer(text)
    ]


def servers_of(page: str) -> set[str]:
    """The servers that the examples of a page name, as far as they are run."""
    ran = "".join(block.text for block in blocks_of(page) if block.said.startswith("run"))
    return {name for name, place in SERVERS.items() if place in ran}


def run_page(page: str, folder: Path, places: Mapping[str, str]) -> int:
    """Do what the page says, in `folder`; `places` are the servers' real addresses, by name.

    How many of its blocks were run or checked.
    """
    output, tried = "", 0
    for block in blocks_of(page):
        text = block.text
        for name, place in places.items():
            text = text.replace(SERVERS[name], place)
        words = block.said.split(maxsplit=1)
        match words:
            case ["file", path]:
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            case ["check"]:
                _check(block, text, folder)
                tried += 1
            case ["run" | "run:", *how]:
                tried += 1
                output = _run(block, text, folder, how[0] if how else "")
            case ["prints"]:
                for line in text.splitlines():
                    assert line.strip() in output, f"{block}: `{line}` is not in:\n{output}"
            case [] | ["shown"]:
                continue
            case _:
                raise AssertionError(f"{block}: nobody knows what `{block.said}` means")
    return tried


def _check(block: Block, text: str, folder: Path) -> None:
    """A document that stands for itself has no errors."""
    alone = folder / "checked" / str(block.line)
    alone.mkdir(parents=True)
    (alone / "document.yaml").write_text(text)
    if not text.startswith("policy:"):
        (alone / "other.yaml").write_text(_OTHER)
    bundle, problems = read_directories([alone])
    assert bundle is not None, f"{block}: {[str(problem) for problem in problems]}"


def _run(block: Block, text: str, folder: Path, how: str) -> str:
    """The output of a block; `how` is `exit N`, or `until TEXT`, which ends it."""
    command = (
        ["bash", "-eu", "-c", text] if block.language == "sh" else [sys.executable, "-c", text]
    )
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
    }
    log = folder / f".output-{block.line}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        word, _, rest = how.partition(" ")
        if word == "until":
            _wait_for(rest, log, process)
            return log.read_text()
        status = process.wait(WAIT_S)
        wanted = int(rest) if word == "exit" else 0
        assert status == wanted, f"{block} ended with {status}:\n{log.read_text()}"
        return log.read_text()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(WAIT_S)


def _wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_S
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
