"""Data-contract rules of a schema registry (`ruleSet`) as policy documents with the same verdicts.

A condition of kind CEL becomes a rule that rejects where it does not hold: `guard ; body` becomes
`require: guard ? body : true`, which fails where the guard does. One of kind CEL_FIELD becomes a
rule for each field that it is tried on. WRITE is the stage produce, READ consume, WRITEREAD both.

    onFailure   none, ERROR, DLQ: reject     NONE: warn
    onSuccess   none, NONE: nothing          ERROR, DLQ: reject where the condition holds
    disabled    mode: off

A condition on fields holds where it holds for all of them: that is when `onSuccess` is run.

Where the original clients are wrong, the rules here are right, and `notices` say so: a `;` inside a
text does not end the guard; elements are looked at; what is neither true nor false is an error; other
fields that are false do no harm; values of two types compare, and a double may be sent as a whole number. docs/testing-policies.md lists it all.

Transforms, encryption and other languages cannot be expressed: each is a refusal with its rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from .cel import CelSyntaxError, parse, unparse
from .cel.ast import Call, Expr, walk
from .cel.types import BOOL, BYTES, DOUBLE, DYN, INT, NULL, STRING, TIMESTAMP, Type, list_of
from .contract_conditions import FieldCondition, all_of, guarded, with_days
from .contract_fields import ContractField, contract_fields
from .contract_json_fields import json_contract_fields
from .contract_types import (
    contract_type,
    dates_in,
    is_no_condition,
    mixtures,
    type_at,
    types_in,
    unknown_fields,
    whole_numbers,
)

__all__ = ["Contract", "Imported", "import_contract"]

_STAGES: Final = {
    "WRITE": ("write", ("produce",)),
    "READ": ("read", ("consume",)),
    "WRITEREAD": ("writeread", ("produce", "consume")),
}
_LISTS: Final = frozenset(("domainRules", "migrationRules", "encodingRules"))
_REFUSING: Final = frozenset(("", "ERROR", "DLQ"))
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_Json = Mapping[str, Any]

_SEVERITIES: Final = {"reject": "medium", "warn": "low"}
#: Fields that a notice names.
_NAMED: Final = 3
_FORMATS: Final = {
    "isUri": "by RFC 3986, and the original client asks for a host and a path",
    "isUriRef": "by RFC 3986, and the original client takes other texts",
    "isUuid": "with hyphens, and the original client takes other forms too",
}
#: What conditions on fields can read besides `message`.
_VARIABLES: Final[Mapping[str, Type]] = {
    **dict.fromkeys(("name", "fullName", "typeName"), STRING),
    "tags": list_of(STRING),
    "value": DYN,
    "now": TIMESTAMP,
}
#: The types of values by what rules call them.
_TYPES: Final[Mapping[str, Type]] = {
    "": DYN,
    "NULL": NULL,
    "BOOLEAN": BOOL,
    **dict.fromkeys(("INT", "LONG"), INT),
    **dict.fromkeys(("FLOAT", "DOUBLE"), DOUBLE),
    "BYTES": BYTES,
    "STRING": STRING,
}


@dataclass(frozen=True, slots=True)
class Contract:
    """What a registry says of a subject; `schema` is empty where only the rules are at hand."""

    subject: str
    kind: str
    schema: str
    tags: Mapping[str, object]
    rules: Sequence[_Json]
    enabled: bool
    migrations: int = 0

    @classmethod
    def of(cls, answer: _Json, *, subject: str = "") -> Contract:
        """From the registry's answer for a version of a subject, or from a `ruleSet` alone.

        Raises ValueError where it is neither.
        """
        ruleset: object = answer.get("ruleSet", answer)
        if not isinstance(ruleset, Mapping):
            raise ValueError("`ruleSet` is not an object")
        rules = cast("_Json", ruleset)
        if not (_LISTS & rules.keys()):
            raise ValueError("there is no `ruleSet` with `domainRules` in it")
        for key in sorted(_LISTS):
            listed: object = rules.get(key) or []
            if not isinstance(listed, list) or not all(
                isinstance(rule, Mapping) for rule in cast("list[object]", listed)
            ):
                raise ValueError(f"`{key}` is not a list of rules")
        metadata = cast("_Json", answer.get("metadata") or {})
        return cls(
            str(answer.get("subject") or subject),
            str(answer.get("schemaType") or "AVRO"),
            str(answer.get("schema") or ""),
            cast("Mapping[str, object]", metadata.get("tags") or {}),
            [*(rules.get("domainRules") or ()), *(rules.get("encodingRules") or ())],
            (rules.get("enableAt") or "ALL") in ("ALL", "CLIENT"),
            len(rules.get("migrationRules") or ()),
        )


@dataclass(frozen=True, slots=True)
class Imported:
    """`documents` are policy documents as data. `refused` rules are in none of them."""

    documents: tuple[Mapping[str, Any], ...]
    refused: tuple[str, ...]
    notices: tuple[str, ...]


def import_contract(
    contract: Contract, *, name: str, owner: str, topics: Sequence[str]
) -> Imported:
    """The policies that say what the rules of `contract` say."""
    return _Import(contract).run(name, owner, topics)


class _RefusedError(ValueError):
    """The rule cannot be expressed."""


class _Import:
    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.refused: list[str] = []
        self.notices: list[str] = []
        self.type = contract_type(contract.kind, contract.schema)
        self._fields: tuple[ContractField, ...] | None = None
        self._mixed: set[str] = set()
        self._sent_whole: set[str] = set()
        # Readers of Avro have all numbers as the schema says.
        self._reading = False

    def run(self, name: str, owner: str, topics: Sequence[str]) -> Imported:
        found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for rule in self.contract.rules:
            title = str(rule.get("name") or "unnamed")
            try:
                for stages, made in self.rule(rule, title):
                    found.setdefault(stages, []).append(made)
            except _RefusedError as error:
                self.refused.append(f"rule `{title}` {error}")
        if self.contract.migrations:
            self.notices.append("migration rules are about versions of a schema, not about events")
        words: dict[tuple[str, ...], str] = {}
        words.update((stages, word) for word, stages in _STAGES.values())
        documents = [
            {
                "policy": name if len(found) == 1 else f"{name}-{words[stages]}",
                "title": f"Data contract of {self.contract.subject or name}",
                "owner": owner,
                "class": "data",
                "topics": list(topics),
                "stages": list(stages),
                "rules": _distinct(rules),
            }
            for stages, rules in found.items()
        ]
        return Imported(tuple(documents), tuple(self.refused), tuple(dict.fromkeys(self.notices)))

    def rule(self, rule: _Json, title: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        mode = str(rule.get("mode") or "WRITE").upper()
        if mode not in _STAGES:
            self.notices.append(f"rule `{title}` has the mode {mode}, in which no event is checked")
            return
        kind, language = str(rule.get("kind") or "CONDITION"), str(rule.get("type") or "").upper()
        if language not in ("CEL", "CEL_FIELD"):
            raise _RefusedError(f"is of the type `{language or 'none'}`, which has no counterpart")
        if kind.upper() != "CONDITION":
            raise _RefusedError(self.transform(rule, language))
        self._reading = mode == "READ" and self.contract.kind == "AVRO"
        guard, body = self.condition(str(rule.get("expr") or ""), title)
        self.told_apart(title, guard, body)
        if language == "CEL":
            conditions = [self.event_condition(title, guard, body)]
            holds = conditions[0].require
        else:
            found = self.field_conditions(rule, title, guard, body)
            try:
                conditions = [_Part.of(each) for each in found]
                holds = all_of([each.whole() for each in found])
            except ValueError as error:
                raise _RefusedError(
                    f"is about fields below branches that conditions cannot tell apart: {error}"
                ) from None
        for stages in self.stages(rule, mode):
            for made in self.made(rule, title, conditions, holds, stages):
                yield stages, made

    def stages(self, rule: _Json, mode: str) -> list[tuple[str, ...]]:
        """Writing and reading apart, where they do different things."""
        actions = (str(rule.get("onSuccess") or ""), str(rule.get("onFailure") or ""))
        if mode == "WRITEREAD" and any("," in action for action in actions):
            return [("produce",), ("consume",)]
        return [_STAGES[mode][1]]

    def transform(self, rule: _Json, language: str) -> str:
        fields = ""
        if language == "CEL_FIELD" and self.contract.schema:
            named = dict.fromkeys(field.shown for field in self.chosen(rule))
            fields = f" for {', '.join(named)}" if named else ""
        return (
            "transforms events, which no rule does; to hide values write a rule with "
            f"`effect: mask`{fields}"
        )

    # Conditions.

    def condition(self, text: str, title: str) -> tuple[Expr | None, Expr]:
        """Guard and body."""
        cut = f"rule `{title}` has a `;` inside a text, where the original client cuts it"
        try:
            whole = parse(text.strip())
        except CelSyntaxError as error:
            problem = error
        else:
            if ";" in text:
                self.notices.append(cut)
            return None, whole
        for place, character in enumerate(text):
            if character != ";":
                continue
            try:
                guard = parse(text[:place].strip()) if text[:place].strip() else None
                body = parse(text[place + 1 :].strip())
            except CelSyntaxError:
                continue
            if ";" in text[:place]:
                self.notices.append(cut)
            return guard, body
        raise _RefusedError(f"has the condition `{text}`: {problem.message}") from None

    def told_apart(self, title: str, guard: Expr | None, body: Expr) -> None:
        """Notices of functions that are not the same for the original client."""
        for expr in (guard, body):
            for node in walk(expr) if expr is not None else ():
                if isinstance(node, Call) and node.function in _FORMATS:
                    said = f"`{node.function}`, which goes {_FORMATS[node.function]}"
                    self.notices.append(f"rule `{title}` uses {said}")

    def mixtures(self, title: str, exprs: Sequence[Expr], variables: Mapping[str, Type]) -> None:
        """Notices of fields that are not there, and of the first place where the original CEL fails."""
        for expr in exprs:
            types = types_in(expr, variables)
            self.sent_whole(title, expr, types)
            for unknown in unknown_fields(expr, variables):
                self.notices.append(f"rule `{title}` reads an unknown field: {unknown}")
            if title in self._mixed:
                continue
            if is_no_condition(expr, types):
                self.notices.append(
                    f"rule `{title}` has `{unparse(expr)}`, which is neither true nor false: an "
                    "error here, and mostly true for the original client"
                )
            for found in mixtures(expr, types):
                self._mixed.add(title)
                self.notices.append(f"rule `{title}` has {found}, where the original client fails")
                break

    def sent_whole(self, title: str, expr: Expr, types: Mapping[int, Type]) -> None:
        """A notice of the first place where it fails of a double that is sent as a whole number."""
        if title in self._sent_whole or self._reading:
            return
        for found in whole_numbers(expr, types):
            self._sent_whole.add(title)
            self.notices.append(
                f"rule `{title}` has `{unparse(found)}`, where the original client fails if a "
                "whole number is sent for the double, such as 5 instead of 5.0"
            )
            return

    def event_condition(self, title: str, guard: Expr | None, body: Expr) -> _Part:
        variables = {"message": self.type}
        exprs = [body] if guard is None else [guard, body]
        self.mixtures(title, exprs, variables)
        days = [with_days(expr, dates_in(expr, types_in(expr, variables))) for expr in exprs]
        return _Part("", None, days[0] if guard is None else guarded(*days))

    # Rules.

    def made(
        self,
        rule: _Json,
        title: str,
        conditions: Sequence[_Part],
        holds: Expr,
        stages: tuple[str, ...],
    ) -> Iterator[dict[str, Any]]:
        """The rules for what happens on failure and on success."""
        success, failure = (self.action(rule, key, stages) for key in ("onSuccess", "onFailure"))
        for action in sorted({success, failure} - _REFUSING - {"NONE"}):
            self.notices.append(f"rule `{title}` has the action {action}, which is not run")
        effect = "warn" if failure == "NONE" else "reject"
        reasons = [
            str(rule.get("doc") or f"the data contract's rule {title} {verb}")
            for verb in ("does not hold", "holds")
        ]
        fails, holding = [said.replace("{", "{{").replace("}", "}}") for said in reasons]
        off = {"mode": "off"} if rule.get("disabled") or not self.contract.enabled else {}
        for part in conditions:
            made = {"id": _identity(f"{title}{part.suffix}")[:128]}
            if part.when is not None:
                made["when"] = unparse(part.when)
            made |= {"require": unparse(part.require), "effect": effect}
            yield {**made, "severity": _SEVERITIES[effect], "reason": fails, **off}
        if success in ("", "NONE") or (success not in _REFUSING and effect == "warn"):
            return
        yield {
            "id": f"{_identity(title)[:120]}.success",
            "when": unparse(holds),
            "effect": "reject",
            "on_error": "skip",
            "severity": _SEVERITIES["reject"],
            "reason": holding,
            **off,
        }

    def action(self, rule: _Json, key: str, stages: tuple[str, ...]) -> str:
        """The action at `onSuccess` or `onFailure`: `WRITE,READ` in the mode for both."""
        action = str(rule.get(key) or "")
        if "," in action and str(rule.get("mode") or "").upper() == "WRITEREAD":
            return action.split(",")[0 if stages == ("produce",) else 1]
        return action

    # Fields.

    def chosen(self, rule: _Json) -> list[ContractField]:
        """The fields that the rule is tried on."""
        readers = {"AVRO": contract_fields, "JSON": json_contract_fields}
        if self.contract.kind not in readers or not self.contract.schema:
            raise _RefusedError("is about fields, and has no Avro or JSON Schema to find them in")
        if self._fields is None:
            try:
                self._fields = readers[self.contract.kind](self.contract.schema, self.contract.tags)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise _RefusedError(
                    f"is about fields, and the schema cannot be read: {error}"
                ) from None
        tags: object = rule.get("tags") or []
        if not isinstance(tags, list):
            raise _RefusedError("has `tags` that are not a list")
        wanted = set(map(str, cast("list[object]", tags)))
        return [field for field in self._fields if not wanted or wanted & set(field.tags)]

    def field_conditions(
        self, rule: _Json, title: str, guard: Expr | None, body: Expr
    ) -> list[FieldCondition]:
        """The condition on each field that comes to it."""
        chosen = self.chosen(rule)
        if not chosen:
            self.notices.append(f"rule `{title}` applies to no field of the schema")
        self.false_elsewhere(title, chosen)
        found: list[FieldCondition] = []
        for field in chosen:
            path = field.path
            while path[-1] in ("[]", "{}"):
                path = path[:-1]
            variables = {**_VARIABLES, "message": type_at(self.type, path[:-1])}
            dates = frozenset[int]().union(
                *(dates_in(e, types_in(e, variables)) for e in (guard, body) if e is not None)
            )
            condition = FieldCondition(field, guard, body, dates)
            asked = [(case, condition.asked(case)) for case in field.cases]
            if not any(exprs for _, exprs in asked):
                continue  # such as `name == "zip" ; …`, and this is another field
            for case, exprs in asked:
                self.mixtures(title, exprs, {**variables, "value": _TYPES[case.name]})
            if field.path[-1] in ("[]", "{}"):
                self.notices.append(
                    f"rule `{title}` is checked on every element of {field.shown}, which the "
                    "original client does not act on"
                )
            found.append(condition)
        return found

    def false_elsewhere(self, title: str, chosen: Sequence[ContractField]) -> None:
        """A notice of booleans that make the original client refuse events."""
        names = [
            f"`{field.shown}`"
            for field in self._fields or ()
            if field not in chosen
            and field.path[-1] not in ("[]", "{}")
            and any(case.name == "BOOLEAN" for case in field.cases)
        ]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self.notices.append(
                f"rule `{title}` says nothing of {', '.join(names[:_NAMED])}{more}, whose false "
                "makes the original client refuse the event"
            )


@dataclass(frozen=True, slots=True)
class _Part:
    """The conditions of one rule; `suffix` tells it from others of the same title."""

    suffix: str
    when: Expr | None
    require: Expr

    @classmethod
    def of(cls, condition: FieldCondition) -> _Part:
        steps = [step for step in condition.field.path if step not in ("[]", "{}")]
        return cls("".join(f".{step}" for step in steps), *condition.parts())


def _identity(title: str) -> str:
    return _NAME.sub("-", title).strip("-._") or "rule"


def _distinct(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules with ids of their own."""
    seen: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    for rule in rules:
        number = seen[rule["id"]] = seen.get(rule["id"], 0) + 1
        found.append(rule if number == 1 else {**rule, "id": f"{rule['id']}-{number}"})
    return found
