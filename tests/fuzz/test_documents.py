"""What people write, and what stores hold: documents, conditions, lists, keys, bundles and their history."""

# ruff: noqa: PT017 - whether there is an error depends on the bytes

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

from hypothesis import example, given

from streamwarden.errors import ConfigurationError, PolicyError, StoreError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.canonical import canonical_json
from streamwarden.policy.cel import CelSyntaxError, parse, unparse
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.last_known_good import LastKnownGood
from streamwarden.policy.loader import load_directories
from streamwarden.policy.store import Activation, ActiveBundle
from streamwarden.policy.store_records import (
    activation_json,
    activation_of,
    publication_json,
    publication_of,
    record_of,
)
from streamwarden.schemas.schema_directory import read_index
from tests.unit.policy.store_contract import bundle

from .damage import damaged, damaged_text

POLICY = b"""\
policy: limits
owner: payments-risk
topics: [payments, "payments.*"]
effective: {from: 2026-03-01, until: 2027-01-01T00:00:00Z}
sensitive: [value.card, 'headers["x"]']
rules:
  - id: over-limit
    when: value.amount > 50000 && !(value.country in ["US", "CA"])
    effect: hold
    reason: amount {value.amount} exceeds {{50,000}}
  - id: card-number
    when:
      - {field: 'value.cards[0]["number"]', operator: exists}
    effect: mask
    mask: [{field: "value.cards[].number", with: last4}]
"""
CONDITIONS = (
    'value.amount > 50000 && !(value.country in ["US", "CA"])',
    "value.items.exists(i, i.price * 2.5 >= 1e3 || i.name.matches('^a+$'))",
    'has(value.card) ? timestamp(value.at) < now - duration("1h") : size(headers) != 0u',
    "{'a': [1, 2u, b'\\x00', r'\\d', null]}[value.k][?0].orValue(-1)",
)
ACTIVE = ActiveBundle(Activation(3, 3, bundle().digest, 1, "ann", "go"), bundle().with_number(3))
BUNDLE = ACTIVE.bundle.to_json()
ACTIVATION = json.dumps(activation_json(ACTIVE.activation)).encode()


def kept() -> bytes:
    """A last known good file."""
    with tempfile.TemporaryDirectory() as folder:
        file = LastKnownGood(Path(folder) / "policy.json")
        file.write(ACTIVE)
        return file.path.read_bytes()


@given(damaged(POLICY, b'{"policy": "p", "owner": "o", "topics": ["t"], "rules": []}'))
def test_policy_documents(data: bytes) -> None:
    """A bundle that stores keep as it is, or problems with places."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "policy.yaml").write_bytes(data)
        try:
            loaded = load_directories([Path(folder)])
        except PolicyError as error:
            assert all(problem.location.line >= 1 for problem in error.problems)
            return
    assert Bundle.from_json(loaded.to_json()).digest == loaded.digest


@given(damaged_text(*CONDITIONS))
def test_conditions(text: str) -> None:
    """A tree that is written as itself, or a place in the text."""
    try:
        tree = parse(text)
    except CelSyntaxError as error:
        assert 0 <= error.offset <= len(text)
        return
    assert unparse(parse(unparse(tree))) == unparse(tree)


@given(damaged(BUNDLE))
def test_bundles(data: bytes) -> None:
    """Nothing but the very bundle that was stored comes out of damaged bytes."""
    try:
        found = Bundle.from_json(data)
    except StoreError as error:
        assert error.code in ("SW190", "SW191", "SW192")
        return
    assert found.digest == ACTIVE.bundle.digest


@given(damaged(canonical_json(json.loads(BUNDLE)), b"{}", b"[]"))
def test_bundles_whose_digest_was_made_to_fit(data: bytes) -> None:
    """Whoever can write a store can write a digest: what stands in it is checked besides."""
    try:
        content = json.loads(data)
        said = {name: part for name, part in content.items() if name not in ("number", "digest")}
        content["digest"] = hashlib.sha256(canonical_json(said)).hexdigest()
        data = canonical_json(content)
    except (ValueError, AttributeError, RecursionError, TypeError):
        return  # no JSON object any more
    try:
        found = Bundle.from_json(data)
    except StoreError as error:
        assert error.code in ("SW190", "SW191", "SW192")
        return
    assert found.digest == content["digest"]
    assert Bundle.from_json(found.to_json()) == found


@given(damaged(ACTIVATION, BUNDLE))
@example(ACTIVATION.replace(b'"epoch": 3', b'"epoch": 1e999'))
@example(ACTIVATION.replace(b'"at": "1"', b'"at": Infinity'))
def test_records_of_stores(data: bytes) -> None:
    """Activations and publications, read again as they are written."""
    try:
        record = record_of(data, "here")
    except StoreError:
        return
    for read, write in (
        (activation_of, activation_json),
        (publication_of, publication_json),
    ):
        try:
            found = read(record, "here")
        except StoreError:
            continue
        assert read(json.loads(json.dumps(write(found))), "here") == found  # type: ignore[arg-type]


@given(damaged(kept()))
def test_the_last_known_good_policy(data: bytes) -> None:
    """The file that was written, or an error; and it can be replaced."""
    with tempfile.TemporaryDirectory() as folder:
        file = LastKnownGood(Path(folder) / "policy.json")
        file.path.write_bytes(data)
        try:
            found = file.read()
        except StoreError as error:
            assert error.code in ("SW190", "SW191", "SW192")
            return
    assert found == ACTIVE


@given(damaged(b"k1: MDEyMzQ1Njc4OWFiY2RlZg==\nk2: 'MDEyMzQ1Njc4OWFiY2RlZg=='\n# c\n"))
def test_key_files(data: bytes) -> None:
    """Keys, or what is wrong: without the keys in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.yaml"
        path.write_bytes(data)
        try:
            ring = KeyRing.load(path)
        except ConfigurationError as error:
            assert "MDEyMzQ1" not in str(error)
            return
    assert "MDEyMzQ1" not in repr(ring)


@given(damaged(b"- {id: 7, subject: payments-value, version: 3, file: p.avsc, references: []}\n"))
@example(b"- " + b"{a: " * 5000)
@example(b"[" * 5000)
def test_indexes_of_schemas(data: bytes) -> None:
    """Rows whose files are inside the folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.yaml").write_bytes(data)
        try:
            rows = read_index(Path(folder))
        except ConfigurationError:
            return
    assert all(".." not in Path(row.file).parts for row in rows or ())


@given(damaged(b'name,limit\nann,1\n"b""o",2.5\n'), damaged(b'{"a": [1, 2.5, "x", null]}'))
def test_lists(table: bytes, data: bytes) -> None:
    """Tables beside the documents."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bundle.yaml").write_text("bundle: b\nlists: {t: t.csv, n: n.json}\n")
        (root / "t.csv").write_bytes(table)
        (root / "n.json").write_bytes(data)
        try:
            loaded = load_directories([root])
        except PolicyError as error:
            assert all(problem.location.line >= 1 for problem in error.problems)
            return
    assert loaded.lists.keys() == {"t", "n"}
    assert Bundle.from_json(loaded.to_json()).digest == loaded.digest
