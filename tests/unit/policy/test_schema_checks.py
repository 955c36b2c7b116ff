"""Rules are checked against the schema of their events before they are active."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamwarden import Guard
from streamwarden.errors import PolicyError, Problem
from streamwarden.policy.json_schema_types import json_schema_type
from streamwarden.policy.loader import check_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.schema_directory import DirectorySource

AVRO = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "amount", "type": "double"},
        {"name": "count", "type": "int"},
        {"name": "discount", "type": ["null", "double"]},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["CARD", "CASH"]}},
        {"name": "old_kind", "type": ["null", "Kind"], "default": None},
        {"name": "note", "type": ["null", "string"]},
        {"name": "flag", "type": ["null", "boolean"]},
        {"name": "nothing", "type": "null"},
        {
            "name": "payer",
            "type": {
                "type": "record",
                "name": "Payer",
                "fields": [{"name": "country", "type": "string"}],
            },
        },
        {"name": "lines", "type": ["null", {"type": "array", "items": ["null", "int"]}]},
    ],
}
JSON = {
    "type": "object",
    "required": ["amount", "payer"],
    "additionalProperties": False,
    "properties": {
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "discount": {"type": ["number", "null"]},
        "kind": {"enum": ["CARD", "CASH"]},
        "note": {"oneOf": [{"type": "null"}, {"type": "string"}]},
        "payer": {"$ref": "#/$defs/payer"},
        "lines": {"type": "array", "maxItems": 20, "items": {"type": "object"}},
        "nothing": {"type": "null"},
    },
    "$defs": {
        "payer": {
            "type": "object",
            "required": ["country"],
            "properties": {"country": {"type": "string"}, "parent": {"$ref": "#/$defs/payer"}},
        }
    },
}


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    """A directory with the subjects `avro` and `json`."""
    folder = tmp_path / "schemas"
    folder.mkdir()
    (folder / "avro.avsc").write_text(json.dumps(AVRO))
    (folder / "json.schema.json").write_text(json.dumps(JSON))
    return folder


def found(schemas: Path, subject: str, rule: str) -> list[Problem]:
    """The problems of a rule whose policy names the subject."""
    folder = schemas.parent / "policies"
    folder.mkdir(exist_ok=True)
    text = f"policy: p\nowner: o\ntopics: [t]\nschema: {subject}\nrules:\n  - {{id: r, {rule}}}\n"
    (folder / "p.yaml").write_text(text)
    types = SchemaTypes(DirectorySource(schemas))
    return check_directories(folder, value_types=types.value_type)


def codes(schemas: Path, subject: str, condition: str) -> list[str]:
    """The codes of a warning's condition."""
    return [p.code for p in found(schemas, subject, f"effect: warn, when: '{condition}'")]


@pytest.mark.parametrize("subject", ["avro", "json"])
@pytest.mark.parametrize(
    ("condition", "code", "message", "remedy"),
    [
        ("value.amuont > 5", "SW125", "no field `amuont`", "did you mean `amount`?"),
        ('value.amount > "5"', "SW123", "double and string", "write the number without quotes"),
        ('value.count == "5"', "SW123", "int and string are never equal", ""),
        ("value.payer > 1", "SW123", "", ""),
        ("value.amount.startsWith(\"1\")", "SW123", "", ""),
        ('value.kind == "CRAD"', "SW131", "no value `CRAD`", "did you mean `CARD`?"),
        ('value.kind != "card"', "SW131", "no value `card`", "did you mean `CARD`?"),
        ('value.kind in ["CARD", "GOLD"]', "SW131", "no value `GOLD`", "`CARD`, `CASH`"),
        ('value.nothing == "x"', "SW123", "`value.nothing` is always null", ""),
        ("2 != value.nothing", "SW123", "so this is always true", ""),
        ('"amuont" in value', "SW125", "no field `amuont`", "did you mean `amount`?"),
        ("3 in value.payer", "SW123", "int is never the name of a field", ""),
    ],
)  # fmt: skip
def test_what_no_event_can_be_is_refused(
    schemas: Path, subject: str, condition: str, code: str, message: str, remedy: str
) -> None:
    """At the smallest part that is wrong, with what was probably meant."""
    folder = schemas.parent

    problems = found(schemas, subject, f"effect: warn, when: '{condition}'")

    first = next(problem for problem in problems if problem.severity == "error")
    assert (first.code, first.location.line) == (code, 6)
    assert message in first.message
    assert remedy in first.remedy
    with pytest.raises(PolicyError):
        Guard.from_directory(folder / "policies", schemas=schemas)


def test_names_are_looked_for_in_records(schemas: Path) -> None:
    """A warning where the schema allows for others; nothing for those it names, or computed ones."""
    wrong = "effect: warn, when: '\"contry\" in value.payer'"
    for subject, severity in (("avro", "error"), ("json", "warning")):
        (problem,) = found(schemas, subject, wrong)
        assert (problem.code, problem.severity) == ("SW125", severity)
        assert problem.remedy == "did you mean `country`?"
        assert not codes(schemas, subject, '"country" in value.payer')
        assert not codes(schemas, subject, "string(value.amount) in value.payer")


def test_the_place_is_that_of_the_part(schemas: Path) -> None:
    """Line and column of the literal, inside the text."""
    (problem,) = found(
        schemas, "avro", """effect: warn, when: 'value.amount > 5 && value.kind == "X"'"""
    )

    column = problem.text.index('"X"') + 1
    assert str(problem.location).endswith(f"p.yaml:6:{column}")


@pytest.mark.parametrize(
    "condition",
    [
        "value.discount != null && value.discount > 5.0",
        "value.discount > 5.0 && value.discount != null",
        "value.discount == null || value.discount > 5.0",
        "!(value.discount == null) && value.discount + 1.0 > 5.0",
        "value.discount != null ? value.discount > 5.0 : false",
        "!(value.discount == null || value.discount < 5.0)",
        "value.note == \"x\"",
        "value.note in [\"x\", \"y\"]",
        "value.note == \"abc\" && value.note.startsWith(\"a\")",
        "type(value.note) == string && value.note.size() > 3",
        "value.flag == true",
        "value.lines != null && value.lines.exists(l, l != null && l > 3)",
        "value.old_kind == \"CARD\" || value.kind == \"CASH\"",
    ],
)  # fmt: skip
def test_a_guard_on_either_side_is_enough(schemas: Path, condition: str) -> None:
    """What decides when the field is null keeps the condition from failing."""
    assert codes(schemas, "avro", condition) == []


@pytest.mark.parametrize(
    "condition",
    [
        "value.discount > 5.0",
        "value.discount + 1.0 == 5.0",
        "value.discount != null || value.discount > 5.0",
        "value.amount > 5.0 && value.note.startsWith(\"a\")",
        "value.flag",
        "!value.flag",
        "value.lines != null && value.lines.exists(l, l > 3)",
        "value.note != null ? true : value.note.size() > 3",
        "5 in value.lines",
    ],
)  # fmt: skip
def test_null_without_a_guard_is_warned_about(schemas: Path, condition: str) -> None:
    """Since the condition then fails, and counts as fired."""
    assert codes(schemas, "avro", condition) == ["SW132"]


def test_nothing_is_said_where_the_author_has_said_what_happens(schemas: Path) -> None:
    """`on_error` decides; an exemption that fails lifts nothing; `when` guards `require`."""
    for rule in (
        "effect: warn, on_error: skip, when: value.discount > 5.0",
        "effect: warn, when: value.discount != null, require: value.discount > 5.0",
        "effect: warn, when: value.discount > 5.0, require: value.discount == null",
        """effect: warn, when: [{field: value.discount, operator: not_equals, value: null},
            {field: value.discount, operator: greater_than, value: 5.5}]""",
    ):
        assert found(schemas, "avro", rule) == []


@pytest.mark.parametrize(
    ("subject", "element", "code", "remedy"),
    [
        (
            "avro",
            "{field: value.note, operator: starts_with, value: a}",
            "SW132",
            "{field: value.note, operator: not_equals, value: null}",
        ),
        (
            "json",
            "{field: value.count, operator: greater_than, value: 3}",
            "SW133",
            "{field: value.count, operator: exists}",
        ),
        (
            "json",
            "{field: 'value[\"odd name\"].x', operator: equals, value: 3}",
            "SW133",
            "{field: 'value[\"odd name\"]', operator: exists}",
        ),
    ],
)
def test_a_list_is_told_what_a_list_can_say(
    schemas: Path, subject: str, element: str, code: str, remedy: str
) -> None:
    """And with that in it nothing is wrong any more."""
    odd = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    whole = json.dumps(JSON).replace('"amount": {', f'"odd name": {json.dumps(odd)}, "amount": {{')
    (schemas / "json.schema.json").write_text(whole)

    for key in ("where", "require"):
        (problem,) = found(schemas, subject, f"effect: warn, {key}: [{element}]")
        assert (problem.code, problem.remedy) == (
            code,
            f"add `{remedy}` to the list, or say `on_error:`",
        )
        assert found(schemas, subject, f"effect: warn, {key}: [{element}, {remedy}]") == []


def test_a_list_is_told_to_be_a_text_where_it_cannot_say_it(schemas: Path) -> None:
    """Whether a value is a record is nothing that a list can ask."""
    either = {"type": "object", "properties": {"c": {"type": "integer"}}, "required": ["c"]}
    union = {"oneOf": [{"type": "integer"}, either]}
    (schemas / "u.schema.json").write_text(
        json.dumps({"type": "object", "properties": {"a": union}, "required": ["a"]})
    )
    rule = "effect: warn, where: [{field: value.a.c, operator: equals, value: 3}]"

    (problem,) = found(schemas, "u", rule)

    assert problem.remedy == (
        "write the condition as text, with `type(value.a) == map &&` before it, or say `on_error:`"
    )


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("value.count > 3", "SW133"),
        ("value.kind == \"CARD\"", "SW133"),
        ("has(value.count) && value.count > 3", None),
        ("value.count > 3 && \"count\" in value", None),
        ("!has(value.count) || value.count > 3", None),
        ("value.?count.orValue(0) > 3", None),
        ("has(value.discount) && value.discount > 3.0", "SW132"),
        ("has(value.discount) && value.discount != null && value.discount > 3.0", None),
        ("value.payer.country == \"x\"", None),
        ("has(value.payer.parent) && value.payer.parent.country == \"x\"", None),
        ("value.payer.unnamed == 1", "SW125"),
        ("value.amount % 2 == 0", "SW123"),
    ],
)  # fmt: skip
def test_fields_that_json_does_not_require(schemas: Path, condition: str, code: str | None) -> None:
    """May be missing, which `has()` asks; objects that are open may have others."""
    assert codes(schemas, "json", condition) == ([] if code is None else [code])


@pytest.mark.parametrize(
    ("schema", "type_"),
    [
        ("true", "dyn"),
        ("{", "dyn"),
        ('{"type": "integer"}', "int"),
        ('{"type": ["string", "null"]}', "string or null"),
        ('{"type": ["string", "integer"]}', "string or int"),
        ('{"anyOf": [{"type": "string"}, {"type": "integer"}]}', "string or int"),
        ('{"anyOf": [{"type": "string"}, {"const": null}]}', "string or null"),
        ('{"const": 5}', "int"),
        ('{"enum": [1, "a"]}', "string or int"),
        ('{"type": "array", "items": {"type": "boolean"}}', "list(bool)"),
        ('{"type": "object", "additionalProperties": {"type": "number"}}', "map(string, double)"),
        ('{"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"type": "string"}}}', "string"),
        ('{"$ref": "#"}', "dyn"),
        ('{"$ref": "other.json"}', "dyn"),
        ('{"title": "T", "properties": {"a": {"type": "string"}}}', "T"),
        ('{"allOf": [{"properties": {"a": {}}}, {"required": ["a"]}], "title": "T"}', "T"),
    ],
)
def test_json_schemas_as_types(schema: str, type_: str) -> None:
    """What is not understood is left open."""
    assert str(json_schema_type(schema)) == type_


def test_loops_that_multiply_are_refused(schemas: Path) -> None:
    """Unless the schema, or a test before them, bounds what they loop over."""
    pairs = "value.lines.exists(a, value.lines.exists(b, a == b))"

    (refused,) = found(schemas, "avro", f"effect: warn, on_error: skip, when: '{pairs}'")
    bounded = found(schemas, "json", f"effect: warn, on_error: skip, when: '{pairs}'")
    tested = found(
        schemas,
        "avro",
        f"effect: warn, on_error: skip, when: 'size(value.lines) <= 50', require: '{pairs}'",
    )

    assert (refused.code, refused.severity) == ("SW130", "error")
    assert "units, and 10,000,000 are the most" in refused.message
    assert bounded == tested == []


def test_paths_of_reasons_are_checked(tmp_path: Path, schemas: Path) -> None:
    """They would read `?` on every event; the policy holds all the same."""
    folder = tmp_path / "policies"
    folder.mkdir()
    text = (
        "policy: p\nowner: o\ntopics: [t]\nschema: avro\nrules:\n"
        "  - {id: a, effect: warn,\n"
        "     reason: 'of {value.amuont} {value.amount} {value.payer.county} {message.kind.x}'}\n"
    )
    (folder / "p.yaml").write_text(text)
    types = SchemaTypes(DirectorySource(schemas))

    named = check_directories(folder, value_types=types.value_type)

    assert [(p.code, p.location.column, p.severity, p.remedy) for p in named] == [
        ("SW125", 19, "warning", "did you mean `amount`?"),
        ("SW125", 49, "warning", "did you mean `country`?"),
        ("SW123", 70, "warning", "what is not there reads `?`"),
    ]
    assert "a path of the reason: the schema has no field `amuont`" in named[0].message
