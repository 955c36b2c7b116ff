"""`streamwarden policy show`: what policies say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click
from rich.padding import Padding
from rich.text import Text

from ..policy.model import Rule
from ..policy.show import (
    PolicyWords,
    RuleWords,
    as_cel,
    as_documents,
    bundle_in_sentences,
    in_sentences,
)
from .loading import load
from .options import output_options
from .output import Output, escaped, write_json
from .policy_check import directories_argument
from .times import today

__all__ = ["show"]


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
    bundle = load(directories, output=output)
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
    output.print(Text(f"{bundle.name} ({bundle.digest[:12]})", "dim"))
    for sentence in () if form == "cel" else bundle_in_sentences(bundle.settings):
        output.print(Text(escaped(sentence)))
    for policy in chosen:
        if form == "cel":
            _print_cel(policy.id, policy.rules, output)
        else:
            _print_words(in_sentences(policy, today()), output)


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
