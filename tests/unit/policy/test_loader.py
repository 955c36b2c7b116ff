"""Directories: what is read, in which order, how several compose, and what is never left."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from streamwarden.errors import PolicyError, Problem
from streamwarden.policy.cel.types import DOUBLE, record
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import check_directories, load_directories, read_directories
from streamwarden.policy.problems import PROBLEMS_MAX
from streamwarden.policy.yaml_reader import DOCUMENT_MAX_BYTES


def policy(name: str, owner: str = "o", rule: str = "{id: a, effect: warn}") -> str:
    """A policy document on one line a key."""
    return f"policy: {name}\nowner: {owner}\ntopics: [t]\nrules: [{rule}]\n"


def write(directory: Path, **files: str) -> Path:
    """Writes files; `__` in a name is a slash."""
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


def codes(problems: list[Problem]) -> list[str]:
    """The codes in order."""
    return [problem.code for problem in problems]


# -------------------------------------------------------------------- what is read


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    """In the order of the files, and the exception names each place."""
    write(
        tmp_path,
        **{
            "b.yaml": "policy: b\nowner: o\n",
            "a.yaml": policy("a", rule="{id: a, effect: deny, when: 'value.'}"),
            "c/d.yaml".replace("/", "__"): "policy: [",
        },
    )

    with pytest.raises(PolicyError) as caught:
        load_directories([tmp_path])

    files = [Path(problem.location.file).name for problem in caught.value.problems]
    assert files == ["a.yaml", "a.yaml", "b.yaml", "b.yaml", "d.yaml"]
    assert f"{tmp_path}/a.yaml:4:25: error SW143" in str(caught.value)


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    """Policies come in the order of their ids."""
    one = write(tmp_path / "one" / "x", **{"a.yaml": policy("p2"), "b.yaml": policy("p1")})
    two = write(tmp_path / "two" / "x", **{"z__a.yaml": policy("p1"), "b.yml": policy("p2")})

    bundles = [load_directories(one), load_directories([str(two)])]

    assert [p.id for p in bundles[0].policies] == ["p1", "p2"]
    assert bundles[0].digest == bundles[1].digest


def test_warnings_do_not_keep_a_bundle_from_loading(tmp_path: Path) -> None:
    """They are told by `check_directories` only."""
    write(tmp_path, **{"a.yaml": policy("a", rule="{id: a, effect: warn, exemptible_by: [x]}")})

    bundle, problems = read_directories(tmp_path)

    assert codes(problems) == codes(check_directories(tmp_path)) == ["SW167"]
    assert bundle == load_directories(tmp_path)


def test_a_single_document_is_a_directory_of_its_own(tmp_path: Path) -> None:
    """Its neighbours do not count."""
    write(tmp_path, **{"limits.yaml": policy("a"), "broken.yaml": "policy: ["})

    assert load_directories([tmp_path / "limits.yaml"]).name == "limits"


def test_directories_that_are_not_there(tmp_path: Path) -> None:
    """Each is a problem; so is a directory without a policy, and no directory at all."""
    assert codes(check_directories([tmp_path / "gone", "\0"])) == ["SW101", "SW101"]
    assert codes(check_directories([tmp_path])) == ["SW117"]
    assert codes(check_directories([])) == ["SW117"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    """A file or directory without rights is a problem, not a traceback."""
    write(tmp_path, **{"a.yaml": policy("a"), "sub__b.yaml": policy("b")})
    (tmp_path / "a.yaml").chmod(0)
    (tmp_path / "sub").chmod(0)

    found = codes(check_directories(tmp_path))

    (tmp_path / "sub").chmod(0o700)
    assert found == ["SW101", "SW101"]


def test_a_huge_file_is_refused_fast(tmp_path: Path) -> None:
    """Ten megabytes are refused by their size."""
    write(tmp_path, **{"a.yaml": "# " + "x" * 10_000_000, "b.yaml": policy("b")})

    before = time.process_time()
    found = check_directories(tmp_path)

    assert time.process_time() - before < 1
    assert codes(found) == ["SW102"]
    assert found[0].remedy == "split it into several files"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("policy: " + "[" * 100_000, "SW112"),
        ("policy:\n" + "".join(f"{' ' * depth}- \n" for depth in range(1, 100)), "SW112"),
        ("- " * 100_000, "SW112"),
        ('{"a":' * 50_000, "SW112"),
        pytest.param("policy: [" + "1," * 200_000 + "1]", "SW112", marks=pytest.mark.slow),
        ("? " * 50_000, "SW112"),
        ("policy: p\nowner: " + "9" * 500_000, "SW113"),
    ],
    ids=["flow", "block", "lists", "maps", "long", "keys", "digits"],
)
def test_hostile_documents_end_in_a_problem(tmp_path: Path, text: str, code: str) -> None:
    """Deep, long and odd ones: a clear error in seconds, never a RecursionError."""
    assert len(text) < DOCUMENT_MAX_BYTES
    write(tmp_path, **{"a.yaml": text})

    before = time.process_time()
    found = check_directories(tmp_path)

    assert time.process_time() - before < 15
    assert code in codes(found)


def test_a_document_of_plain_ascii_json_has_all_characters(tmp_path: Path) -> None:
    """Which JSON writes as two halves; one alone is no character."""
    rule = {"id": "r", "effect": "warn", "when": 'value.s == "\U0001f600"'}
    document = {"policy": "p", "owner": "o", "topics": ["t"], "rules": [rule]}
    written = json.dumps(document)
    (tmp_path / "p.yaml").write_text(written)

    whole = Guard.from_directory(tmp_path).decide(topic="t", value='{"s": "\U0001f600"}')
    (tmp_path / "p.yaml").write_text(written.replace("\\ude00", ""))
    half = check_directories(tmp_path)

    assert "\\ud83d\\ude00" in written
    assert whole.effect == "warn"
    assert whole.matches[0].error is None
    assert "SW113" in codes(half)


def test_a_deep_condition_is_a_problem(tmp_path: Path) -> None:
    """In CEL and in values alike."""
    deep = "(" * 5000 + "true" + ")" * 5000
    value = "[" * 60 + "]" * 60
    rules = [
        f"{{id: a, effect: warn, when: '{deep}'}}",
        f"{{id: b, effect: warn, when: [{{field: value.a, operator: equals, value: {value}}}]}}",
        "{id: c, effect: warn, when: '" + "value.a && " * 30_000 + "true'}",
    ]
    write(tmp_path, **{f"{n}.yaml": policy(f"p{n}", rule=rule) for n, rule in enumerate(rules)})

    found = check_directories(tmp_path)

    assert {problem.location.file[-6:] for problem in found} >= {"0.yaml", "2.yaml"}


# ---------------------------------------------------------------------------- links


def test_loops_of_links_end(tmp_path: Path) -> None:
    """Every real directory and file is read once, however many links lead to it."""
    write(tmp_path, **{"a.yaml": policy("a"), "sub__b.yaml": policy("b")})
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "sub" / "self").symlink_to(tmp_path / "sub")
    (tmp_path / "again").symlink_to(tmp_path / "sub")
    (tmp_path / "c.yaml").symlink_to(tmp_path / "a.yaml")

    bundle = load_directories([tmp_path, tmp_path / "sub", tmp_path])

    assert [p.id for p in bundle.policies] == ["a", "b"]


def test_links_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    """A document that is missing is not silently left out."""
    write(tmp_path, **{"a.yaml": policy("a")})
    (tmp_path / "b.yaml").symlink_to(tmp_path / "gone")
    (tmp_path / "c.yaml").symlink_to(tmp_path / "c.yaml")

    assert codes(check_directories(tmp_path)) == ["SW101", "SW101"]


def test_a_mounted_configuration_is_read(tmp_path: Path) -> None:
    """As Kubernetes mounts it: links through a hidden directory that is swapped as a whole."""
    write(
        tmp_path,
        **{
            "..2026_01__a.yaml": policy("a"),
            "..2026_01__s.csv": "IR\n",
            "..2026_01__bundle.yaml": "bundle: b\nlists: {s: s.csv}\n",
        },
    )
    (tmp_path / "..data").symlink_to("..2026_01")
    for name in ("a.yaml", "s.csv", "bundle.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    bundle = load_directories(tmp_path)

    assert bundle.lists == {"s": ["IR"]}


def test_lists_do_not_leave_the_directory_through_links(tmp_path: Path) -> None:
    """A list is inside its directory, whatever its name says."""
    write(tmp_path, **{"secret.csv": "x\n"})
    directory = write(
        tmp_path / "policies",
        **{"a.yaml": policy("a"), "bundle.yaml": "bundle: b\nlists: {s: in/s.csv, t: t.csv}\n"},
    )
    (directory / "in").symlink_to(tmp_path)
    (directory / "t.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "s.csv").write_text("x\n")

    found = [problem for problem in check_directories(directory) if problem.code != "SW115"]

    assert codes(found) == ["SW161", "SW161"]


def test_pipes_are_not_read(tmp_path: Path) -> None:
    """A named pipe with a document's name would make a guard wait for ever."""
    write(tmp_path, **{"a.yaml": policy("a")})
    os.mkfifo(tmp_path / "b.yaml")

    assert codes(check_directories(tmp_path)) == ["SW101"]


# ---------------------------------------------------------------------- composition


def test_several_directories_compose(tmp_path: Path) -> None:
    """Each keeps its owner; lists, topics and dates are joined; only one gives a name."""
    platform = write(
        tmp_path / "platform",
        **{
            "p.yaml": policy("platform", "platform", "{id: no-pii, effect: reject}"),
            "bundle.yaml": "bundle:\nuncovered: reject\nlists: {a: a.csv}\n"
            "topics: {t: {value: json}}\nguarded_from: {t: 2026-01-01}\n",
            "a.csv": "1\n",
        },
    )
    domain = write(
        tmp_path / "payments",
        **{
            "d.yaml": policy("limits", "risk"),
            "bundle.yaml": "bundle: payments\nlists: {b: b.csv, a: same.csv}\nuncovered: reject\n"
            "topics: {u: {value: avro}, t: {value: json}}\n",
            "b.csv": "2\n",
            "same.csv": "1\n",
        },
    )

    bundle = load_directories([platform, domain])

    assert bundle.name == "payments"
    assert {p.id: p.owner for p in bundle.policies} == {"limits": "risk", "platform": "platform"}
    assert bundle.lists == {"a": ["1"], "b": ["2"]}
    assert bundle.settings.uncovered == "reject"
    assert bundle.formats("u") == ("avro", "auto")
    assert bundle.formats("t") == ("json", "auto")
    assert load_directories([domain, platform]).digest == bundle.digest


def test_contradictions_between_directories_are_refused(tmp_path: Path) -> None:
    """Name, settings, formats and lists: what both say has to be the same."""
    one = write(
        tmp_path / "one",
        **{
            "p.yaml": policy("p"),
            "a.csv": "1\n",
            "bundle.yaml": "bundle: one\nuncovered: warn\nlists: {a: a.csv}\n"
            "topics: {t: {value: json}}\n",
        },
    )
    two = write(
        tmp_path / "two",
        **{
            "q.yaml": policy("p"),
            "a.csv": "2\n",
            "bundle.yaml": "bundle: two\nuncovered: allow\nlists: {a: a.csv}\n"
            "topics: {t: {value: avro}}\n",
        },
    )

    found = check_directories([one, two])

    assert codes(found) == ["SW159", "SW159", "SW159", "SW159", "SW154"]
    assert {Path(problem.location.file).parent.name for problem in found} == {"two"}


@pytest.mark.parametrize(
    ("folder", "name"),
    [("payments", "payments"), ("Payments Policies!", "payments-policies"), ("___", "policies")],
)
def test_a_bundle_is_named_like_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    """In lower case, with signs that names do not have as dashes."""
    directory = write(tmp_path / folder, **{"a.yaml": policy("a")})

    assert load_directories(directory).name == name


def test_the_current_directory_has_a_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.` is named like the folder that it is."""
    monkeypatch.chdir(write(tmp_path / "orders", **{"a.yaml": policy("a")}))

    assert load_directories(".").name == "orders"


# ------------------------------------------------------------------------- ignoring


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("drafts/**", {"drafts/a.yaml", "drafts/x/b.yaml"}),
        ("drafts", {"drafts/a.yaml", "drafts/x/b.yaml"}),
        ("drafts/", {"drafts/a.yaml", "drafts/x/b.yaml"}),
        ("**/b.yaml", {"b.yaml", "drafts/x/b.yaml"}),
        ("*/x", {"drafts/x/b.yaml"}),
        ("drafts/*.yaml", {"drafts/a.yaml"}),
        ("?.yaml", {"b.yaml"}),
        ("*.yml", set[str]()),
    ],
)
def test_ignore_patterns(tmp_path: Path, pattern: str, ignored: set[str]) -> None:
    """Globs relative to the directory; one that matches a directory takes all of it."""
    files = ["b.yaml", "drafts/a.yaml", "drafts/x/b.yaml"]
    write(
        tmp_path,
        **{name.replace("/", "__"): policy(f"p{n}") for n, name in enumerate(files)},
        **{"bundle.yaml": f"bundle: b\nignore: ['{pattern}']\n", "keep.yaml": policy("keep")},
    )

    kept = {
        Path(p.file).relative_to(tmp_path).as_posix() for p in load_directories(tmp_path).policies
    }

    assert set(files) - kept == ignored


# -------------------------------------------------------------------------- schemas


def test_conditions_are_checked_against_the_schema_that_is_named(tmp_path: Path) -> None:
    """A misspelt field is found before any event is seen."""
    rule = "{id: a, effect: warn, when: 'value.amuont > 1 && message.amount > \"x\"'}"
    write(
        tmp_path,
        **{
            "a.yaml": policy("a", rule=rule).replace("owner", "schema: s\nowner"),
            "b.yaml": policy(
                "b", rule=rule.replace("amuont", "amount").replace('"x"', "1")
            ).replace("owner", "schema: gone\nowner"),
            "c.yaml": policy("c", rule=rule),
        },
    )
    types = {"s": record("payment", {"amount": DOUBLE})}

    found = check_directories(tmp_path, value_types=types.get)

    assert [(Path(p.location.file).name, p.code) for p in found] == [
        ("a.yaml", "SW125"),
        ("a.yaml", "SW123"),
        ("b.yaml", "SW170"),
    ]
    assert check_directories(tmp_path) == []


@pytest.mark.slow
def test_only_so_many_problems_are_told(tmp_path: Path) -> None:
    """A thousand, and how many more there are."""
    rules = "\n".join(f"  - {{id: r{n}, effekt: warn, effect: warn}}" for n in range(1500))
    write(tmp_path, **{"a.yaml": f"policy: a\nowner: o\ntopics: [t]\nrules:\n{rules}\n"})

    found = check_directories(tmp_path)

    assert len(found) == PROBLEMS_MAX + 1
    assert found[-1].message == "500 more problems are not shown"


@pytest.mark.slow
def test_warnings_alone_refuse_nothing_however_many(tmp_path: Path) -> None:
    """And they keep no error from being told."""
    rules = "\n".join(
        f"  - {{id: r{n}, when: 'value.f{n} == {n}', effect: warn}}" for n in range(1100)
    )
    policy = f"policy: a\nowner: o\nschema: s\ntopics: [t]\nrules:\n{rules}\n"
    write(tmp_path, **{"a.yaml": policy})
    types = {"s": record("payment", {"amount": DOUBLE}, open=True)}.get

    load_directories([tmp_path], value_types=types)
    found = check_directories(tmp_path, value_types=types)

    assert {p.severity for p in found} == {"warning"}
    assert len(found) == PROBLEMS_MAX + 1
    assert [p.message for p in found if p.code == "SW118"] == ["100 more warnings are not shown"]
    write(tmp_path, **{"z.yaml": "policy: b\nowner: o\ntopics: [t]\neffekt: warn\n"})
    with pytest.raises(PolicyError, match="effekt"):
        load_directories([tmp_path], value_types=types)
