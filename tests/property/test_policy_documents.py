"""Whatever is done to valid documents, what comes out is a bundle or problems with places."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from streamwarden.errors import Problem
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.canonical import canonical_json, from_portable, portable
from streamwarden.policy.loader import check_directories, load_directories
from streamwarden.policy.paths import PathError, format_path, parse_path

FILES = {
    "policy.yaml": b"""\
policy: payment-limits
title: Limits on card payments
owner: payments-risk
class: domain                      # platform | edge
topics: [payments, "payments.*"]
stages: [produce, consume]
effective: {from: 2026-03-01, until: 2027-01-01T00:00:00Z}
review: {by: 2026-12-01}
sensitive: [value.card_number, key, 'headers["x"]']
rules:
  - id: over-limit
    when: value.amount > 50000 && !(value.country in ["US", "CA"])
    effect: hold
    approvals: {need: 2, from: [senior-adjuster]}
    reason: amount {value.amount} exceeds {{50,000}}
    severity: high
    exemptible_by: [payments-risk]
  - id: currency-known
    when: |
      value.kind == "card" &&
        value.amount > 1.5e3
    require: "value.currency in [\\"USD\\", 'EUR']"
    effect: reject
    on_error: skip
  - id: card-number
    when:
      - {field: 'value.cards[0]["number"]', operator: exists}
      - {field: value.n, operator: in, value: [1, 2.5, x, null, {a: [true]}]}
      - {field: value.c, operator: not_in, value: lists.sanctioned}
    effect: mask
    mask: [{field: "value.cards[].number", with: last4}]
  - id: treasury-moves
    when: >-
      "source" in headers &&
      headers["source"] == 'treasury'
    exempts: [over-limit, payment-limits/currency-known]
""",
    "bundle.yaml": b"""\
bundle: payments
mode: shadow
guarded_from: {payments: 2026-06-01}
quarantine: "q.{topic}"
lists: {sanctioned: s.csv, rates: r.csv, names: n.json}
ignore: ["drafts/**"]
topics:
  payments: {value: avro, key: text}
""",
    "tests.yml": b"""\
tests: payment-limits
cases:
  - note: held
    topic: payments
    value: {amount: 61250.5, tags: [1, null]}
    headers: {source: x}
    now: 2026-05-01T10:00:00.123+02:00
    expect: {effect: hold, rules: [over-limit]}
""",
    "s.csv": b"IR\nKP\n",
    "r.csv": b"code,rate\nEUR,1.1\nUSD,1\n",
    "n.json": b'{"a": [1, 2.5, "x", null], "b": {}}',
}

#: What mutations put in: what YAML, CEL and JSON are sensitive to, and what breaks decoders.
SNIPPETS = st.sampled_from(
    [
        *(b"\n", b"  ", b"\t", b": ", b" #", b"#", b"- ", b"!", b"&a ", b"*a", b"%", b"@", b"`"),
        *(b"'", b'"', b"\\", b"|", b">", b"{", b"}", b"[", b"]", b",", b"?", b"<<: ", b"---\n"),
        *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\\ud800", b"\\U00110000", b"\r"),
        *(b"null", b"true", b"1", b"1e999", b".nan", b"9" * 30, b"{value.", b"when: ", b"rules:"),
        *(b"policy: ", b"\xc3\xa9", b"~", b"\\x", b"(", b")", b"&&", b"0x", b"\n\n", b"..."),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, bytes]:
    """The files, some of them changed in some places."""
    files = dict(FILES)
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["policy.yaml"] * 6 + sorted(files)))
        data = files[name]
        start = draw(st.integers(0, len(data)))
        end = draw(st.one_of(st.just(start), st.integers(start, min(len(data), start + 30))))
        middle = draw(
            st.one_of(SNIPPETS, st.just(b""), st.just(data[start:end] * 2), st.binary(max_size=3))
        )
        files[name] = data[:start] + middle + data[end:]
    return files


def assert_well_formed(problem: Problem, directory: Path) -> None:
    """A place in one of the files, and one line of plain words."""
    assert problem.location.file.startswith(str(directory))
    assert problem.location.line >= 1
    assert problem.location.column >= 1
    path = Path(problem.location.file)
    if path.is_file():
        lines = path.read_bytes().count(b"\n") + 1
        assert problem.location.line <= lines
    assert problem.code.startswith("SW1")
    for words in (problem.message, problem.remedy, problem.text):
        assert words.isprintable(), words
        assert len(words) < 500
    assert problem.message
    assert not problem.message.endswith(".")
    assert "Error" not in problem.message


@given(mutated())
def test_mutated_documents_give_a_bundle_or_problems(files: dict[str, bytes]) -> None:
    """Never a traceback; and a bundle that loads comes back from its stored form as it was."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for name, data in files.items():
            (directory / name).write_bytes(data)

        problems = check_directories(directory)

        for problem in problems:
            assert_well_formed(problem, directory)
        if not any(problem.severity == "error" for problem in problems):
            bundle = load_directories(directory)
            again = Bundle.from_json(bundle.to_json())
            assert again.digest == bundle.digest
            assert [p.rules for p in again.policies] == [p.rules for p in bundle.policies]


def test_the_documents_are_valid() -> None:
    """Otherwise the mutations would not get far."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for name, data in FILES.items():
            (directory / name).write_bytes(data)

        assert check_directories(directory) == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$int", "$map", "$double", "$x", "a", "b", "\U0001f600", "\ufb33"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(JSON, JSON)
def test_no_two_values_have_one_canonical_form(one: object, other: object) -> None:
    """The digest tells apart whatever documents tell apart; types count, order of keys does not."""
    written = [canonical_json(portable(value)) for value in (one, other)]

    assert (written[0] == written[1]) == (normal(one) == normal(other))
    assert normal(from_portable(json.loads(written[0]))) == normal(one)


def normal(value: object) -> object:
    """`value` with types beside numbers, as something that compares exactly."""
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: normal(item) for key, item in members.items()}
    if isinstance(value, list):
        return [normal(item) for item in cast("list[object]", value)]
    return (type(value).__name__, repr(value))


@given(st.text("value.[]\"'\\abc-0123 \n", max_size=20))
def test_paths_are_read_or_refused(text: str) -> None:
    """A path is read and written back to the same path, or a PathError points into the text."""
    refused: int | None = None
    path: tuple[str | int | None, ...] = ()
    try:
        path = parse_path(f"v{text}", each=True)
    except PathError as error:
        refused = error.offset

    if refused is None:
        assert parse_path(format_path(path), each=True) == path
    else:
        assert 0 <= refused <= len(text) + 1
