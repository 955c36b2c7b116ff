"""A bundle: an immutable, numbered, digested set of policies.

**The digest** is the SHA-256, in hex, of the RFC 8785 canonical JSON of

    {"format": 1, "language": 1, "name": "payments",
     "settings": {…},     what bundle documents say, without `bundle`, `lists` and `ignore`
     "policies": [{…}],   policy documents as written, in the order of their ids
     "lists": {"name": […] or {…}}}

in which values are first made portable (`policy.canonical`). Documents count as written, without
defaults; comments, quoting, the order of keys, and how files are named or arranged do not count,
nor do `tests:` documents. `name` is the bundle's, so that one bundle does not pass for another.

**The stored form** is the canonical JSON of the same object with `"number"` and `"digest"` added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from .canonical import canonical_json, portable
from .case_documents import Case
from .model import LANGUAGE, BundleSettings, Policy
from .stored import FORMAT, digest_of, read_stored
from .topics import best_pattern, fits_template, matches_glob

__all__ = ["Bundle"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Policies with their settings and lists. Not to be changed, nor anything in it.

    `number` is 0 until it is published. `documents` is the digested JSON object; `tests` are the
    cases of the directory, empty for a bundle that comes out of a store.
    """

    name: str
    number: int
    digest: str
    language: int
    settings: BundleSettings
    policies: tuple[Policy, ...]
    lists: Mapping[str, object]
    documents: Mapping[str, object] = field(repr=False)
    tests: tuple[Case, ...] = ()

    @classmethod
    def make(
        cls,
        settings: BundleSettings,
        policies: Iterable[tuple[Policy, Mapping[str, object]]],
        *,
        written: Mapping[str, object] | None = None,
        lists: Mapping[str, object] | None = None,
        tests: Iterable[Case] = (),
        language: int = LANGUAGE,
        number: int = 0,
    ) -> Bundle:
        """The bundle of checked policies, each with its document as written."""
        ordered = sorted(policies, key=lambda pair: pair[0].id)
        known = dict(lists or {})
        documents: dict[str, object] = {
            "format": FORMAT,
            "language": language,
            "name": settings.name,
            "settings": portable(dict(written or {})),
            "policies": [portable(document) for _, document in ordered],
            "lists": {name: portable(known[name]) for name in sorted(known)},
        }
        return cls(
            name=settings.name,
            number=number,
            digest=digest_of(documents),
            language=language,
            settings=settings,
            policies=tuple(policy for policy, _ in ordered),
            lists=known,
            documents=documents,
            tests=tuple(tests),
        )

    @classmethod
    def empty(cls, name: str) -> Bundle:
        """A bundle without policies, which a directory can never be; every topic is uncovered."""
        return cls.make(BundleSettings(name=name), ())

    @property
    def label(self) -> str:
        """Name and number, `payments@15`."""
        return f"{self.name}@{self.number}"

    def with_number(self, number: int) -> Bundle:
        """The same bundle under another number; the digest stays."""
        if number < 0:
            raise ValueError("numbers are not negative")
        return replace(self, number=number)

    def to_json(self) -> bytes:
        """The stored form; see the module's first lines."""
        return canonical_json({**self.documents, "number": self.number, "digest": self.digest})

    @classmethod
    def from_json(cls, data: bytes) -> Bundle:
        """The bundle in its stored form.

        Raises StoreError for a newer format or language (SW190), a digest that does not match
        (SW191), and bytes that are no bundle (SW192).
        """
        stored = read_stored(data)
        return cls.make(
            stored.settings,
            stored.policies,
            written=stored.written,
            lists=stored.lists,
            language=stored.language,
            number=stored.number,
        )

    # ------------------------------------------------------------------ scope

    def policies_for(
        self, topic: str, stage: str, at_ns: int | None, *, excluded: Collection[str] = ()
    ) -> tuple[Policy, ...]:
        """The policies that apply to `topic` at `stage` and time; None is any time.

        A glob never matches a parking topic of this bundle, nor one of the `excluded` names (log
        and store topics); an exact name does.
        """
        return tuple(
            policy
            for policy in self.covering(topic, excluded=excluded)
            if stage in policy.stages
            and (at_ns is None or policy.effective_from is None or policy.effective_from <= at_ns)
            and (at_ns is None or policy.effective_until is None or at_ns < policy.effective_until)
        )

    def covering(self, topic: str, *, excluded: Collection[str] = ()) -> tuple[Policy, ...]:
        """The policies whose topics name `topic`, at any stage and time."""
        globs = topic not in excluded and not self.is_parking(topic)
        return tuple(
            policy
            for policy in self.policies
            if topic in policy.topics
            or (globs and any("*" in p and matches_glob(p, topic) for p in policy.topics))
        )

    def is_parking(self, topic: str) -> bool:
        """True for what the templates of quarantine, held and waiting make of some topic."""
        return any(fits_template(template, topic) for template in self.settings.parking)

    def quarantine_topic(self, topic: str) -> str:
        """Where rejected events of `topic` go."""
        return self.settings.quarantine.replace("{topic}", topic)

    def held_topic(self, topic: str) -> str:
        """Where held events of `topic` wait."""
        return self.settings.held.replace("{topic}", topic)

    def formats(self, topic: str) -> tuple[str, str]:
        """How value and key of `topic` are read: exact before glob, longer glob before shorter."""
        known = {entry.pattern: entry for entry in self.settings.topics}
        pattern = best_pattern(known, topic)
        return ("auto", "auto") if pattern is None else (known[pattern].value, known[pattern].key)

    def guarded_from(self, topic: str) -> int | None:
        """The instant from which events of `topic` carry stamps; None where nothing is said."""
        pattern = best_pattern(self.settings.guarded_from, topic)
        return None if pattern is None else self.settings.guarded_from[pattern]
