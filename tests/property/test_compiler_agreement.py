"""Generated code and the exact evaluator come to the same, whatever rules and events say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamwarden.policy.cel import parse
from streamwarden.policy.cel.evaluate import compile_exact
from streamwarden.policy.compiler import (
    RuleInput,
    Undecodable,
    access,
    compile_rules,
    definition,
    groups,
    index,
    lookups,
    lowering,
    outcomes,
    thresholds,
)
from streamwarden.policy.compiler.definition import Definition
from streamwarden.schemas.event import Event
from streamwarden.schemas.json_projection import DecodeError, decode_json

from .compiler_cases import Case, draw_case, draw_event

SEEDS = st.integers(0, 2**48)


def assert_agreement(case: Case, source: random.Random, events: int) -> None:
    for _ in range(events):
        event = draw_event(source)
        assert case.compiled.run(event) == case.compiled.definition.run(event), event


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS)
def test_generated_code_is_what_it_was_made_from(seed: int) -> None:
    """Same hits, same errors, same order, on good events and on hostile ones."""
    source = random.Random(seed)

    assert_agreement(draw_case(source), source, 8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_seeded_campaign_agrees(seed: int) -> None:
    """The same on a fixed set of cases, so that a change of the drawing does not hide one."""
    source = random.Random(f"campaign-{seed}")

    for _ in range(10):
        assert_agreement(draw_case(source), source, 10)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_long_lists_are_left_to_the_exact_evaluator(seed: int) -> None:
    """Where a list is too long to be judged inline the result is the same."""
    source = random.Random(seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "ELEMENTS_MAX", 1)
        assert_agreement(draw_case(source), source, 6)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_values_of_which_much_is_read_are_dicts(seed: int) -> None:
    """However many members rules read, decodable is what they read."""
    source = random.Random(seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(definition, "MEMBERS_MAX", 1)
        assert_agreement(draw_case(source), source, 6)


#: Sizes from which on rules are looked up, sliced, split and nested, and what may stand instead.
SIZES: dict[Any, dict[str, list[float]]] = {
    access: {
        "_COMMON_RATE": [0, 0.3, 1],
        "_END_MIN": [1, 2],
        "_FEW_RULES": [0, 10],
        "_SHARED_MIN": [1, 3],
    },
    groups: {"_TOLD_MAX": [0, 3]},
    index: {"_FUNCTION_MAX": [2, 100]},
    lookups: {
        "_FEW": [0, 3],
        "_SEARCHES_FEW": [0, 2],
        "_STEM_MIN": [1, 3],
        "CONSTANTS_MAX": [1, 64],
    },
    lowering: {"QUICK_TEXT_MAX": [1, 200]},
    outcomes: {"NESTED_MIN": [2, 6]},
    thresholds: {"_CHUNK": [2, 5, 24], "_FEW": [0, 1, 3], "NESTED_MIN": [2, 6]},
}


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
def test_rules_are_grouped_soundly_whatever_a_group_is(seed: int) -> None:
    """What is done for hundreds of rules is right for a handful, too."""
    source = random.Random(seed)

    with pytest.MonkeyPatch.context() as patch:
        for module, names in SIZES.items():
            for name, sizes in names.items():
                patch.setattr(module, name, source.choice(sizes))
        assert_agreement(draw_case(source), source, 6)


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS)
def test_a_rule_means_the_same_alone_and_among_others(seed: int) -> None:
    """For value and key that decode in full, neither the index nor the projection changes a rule."""
    source = random.Random(seed)
    case = draw_case(source)
    alone = [
        compile_rules([RuleInput(None if text is None else parse(text), tombstone)], **case.options)
        for text, tombstone in zip(case.conditions, case.tombstones, strict=True)
    ]

    for _ in range(5):
        event = draw_event(source)
        if isinstance(case.compiled.activation(event), Undecodable) or not _key_decodes(
            case, event
        ):
            continue
        together = case.compiled.run(event)
        assert not isinstance(together, Undecodable)
        single = [compiled.run(event) for compiled in alone]
        assert together == tuple(
            index if hit == (0,) else ~index for index, hit in enumerate(single) if hit
        )


def _key_decodes(case: Case, event: Event) -> bool:
    if case.options["key_format"] != "json" or event.key is None:
        return True
    try:
        decode_json(event.key)
    except DecodeError:
        return False
    return True


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS)
@example(seed=8)  # a key with a member that nobody reads, and that does not decode
def test_the_definition_is_the_exact_evaluator_over_every_variable(seed: int) -> None:
    """What rules do not read does not matter to them: projected and full values agree."""
    source = random.Random(seed)
    case = draw_case(source)
    exact: Definition = case.compiled.definition
    programs = [None if text is None else compile_exact(parse(text)) for text in case.conditions]

    for _ in range(5):
        event = draw_event(source)
        known = case.compiled.activation(event)
        if isinstance(known, Undecodable) or (event.value is None and not all(case.tombstones)):
            continue
        values = [True if program is None else program(known) for program in programs]
        assert exact.run(event) == tuple(
            index if value is True else ~index
            for index, value in enumerate(values)
            if value is not False
        )


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_every_format_gives_an_answer(seed: int) -> None:
    """No key, header, fact or clock reading makes the guard raise."""
    source = random.Random(seed)
    case = draw_case(source)
    event = draw_event(source)

    for key_format in ("auto", "text", "json", "avro", "bytes"):
        options: dict[str, Any] = {**case.options, "key_format": key_format}
        compiled = compile_rules(case.compiled.definition.rules, **options)
        assert compiled.run(event) == compiled.definition.run(event)
