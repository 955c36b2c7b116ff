"""Versions of policies are published once, activated by name, and never lost."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"dir:{tmp_path}/store"


class Bundle:
    """`streamwarden bundle … --store … --json`, and what it said."""

    def __init__(self, run: Run, store: str) -> None:
        self._run, self._store = run, store

    def __call__(self, *arguments: object) -> Any:
        result = self._run("bundle", *arguments, "--store", self._store, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)


@pytest.fixture
def bundle(run: Run, store: str) -> Bundle:
    return Bundle(run, store)


def tighten(policies: Path) -> None:
    path = policies / "limits.yaml"
    path.write_text(path.read_text().replace("50000", "10000"))


def test_a_first_version_is_published_and_active(bundle: Bundle, policies: Path) -> None:
    """Numbered from 1, with everything as a change."""
    said = bundle("publish", "--policies", policies, "--yes", "--by", "Ann", "--reason", "first")

    assert (said["bundle"], said["number"], said["published"]) == ("payments@1", 1, True)
    assert (said["active"], said["previous"], said["epoch"]) == ("payments@1", None, 1)
    assert {each["kind"] for each in said["changes"]} == {"added"}
    active = bundle("active")
    assert (active["bundle"], active["by"], active["reason"]) == ("payments@1", "Ann", "first")


def test_the_next_version_says_what_changes(bundle: Bundle, policies: Path) -> None:
    """Against the active one; who does it is the user of the system."""
    bundle("publish", "--policies", policies, "--yes")
    tighten(policies)

    said = bundle("publish", "--policies", policies, "--yes")

    assert (said["bundle"], said["previous"]) == ("payments@2", "payments@1")
    (change,) = said["changes"]
    assert (change["name"], change["fields"][0]["name"]) == ("limits/over-limit", "when")
    assert bundle("active")["by"] == getpass.getuser()


def test_the_same_is_not_published_twice(bundle: Bundle, policies: Path) -> None:
    """So that a pipeline may call it on every commit."""
    bundle("publish", "--policies", policies, "--yes")

    said = bundle("publish", "--policies", policies, "--yes")

    assert (said["bundle"], said["published"], said["changes"]) == ("payments@1", False, [])
    assert len(bundle("history")["published"]) == 1


def test_publishing_can_leave_the_active_one(bundle: Bundle, policies: Path) -> None:
    """It is activated later, by number; an older number is a rollback."""
    bundle("publish", "--policies", policies, "--yes")
    tighten(policies)

    said = bundle("publish", "--policies", policies, "--yes", "--no-activate")
    forward = bundle("activate", 2, "--reason", "now")
    back = bundle("activate", 1, "--reason", "oh")

    assert (said["bundle"], said["active"]) == ("payments@2", "payments@1")
    assert (forward["bundle"], forward["previous"], forward["epoch"]) == (
        "payments@2",
        "payments@1",
        2,
    )
    assert (back["bundle"], back["previous"], back["epoch"]) == ("payments@1", "payments@2", 3)
    history = bundle("history")
    assert history["active"] == "payments@1"
    assert [each["number"] for each in history["published"]] == [1, 2]
    assert [(each["number"], each["reason"]) for each in history["activated"]][1:] == [
        (2, "now"),
        (1, "oh"),
    ]


def test_without_a_terminal_yes_is_needed(run: Run, store: str, policies: Path) -> None:
    """Nothing was changed without it."""
    result = run("bundle", "publish", "--policies", policies, "--store", store)

    assert result.exit_code == 1
    assert "say --yes" in result.stderr
    assert run("bundle", "active", "--store", store).exit_code == 1


def test_what_fails_its_tests_is_not_published(run: Run, store: str, policies: Path) -> None:
    """Unless somebody says --no-tests."""
    (policies / "cases.yaml").write_text(
        "tests: limits\ncases:\n  - {topic: payments, value: {}, expect: {effect: allow}}\n"
    )
    arguments = ("bundle", "publish", "--policies", policies, "--store", store, "--yes")

    refused, forced = run(*arguments), run(*arguments, "--no-tests")

    assert refused.exit_code == 1
    assert "1 of 1 test failed; nothing was published" in refused.stderr
    assert "cases.yaml:3" in refused.stderr
    assert forced.exit_code == 0


def test_changes_are_shown_to_people(run: Run, store: str, policies: Path) -> None:
    """On stdout, before the outcome."""
    arguments = ("bundle", "publish", "--policies", policies, "--store", store, "--yes")
    run(*arguments)
    tighten(policies)

    result = run(*arguments)

    assert "~ rule limits/over-limit changed" in result.stdout
    assert result.stdout.rstrip().endswith("published and active")
    table = run("bundle", "history", "--store", store).stdout
    assert "payments@2" in table
    assert "payments@1 (" not in run("bundle", "active", "--store", store).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["active"], "no bundle is active"),
        (["activate", "7"], "there is no bundle 7 in"),
        (["activate", "7"], "nothing was published there yet"),
        (["activate", "0"], "invalid value for 'N': 0 is less than 1; see"),
        (["activate", "x"], "invalid value for 'N': 'x' is no number; see"),
    ],
)
def test_what_is_not_there_is_told(run: Run, store: str, arguments: list[str], words: str) -> None:
    """Status 1, and the store is as it was."""
    Path(store.removeprefix("dir:")).mkdir()
    result = run("bundle", *arguments, "--store", store)

    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize("arguments", [["active"], ["history"], ["activate", "7"]])
def test_a_mistyped_store_is_told(run: Run, store: str, arguments: list[str]) -> None:
    """A directory that is not there is no store in which nothing is; looking makes none."""
    result = run("bundle", *arguments, "--store", store)

    assert result.exit_code == 1
    assert "there is no store at" in result.stderr
    assert not Path(store.removeprefix("dir:")).exists()


def test_publishing_says_that_it_makes_a_store(run: Run, store: str, policies: Path) -> None:
    """So that a mistyped path is seen; refused before, nothing is made."""
    refused = run("bundle", "publish", "--policies", policies, "--store", store)
    absent = not Path(store.removeprefix("dir:")).exists()
    made = run("bundle", "publish", "--policies", policies, "--store", store, "--yes")

    assert (refused.exit_code, absent, made.exit_code) == (1, True, 0)
    assert f"there is no store at {store.removeprefix('dir:')} yet: it will be made" in made.stderr


def test_a_store_url_with_a_password_is_not_repeated(run: Run) -> None:
    """Not even where it is no store."""
    result = run("bundle", "active", "--store", "nothing://app:hunter2@host/0")

    assert result.exit_code == 1
    assert "hunter2" not in result.output


def test_two_bundles_live_in_one_store(run: Run, store: str, policies: Path) -> None:
    """Publishing finds its own; the others are named in the URL."""
    arguments = ("bundle", "publish", "--policies", policies, "--store", store, "--yes", "--json")
    run(*arguments)
    settings = policies / "bundle.yaml"
    settings.write_text(settings.read_text().replace("payments", "others"))

    said = json.loads(run(*arguments).stdout)

    assert (said["bundle"], said["previous"]) == ("others@1", None)
    assert run("bundle", "active", "--store", store).exit_code == 1
    assert run("bundle", "active", "--store", f"{store}?bundle=payments").exit_code == 0


def test_a_bundle_is_built_without_a_store(run: Run, policies: Path, tmp_path: Path) -> None:
    """Its stored form has its digest."""
    result = run("bundle", "build", "--policies", policies, "--json", "--output", tmp_path / "b")

    said, stored = json.loads(result.stdout), json.loads((tmp_path / "b").read_bytes())
    assert (said["bundle"], said["policies"], said["rules"]) == ("payments@0", 1, 5)
    assert stored["digest"] == said["digest"]
    assert len((tmp_path / "b").read_bytes()) == said["bytes"]
