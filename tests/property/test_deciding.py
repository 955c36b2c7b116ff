"""What a trail says of elements agrees with what the macro comes to, whatever the list or map holds."""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.policy.cel import CelError, compile_deciding, compile_exact, parse
from streamwarden.policy.cel.ast import Comprehension

_ITEMS = st.one_of(st.integers(0, 3), st.booleans(), st.none(), st.text("ab", max_size=1))
_Held: TypeAlias = "list[object] | dict[str, object]"
_HELD: st.SearchStrategy[_Held] = st.one_of(
    st.lists(_ITEMS, max_size=6), st.dictionaries(st.text("abc", max_size=2), _ITEMS, max_size=6)
)
_BODIES = ("x == 1", "x > 1", "x", "x != 2 || x > 5", "x < 3 && x != null", "1 / x > 0")
_MOST = 4


def _pairs(held: _Held) -> list[tuple[object, object]]:
    """Each index or key, with what stands there."""
    return list(held.items() if isinstance(held, dict) else enumerate(held))


def _first(held: _Held) -> _Held:
    return dict(list(held.items())[:_MOST]) if isinstance(held, dict) else held[:_MOST]


@settings(max_examples=300)
@given(
    st.sampled_from(["all", "exists", "exists_one"]), st.sampled_from(_BODIES), _HELD, st.booleans()
)
def test_the_elements_told_are_those_that_decided(
    macro: str, body: str, held: _Held, cut: bool
) -> None:
    """The first that decide, as each of them says by itself; none beyond the first few."""
    node = parse(f"held.{macro}(k, x, {body})")
    assert isinstance(node, Comprehension)
    program = compile_exact(parse(body))
    asked = [(label, program({"x": item})) for label, item in _pairs(held)]

    found = compile_deciding(node, _MOST, cut=cut)({"held": held})

    result = compile_exact(node)({"held": _first(held) if cut else held})
    if isinstance(result, CelError):
        assert isinstance(found.result, CelError)
        assert found.result.code == result.code
        decisive = [label for label, value in asked if isinstance(value, CelError)][:1]
    else:
        assert found.result is result
        wanted = macro != "all"
        decisive = [label for label, value in asked[: _MOST if cut else None] if value is wanted]
        decisive = decisive[: 1 if macro != "exists_one" or result else 2]
        if macro == "exists_one" and len(decisive) == 1 and not result:
            decisive = []
    near = [label for label, _ in asked[:_MOST]]
    expected = decisive if all(label in near for label in decisive) else []
    assert [label for label, _ in found.elements] == expected
    assert all((label, values[1]) in _pairs(held) for label, values in found.elements)
