"""`streamwarden policy show` and `diff`: what policies say, and what changed in them."""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click
from rich.padding import Padding
from rich.text import Text

from ..policy.bundle import Bundle
from ..policy.diff import Change, Field, compare
from ..policy.model import Rule
from ..policy.show import PolicyWords, RuleWords, as_cel, as_documents, in_sentences
from .failures import OK, VIOLATIONS
from .loading import load
from .options import output_options
from .output import Output, escaped, write_json
from .policy_check import directories_argument
from .stores import opened

__all__ = ["change_json", "diff", "print_changes", "show"]

_STORED = re.compile(r"(?P<url>[a-z][a-z0-9+.-]*:.+?)(?:@(?P<number>[0-9]{1,18}))?")
_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_VALUE_MAX_CHARS = 300
_ENTRIES_SHOWN = 10


@click.command("show")
@directories_argument
@click.option(
    "--as",
    "form",
    type=click.Choice(("text", "cel", "json")),
    default="text",
    show_default=True,
    help="Sentences, CEL, or the documents as they were written.",
)
@click.option("--policy", "only", multiple=True, metavar="ID", help="Only this one; repeatable.")
@output_options
def show(directories: tuple[Path, ...], form: str, only: tuple[str, ...], output: Output) -> None:
    """Show what policies say: as sentences, for people who answer for them.

      streamwarden policy show policies/
      streamwarden policy show policies/ --as cel --policy payment-limits

    What has no good words stays CEL between backticks, so that no sentence is less exact than its
    rule.
    """
    bundle = load(directories)
    unknown = set(only) - {policy.id for policy in bundle.policies}
    if unknown:
        raise click.UsageError(f"there is no policy `{min(unknown)}`", click.get_current_context())
    chosen = [policy for policy in bundle.policies if not only or policy.id in only]
    if output.json or form == "json":
        documents = dict(as_documents(bundle))
        if only:
            listed = cast("list[dict[str, object]]", documents["policies"])
            documents["policies"] = [each for each in listed if each["policy"] in only]
        write_json(documents)
        return
    today = dt.datetime.fromtimestamp(time.time(), dt.UTC).date().isoformat()
    output.print(Text(f"{bundle.name} ({bundle.digest[:12]})", "dim"))
    for policy in chosen:
        if form == "cel":
            _print_cel(policy.id, policy.rules, output)
        else:
            _print_words(in_sentences(policy, today), output)


def _print_words(policy: PolicyWords, output: Output) -> None:
    title = Text().append(escaped(policy.id), "bold")
    if policy.title:
        title.append(escaped(f": {policy.title}"))
    output.print(Text(), title, _indented(Text(escaped(" ".join(policy.scope)))))
    for rule in policy.rules:
        output.print(_indented(_rule_words(rule)))


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2), expand=False)


def _rule_words(rule: RuleWords) -> Text:
    shown = Text("- ")
    shown.append(escaped(rule.id), "bold")
    shown.append(escaped(f" ({rule.severity}) " if rule.severity else " "))
    shown.append(escaped(rule.sentence))
    for note in rule.notes:
        shown.append(f"\n  {escaped(note)}", "dim")
    return shown


def _print_cel(policy: str, rules: Sequence[Rule], output: Output) -> None:
    output.print(Text())
    for rule in rules:
        act = f"exempts {', '.join(rule.exempts)}" if rule.effect is None else rule.effect.value
        shown = Text().append(escaped(f"{policy}/{rule.id}"), "bold")
        shown.append(f"  {escaped(act)}")
        if rule.mode.value != "enforce":
            shown.append(f", {rule.mode.value}", "yellow")
        for name, text in as_cel(rule):
            shown.append(f"\n    {name}: ", "dim")
            shown.append(escaped(text))
        output.print(shown)


@click.command("diff")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--exit-code", is_flag=True, help="Exit with status 2 where they differ.")
@output_options
def diff(before: str, after: str, exit_code: bool, output: Output) -> int:
    """Show what differs between two sets of policies, rule by rule.

    Each is a directory, a store (its active bundle), or a store and a number.

      streamwarden policy diff policies/ candidate/
      streamwarden policy diff dir:bundles policies/ --exit-code
      streamwarden policy diff dir:bundles@14 dir:bundles@15
    """
    old, new = _bundle(before), _bundle(after)
    changes = compare(old, new)
    if output.json:
        write_json(
            {
                "same": not changes,
                "before": {"bundle": old.label, "digest": old.digest},
                "after": {"bundle": new.label, "digest": new.digest},
                "changes": [change_json(change) for change in changes],
            }
        )
    else:
        print_changes(changes, output)
        if not changes:
            output.note(f"no difference ({new.digest[:12]})")
    return VIOLATIONS if changes and exit_code else OK


def _bundle(place: str) -> Bundle:
    """The bundle of a directory, or of a store."""
    stored = _STORED.fullmatch(place)
    if stored is None or Path(place).exists():
        return load([Path(place)])
    store = opened(stored["url"])
    try:
        if stored["number"] is not None:
            return store.get(int(stored["number"]))
        active = store.active()
    finally:
        store.close()
    if active is None:
        raise click.UsageError(f"no bundle is active in `{place}`", click.get_current_context())
    return active.bundle


def change_json(change: Change) -> dict[str, object]:
    """A change as JSON has it."""
    return {
        "kind": change.kind,
        "subject": change.subject,
        "name": change.name,
        "fields": [
            {"name": field.name, "before": field.before, "after": field.after}
            for field in change.fields
        ],
    }


def print_changes(changes: Sequence[Change], output: Output) -> None:
    """Show changes, one a line with its fields below."""
    for change in changes:
        shown = Text().append(
            f"{_SIGNS[change.kind]} {change.subject} {escaped(change.name)} {change.kind}",
            _STYLES[change.kind],
        )
        for field in change.fields:
            shown.append_text(_field(change, field))
        output.print(shown)


def _field(change: Change, field: Field) -> Text:
    shown = Text().append(f"\n    {escaped(field.name)}: ", "dim")
    if change.subject == "list" and field.name == "entries":
        for sign, entries, style in (("-", field.before, "red"), ("+", field.after, "green")):
            listed = cast("list[object]", entries or [])
            for entry in listed[:_ENTRIES_SHOWN]:
                shown.append(f"\n      {sign} {_short(entry)}", style)
            if len(listed) > _ENTRIES_SHOWN:
                shown.append(f"\n      {sign} and {len(listed) - _ENTRIES_SHOWN:,} more", style)
        return shown
    if change.kind == "changed":
        shown.append(_short(field.before), "red")
        shown.append(" → ")
    shown.append(
        _short(field.before if change.kind == "removed" else field.after),
        "red" if change.kind == "removed" else "green",
    )
    return shown


def _short(value: object) -> str:
    if value is None:
        return "(nothing)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = escaped(" ".join(text.split()))
    return text if len(text) <= _VALUE_MAX_CHARS else f"{text[: _VALUE_MAX_CHARS - 1]}…"
