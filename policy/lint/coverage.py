"""Topics that no policy covers, and what topics' own schemas say about rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import chain
from typing import Final

from streamwarden.errors import Location

from ..bundle_documents import WrittenBundle
from ..cel import Environment
from ..cel.types import DYN, Type, either
from ..condition_checks import condition_problems, environment
from ..condition_remedies import remedy_of
from ..documents import WrittenPolicy
from ..model import BundleSettings, Policy
from ..nodes import MapNode, Node
from ..path_checks import check_mask_paths, check_sensitive
from ..problems import closest, quoted
from ..reason_checks import check_reason
from ..topics import fits_template, matches_glob
from ..written import Written
from .subjects import Subject

__all__ = ["topic_schemas", "uncovered_topics"]

#: Keys of a bundle document that name topics.
_NAMING: Final = ("topics", "guarded_from")


def uncovered_topics(written: Written, topics: Collection[str]) -> None:
    """Warn about topics of the bundle documents, and about `topics`, that no policy names."""
    policies = [each.policy for each in written.policies]
    known = list(dict.fromkeys(chain.from_iterable(policy.topics for policy in policies)))
    for bundle in written.bundles:
        for name, node in _named(bundle):
            if not _is_covered(name, policies, written.settings):
                bundle.reader.problem(
                    node,
                    "SW187",
                    f"no policy covers the topic {quoted(name)}",
                    remedy=closest(name, known) or "name it under `topics:` of a policy",
                    severity="warning",
                )
    for name in topics:
        if not _is_covered(name, policies, written.settings):
            written.problems.add(
                "SW187",
                f"no policy covers the topic {quoted(name)}",
                Location(written.root, 1, 1),
                remedy=closest(name, known) or "name it under `topics:` of a policy",
                severity="warning",
            )


def _named(bundle: WrittenBundle) -> Iterable[tuple[str, Node]]:
    """The exact names of topics in a bundle document, each once."""
    seen: set[str] = set()
    for key in _NAMING:
        node = bundle.node.get(key)
        for name, _ in node.entries if isinstance(node, MapNode) else ():
            if "*" not in name.text and name.text not in seen:
                seen.add(name.text)
                yield name.text, name


def _is_covered(topic: str, policies: Iterable[Policy], settings: BundleSettings) -> bool:
    parking = any(fits_template(each, topic) for each in settings.parking)
    return parking or any(
        matches_glob(pattern, topic) for policy in policies for pattern in policy.topics
    )


def topic_schemas(written: Written, subjects: Iterable[Subject]) -> None:
    """Check rules against the schemas of their topics, where their policy names none.

    They are warnings: the policy has not said that all its events are of that schema.
    """
    if written.value_types is None:
        return
    for each in written.policies:
        _check_paths(written, each)
    for subject in subjects:
        policy = subject.policy
        if policy.schema is not None:
            continue
        for topic in policy.topics:
            type_ = None if "*" in topic else written.value_types(f"{topic}-value")
            if type_ is None or type_.kind == "dyn":
                continue
            _check(subject, topic, environment(policy.stages, written.lists, type_))


def _check(subject: Subject, topic: str, env: Environment) -> None:
    reader, by = subject.written.reader, f"by the schema of the topic {quoted(topic)}: "
    check_reason(reader, subject.written_rule, env, by)
    for part, problem in condition_problems(subject.written_rule, env):
        reader.problem(
            part.index(reader, problem.span.start),
            problem.code,
            f"{by}{problem.message}",
            remedy=remedy_of(part, problem),
            severity="warning",
        )


def _check_paths(written: Written, policy: WrittenPolicy) -> None:
    """Masks and `sensitive`: a path is fine where the events of one topic alone have it."""
    stages, topics = policy.policy.stages, policy.policy.topics
    which, schema = "its topics", "schemas"
    if len(topics) == 1:
        which, schema = f"the topic {quoted(*topics)}", "schema"
    if policy.policy.schema is None:
        env = environment(stages, written.lists, _type_on(written, topics, "value"))
        by = f"by the {schema} of {which}: "
        check_sensitive(policy, env, by, "warning", variable="value")
        for rule in policy.rules:
            check_mask_paths(policy.reader, rule, env, by, "warning")
    if any(path[0] == "key" and len(path) > 1 for path in policy.policy.sensitive):
        env = environment(stages, written.lists)
        key = _type_on(written, topics, "key")
        env = replace(env, variables={**env.variables, "key": key})
        by = f"by the {schema} of the keys of {which}: "
        check_sensitive(policy, env, by, "warning", variable="key")


def _type_on(written: Written, topics: Iterable[str], part: str) -> Type:
    """What the keys or values of any of the topics are; DYN where one of them is not known."""
    known: list[Type] = []
    for topic in topics:
        type_ = None
        if "*" not in topic and written.value_types is not None:
            type_ = written.value_types(f"{topic}-{part}")
        if type_ is None:
            return DYN
        known.append(type_)
    return either(known)
