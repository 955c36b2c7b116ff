"""Unknown conditions are tried in every combination that values can give them."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from streamwarden.policy.cel import parse
from streamwarden.reconciler.formulas import (
    Atom,
    Circumstances,
    Formula,
    atoms_of,
    shape_of,
    truth,
)
from streamwarden.reconciler.worlds import WORLDS_MAX, Hidden, worlds

_HERE = Circumstances("produce", ("auto", "auto"), {})

NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.5, -0.1]))
CONSTANTS = st.one_of(
    NUMBERS.map(str),
    st.sampled_from(['""', '"a"', '"a\\u0000"', '"ab"', '"b"', "true", "false", "null"]),
)
FIELDS = ["facts.a", "facts.b", "value.card"]


def _membership(field: str, constants: list[str]) -> str:
    return f"{field} in [{', '.join(constants)}]"


COMPARISONS = st.one_of(
    st.builds(
        "{} {} {}".format,
        st.sampled_from(FIELDS),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        CONSTANTS,
    ),
    st.builds("{1} < {0}".format, st.sampled_from(FIELDS), CONSTANTS),
    st.builds(
        _membership,
        st.sampled_from(FIELDS),
        st.lists(CONSTANTS, max_size=3),
    ),
    st.sampled_from([f"has({field})" for field in FIELDS]),
    st.sampled_from(FIELDS),
    st.sampled_from(["facts.a.size() > 1", "facts.a < facts.b", "facts.c.d == 1", "has(facts.c)"]),
)
VALUES = st.one_of(
    NUMBERS,
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text("ab\0c", max_size=3),
    st.booleans(),
    st.none(),
    st.binary(max_size=1),
    st.lists(st.integers(), max_size=1),
    st.just({}),
    st.just({"d": 1}),
)


def atoms(texts: list[str]) -> list[Atom]:
    """The atoms of conditions, each once."""
    found = {atom.name: atom for text in texts for atom in atoms_of(shape_of(parse(text), _HERE))}
    return list(found.values())


@given(
    st.lists(COMPARISONS, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from("abc"), VALUES),
    st.dictionaries(st.just("card"), VALUES),
)
def test_no_combination_is_left_out(
    texts: list[str], facts: dict[str, object], value: dict[str, object]
) -> None:
    """What atoms come to for actual values is one of the worlds that are tried."""
    made = atoms(texts)
    known = {"facts": facts, "value": value, "message": value}
    actual = {
        atom.name: found if isinstance(found := atom.value(known), bool) else None for atom in made
    }
    hidden = Hidden(absent="card" not in value, null=value.get("card", 0) is None)

    tried = worlds(made, {("value", ("card",)): hidden})

    assert tried is not None
    assert actual in list(tried)


def test_comparisons_with_constants_know_of_each_other() -> None:
    """Above 9 is above 8: no world in which only the first holds."""
    tried = worlds(atoms(["facts.a > 8", "facts.a > 9"]), {})

    assert tried is not None
    assert sorted(map(str, (tuple(world.values()) for world in tried))) == [
        "(False, False)",
        "(None, None)",
        "(True, False)",
        "(True, True)",
    ]


def test_what_is_masked_was_there() -> None:
    """A field that a mask changed was no missing one."""
    tried = worlds(
        atoms(["has(value.card)", "value.card == null"]),
        {("value", ("card",)): Hidden(absent=False, null=False)},
    )

    assert tried is not None
    assert list(tried) == [{"has(value.card)": True, "value.card == null": False}]


def test_too_many_worlds_are_not_tried() -> None:
    """Nothing is claimed rather than that a replay stands still."""
    many = atoms([f"facts.a{i}.size() > facts.b" for i in range(20)])

    assert worlds(many, {}) is None
    assert 3**8 > WORLDS_MAX > 3**7


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> tuple[str, object]:
    """A condition of `facts.a` to `facts.d`, with CEL's own meaning of it."""
    kind = draw(st.sampled_from(["atom", "and", "or", "not", "if"])) if depth else "atom"
    if kind == "atom":
        name = draw(st.sampled_from("abcd"))
        return f"facts.{name}", name
    parts = [draw(trees(depth - 1)) for _ in range({"not": 1, "if": 3}.get(kind, 2))]
    texts = [f"({text})" for text, _ in parts]
    joined = {
        "and": " && ".join(texts),
        "or": " || ".join(texts),
        "not": f"!{texts[0]}",
        "if": " ? ".join(texts[:2]) + (f" : {texts[2]}" if kind == "if" else ""),
    }[kind]
    return joined, None


@given(
    trees(),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([True, False, "no bool"])),
    st.sets(st.sampled_from("abcd")),
)
def test_what_is_left_of_a_condition_has_its_truth(
    tree: tuple[str, object], facts: dict[str, object], unknown: set[str]
) -> None:
    """Some atoms known, the others filled in later: the same as knowing all from the start."""
    from streamwarden.policy.cel import Unknown, compile_exact

    expr = parse(tree[0])
    shape = shape_of(expr, _HERE)
    partly = {**facts, **{name: Unknown(frozenset({("facts", name)})) for name in unknown}}
    left: Formula = shape.value({"facts": partly})
    world = {
        f"facts.{name}": found if isinstance(found := facts.get(name), bool) else None
        for name in unknown
    }

    whole = compile_exact(expr)({"facts": facts})

    assert truth(left, world) is (whole if isinstance(whole, bool) else None)


def test_nan_is_a_number_of_its_own() -> None:
    """Neither above nor below: two comparisons that seem to leave nothing out both fail."""
    tried = worlds(atoms(["facts.a > 0", "facts.a < 1"]), {})

    assert tried is not None
    assert {"facts.a > 0": False, "facts.a < 1": False} in list(tried)
