"""Rules on lists in lists, and maps in maps, are checked however deep a JSON Schema nests them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.json_schema_types import json_schema_type
from streamwarden.policy.loader import check_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.schema_directory import DirectorySource


def nested(levels: int, leaf: dict[str, Any]) -> dict[str, Any]:
    """Arrays in arrays, so many, around `leaf`."""
    for _ in range(levels):
        leaf = {"type": "array", "items": leaf}
    return leaf


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


LEAF = {
    "type": "object",
    "required": ["qty"],
    "additionalProperties": False,
    "properties": {"qty": {"type": "integer"}},
}
DEFS: dict[str, Any] = {
    # Lists of themselves alone, of themselves or text, by way of another, and twice the same.
    "pure": {"type": "array", "items": reference("pure")},
    "texts": {"type": "array", "items": {"oneOf": [reference("texts"), {"type": "string"}]}},
    "odd": {"type": "array", "items": reference("even")},
    "even": {"type": "array", "items": reference("odd")},
    "twice": {"type": "array", "items": {"oneOf": [reference("twice"), reference("twice")]}},
    "tree": {
        "type": "object",
        "additionalProperties": {"oneOf": [{"type": "integer"}, reference("tree")]},
    },
    "any": {
        "type": ["array", "object", "string"],
        "items": reference("any"),
        "additionalProperties": reference("any"),
    },
    "old_pair": {"type": "array", "items": [LEAF], "additionalItems": False},
    "none": {"allOf": [reference("none")]},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "$defs": DEFS,
    "properties": {
        **{name: reference(name) for name in DEFS},
        "three": nested(3, LEAF),
        "forty": nested(40, LEAF),
        "loose": {"type": ["array", "integer"], "items": {"type": "integer"}},
        "tuple": {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "number"}],
            "items": False,
        },
        "old_tuple": {
            "type": "array",
            "items": [{"type": "string"}, reference("old_pair")],
            "additionalItems": False,
        },
        "open_tuple": {"type": "array", "prefixItems": [{"type": "string"}]},
        "long_tuple": {
            "type": "array",
            "prefixItems": [{"type": "string"}],
            "items": {"type": "boolean"},
        },
    },
}
SCHEMA["required"] = list(SCHEMA["properties"])


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> SchemaTypes:
    """The subject `lists`."""
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "lists.schema.json").write_text(json.dumps(SCHEMA))
    return SchemaTypes(DirectorySource(folder))


def codes(schemas: SchemaTypes, folder: Path, condition: str) -> list[str]:
    """The problems of a rule that says what an error in it means."""
    rule = f"{{id: r, effect: warn, on_error: skip, when: '{condition}'}}"
    text = f"policy: p\nowner: o\ntopics: [t]\nschema: lists\nrules:\n  - {rule}\n"
    (folder / "p.yaml").write_text(text)
    return [p.code for p in check_directories(folder, value_types=schemas.value_type)]


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ('value.three[0][0][0].qty == "x"', "SW123"),
        ("value.three[0][0][0].qtty == 1", "SW125"),
        ("value.three.exists(a, a.exists(b, b.exists(c, c.qtty == 1)))", "SW125"),
        (f"value.forty{'[0]' * 40}.qtty == 1", "SW125"),
        (f'value.forty{"[0]" * 40}.qty == "x"', "SW123"),
        (f"value.forty{'[0]' * 39}.qty == 1", "SW123"),
        ("value.pure[0][0][0][0] == 1", "SW123"),
        ("value.pure.exists(a, a.exists(b, b == 1))", "SW123"),
        ("value.odd[0][0][0] == 1", "SW123"),
        ("value.twice[0][0] == 1", "SW123"),
        ("value.texts[0][0][0] == 1", "SW123"),
        ("value.texts.exists(a, a.exists(b, b.exists(c, c == 1)))", "SW123"),
        ('value.texts["a"] == value.texts', "SW123"),
        ('value.any[0][topic == "t"] == value.any', "SW123"),
        ('value.tree.a.b.c.d == "x"', "SW123"),
        ('value.tree.exists(k, v, v.x.y == "x")', "SW123"),
        ("value.any[0].a[1].b == 1", "SW123"),
        ("value.any.exists(k, v, v[0].exists(x, x == 1))", "SW123"),
        ('value.loose[0] == "x"', "SW123"),
        ('value.loose.exists(x, x == "x")', "SW123"),
        ("value.tuple[1] == true", "SW123"),
        ("value.tuple.exists(x, x == true)", "SW123"),
        ("value.old_tuple[1][0].qtty == 1", "SW125"),
        ("value.long_tuple[3] == 1", "SW123"),
    ],
)
def test_what_is_never_true_is_found_at_any_depth(
    schemas: SchemaTypes, tmp_path: Path, condition: str, code: str
) -> None:
    """Also where a list leads back to itself, and where something else may stand for it."""
    assert codes(schemas, tmp_path, condition) == [code]


@pytest.mark.parametrize(
    "condition",
    [
        "value.three[0][0][0].qty == 1",
        f"value.forty{'[0]' * 40}.qty == 1",
        "value.pure == value.pure[0] && value.pure[0] == value.odd[0]",
        "value.odd == value.even && value.odd == value.odd[0][0][0]",
        "value.pure == [[[]]] && [[[]]] == value.odd",
        "value.pure in value.texts || value.twice[0] in value.pure",
        "[value.pure, value.odd, value.odd[0]].exists(x, x == value.even)",
        "(value.pure + value.odd).size() > 3",
        "value.pure.map(x, x[0])[0] == value.pure",
        'value.texts[0] == "a" || value.texts[0][0] == "a"',
        'value.texts.exists(a, a == "a" || a.exists(b, b == "b"))',
        "value.tree.a == 1 || value.tree.a.b == 1",
        'value.any == "x" || value.any[0] == "x" || value.any.a == "x"',
        'value.any[value.any] == "x"',
        "value.none == 5",
        "value.loose == 5 || value.loose[0] == 5",
        'value.tuple[0] == "x" || value.tuple[1] > 0.5 || value.tuple.exists(x, x == 5)',
        'value.old_tuple[0] == "x" || value.old_tuple[1][0].qty == 1',
        'value.open_tuple[0] == "x" || value.open_tuple[4] == 4',
        'value.long_tuple[0] == "x" || value.long_tuple[1]',
    ],
)
def test_nothing_is_said_of_what_can_be(
    schemas: SchemaTypes, tmp_path: Path, condition: str
) -> None:
    """And the check ends, whatever leads back to itself is compared with."""
    assert codes(schemas, tmp_path, condition) == []


def test_what_leads_on_is_shown_by_dots() -> None:
    """A type is written as far as it was looked at."""
    schema = {**reference("texts"), "$defs": DEFS}

    assert str(json_schema_type(json.dumps(schema))) == "list(list(…) or string)"
