"""What can be wrong with an expression that is CEL, and what to say about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from .ast import Span

__all__ = ["PROBLEM_CODES", "CelProblem", "closest"]

#: Each code's title and explanation. SW163 and SW166 are problems of whole bundles too.
PROBLEM_CODES: Final[Mapping[str, tuple[str, str]]] = {
    "SW120": ("not CEL", "The text of a condition does not follow the language."),
    "SW121": (
        "unknown variable",
        "Fields of the event are written `value.field`; a bare name is one of the variables.",
    ),
    "SW122": ("unknown function", "There is no function or method of that name."),
    "SW123": (
        "wrong types",
        "No values of these types fit: the condition would fail, or never be true.",
    ),
    "SW124": (
        "not a condition",
        "A condition is true or false; this expression is something else.",
    ),
    "SW125": (
        "no such field",
        (
            "The schema of the event has no such field. Where it allows for others than it names, this "
            "is a warning, and so it is where a list has no such entry or column."
        ),
    ),
    "SW126": (
        "bad regular expression",
        "Patterns are RE2's: they take linear time, and so have no lookaround or backreferences.",
    ),
    "SW127": (
        "unreadable literal",
        "A literal text is no timestamp, duration, address or the like.",
    ),
    "SW128": ("has() of no field", "`has()` asks whether a field is there: `has(value.amount)`."),
    "SW129": (
        "malformed macro",
        "A macro takes variable names and then conditions: `value.items.exists(i, i.price > 10)`.",
    ),
    "SW130": (
        "too costly",
        (
            "Evaluating the condition could take too long on a large event: an estimate of more "
            "than 10,000,000 units, or macros nested more than five deep. Units are those of "
            "Kubernetes: a field 1, a character 0.1, a macro its size times its body; `policy "
            "check --cost` shows them. What nothing bounds is taken to fill a message of 1 MiB. "
            "Say `size(value.items) <= 50 && …` first, name a schema with `maxItems`, "
            "`maxProperties` and `maxLength`, ask with `in lists.name` instead of a loop, compare "
            "two lists with `sets.contains` or `sets.intersects`, or count less in a pattern: "
            "`{900}` is written out 900 times."
        ),
    ),
    "SW131": (
        "value that the schema does not have",
        (
            "The schema says which texts or numbers there are, or how large they get (an enum, the "
            "range of an int, `minimum`, `maxLength` and the like), and the field is compared with "
            "something else: that is never true."
        ),
    ),
    "SW132": (
        "may be null",
        (
            "The schema allows for null, which cannot be ordered, computed with or searched: then the "
            "condition fails, and counts as fired. Ask `value.x != null && …` first, or say with "
            "`on_error` what is to happen."
        ),
    ),
    "SW133": (
        "may be missing",
        (
            "The schema does not require the field, or only some of the records that a union allows "
            "for have it: without it the condition fails, and counts as fired. Ask `has(value.x) && …` "
            "or what tells the records apart first, or say with `on_error` what is to happen."
        ),
    ),
    "SW134": (
        "date that is a subtraction",
        (
            "A date without quotes is arithmetic: `2026-01-01` is 2026 - 1 - 1, which is 2024. A time is "
            '`timestamp("2026-01-01T00:00:00Z")`, and a date that is text stands in quotes: '
            '`"2026-01-01"`. Where the subtraction is meant, put spaces around the signs.'
        ),
    ),
    "SW163": ("unknown list", "A condition uses a list that no `lists:` names."),
    "SW166": ("not known at this stage", "The variable has no value where the rule runs."),
}


@dataclass(frozen=True, slots=True)
class CelProblem:
    """One thing wrong with an expression; `span` says where. `severity`: error or warning."""

    code: str
    message: str
    span: Span
    remedy: str = ""
    severity: str = "error"


def closest(name: str, names: Collection[str]) -> str | None:
    """The one of `names` that `name` was probably meant to be."""
    folded = {other.lower().replace("_", ""): other for other in sorted(names)}
    found = get_close_matches(name.lower().replace("_", ""), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None
