"""Comparisons that no event of a schema makes true, at any depth of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import Problem
from streamwarden.policy.loader import check_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.schema_directory import DirectorySource

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
PERSON = {
    "type": "record",
    "name": "Person",
    "fields": [
        {"name": "name", "type": "string"},
        {"name": "parent", "type": ["null", "Person"]},
        {"name": "children", "type": {"type": "array", "items": "Person"}},
    ],
}
AVRO = {
    "type": "record",
    "name": "Pay",
    "fields": [
        {"name": "count", "type": "int"},
        {"name": "big", "type": "long"},
        {"name": "u", "type": ["int", "string"]},
        {"name": "maybe", "type": ["null", "int", "string"]},
        {"name": "opt", "type": ["null", "int"]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 4}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2},
        },
        {"name": "at", "type": MILLIS},
        {"name": "node", "type": PERSON},
        {
            "name": "shape",
            "type": [
                {"type": "record", "name": "Circle", "fields": [{"name": "r", "type": "int"}]},
                {"type": "record", "name": "Square", "fields": [{"name": "side", "type": "int"}]},
            ],
        },
    ],
}
JSON: dict[str, Any] = {
    "type": "object",
    "title": "Pay",
    "additionalProperties": False,
    "properties": {
        "count": {"type": "integer"},
        "amount": {"type": "number", "minimum": 0, "maximum": 100},
        "above": {"type": "number", "exclusiveMinimum": 0},
        "old": {"type": "number", "maximum": 9, "exclusiveMaximum": True},
        "u": {"type": ["integer", "string"]},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        "opt": {"type": ["integer", "null"]},
        "kind": {"enum": ["A", "B"]},
        "level": {"enum": [1, 2, 3]},
        "five": {"const": 5},
        "yes": {"const": True},
        "mixed": {"enum": [1, "a", None]},
        "text": {"type": "string", "minLength": 2, "maxLength": 5},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        "node": {"$ref": "#/$defs/person"},
        "shape": {
            "oneOf": [
                {
                    "type": "object",
                    "title": "Circle",
                    "additionalProperties": False,
                    "properties": {"r": {"type": "integer"}},
                },
                {
                    "type": "object",
                    "title": "Square",
                    "additionalProperties": False,
                    "properties": {"side": {"type": "integer"}},
                },
            ]
        },
        "loosely": {
            "anyOf": [
                {"title": "Open", "properties": {"b": {"type": "integer"}}},
                {"title": "Other", "properties": {"a": {"type": "integer"}}},
            ]
        },
        "whole": {"allOf": [{"$ref": "#/$defs/person"}, {"properties": {"age": {}}}]},
        "based": {
            "type": "object",
            "allOf": [{"$ref": "#/$defs/person"}, {"properties": {"boss": {"$ref": "#"}}}],
        },
        "loose": {"type": "string"},
    },
    "$defs": {
        "person": {
            "type": "object",
            "title": "Person",
            "required": ["name", "parent", "children"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "parent": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/person"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/person"}},
            },
        }
    },
}
JSON["required"] = [name for name in JSON["properties"] if name != "loose"]


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> SchemaTypes:
    """The subjects `avro` and `json`."""
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "avro.avsc").write_text(json.dumps(AVRO))
    (folder / "json.schema.json").write_text(json.dumps(JSON))
    return SchemaTypes(DirectorySource(folder))


def found(schemas: SchemaTypes, folder: Path, subject: str, condition: str) -> list[Problem]:
    """The problems of a rule that says what an error in it means."""
    rule = f"{{id: r, effect: warn, on_error: skip, when: '{condition}'}}"
    text = f"policy: p\nowner: o\ntopics: [t]\nschema: {subject}\nrules:\n  - {rule}\n"
    (folder / "p.yaml").write_text(text)
    return check_directories(folder, value_types=schemas.value_type)


BOTH = [
    # Records that lead back to themselves, at any depth.
    ('value.node.parent.nam == "x"', "SW125", "`nam` in `Person`", "did you mean `name`?"),
    ("value.node.parent.name == 5", "SW123", "string and int are never equal", ""),
    ("value.node.parent.vip", "SW125", "no field `vip` in `Person`", ""),
    ("value.node.parent.parent.parent.parent.name == 5", "SW123", "string and int", ""),
    ("value.node.children.exists(c, c.children[0].nam == \"x\")", "SW125", "`nam`", "`name`"),
    # Null, where the schema has none.
    ("value.count == null", "SW123", "an int is never null here", ""),
    ("null == value.kind", "SW123", "a string is never null here", ""),
    ("value.node == null", "SW123", "a Person is never null here", ""),
    ("value.u == null", "SW123", "is never null here", ""),
    ("value.node.children.exists(c, c == null)", "SW123", "a Person is never null here", ""),
    ("value.count > 1 && value.count == null", "SW123", "never null", ""),
    # Unions of several types.
    ("value.u == true", "SW123", "int or string and bool are never equal", ""),
    ("value.u == b\"x\"", "SW123", "int or string and bytes are never equal", ""),
    ("value.u.foo == 3", "SW123", "an int or string has no fields, so no `foo`", ""),
    ("value.maybe == true", "SW123", "are never equal", ""),
    ("value.u > true", "SW123", "`>` does not take", ""),
    ("value.u in [true, false]", "SW123", "", ""),
    ("value.u && true", "SW123", "true or false is needed here", ""),
    ("value.u[0] == 1", "SW123", "has no elements", ""),
    ("value.shape.sied == 1", "SW125", "`sied` in `Circle` or `Square`", "`side`"),
    # Numbers and sizes that there are not.
    ("value.count == 1.5", "SW131", "a whole number is never 1.5", ""),
    ("value.u == 1.5", "SW131", "a whole number is never 1.5", ""),
    ("value.node == 5", "SW123", "Person and int are never equal", ""),
    ("value.kind == \"C\"", "SW131", "no value `C`", ""),
]  # fmt: skip


@pytest.mark.parametrize("subject", ["avro", "json"])
@pytest.mark.parametrize(("condition", "code", "message", "remedy"), BOTH)
def test_never_true_in_either_kind_of_schema(
    schemas: SchemaTypes,
    tmp_path: Path,
    subject: str,
    condition: str,
    code: str,
    message: str,
    remedy: str,
) -> None:
    """An error, told once."""
    (problem,) = found(schemas, tmp_path, subject, condition)

    assert (problem.code, problem.severity) == (code, "error")
    assert message in problem.message
    assert remedy in problem.remedy


@pytest.mark.parametrize(
    ("subject", "condition", "message"),
    [
        ("avro", "value.count == 3000000000", "no value above 2147483647"),
        ("avro", "value.count >= 3000000000", "no value above 2147483647"),
        ("avro", "3000000000 < value.count", "no value above 2147483647"),
        ("avro", "value.count < -3000000000", "no value below -2147483648"),
        ("avro", "value.u == 3000000000", "no value above 2147483647"),
        ("avro", "value.count in [1, 3000000000]", "no value above 2147483647"),
        ("avro", "size(value.code) == 5", "no value above 4"),
        ("avro", "value.code.size() < 4", "no value below 4"),
        ("avro", "value.code == b\"12345\"", "no more than 4 bytes"),
        ("json", "value.amount < 0", "no value below 0"),
        ("json", "value.amount == -1", "no value below 0"),
        ("json", "value.amount > 100", "no value above 100"),
        ("json", "value.above <= 0", "no value of 0 or less"),
        ("json", "value.old >= 9", "no value of 9 or more"),
        ("json", "value.level == 4", "only `1`, `2`, `3`"),
        ("json", "value.level > 3", "only `1`, `2`, `3`"),
        ("json", "value.five == 6", "only `5`"),
        ("json", "value.yes == false", "only `true`"),
        ("json", "value.mixed == 2", "only `1`"),
        ("json", "value.mixed == \"b\"", "no value `b`"),
        ("json", "size(value.text) == 6", "no value above 5"),
        ("json", "size(value.text) < 2", "no value below 2"),
        ("json", "value.text == \"x\"", "no fewer than 2 characters"),
        ("json", "value.tags.size() == 0", "no value below 1"),
        ("json", "size(value.tags) > 3", "no value above 3"),
        ("json", "size(value.kind) > 1", "no value above 1"),
    ],
)  # fmt: skip
def test_never_true_by_the_limits_of_a_schema(
    schemas: SchemaTypes, tmp_path: Path, subject: str, condition: str, message: str
) -> None:
    """What a type cannot hold, and what `minimum`, `maxLength` and the like leave out."""
    (problem,) = found(schemas, tmp_path, subject, condition)

    assert (problem.code, problem.severity) == ("SW131", "error")
    assert message in problem.message


GOOD_IN_BOTH = [
    'value.node.parent != null && value.node.parent.name == "x"',
    "value.node.children.exists(c, c.children[0].children.size() > 2)",
    "value.node.parent == value.node",
    "value.opt == null",
    "value.maybe == null",
    "value.node.parent == null",
    "value == null || topic == \"t\"",
    "key == null",
    # Guards that are not needed are no mistake.
    "value.count != null",
    "value.count != null && value.count > 3",
    "!(value.count == null) && value.count > 3",
    # Unions.
    "value.u == 3",
    "value.u == \"x\" || value.u == 3",
    "value.u > 5",
    "value.u > \"a\"",
    "value.u in [1, 2]",
    "value.u in [\"a\"]",
    "value.u == value.count || value.u == value.maybe",
    "string(value.u) == \"3\"",
    "type(value.u) == string && value.u.startsWith(\"a\")",
    "value.u + 1 == 3",
    "value.shape.r == 1",
    "has(value.shape.side) && value.shape.side > 1",
    "value.shape == value.shape",
    # Numbers that are computed are not those of the field.
    "value.count + 1 == 3000000000",
    "-value.count == 2147483648",
    "value.count * 1.5 == 1.5",
    "double(value.count) == 1.5",
    "value.count / 2 == 1.5",
    "value.count == 1.0",
    "value.count < 1.5",
    "value.count != 1.5",
]  # fmt: skip


@pytest.mark.parametrize("subject", ["avro", "json"])
@pytest.mark.parametrize("condition", GOOD_IN_BOTH)
def test_nothing_is_said_of_what_can_be(
    schemas: SchemaTypes, tmp_path: Path, subject: str, condition: str
) -> None:
    """No rule that some event makes true is called wrong."""
    assert found(schemas, tmp_path, subject, condition) == []


@pytest.mark.parametrize(
    ("subject", "condition"),
    [
        ("avro", "value.count == 2147483647 || value.count <= -2147483648"),
        ("avro", "value.big == 3000000000"),
        ("avro", "value.count != 3000000000"),
        ("avro", "[value.count, value.big].exists(x, x == 3000000000)"),
        ("avro", "(value.opt == null ? value.count : value.big) == 3000000000"),
        ("avro", "size(value.code) == 4 && value.code == b\"1234\""),
        ("avro", "value.at == timestamp(\"2026-01-01T00:00:00Z\")"),
        ("json", "value.amount <= 0 || value.amount >= 100"),
        ("json", "value.amount == 0 || value.amount == 100 || value.amount == 0.5"),
        ("json", "value.above < 0.1"),
        ("json", "value.old > 8.9"),
        ("json", "value.level == 3 || value.level > 2 || value.level in [1, 3]"),
        ("json", "value.five == 5.0 && value.yes == true && value.yes"),
        ("json", "value.mixed == 1 || value.mixed == \"a\" || value.mixed == null"),
        ("json", "size(value.text) == 5 || size(value.text) < 3 || value.text == \"ab\""),
        ("json", "value.tags.size() == 3 || size(value.tags) <= 1"),
        ("json", "size(value.text + value.text) == 10"),
        ("json", "value.loosely.a == \"x\""),
        ("json", "value.whole.parent.parent.name == \"x\" && value.whole.age == 5"),
    ],
)  # fmt: skip
def test_limits_are_within_reach(
    schemas: SchemaTypes, tmp_path: Path, subject: str, condition: str
) -> None:
    """The least and the most that a schema allows are values like others."""
    assert found(schemas, tmp_path, subject, condition) == []


@pytest.mark.parametrize(
    "condition",
    [
        "value.based.name == 5",
        "value.based.parent.parent.name == 5",
        "value.based.boss.based.name == 5",
        'value.shape.r == "x"',
    ],
)
def test_parts_of_a_json_schema_are_one_object(
    schemas: SchemaTypes, tmp_path: Path, condition: str
) -> None:
    """`allOf` says the fields of one object together, `oneOf` those of several."""
    problems = found(schemas, tmp_path, "json", condition)

    assert [problem.code for problem in problems] == ["SW123"]


@pytest.mark.parametrize("subject", ["avro", "json"])
def test_null_as_one_of_several_ways_is_a_warning(
    schemas: SchemaTypes, tmp_path: Path, subject: str
) -> None:
    """It is how people write a guard, and the rest of the condition can well be true."""
    condition = "value.count == null || value.count > 3"

    (problem,) = found(schemas, tmp_path, subject, condition)

    assert (problem.code, problem.severity) == ("SW123", "warning")


def test_a_field_that_may_be_missing_is_not_null(schemas: SchemaTypes, tmp_path: Path) -> None:
    """The message says how to ask for it."""
    (problem,) = found(schemas, tmp_path, "json", "value.loose == null")

    assert problem.remedy == "write `!has(value.loose)` where it may be missing"


@pytest.mark.parametrize(
    ("written", "corrected"),
    [
        ("2026-01-01", "2026-01-01T00:00:00Z"),
        ("2026-01-01 10:30", "2026-01-01T10:30:00Z"),
        ("2026-01-01T10:30:00", "2026-01-01T10:30:00Z"),
        ("2026-01-01T10:30:00+02:00", "2026-01-01T10:30:00+02:00"),
        ("2026-13-01", "2026-01-01T00:00:00Z"),
        ("next year", "2026-01-01T00:00:00Z"),
    ],
)
def test_the_help_for_a_time_is_a_time(
    schemas: SchemaTypes, tmp_path: Path, written: str, corrected: str
) -> None:
    """What the help says to write is free of problems."""
    (problem,) = found(schemas, tmp_path, "avro", f'value.at > "{written}"')

    assert problem.remedy == f'write `timestamp("{corrected}")`'
    assert found(schemas, tmp_path, "avro", f'value.at > timestamp("{corrected}")') == []


def test_a_method_that_a_type_does_not_have(schemas: SchemaTypes, tmp_path: Path) -> None:
    """The message says what has it; of what has it, what it takes."""
    (none,) = found(schemas, tmp_path, "avro", "value.price.size() > 1")
    (wrong,) = found(schemas, tmp_path, "avro", "value.node.name.startsWith(5)")

    assert none.message == "a decimal has no `size`"
    assert none.remedy == "`size` is a method of bytes, list, map and string"
    assert wrong.message == "`startsWith` of a string does not take (int)"
    assert wrong.remedy == "it takes (string)"


def test_a_method_of_lists_and_optional_values_says_what_it_takes(
    schemas: SchemaTypes, tmp_path: Path
) -> None:
    """By what is in them: the type has the method, and not for such arguments."""
    (sliced,) = found(schemas, tmp_path, "avro", 'value.node.name.split(",").slice("a", 1) == []')
    (other,) = found(schemas, tmp_path, "avro", "value.node.?name.orValue(1) == 1")

    assert sliced.message == "`slice` of a list(string) does not take (string, int)"
    assert sliced.remedy == "it takes (int, int)"
    assert other.message == "`orValue` of an optional_type(string) does not take (int)"
    assert other.remedy == "it takes (string)"
