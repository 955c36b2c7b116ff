"""Places inside YAML texts: every character but white space is found where it stands."""

from __future__ import annotations

import pytest

from streamwarden.policy.nodes import MapNode, ScalarNode
from streamwarden.policy.positions import index_of
from streamwarden.policy.problems import Problems
from streamwarden.policy.yaml_reader import read_yaml

TEXTS = {
    "plain": "k: ab cd\n",
    "plain with a comment": "k: ab cd # no\n",
    "plain over lines": "k: ab\n  cd\n\n  ef\n",
    "single": "k: 'ab ''cd'''\n",
    "single over lines": "k: 'ab\n  cd\n\n  ''e'\n",
    "double": 'k: "ab \\"cd\\" \\\\ \\u0065\\x66 \\t g"\n',
    "double over lines": 'k: "ab\n  cd \\\n  ef\\nxy"\n',
    "halves of characters": 'k: "\\uD83D\\uDE00 ab \\ud83d\\ude00\\u00e9 c"\n',
    "literal": "k: |\n  ab\n    cd\n\n  ef\n",
    "literal with indentation": "k: |2-\n    ab\n   cd\n",
    "folded": "k: >-  # comment\n  ab\n  cd\n\n  ef\n",
    "in a list": "k: ab\nl: [x, 'y z']\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_character_is_found(name: str) -> None:
    """The n-th character of a value stands at the place that is told, or is an escape there."""
    problems = Problems()
    document = read_yaml(TEXTS[name].encode(), "f.yaml", problems)
    assert document is not None
    assert isinstance(document.root, MapNode)
    node = document.root.entries[0][1]
    assert isinstance(node, ScalarNode)

    for offset, character in enumerate(node.text):
        written = document.source.text[index_of(document.source, node, offset) :]
        if not character.isspace():
            assert written.startswith((character, "\\")), (name, offset, character, written)

    end = index_of(document.source, node, len(node.text))
    assert node.start < end <= node.end


def test_the_end_of_an_unquoted_text_is_before_its_comment() -> None:
    """An error at the end of a condition is told there, and not in the comment behind it."""
    problems = Problems()
    document = read_yaml(b"k: ab ==   # why\n", "f.yaml", problems)
    assert document is not None
    assert isinstance(document.root, MapNode)
    node = document.root.entries[0][1]
    assert isinstance(node, ScalarNode)

    assert document.source.location(index_of(document.source, node, len(node.text))).column == 9
