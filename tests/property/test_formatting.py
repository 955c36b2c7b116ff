"""However a document is written, laying it out keeps its meaning and comments, and is final."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.errors import PolicyError
from streamwarden.policy.formatting import FormatError, document_kind, formatted
from streamwarden.policy.loader import load_directories
from streamwarden.policy.nodes import data_of
from streamwarden.policy.problems import Problems
from streamwarden.policy.yaml_reader import read_yaml

from .test_policy_documents import FILES

ROOT = Path(__file__).parents[2]
DOCUMENTS = [data for name, data in FILES.items() if name.endswith(("yaml", "yml"))]
FOLDERS = [ROOT / "streamwarden" / "demo" / "policies", ROOT / "examples" / "policies"]


def meaning(data: bytes) -> str:
    problems = Problems()
    document = read_yaml(data, "x", problems)
    assert document is not None
    assert problems.errors == []
    return json.dumps(data_of(document.root))


def said(text: str) -> list[str]:
    """The marked comments in a text."""
    return re.findall(r"# c\d+", text)


def scrambled(draw: random.Random, text: str) -> str:
    """The text with comments, blank lines, trailing blanks and other indentation put in."""
    lines: list[str] = []
    deeper = draw.random() < 0.5
    for number, line in enumerate(text.splitlines()):
        other = scrambled_line(draw, line, number, lines)
        indent = len(other) - len(other.lstrip(" "))
        lines.append(" " * indent + other if deeper else other)
    return "\n".join(lines) + draw.choice(["", "\n", "\n\n\n"])


def scrambled_line(draw: random.Random, line: str, number: int, before: list[str]) -> str:
    roll = draw.random()
    if roll < 0.2:
        before.append(" " * draw.randrange(6) + f"# c{number}")
    elif roll < 0.3:
        before += [""] * draw.randint(1, 3)
    elif roll < 0.4:
        return f"{line}{' ' * draw.randint(1, 3)}# c{number}"
    elif roll < 0.45:
        return f"{line}  "
    elif roll < 0.5:
        return line.replace(", ", ",   ").replace("{", "{ ")
    elif roll < 0.55:
        return line.replace(", ", ",\n        ", 1)
    return line


@settings(max_examples=40)  # each is laid out three times, which takes a tenth of a second
@given(st.integers(0, 2**64))
def test_meaning_and_comments_stay(seed: int) -> None:
    """Or the document is refused, and stays as it is; laid out twice is laid out once."""
    draw = random.Random(seed)
    data = scrambled(draw, draw.choice(DOCUMENTS).decode()).encode()
    try:
        text = formatted(data, "x")
    except (PolicyError, FormatError):
        return  # not every scramble is YAML

    assert meaning(text.encode()) == meaning(data)
    assert said(text) == said(data.decode())
    assert formatted(text.encode(), "x") == text
    assert not re.search(r"^\n|[^\n]\Z|\n\n\Z", text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_value_stays(value: object) -> None:
    """Written as JSON, which is YAML; wide collections are written out."""
    data = json.dumps({"policy": "p", "value": value}).encode()
    try:
        text = formatted(data, "x")
    except (PolicyError, FormatError):
        return  # characters and numbers that documents do not have

    assert meaning(text.encode()) == meaning(data)
    assert formatted(text.encode(), "x") == text


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_digest_of_a_bundle_stays(folder: Path, tmp_path: Path) -> None:
    """Of the bundles of this repository, scrambled and laid out again."""
    draw = random.Random(5)
    copy = tmp_path / folder.name
    for file in folder.rglob("*"):
        target = copy / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file():
            continue
        data = file.read_bytes()
        if document_kind(data.decode()) is not None:
            data = formatted(re.sub(rb"(?m)$", b" " * draw.randrange(3), data), file.name).encode()
        target.write_bytes(data)

    assert load_directories([copy]).digest == load_directories([folder]).digest
