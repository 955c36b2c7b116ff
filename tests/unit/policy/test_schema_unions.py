"""A field that only some alternatives of a union have is told where nothing asks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import Problem
from streamwarden.policy.loader import check_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.schema_directory import DirectorySource


def avro_record(name: str, **fields: Any) -> dict[str, Any]:
    """A record of these fields; its `kind`, if any, is an enum of its own."""
    written = [
        {"name": field, "type": {"type": "enum", "name": f"{name}Kind", "symbols": type_}}
        if field == "kind"
        else {"name": field, "type": type_}
        for field, type_ in fields.items()
    ]
    return {"type": "record", "name": name, "fields": written}


CIRCLE = avro_record("Circle", kind=["circle"], r="int", d="int", label="string")
SQUARE = avro_record("Square", kind=["square", "box"], side="int", label="string")
AVRO = avro_record(
    "Event",
    shape=[CIRCLE, SQUARE],
    maybe=["null", "Circle", "Square"],
    shapes={"type": "array", "items": ["Circle", "Square"]},
    mixed=["string", "Circle"],
    holder=avro_record("Holder", kind=["h"], shape=["Circle", "Square"]),
)


def json_object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(fields), "properties": fields}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
SHAPES: list[dict[str, Any]] = [
    {"title": "Circle", **json_object(kind={"const": "circle"}, r=NUMBER, d=NUMBER, label=TEXT)},
    {
        "title": "Square",
        **json_object(kind={"enum": ["square", "box"]}, side=NUMBER, label=TEXT),
    },
]
LOOSE = {"type": "object", "properties": {"r": {"type": "integer"}}, "additionalProperties": False}
JSON = json_object(
    shape={"oneOf": SHAPES},
    maybe={"anyOf": [{"type": "null"}, *SHAPES]},
    shapes={"type": "array", "items": {"oneOf": SHAPES}},
    mixed={"oneOf": [{"type": "string"}, SHAPES[0]]},
    holder=json_object(shape={"oneOf": SHAPES}),
    loose={"oneOf": [SHAPES[0], LOOSE]},
    numbered={
        "oneOf": [
            json_object(kind={"const": 1}, express={"const": True}, fee=NUMBER),
            json_object(kind={"enum": [2, 3]}, express={"const": False}, days=NUMBER),
        ]
    },
)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> SchemaTypes:
    """The subjects `avro` and `json`."""
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "avro.avsc").write_text(json.dumps(AVRO))
    (folder / "json.schema.json").write_text(json.dumps(JSON))
    return SchemaTypes(DirectorySource(folder))


def found(
    schemas: SchemaTypes, folder: Path, subject: str, condition: str, more: str = ""
) -> list[Problem]:
    """The problems of a rule that does not say what an error in it means."""
    rule = f"{{id: r, effect: warn, when: '{condition}'{more}}}"
    text = f"policy: p\nowner: o\ntopics: [t]\nschema: {subject}\nrules:\n  - {rule}\n"
    (folder / "p.yaml").write_text(text)
    return check_directories(folder, value_types=schemas.value_type)


BOTH = pytest.mark.parametrize("subject", ["avro", "json"])


@BOTH
@pytest.mark.parametrize(
    ("condition", "at", "guard"),
    [
        ("value.shape.r > 1", "value.shape.r", "has(value.shape.r)"),
        ("message.shape.r > 1", "message.shape.r", "has(message.shape.r)"),
        ('value.shape["r"] > 1', 'value.shape["r"]', '"r" in value.shape'),
        ("value.maybe != null && value.maybe.r > 1", "value.maybe.r", "has(value.maybe.r)"),
        ("value.shapes.exists(s, s.r > 1)", "s.r", "has(s.r)"),
        ("value.shapes[0].r > 1", "value.shapes[0].r", "has(value.shapes[0].r)"),
        ("value.holder.shape.r == 5", "value.holder.shape.r", "has(value.holder.shape.r)"),
        (
            'value.shape.label == "x" && value.shape.r > 1',
            "value.shape.r",
            "has(value.shape.r)",
        ),
        (
            'value.shape.kind in ["circle", "box"] && value.shape.r > 1',
            "value.shape.r",
            "has(value.shape.r)",
        ),
        (
            '(value.shape.kind == "circle" || value.shape.kind == "box") && value.shape.r > 1',
            "value.shape.r",
            "has(value.shape.r)",
        ),
        (
            '(value.shape.kind == "circle" || value.shape.label == "box") && value.shape.r > 1',
            "value.shape.r",
            "has(value.shape.r)",
        ),
        (
            'value.shape.kind != "square" && value.shape.r > 1',
            "value.shape.r",
            "has(value.shape.r)",
        ),
        (
            'value.shape.r == 1 && value.shape.r < 5 && value.shape.label != "x"',
            "value.shape.r",
            "has(value.shape.r)",
        ),
    ],
)
def test_a_field_of_one_branch_is_warned_about(
    schemas: SchemaTypes, tmp_path: Path, subject: str, condition: str, at: str, guard: str
) -> None:
    """As one that may be missing is; where it is missing is named."""
    problem = next(p for p in found(schemas, tmp_path, subject, condition) if p.code == "SW133")

    expected = f"`{at}` may be missing, as in `Square`, and then the condition fails"
    assert problem.severity == "warning"
    assert problem.message.startswith(expected)
    assert problem.remedy == f"put `{guard} &&` before it, or say `on_error:`"


@BOTH
@pytest.mark.parametrize(
    "condition",
    [
        'value.shape.label == "x"',
        "has(value.shape.r) && value.shape.r > 1",
        '"r" in value.shape && value.shape.r > 1',
        "!has(value.shape.r) || value.shape.r > 1",
        "value.shape.?r.orValue(0) > 1",
        "value.maybe != null && has(value.maybe.r) && value.maybe.r > 1",
        "value.shapes.exists(s, has(s.r) && s.r > 1)",
        'value.shape.kind == "circle" && value.shape.r > 1',
        'value.shape.r > 1 && value.shape.kind == "circle"',
        'value.shape.kind != "circle" || value.shape.r > 1',
        'value.shape.kind in ["square", "box"] && value.shape.side > 1',
        '(value.shape.kind == "square" || value.shape.kind == "box") && value.shape.side > 1',
        '!(value.shape.kind != "square" && value.shape.kind != "box") && value.shape.side > 1',
        'value.shape.kind == "circle" ? value.shape.r > 1 : value.shape.side > 1',
        'value.shapes.exists(s, s.kind == "box" && s.side > 1)',
        'type(value.mixed) == map && value.mixed.r > 1 && value.mixed.label == "x"',
        'value.mixed == "x"',
    ],
)
def test_what_tells_the_branches_apart_is_a_guard(
    schemas: SchemaTypes, tmp_path: Path, subject: str, condition: str
) -> None:
    """The field itself, or another one whose texts only some of them have."""
    assert found(schemas, tmp_path, subject, condition) == []


@BOTH
@pytest.mark.parametrize(
    "condition",
    ["value.mixed.r > 1", "has(value.mixed.r) && value.mixed.r > 1", "value.mixed.?r.hasValue()"],
)
def test_what_has_no_fields_is_warned_about(
    schemas: SchemaTypes, tmp_path: Path, subject: str, condition: str
) -> None:
    """`has` fails of a text too, which the type tells apart."""
    (problem,) = found(schemas, tmp_path, subject, condition)

    assert (problem.code, problem.severity) == ("SW133", "warning")
    assert "`value.mixed` may be a string, which has no fields" in problem.message
    assert "put `type(value.mixed) == map &&` before it" in problem.remedy


@pytest.mark.parametrize(
    ("condition", "warned"),
    [
        ("value.numbered.kind == 1 && value.numbered.fee > 1", False),
        ("value.numbered.kind in [2, 3] && value.numbered.days > 1", False),
        ("value.numbered.kind != 1 && value.numbered.days > 1", False),
        ("value.numbered.express == true && value.numbered.fee > 1", False),
        ("value.numbered.express && value.numbered.fee > 1", False),
        ("!value.numbered.express && value.numbered.days > 1", False),
        ("value.numbered.express ? value.numbered.fee > 1 : value.numbered.days > 1", False),
        ("value.numbered.kind == 2 && value.numbered.fee > 1", True),
        ("value.numbered.kind != 2 && value.numbered.fee > 1", True),
        ("value.numbered.kind > 0 && value.numbered.fee > 1", True),
        ("!value.numbered.express && value.numbered.fee > 1", True),
    ],
)
def test_numbers_and_flags_tell_branches_apart_too(
    schemas: SchemaTypes, tmp_path: Path, condition: str, warned: bool
) -> None:
    codes = [problem.code for problem in found(schemas, tmp_path, "json", condition)]

    assert codes == (["SW133"] if warned else [])


def test_one_field_guards_the_others_of_its_record(schemas: SchemaTypes, tmp_path: Path) -> None:
    """Where the other records certainly do not have it: an open one may."""
    condition = "has(value.shape.r) && value.shape.d > value.shape.r"

    other = found(schemas, tmp_path, "avro", "has(value.shape.side) && value.shape.r == 1")
    closed = found(schemas, tmp_path, "avro", condition)
    still_open = found(schemas, tmp_path, "json", condition)

    assert [problem.code for problem in other] == ["SW133"]
    assert closed == []
    assert [problem.remedy.split()[1] for problem in still_open] == ["`has(value.shape.d)"]


def test_a_field_that_one_branch_does_not_require(schemas: SchemaTypes, tmp_path: Path) -> None:
    """Is missing there like any other."""
    (problem,) = found(schemas, tmp_path, "json", "value.loose.r > 1")

    assert problem.message.startswith("`value.loose.r` may be missing, and then")


def test_nothing_is_said_where_an_error_is_provided_for(
    schemas: SchemaTypes, tmp_path: Path
) -> None:
    """By the rule itself."""
    assert found(schemas, tmp_path, "avro", "value.shape.r > 1", ", on_error: skip") == []


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        ("type(value.maybe) == null_type && value.maybe.label == \"x\"", ["SW132"]),
        ("type(value.maybe) == type(value.maybe) && value.maybe.label == \"x\"", ["SW132"]),
        ("type(value.maybe) == map && value.maybe.label == \"x\"", []),
    ],
)  # fmt: skip
def test_a_type_guards_only_against_others(
    schemas: SchemaTypes, tmp_path: Path, condition: str, codes: list[str]
) -> None:
    """That a value is null, or of the type of another one, does not say that it is there."""
    assert [p.code for p in found(schemas, tmp_path, "avro", condition)] == codes
