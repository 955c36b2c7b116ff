"""The stored form of a bundle back to policies: parsed and checked as documents are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from streamwarden.errors import StoreError

from .bundle_documents import NOT_KEPT, compose, read_bundle_document
from .canonical import canonical_json, from_portable
from .checking import check_policies
from .documents import WrittenPolicy, read_policy
from .fields import BUNDLE_NAME
from .model import LANGUAGE, BundleSettings, Policy
from .nodes import MapNode, Source, nodes_of
from .problems import Problems
from .yaml_reader import Document

__all__ = ["FORMAT", "StoredBundle", "digest_of", "document_id", "read_stored"]

#: Of the stored form. Raised when a reader of the older form would misread the newer one.
FORMAT: Final = 1
_DIGESTED: Final = ("format", "language", "name", "settings", "policies", "lists")
_KEYS: Final = frozenset((*_DIGESTED, "number", "digest"))


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """What the stored form says; its digest is the right one."""

    settings: BundleSettings
    written: Mapping[str, object]
    policies: Sequence[tuple[Policy, Mapping[str, object]]]
    lists: Mapping[str, object]
    language: int
    number: int


def digest_of(documents: Mapping[str, object]) -> str:
    """The digest of what a bundle says, already portable, in hex."""
    try:
        return hashlib.sha256(canonical_json(documents)).hexdigest()
    except (ValueError, RecursionError):
        raise _malformed("it holds what is not I-JSON") from None


def read_stored(data: bytes) -> StoredBundle:
    """The parts of a stored bundle; raises StoreError with a code of SW19x."""
    content = _content(data)
    name, number, digest = content["name"], content["number"], content["digest"]
    if not (
        isinstance(name, str)
        and BUNDLE_NAME.fullmatch(name)
        and isinstance(number, int)
        and not isinstance(number, bool)
        and number >= 0
        and isinstance(digest, str)
    ):
        raise _malformed("its name, number or digest is malformed")
    label = f"{name}@{number}"
    if digest != digest_of({key: content[key] for key in _DIGESTED}):
        raise StoreError(
            f"the digest of bundle `{label}` does not match its content",
            remedy="take the bundle from where it was published",
            code="SW191",
        )
    try:
        written = from_portable(content["settings"])
        documents = from_portable(content["policies"])
        lists = from_portable(content["lists"])
    except (ValueError, RecursionError):
        raise _malformed(f"the documents of `{label}` are malformed") from None
    if not (
        isinstance(written, dict)
        and isinstance(documents, list)
        and isinstance(lists, dict)
        and NOT_KEPT.isdisjoint(cast("dict[str, object]", written))
    ):
        raise _malformed(f"the documents of `{label}` are malformed")
    settings, policies = _read(
        label,
        name,
        cast("dict[str, object]", written),
        cast("list[object]", documents),
        cast("dict[str, object]", lists),
    )
    return StoredBundle(
        settings,
        cast("dict[str, object]", written),
        [(policy.policy, policy.written) for policy in policies],
        cast("dict[str, object]", lists),
        content["language"],
        number,
    )


def _content(data: bytes) -> dict[str, Any]:
    """The JSON object, of a format and language that this version knows."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise _malformed("it is not JSON, or only the beginning of it") from None
    if not isinstance(content, dict):
        raise _malformed("it is no JSON object")
    known = cast("dict[str, Any]", content)
    for key, highest in (("format", FORMAT), ("language", LANGUAGE)):
        value = known.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _malformed(f"it has no `{key}`")
        if value > highest:
            raise StoreError(
                f"the bundle is of {key} {value}, and this version knows {highest}",
                remedy="upgrade streamwarden",
                code="SW190",
            )
    if known.keys() != _KEYS:
        raise _malformed("its keys are not those of a bundle")
    return known


def _read(
    label: str,
    name: str,
    written: dict[str, object],
    documents: list[object],
    lists: dict[str, object],
) -> tuple[BundleSettings, list[WrittenPolicy]]:
    """Settings and policies by the same way as from files."""
    problems = Problems()
    source = Source(label, "")
    try:
        root = nodes_of({"bundle": name, **written})
        bundle = read_bundle_document(Document(source, root), problems)
        settings, _ = compose([bundle], name)
        policies: list[WrittenPolicy] = []
        for document in documents:
            node = nodes_of(document)
            if not isinstance(node, MapNode):
                raise ValueError("a policy that is no mapping")
            policy_source = Source(f"{label}/{(document_id(document))}", "")
            policies.append(read_policy(Document(policy_source, node), problems))
    except (ValueError, RecursionError):
        raise _malformed(f"the documents of `{label}` are malformed") from None
    check_policies(policies, settings, lists, bounded=False)
    errors = problems.errors
    if errors:
        first = "; ".join(f"{problem.location.file}: {problem.message}" for problem in errors[:3])
        raise _malformed(f"the policies of `{label}` do not hold: {first}")
    return settings, policies


def document_id(document: object) -> str:
    """The name that a policy document gives itself, for messages."""
    if isinstance(document, Mapping):
        return str(cast("Mapping[str, object]", document).get("policy", "?"))
    return "?"


def _malformed(why: str) -> StoreError:
    return StoreError(
        f"not a stored bundle: {why}",
        remedy="publish it again, or restore the file from a backup",
        code="SW192",
    )
