"""What a change does to decisions is said where it can be proved, with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.policy.cel import parse
from streamwarden.policy.diff_conditions import ALL, Lists, outcomes
from streamwarden.policy.diff_meaning import Verdict, meanings, overall
from streamwarden.policy.loader import load_directories

POLICY = """
policy: p
owner: o
topics: [t]
rules:
  - id: a
    when: value.n > 5 && value.c in ["x", "y"]
    effect: hold
    approvals: {need: 2}
  - id: b
    when: value.c in lists.bad
    require: value.ok == true
    effect: reject
  - id: c
    when: value.vip == true
    exempts: [a]
  - id: d
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: last4}]
"""


def verdicts(folder: Path, before: str, after: str, **bundle: str) -> list[tuple[str, str, str]]:
    """Name, verdict and reasons of every change that replaces one text by the other."""
    for name in ("old", "new"):
        (folder / name).mkdir()
        (folder / name / "p.yaml").write_text(POLICY)
        (folder / name / "bundle.yaml").write_text("bundle: x\nlists: {bad: bad.csv}\n")
        (folder / name / "bad.csv").write_text("q\nr\n")
    assert before in POLICY
    (folder / "new" / "p.yaml").write_text(POLICY.replace(before, after))
    for name, text in bundle.items():
        (folder / "new" / name.replace("_", ".")).write_text(text)
    old, new = load_directories([folder / "old"]), load_directories([folder / "new"])
    return [
        (each.change.name, each.verdict.value, "; ".join(each.because))
        for each in meanings(old, new)
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("> 5", "> 3", ("p/a", "tightened", "fires on more events")),
        ("> 5", ">= 6", ("p/a", "loosened", "fires on fewer events")),
        ('["x", "y"]', '["x"]', ("p/a", "loosened", "fires on fewer events")),
        ('["x", "y"]', '["x", "z"]', ("p/a", "changed", "may fire on other events")),
        ("> 5 &&", "> 5 && value.k != 1 &&", ("p/a", "loosened", "fires on fewer events")),
        ('&& value.c in ["x", "y"]', "", ("p/a", "tightened", "fires on more events")),
        ("> 5 &&", "> 5 ||", ("p/a", "tightened", "fires on more events")),
        ('value.c in ["x", "y"]', '(value.c == "y" || "x" == value.c)', ("p/a", "same", "")),
        (
            'value.c in ["x", "y"]',
            '(value.c == "y" || value.c == "z" || value.c == "x")',
            ("p/a", "tightened", "fires on more events"),
        ),
        (
            'value.c in ["x", "y"]',
            '(value.c == "y" || value.d == "x")',
            ("p/a", "changed", "may fire on other events"),
        ),
        (
            "effect: hold\n    approvals: {need: 2}",
            "effect: reject",
            ("p/a", "tightened", "became reject"),
        ),
        ("need: 2", "need: 1", ("p/a", "loosened", "other approvals")),
        (
            "== true\n    effect",
            "!= true\n    effect",
            ("p/b", "changed", "may fire on other events"),
        ),
        ("effect: reject", "effect: reject\n    mode: shadow", ("p/b", "loosened", "")),
        ("effect: reject", "effect: reject\n    reason: no", ("p/b", "same", "")),
        ("effect: reject", "effect: reject\n    on_error: skip", ("p/b", "loosened", "")),
        ("value.vip == true", "value.vip in [true, 1]", ("p/c", "loosened", "")),
        ("with: last4", "with: drop", ("p/d", "changed", "other masks")),
        ("exempts: [a]", "exempts: [a, b]", ("p/c", "loosened", "lifts other rules")),
        ("effect: hold", "exemptible_by: [q]\n    effect: hold", ("p/a", "loosened", "")),
    ],
)
def test_a_changed_rule(
    tmp_path: Path, before: str, after: str, expected: tuple[str, str, str]
) -> None:
    """Thresholds, constants, conjuncts, effects, modes, errors, masks and exemptions."""
    ((name, verdict, because),) = verdicts(tmp_path, before, after)

    assert (name, verdict) == expected[:2]
    assert expected[2] in because


def test_rules_that_came_or_went(tmp_path: Path) -> None:
    """An exemption counts the other way round."""
    added = "rules:\n  - {id: z, effect: warn}\n  - {id: y, exempts: [a], when: value.k == 1}"

    assert verdicts(tmp_path, "rules:", added) == [
        ("p/z", "tightened", ""),
        ("p/y", "loosened", ""),
    ]


def test_a_policy_with_an_exemption_cannot_be_said_to_tighten_by_its_scope(tmp_path: Path) -> None:
    """More topics are more holds, and more lifted ones."""
    found = verdicts(tmp_path, "topics: [t]", "topics: [t, u]")

    assert found == [("p", "changed", "topics widened")]


def test_a_list_counts_by_the_rules_that_read_it(tmp_path: Path) -> None:
    """Here one that rejects what is in it."""
    found = verdicts(tmp_path, "policy", "policy", bad_csv="q\nr\ns\n")

    assert found == [("bad", "tightened", "read by 1 of the rules")]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("mode: shadow", "loosened"),
        ("undecodable: allow", "loosened"),
        ("uncovered: reject", "tightened"),
        ("uncovered: allow", "same"),
        ("resolution: approval_first", "loosened"),
        ("tombstones: check", "changed"),
        ("strict_values: true", "changed"),
        ("guarded_from: {t: 2026-01-01}", "same"),
    ],
)
def test_settings_have_an_order(tmp_path: Path, setting: str, expected: str) -> None:
    """With an exemption in the bundle, checked tombstones may be lifted too."""
    text = f"bundle: x\nlists: {{bad: bad.csv}}\n{setting}\n"

    ((_, verdict, _),) = verdicts(tmp_path, "policy", "policy", bundle_yaml=text)

    assert verdict == expected


def test_all_together_is_as_much_as_each() -> None:
    """Tightened and loosened come to changed; what is the same does not count."""
    more, less, same = Verdict.TIGHTENED, Verdict.LOOSENED, Verdict.SAME

    assert [
        a.joined(b)
        for a, b in ((more, same), (same, more), (more, more), (more, less), (same, same))
    ] == [*(more, more, more, Verdict.CHANGED, same)]
    assert overall([]) is same


def test_a_first_bundle_only_adds(tmp_path: Path) -> None:
    """Against nothing every rule is new."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules: [{id: a, effect: hold}]"
    )

    found = meanings(None, load_directories([tmp_path]))

    assert {each.verdict for each in found} == {Verdict.TIGHTENED}


def test_what_is_not_understood_may_be_anything() -> None:
    """Other fields, other functions, numbers that doubles cannot hold."""
    none = Lists.of({}, {})
    for old, new in (
        ("value.a > 1", "value.b > 1"),
        ("value.a > 9007199254740993", "value.a > 9007199254740995"),
        ('value.a.startsWith("x")', 'value.a.startsWith("xy")'),
    ):
        assert outcomes(parse(old), parse(new), none) == ALL


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("value.l.exists(x, x > 5)", "value.l.exists(y, y > 5)", True),
        ("value.l.all(k, v, k > v)", "value.l.all(i, x, i > x)", True),
        ("value.l.all(k, v, k > v)", "value.l.all(v, k, k > v)", False),
        ("value.l.exists(x, x > y.z)", "value.l.exists(y, y > y.z)", False),
        ("value.l.exists(x, x.l.all(x, x > 1))", "value.l.exists(a, a.l.all(b, b > 1))", True),
        ("value.l.exists(x, x.l.all(y, x > 1))", "value.l.exists(a, a.l.all(b, b > 1))", False),
        ("cel.bind(s, value.a, s > 1)", "cel.bind(t, value.a, t > 1)", True),
        ("cel.bind(value, value.a, value > 1)", "cel.bind(t, value.a, t > 1)", True),
        ("cel.bind(value, value.a, .value > 1)", "cel.bind(t, value.a, t > 1)", False),
        ("[x].exists(x, x > 1) && x", "[x].exists(y, y > 1) && x", True),
    ],
)
def test_what_a_loop_calls_its_variable_is_nothing(old: str, new: str, same: bool) -> None:
    """As long as every name stands for the same."""
    found = outcomes(parse(old), parse(new), Lists.of({}, {}))

    assert (found == {("T", "T"), ("F", "F"), ("E", "E")}) is same
