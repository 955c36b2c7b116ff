"""Avro schemas: what is understood, and what is refused before any data is seen."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from streamwarden.schemas.avro_types import (
    NO_DEFAULT,
    Array,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    SchemaError,
    Union,
    empties,
    min_width,
    parse_schema,
    static_width,
)


def record(name: str, **fields: Any) -> dict[str, Any]:
    listed = [{"name": field, "type": type_} for field, type_ in fields.items()]
    return {"type": "record", "name": name, "fields": listed}


def root(schema: object) -> Any:
    return parse_schema(json.dumps(schema)).root


def test_names_are_found_in_their_namespace() -> None:
    """A name without dots is one of the enclosing namespace; one with dots is a full name."""
    money = record("Money", units="long")
    order = {
        **record("Order", total=money, paid="Money", due="com.acme.Money"),
        "namespace": "com.acme",
    }

    parsed = root(order)

    assert parsed.name == "com.acme.Order"
    assert {field.type.name for field in parsed.fields} == {"com.acme.Money"}
    assert parsed.fields[0].type is parsed.fields[1].type is parsed.fields[2].type


def test_a_loop_through_a_list_or_a_union_ends() -> None:
    """A member of the type that is still being defined, inside of something that may be empty."""
    branch = record("Branch", tree="Tree", label="string", leaf=record("Leaf", inner="boolean"))
    tree = root(record("Tree", branches={"type": "array", "items": branch}, size="long"))
    maybe = root(record("A", b=["null", record("B", a="A", c=record("C", a="A"))]))

    inner: Any = tree.fields[0].type.items
    assert inner.fields[0].type is tree
    assert (min_width(tree), min_width(inner)) == (2, 4)
    assert static_width(inner) is None
    assert min_width(maybe) == 1
    assert min_width(maybe.fields[0].type.branches[1]) == 2


def test_references_define_names() -> None:
    """Schemas that were registered on their own are given as texts, the needed ones first."""
    country = json.dumps({"type": "enum", "name": "a.Country", "symbols": ["CA", "DE"]})
    address = json.dumps(record("a.Address", country="a.Country"))

    parsed = parse_schema(json.dumps(record("Order", to="a.Address")), [country, address])

    assert isinstance(parsed.root, Record)
    assert isinstance(parsed.root.fields[0].type, Record)
    assert isinstance(parsed.root.fields[0].type.fields[0].type, Enum)


def test_a_record_may_hold_itself_by_choice() -> None:
    """A list, a tree: what is recursive in data is a cycle between the types."""
    parsed = root(
        record("Node", next=["null", "Node"], children={"type": "array", "items": "Node"})
    )

    following, children = (field.type for field in parsed.fields)

    assert isinstance(following, Union)
    assert following.branches[1] is parsed
    assert isinstance(children, Array)
    assert children.items is parsed


@pytest.mark.parametrize(
    ("written", "logical", "scale"),
    [
        ({"type": "long", "logicalType": "timestamp-millis"}, "timestamp-millis", 0),
        ({"type": "int", "logicalType": "timestamp-millis"}, None, 0),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, "decimal", 2),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 9}, None, 0),
        ({"type": "bytes", "logicalType": "decimal"}, None, 0),
        ({"type": "string", "logicalType": "uuid"}, "uuid", 0),
        ({"type": "string", "logicalType": ["uuid"]}, None, 0),
        ({"type": {"type": "int", "logicalType": "date"}}, "date", 0),
    ],
)
def test_a_logical_type_counts_where_it_fits(
    written: object, logical: str | None, scale: int
) -> None:
    """One that does not fit is ignored, as the specification asks."""
    parsed = root(written)

    assert isinstance(parsed, Primitive)
    assert (logical, scale) == (parsed.logical, parsed.scale)


@pytest.mark.parametrize(
    ("size", "said", "logical"),
    [
        (16, {"logicalType": "uuid"}, "uuid"),
        (15, {"logicalType": "uuid"}, None),
        (12, {"logicalType": "duration"}, None),
        (8, {"logicalType": "decimal", "precision": 18, "scale": 3}, "decimal"),
    ],
)
def test_a_fixed_may_be_logical(size: int, said: dict[str, object], logical: str | None) -> None:
    parsed = root({"type": "fixed", "name": "F", "size": size, **said})

    assert isinstance(parsed, Fixed)
    assert (size, logical) == (parsed.size, parsed.logical)


def test_fields_keep_defaults_and_tags() -> None:
    """A default of null is a default; the tags of all fields are those of the schema."""
    schema = parse_schema(
        json.dumps(
            {
                "type": "record",
                "name": "R",
                "fields": [
                    {"name": "a", "type": ["null", "int"], "default": None},
                    {"name": "b", "type": "int", "confluent:tags": ["PII", "SECRET"]},
                    {"name": "c", "type": "int", "confluent:tags": ["PII", 7]},
                ],
            }
        )
    )

    assert isinstance(schema.root, Record)
    assert [field.default for field in schema.root.fields] == [None, NO_DEFAULT, NO_DEFAULT]
    assert schema.tags == ("PII", "SECRET")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("nothing", "the schema is not JSON"),
        ('"acme.Order"', "the type `acme.Order` is not defined"),
        ('{"type": "recrod", "name": "R"}', "the type `recrod` is not defined"),
        ("7", "a type is a name, an object or a list"),
        ("{}", "an object without `type` is no type"),
        ("[]", "a union has 1 to 500 branches"),
        ('["null", ["int"]]', "a union cannot be a branch of a union"),
        ('{"type": "array"}', "`array` needs `items`"),
        ('{"type": "map"}', "`map` needs `values`"),
        ('{"type": "record", "fields": []}', "a type `record` needs a `name`"),
        ('{"type": "record", "name": "R"}', "the record `R` needs a list of `fields`"),
        ('{"type": "record", "name": "R", "fields": [{"name": "a"}]}', "every field of `R` needs"),
        (json.dumps(record("int")), "the type `int` is defined twice"),
        (json.dumps(record("R", a=record("R"))), "the type `R` is defined twice"),
        (json.dumps(record("R", a="R")), "a value of `R` would have no end"),
        (json.dumps(record("A", b=record("B", a="A"))), "a value of `B` would have no end"),
        (
            json.dumps(
                record("A", l={"type": "array", "items": record("B", c=record("C", b="B"))})
            ),
            "would have no end",
        ),
        ('{"type": "enum", "name": "E", "symbols": []}', "the enum `E` needs a list of different"),
        ('{"type": "enum", "name": "E", "symbols": ["A", "A"]}', "the enum `E` needs a list"),
        ('{"type": "fixed", "name": "F", "size": -1}', "`F` needs a `size` of 0 to"),
        ('{"type": "fixed", "name": "F", "size": 99999999999}', "`F` needs a `size` of 0 to"),
        (json.dumps(record("R", **{f"n{i}": "null" for i in range(65)})), "members that take no"),
        (" " * (4 * 2**20 + 1), "the schema has more than"),
    ],
)
def test_what_cannot_be_used_is_refused(schema: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message.replace("[", r"\[")):
        parse_schema(schema)


def test_a_field_comes_once() -> None:
    fields = [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]

    with pytest.raises(SchemaError, match="`R` has two fields `a`"):
        root({"type": "record", "name": "R", "fields": fields})


#: Text before and after what is nested; `#` is the level.
WRAPS = {
    "array": ('{"type": "array", "items": ', "}"),
    "map": ('{"type": "map", "values": ', "}"),
    "type": ('{"type": ', "}"),
    "record": (
        '{"type": "record", "name": "R#", "fields": [{"name": "a", "type": ["null", ',
        "]}]}",
    ),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("levels", [70, 300, 900, 50_000])
def test_depth_is_bounded(wrap: str, levels: int) -> None:
    """However a schema is nested, it is refused before the stack is used up."""
    before, after = WRAPS[wrap]
    opened = "".join(before.replace("#", str(level)) for level in range(levels))

    with pytest.raises(SchemaError, match="nested more than|not JSON|more than \\d+ char"):
        parse_schema(f'{opened}"int"{after * levels}')


def test_schemas_are_not_refused_for_the_depth_of_their_json() -> None:
    """A record within another is three levels of JSON, and events have fewer of these."""
    schema = record("R0", a="int")
    for level in range(1, 60):
        schema = record(f"R{level}", a=schema)

    assert root(schema).name == "R59"


def test_depth_is_bounded_through_names() -> None:
    """Types that name each other are as deep as if they stood inside each other."""
    chain = [record("R0", a="int")]
    chain += [record(f"R{level}", a=f"R{level - 1}") for level in range(1, 80)]

    with pytest.raises(SchemaError, match="nested more than"):
        root(chain)


def test_size_is_bounded() -> None:
    """A schema with very many types is refused, and in time."""
    fields = [{"name": f"f{i}", "type": "int"} for i in range(60_000)]

    started = time.process_time()
    with pytest.raises(SchemaError, match="more than 50000 types"):
        root({"type": "record", "name": "R", "fields": fields})

    assert time.process_time() - started < 15


def test_widths() -> None:
    """The least number of bytes of a value, and whether it is the only one."""
    parsed = root(
        record(
            "R",
            a="double",
            b={"type": "fixed", "name": "F", "size": 3},
            c="null",
            d=record("S", x="float", y="boolean"),
        )
    )

    assert (min_width(parsed), static_width(parsed), empties(parsed)) == (16, 16, 1)
    assert [min_width(Map(parsed)), static_width(Map(parsed)), empties(Map(parsed))] == [1, None, 0]
    assert min_width(Union((parsed, Primitive("null")))) == 1
