"""Data-contract rules of a schema registry (`ruleSet`) as policy documents with the same verdicts.

A condition of kind CEL becomes a rule that rejects where it does not hold: `guard ; body` becomes
`when: guard` and `require: body`. One of kind CEL_FIELD becomes a rule for each field that it is
tried on. WRITE is the stage produce, READ consume, WRITEREAD both.

    onFailure   none, ERROR, DLQ: reject     NONE: warn
    onSuccess   none, NONE: nothing          ERROR, DLQ: reject where the condition holds
    disabled    mode: off

Where the original clients are wrong, the rules here are right, and `notices` say so:

- A `;` inside a text does not end the guard.
- A condition on the elements of an array or the values of a map is looked at; the original tries it
  and forgets the outcome.
- The result of a condition is true or false; anything else is an error, and so rejected. The
  original takes every text that is not empty and every number but 0 for true.

Transforms, encryption and other languages cannot be expressed: each is a refusal with its rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from .cel import CelSyntaxError, compile_exact, parse, unparse
from .cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    MapEntry,
    MapExpr,
    Not,
    Or,
    Select,
    walk,
)
from .conditions import path_expr, present
from .contract_fields import ContractField, contract_fields

__all__ = ["Contract", "Imported", "import_contract"]

_STAGES: Final = {
    "WRITE": ("write", ("produce",)),
    "READ": ("read", ("consume",)),
    "WRITEREAD": ("writeread", ("produce", "consume")),
}
_REFUSING: Final = frozenset(("", "ERROR", "DLQ"))
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_Json = Mapping[str, Any]


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
        if not ({"domainRules", "migrationRules", "encodingRules"} & rules.keys()):
            raise ValueError("there is no `ruleSet` with `domainRules` in it")
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
        self._fields: tuple[ContractField, ...] | None = None

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
        guard, body = self.condition(str(rule.get("expr") or ""), title)
        conditions = (
            [("", guard, body)]
            if language == "CEL"
            else list(self.fields(rule, title, guard, body))
        )
        for stages in self.stages(rule, mode):
            side = 0 if stages == ("produce",) else -1
            for suffix, when, require in conditions:
                for made in self.made(rule, title, suffix, when, require, side):
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
            named = [".".join(("value", *field.steps)) for field in self.chosen(rule)]
            fields = f" for {', '.join(named)}".replace(".[]", "[]") if named else ""
        return (
            "transforms events, which no rule does; to hide values write a rule with "
            f"`effect: mask`{fields}"
        )

    # Conditions.

    def condition(self, text: str, title: str) -> tuple[Expr | None, Expr]:
        """Guard and body."""
        try:
            return None, parse(text.strip())
        except CelSyntaxError as error:
            problem = error
        for place, character in enumerate(text):
            if character != ";":
                continue
            try:
                guard = parse(text[:place].strip()) if text[:place].strip() else None
                body = parse(text[place + 1 :].strip())
            except CelSyntaxError:
                continue
            if ";" in text[:place]:
                self.notices.append(
                    f"rule `{title}` has a `;` inside a text, where the original client cuts it"
                )
            return guard, body
        raise _RefusedError(f"has the condition `{text}`: {problem.message}") from None

    def made(
        self,
        rule: _Json,
        title: str,
        suffix: str,
        when: Expr | None,
        require: Expr,
        side: int,
    ) -> Iterator[dict[str, Any]]:
        """The rules for what happens on failure and on success."""
        success = str(rule.get("onSuccess") or "").split(",")[side].strip()
        failure = str(rule.get("onFailure") or "").split(",")[side].strip()
        for action in {success, failure} - _REFUSING - {"NONE"}:
            self.notices.append(f"rule `{title}` has the action {action}, which is not run")
        identity = _NAME.sub("-", f"{title}{suffix}").strip("-._") or "rule"
        said = str(rule.get("doc") or f"the data contract's rule {title} does not hold")
        common: dict[str, Any] = {"reason": said.replace("{", "{{").replace("}", "}}")}
        if rule.get("disabled") or not self.contract.enabled:
            common["mode"] = "off"
        made: dict[str, Any] = {"id": identity[:128]}
        if when is not None:
            made["when"] = unparse(when)
        refuses = failure in _REFUSING or failure != "NONE"
        made |= {"require": unparse(require), "effect": "reject" if refuses else "warn", **common}
        yield made
        if success and success != "NONE" and success in _REFUSING:
            holds = require if when is None else Conditional(when, require, Literal(True))
            yield {
                "id": f"{identity[:120]}.success",
                "when": unparse(holds),
                "effect": "reject",
                "on_error": "skip",
                **common,
            }

    # Fields.

    def chosen(self, rule: _Json) -> list[ContractField]:
        """The fields that the rule is tried on."""
        if self.contract.kind != "AVRO" or not self.contract.schema:
            raise _RefusedError("is about fields, and there is no Avro schema to find them in")
        if self._fields is None:
            try:
                self._fields = contract_fields(self.contract.schema, self.contract.tags)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _RefusedError(
                    f"is about fields, and the schema cannot be read: {error}"
                ) from None
        wanted = set(cast("Sequence[str]", rule.get("tags") or ()))
        return [field for field in self._fields if not wanted or wanted & set(field.tags)]

    def fields(
        self, rule: _Json, title: str, guard: Expr | None, body: Expr
    ) -> Iterator[tuple[str, Expr | None, Expr]]:
        chosen = self.chosen(rule)
        if not chosen:
            self.notices.append(f"rule `{title}` applies to no field of the schema")
        for field in chosen:
            suffix = "".join(step if step in ("[]", "{}") else f".{step}" for step in field.steps)
            named = suffix.replace("[]", "").replace("{}", "")
            if guard is not None and _is(_bound(guard, field, *_somewhere(field)), False):
                continue  # such as `name == "zip" ; …`, and this is another field
            if not {"[]", "{}"} & set(field.steps):
                path = ("value", *field.steps)
                own = [
                    None
                    if part is None
                    else _bound(part, field, path_expr(path), path_expr(path[:-1]))
                    for part in (guard, body)
                ]
                there = present(path)
                when = there if own[0] is None or _is(own[0], True) else _and(there, own[0])
                assert own[1] is not None
                yield named, when, own[1]
                continue
            if field.steps[-1] in ("[]", "{}"):
                self.notices.append(
                    f"rule `{title}` is checked on every element of value{suffix}, which the "
                    "original client does not act on"
                )
            yield (
                named,
                None,
                _each(field, field.steps, Ident("value"), Ident("value"), guard, body, 0),
            )


def _and(*parts: Expr) -> Expr:
    operands: list[Expr] = []
    for part in parts:
        operands.extend(part.operands if isinstance(part, And) else (part,))
    return And(tuple(operands))


def _each(
    field: ContractField,
    steps: Sequence[str],
    at: Expr,
    record: Expr,
    guard: Expr | None,
    body: Expr,
    depth: int,
) -> Expr:
    """That the condition holds for all that stands at `steps` below `at`."""
    if not steps:
        holds = _bound(body, field, at, record)
        asked = Literal(True) if guard is None else _bound(guard, field, at, record)
        if _is(asked, True):
            return holds
        return Conditional(asked, holds, Literal(True))
    step, rest = steps[0], steps[1:]
    if step in ("[]", "{}"):
        item = f"element_{depth}"
        names = (item,) if step == "[]" else (f"key_{depth}", item)
        inner = _each(field, rest, Ident(item), Ident(item), guard, body, depth + 1)
        return Comprehension("all", at, names, (inner,))
    below = Select(at, step)
    inner = _each(field, rest, below, at, guard, body, depth)
    absent: list[Expr] = [Not(Has(at, step))]
    if rest:
        absent.append(Call("==", (below, Literal(None))))
    return Or((*absent, *(inner.operands if isinstance(inner, Or) else (inner,))))


def _bound(expr: Expr, field: ContractField, value: Expr, record: Expr) -> Expr:
    """A condition on a field with what its variables stand for."""
    kinds = [kind.upper() for kind in field.types if kind != "null"]
    kind: Expr = Literal(kinds[0])
    if "null" in field.types:
        kind = Conditional(Call("==", (value, Literal(None))), Literal("NULL"), kind)
    known: dict[str, Expr] = {
        "value": value,
        "message": record,
        "name": Literal(field.name),
        "fullName": Literal(field.full_name),
        "typeName": kind,
        "tags": ListExpr(tuple(Literal(tag) for tag in field.tags)),
    }
    if len(kinds) > 1 and "typeName" in _names(expr):
        raise _RefusedError(f"asks for the type of `{field.full_name}`, which has several")
    return parse(unparse(_folded(_substituted(expr, known))))


def _somewhere(field: ContractField) -> tuple[Expr, Expr]:
    """Expressions in the place of the field and its record, where only constants matter."""
    return Ident(field.name), Ident("message")


def _is(node: Expr, value: bool) -> bool:
    return isinstance(node, Literal) and node.value is value


def _folded(node: Expr) -> Expr:
    """`node` without what is true or false whatever the event: names and tags of fields are known."""
    if isinstance(node, (And, Or)):
        neutral = isinstance(node, And)
        operands = [_folded(part) for part in node.operands]
        if any(_is(part, not neutral) for part in operands):
            return Literal(not neutral)
        left = [part for part in operands if not _is(part, neutral)]
        if len(left) < 2:
            return left[0] if left else Literal(neutral)
        return replace(node, operands=tuple(left))
    if isinstance(node, (Call, Not)) and not any(isinstance(n, Ident) for n in walk(node)):
        found = compile_exact(node)({})
        if isinstance(found, bool):
            return Literal(found)
    if isinstance(node, Not):
        return replace(node, operand=_folded(node.operand))
    return node


def _names(expr: Expr) -> set[str]:
    return {node.name for node in walk(expr) if isinstance(node, Ident)}


def _substituted(node: Expr, known: Mapping[str, Expr]) -> Expr:
    """`node` with expressions in the place of free names."""

    def inner(part: Expr) -> Expr:
        return _substituted(part, known)

    match node:
        case Ident():
            return known.get(node.name, node)
        case Literal():
            return node
        case Select() | Has() | Not():
            return replace(node, operand=inner(node.operand))
        case Index():
            return replace(node, operand=inner(node.operand), index=inner(node.index))
        case And() | Or():
            return replace(node, operands=tuple(map(inner, node.operands)))
        case Conditional():
            return Conditional(inner(node.test), inner(node.then), inner(node.otherwise))
        case Call():
            target = None if node.target is None else inner(node.target)
            return replace(node, args=tuple(map(inner, node.args)), target=target)
        case ListExpr():
            return replace(node, elements=tuple(map(inner, node.elements)))
        case MapExpr():
            entries = [MapEntry(inner(e.key), inner(e.value), e.optional) for e in node.entries]
            return MapExpr(tuple(entries))
        case Comprehension():
            free = {name: expr for name, expr in known.items() if name not in node.variables}
            args = tuple(_substituted(arg, free) for arg in node.args)
            return replace(node, range=inner(node.range), args=args)


def _distinct(rules: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules with ids of their own."""
    seen: dict[str, int] = {}
    found: list[dict[str, Any]] = []
    for rule in rules:
        number = seen[rule["id"]] = seen.get(rule["id"], 0) + 1
        found.append(rule if number == 1 else {**rule, "id": f"{rule['id']}-{number}"})
    return found
