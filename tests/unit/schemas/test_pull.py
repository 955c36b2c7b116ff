"""A registry's schemas as a directory that guards and tests can be given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ConfigurationError, StoreError
from streamwarden.schemas.pull import pull
from streamwarden.schemas.registry import Schema
from streamwarden.schemas.schema_directory import DirectorySource

from .test_schema_client import A, FakeRegistry, Reference, Registered, Text

B = '{"type": "record", "name": "B", "fields": [{"name": "a", "type": "A"}]}'


def registry(**more: Text) -> FakeRegistry:
    """Version 1 and 3 of `b-value`, which refers to `a`; and what `more` says."""
    old = Text('{"type": "record", "name": "B", "fields": []}')
    new = Text(B, references=[Reference("A", "a", 2)])
    made = FakeRegistry()
    rows = [("a", 2, 5, Text(A)), ("b-value", 1, 3, old), ("b-value", 3, 7, new)]
    rows += [(name, 1, 20 + place, text) for place, (name, text) in enumerate(more.items())]
    for subject, version, number, text in rows:
        made.subjects[subject, version] = Registered(subject, version, number, text)
    return made


def found(directory: Path, number: int) -> Schema:
    schema = DirectorySource(directory).schema(number)
    assert isinstance(schema, Schema)
    return schema


def test_what_is_pulled_is_what_the_registry_gives(tmp_path: Path) -> None:
    """Every version under its own id, with what it refers to; the newest by the subject's name."""
    pulled = pull("http://r", tmp_path, ["b-value"], client=registry())

    assert (pulled.subjects, pulled.schemas, pulled.skipped) == (("a", "b-value"), 3, ())
    assert B == (tmp_path / "b-value.avsc").read_text() == found(tmp_path, 7).text
    assert found(tmp_path, 7).text == B
    assert found(tmp_path, 5).text == A
    assert (tmp_path / "versions" / "b-value.1.avsc").exists()
    assert found(tmp_path, 7) is not found(tmp_path, 3)
    assert [v.version for n in (7, 3) for v in found(tmp_path, n).versions] == [3, 1]


def test_pulling_again_follows_the_registry(tmp_path: Path) -> None:
    """A new version takes the subject's name; subjects that are not pulled stay."""
    pull("http://r", tmp_path, client=registry(other=Text('"string"')))
    later = registry()
    newest = Text('"int"')
    later.subjects["b-value", 4] = Registered("b-value", 4, 8, newest)

    pull("http://r", tmp_path, ["b-value"], client=later)

    assert (tmp_path / "b-value.avsc").read_text() == '"int"'
    assert (tmp_path / "versions" / "b-value.3.avsc").read_text() == B
    assert found(tmp_path, 20).text == '"string"'
    source = DirectorySource(tmp_path)
    latest: Any = source.latest("b-value")
    assert latest.id == 8


def test_files_of_versions_that_are_gone_go(tmp_path: Path) -> None:
    pull("http://r", tmp_path, client=registry())
    later = registry()
    del later.subjects["b-value", 1]

    pull("http://r", tmp_path, client=later)

    assert not (tmp_path / "versions" / "b-value.1.avsc").exists()


def test_other_kinds_of_schema_are_left_out_and_named(tmp_path: Path) -> None:
    made = registry(proto=Text("message", "PROTOBUF"), json=Text('{"type": "object"}', "JSON"))

    pulled = pull("http://r", tmp_path, client=made)

    assert pulled.skipped == ("proto",)
    assert found(tmp_path, 21).kind == "JSON"


def test_another_registry_is_not_mixed_in(tmp_path: Path) -> None:
    """Ids are a registry's own: the same id for something else would read events wrongly."""
    (tmp_path / "mine.avsc").write_text('"bytes"')
    (tmp_path / "index.yaml").write_text("- {id: 7, subject: mine, version: 1, file: mine.avsc}\n")

    with pytest.raises(ConfigurationError, match="holds another schema of id 7: `mine.avsc`"):
        pull("http://r", tmp_path, client=registry())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.yaml", "mine.avsc"]


def test_a_registry_that_cannot_be_read(tmp_path: Path) -> None:
    """Nothing is written, and credentials are not shown."""

    def fail() -> None:
        raise ConnectionError("SECRET")

    broken = registry()
    broken.before = fail

    with pytest.raises(StoreError, match=r"the schema registry `http://\*\*\*@r` ") as caught:
        pull("http://user:SECRET@r", tmp_path, client=broken)

    assert "SECRET" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
