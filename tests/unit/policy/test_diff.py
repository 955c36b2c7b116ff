"""Two bundles are compared as they were written; what is the same is not told."""

from __future__ import annotations

from pathlib import Path

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.diff import Change, Field, compare
from streamwarden.policy.loader import load_directories

POLICY = """
policy: p
owner: o
topics: [t]
rules:
  - {id: a, when: value.n > 1, effect: warn}
  - {id: b, when: value.n > 2, effect: hold}
"""


def bundle(folder: Path, policy: str = POLICY, **files: str) -> Bundle:
    folder.mkdir()
    (folder / "p.yaml").write_text(policy)
    for name, text in {"bundle.yaml": "bundle: x\n", **files}.items():
        (folder / name).write_text(text)
    return load_directories([folder])


def test_the_same_policies_have_no_difference(tmp_path: Path) -> None:
    """However they are written down: comments, quotes, order of keys and files do not count."""
    one = bundle(tmp_path / "one")
    other = bundle(
        tmp_path / "other",
        POLICY.replace("owner: o\ntopics: [t]", 'topics:\n  - "t"  # ours\nowner: o'),
    )

    assert compare(one, other) == ()
    assert one.digest == other.digest


def test_a_difference_is_told_where_it_is(tmp_path: Path) -> None:
    """Rules by their keys; added and removed ones with all that they say."""
    one = bundle(tmp_path / "one")
    other = bundle(
        tmp_path / "other",
        POLICY.replace("> 1,", "> 5,")
        .replace("{id: b, when: value.n > 2, effect: hold}", "{id: c, effect: warn}")
        .replace("owner: o", "owner: you"),
    )

    assert compare(one, other) == (
        Change("changed", "policy", "p", (Field("owner", "o", "you"),)),
        Change("changed", "rule", "p/a", (Field("when", "value.n > 1", "value.n > 5"),)),
        Change(
            "removed",
            "rule",
            "p/b",
            (Field("when", "value.n > 2", None), Field("effect", "hold", None)),
        ),
        Change("added", "rule", "p/c", (Field("effect", None, "warn"),)),
    )


def test_settings_and_lists_are_compared_too(tmp_path: Path) -> None:
    """A list by its entries, a table by its keys."""
    one = bundle(
        tmp_path / "one",
        **{
            "bundle.yaml": "bundle: x\nmode: shadow\nlists: {l: l.csv, m: m.yaml}\n",
            "l.csv": "A\nB\n",
            "m.yaml": "a: 1\nb: 2\nc: 3\n",
        },
    )
    other = bundle(
        tmp_path / "other",
        **{
            "bundle.yaml": "bundle: x\nundecodable: allow\nlists: {l: l.csv, m: m.yaml}\n",
            "l.csv": "B\nC\n",
            "m.yaml": "a: 1\nb: 2.0\nd: 4\n",
        },
    )

    assert compare(one, other) == (
        Change("removed", "setting", "mode", (Field("mode", "shadow", None),)),
        Change("added", "setting", "undecodable", (Field("undecodable", None, "allow"),)),
        Change("changed", "list", "l", (Field("entries", ["A"], ["C"]),)),
        Change("changed", "list", "m", (Field("entries", ["c"], ["d"]), Field("b", 2, 2.0))),
    )


def test_another_order_is_a_difference(tmp_path: Path) -> None:
    """Since the digest is another one."""
    head, first, second = POLICY.rstrip().rsplit("\n", 2)
    one = bundle(tmp_path / "one")
    other = bundle(tmp_path / "other", "\n".join([head, second, first]))

    assert compare(one, other) == (
        Change("changed", "policy", "p", (Field("rules", ["a", "b"], ["b", "a"]),)),
    )


def test_against_nothing_everything_is_added(tmp_path: Path) -> None:
    """As for the first version in a store."""
    changes = compare(None, bundle(tmp_path / "one"))

    assert [(change.kind, change.name) for change in changes] == [
        ("added", "p"),
        ("added", "p/a"),
        ("added", "p/b"),
    ]


def test_another_name_is_a_difference(tmp_path: Path) -> None:
    """The digest holds it."""
    one = bundle(tmp_path / "one")
    other = bundle(tmp_path / "other", **{"bundle.yaml": "bundle: y\n"})

    assert compare(one, other) == (
        Change("changed", "setting", "bundle", (Field("bundle", "x", "y"),)),
    )
