"""A directory of schemas: numbers that stay, and mistakes that are told when it is opened."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from streamwarden.errors import ConfigurationError
from streamwarden.schemas.registry import NotFound, Schema, SubjectVersion
from streamwarden.schemas.schema_directory import DirectorySource
from streamwarden.schemas.schema_sources import open_schemas

A = '{"type": "record", "name": "A", "fields": [{"name": "x", "type": "int"}]}'
B = '{"type": "record", "name": "B", "fields": [{"name": "x", "type": "string"}]}'


def found(source: DirectorySource, number: int) -> Schema:
    schema = source.schema(number)
    assert isinstance(schema, Schema)
    return schema


def test_files_without_an_index_are_numbered_by_name(tmp_path: Path) -> None:
    """The numbers are kept: what comes later gets new ones, wherever its name stands."""
    (tmp_path / "orders-value.avsc").write_text(B)
    (tmp_path / "b-value.schema.json").write_text('{"type": "object"}')
    (tmp_path / "notes.txt").write_text("no schema")

    first = DirectorySource(tmp_path)
    index = (tmp_path / "index.yaml").read_text()
    (tmp_path / "a-value.avsc").write_text(A)
    second = DirectorySource(tmp_path)

    assert [found(first, number).kind for number in (1, 2)] == ["JSON", "AVRO"]
    assert index == (
        "- {id: 1, subject: b-value, version: 1, file: b-value.schema.json}\n"
        "- {id: 2, subject: orders-value, version: 1, file: orders-value.avsc}\n"
    )
    assert (SubjectVersion("orders-value", 1),) == found(second, 2).versions
    assert (SubjectVersion("a-value", 1),) == found(second, 3).versions
    assert second.subjects() == ["a-value", "b-value", "orders-value"]


def test_the_index_says_ids(tmp_path: Path) -> None:
    """As a registry gave them: several versions, one schema under two subjects, tags."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "payments-value.1.avsc").write_text(A)
    (tmp_path / "payments-value.avsc").write_text(B)
    (tmp_path / "index.yaml").write_text(
        "- {id: 7, subject: payments-value, version: 3, file: payments-value.avsc, tags: [PII]}\n"
        "- {id: 7, subject: refunds-value, version: 1, file: payments-value.avsc}\n"
        "- {id: 4, subject: payments-value, version: 1, file: old/payments-value.1.avsc}\n"
    )
    before = (tmp_path / "index.yaml").read_text()

    source = DirectorySource(tmp_path)

    seven = found(source, 7)
    assert (seven.text, seven.tags) == (B, ("PII",))
    assert [seven.subject(topic) for topic in ("payments", "refunds", "other")] == [
        "payments-value",
        "refunds-value",
        "payments-value",
    ]
    assert found(source, 4).text == A
    assert seven is source.latest("payments-value")
    assert before == (tmp_path / "index.yaml").read_text()


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    """An id that a directory does not have is none: it can never become available."""
    source = DirectorySource(tmp_path)

    assert NotFound(7) == source.schema(7)
    assert NotFound(UUID(int=7)) == source.schema(UUID(int=7))
    assert NotFound("payments-value") == source.latest("payments-value")


def test_references_are_named_by_the_index(tmp_path: Path) -> None:
    """A schema may use types of others, and those of further ones."""
    (tmp_path / "a.avsc").write_text(A)
    (tmp_path / "b.avsc").write_text(
        '{"type": "record", "name": "B", "fields": [{"name": "a", "type": "A"}]}'
    )
    (tmp_path / "c.avsc").write_text('["A", "B"]')
    (tmp_path / "index.yaml").write_text(
        "- {id: 1, subject: a, version: 2, file: a.avsc}\n"
        "- id: 2\n  subject: b\n  version: 1\n  file: b.avsc\n"
        "  references: [{name: A, subject: a, version: 2}]\n"
        "- id: 3\n  subject: c\n  version: 1\n  file: c.avsc\n"
        "  references: [{name: B, subject: b, version: 1}, {name: A, subject: a, version: 2}]\n"
    )

    source = DirectorySource(tmp_path)

    assert all(found(source, number).avro is not None for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("- {id: 1, subject: s, version: 1, file: missing.avsc}", "cannot be read: No such file"),
        ("- {id: 1, subject: s, version: 1, file: ../a.avsc}", "names the file `../a.avsc`"),
        ("- {id: 1, subject: s, version: 1, file: /etc/passwd}", "names the file `/etc/passwd`"),
        ("- {id: 1, subject: s, version: 1, file: bad.avsc}", "the type `nope` is not defined"),
        ("- {id: -1, subject: s, version: 1, file: a.avsc}", "id -1, version 1 of `s` cannot be"),
        ("- {id: 4294967296, subject: s, version: 1, file: a.avsc}", "cannot be"),
        ("- {id: 1, subject: s, version: 0, file: a.avsc}", "version 0 of `s` cannot be"),
        (
            "- {id: x, subject: s, version: 1, file: a.avsc}",
            "is no index of schemas: entry 1, `id`: it is text, not a whole number;",
        ),
        (
            "- {id: 1, subject: s, version: 1, file: a.avsc, idd: 2}",
            "is no index of schemas: entry 1: it has an unknown field `idd`;",
        ),
        ("- {id: 1, subject: s}", "is no index of schemas: entry 1: it lacks the field `version`;"),
        (
            "- {id: 1, id: 2, subject: s, version: 1, file: a.avsc}",
            "is no index of schemas: line 1, column 11: found duplicate key",
        ),
        ("id: 1", "is no index of schemas: it is a mapping, not a list;"),
        ("- [", "is no index of schemas: line 1, column 4: expected the node content, but"),
        ("\x01", "is no index of schemas: it has the character 0x1, which YAML does not allow"),
        (
            """
- {id: 1, subject: s, version: 1, file: a.avsc}
- {id: 2, subject: s, version: 1, file: b.avsc}
""",
            "two entries for one version of a subject",
        ),
        (
            """
- {id: 1, subject: s, version: 1, file: a.avsc}
- {id: 1, subject: t, version: 1, file: b.avsc}
""",
            "id 1 stands for different schemas",
        ),
        (
            """
- {id: 1, subject: s, version: 1, file: a.avsc, references: [{name: N, subject: t, version: 9}]}
""",
            "refers to version 9 of `t`, which is not there",
        ),
    ],
)
def test_mistakes_are_told_when_it_is_opened(tmp_path: Path, index: str, message: str) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "a.avsc").write_text(A)
    (folder / "b.avsc").write_text(B)
    (folder / "bad.avsc").write_text('"nope"')
    (folder / "index.yaml").write_text(index)

    with pytest.raises(ConfigurationError) as caught:
        DirectorySource(folder)

    assert message in str(caught.value)


def test_references_in_a_circle_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.avsc").write_text(f'"{other}"')
    rows = [
        {
            "id": number,
            "subject": name,
            "version": 1,
            "file": f"{name}.avsc",
            "references": [{"name": other, "subject": other, "version": 1}],
        }
        for number, (name, other) in enumerate((("a", "b"), ("b", "a")))
    ]
    (tmp_path / "index.yaml").write_text(json.dumps(rows))

    with pytest.raises(ConfigurationError, match="is not defined"):
        DirectorySource(tmp_path)


def test_a_directory_that_cannot_be_written_is_numbered_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Read-only images are usual; that the numbers may change is said."""
    (tmp_path / "a.avsc").write_text(A)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("streamwarden.schemas.schema_directory.write_index", refuse)
    source = DirectorySource(tmp_path)

    assert found(source, 1).avro is not None
    assert "cannot be kept: Permission denied" in caplog.text


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no directory"):
        open_schemas(tmp_path / "nowhere")


@pytest.mark.parametrize("subject", ["a b", "null", "1.5", "odd/name", ":.ctx:s", "ü-value", "on"])
def test_any_subject_survives_the_index(tmp_path: Path, subject: str) -> None:
    from streamwarden.schemas.schema_directory import Row, file_name, read_index, write_index

    row = Row(1, subject, 1, file_name(subject, 1, "AVRO", newest=True))
    (tmp_path / row.file).write_text(A)
    write_index(tmp_path, [row])

    assert [row] == read_index(tmp_path)
    (tmp_path / "index.yaml").unlink()
    assert [subject] == DirectorySource(tmp_path).subjects()
