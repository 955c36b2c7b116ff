"""`streamwarden policy check` and `explain-code`: problems, all at once, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from streamwarden.errors import ConfigurationError, Problem

from ..policy.bundle import Bundle
from ..policy.condition_checks import RuleCost
from ..policy.lint.advice import adviser
from ..policy.lint.masked import mask_zeros
from ..policy.problem_codes import PROBLEM_CODES
from ..policy.schema_types import SchemaTypes
from .failures import FAILED, OK, VIOLATIONS
from .loading import opened_schemas, problems_json, read, schemas_option
from .options import output_options
from .output import Output, counted, escaped, write_json
from .policy_cost import costs_into, costs_json, print_costs
from .times import today

__all__ = ["check", "directories_argument", "explain_code"]

#: A file or directory that cannot be read says nothing about policies.
_UNREADABLE = "SW101"

directories_argument = click.argument(
    "directories", nargs=-1, required=True, metavar="DIR…", type=click.Path(path_type=Path)
)


@click.command("check")
@directories_argument
@schemas_option
@click.option(
    "-t", "--topic", "topics", multiple=True, metavar="TOPIC", help="A topic to be covered."
)
@click.option("--strict", is_flag=True, help="Warnings count as problems.")
@click.option(
    "--ignore", "ignored", multiple=True, metavar="CODE", help="A warning that is not to be told."
)
@click.option("--cost", is_flag=True, help="Show the most that each rule can cost.")
@output_options
def check(
    directories: tuple[Path, ...],
    schemas: str | None,
    topics: tuple[str, ...],
    strict: bool,
    ignored: tuple[str, ...],
    cost: bool,
    output: Output,
) -> int:
    """Tell every problem in directories of policies, with its place and what to write instead.

    Several directories are checked together, as the one bundle that they compose. Policies that
    hold are looked at for rules that do nothing, or not what they seem to: these are warnings.

      streamwarden policy check policies/
      policies/limits.yaml:12:5: error SW140: unknown key `efect`

      streamwarden policy check policies/ --strict --ignore SW173
      streamwarden policy check policies/ --schemas schemas/ --cost

    Exit status: 0 clean (warnings do not count without --strict), 2 problems found, 1 something
    cannot be read; with --strict also a schema.
    """
    codes = _known_codes(ignored)
    costs: list[RuleCost] = []
    advisers = [adviser(topics, today()), *([costs_into(costs)] if cost else [])]
    unasked: set[str] = set()
    with opened_schemas(schemas) as source:
        if source is not None:
            advisers.append(mask_zeros(SchemaTypes(source).mask_zero))
        bundle, told = read(directories, source, advisers, unasked)
    problems = [each for each in told if each.severity == "error" or each.code not in codes]
    errors = [problem for problem in problems if problem.severity == "error"]
    if output.json:
        unchecked = unasked if schemas is not None else _named_schemas(bundle)
        report = problems_json(problems, bundle, unchecked)
        write_json({**report, "cost": costs_json(costs)} if cost else report)
    else:
        if cost:
            print_costs(costs, output)
        _print(problems, output)
        if bundle is not None:
            _praise(bundle, len(problems) + len(unasked), output)
            if schemas is None:
                _hint_at_schemas(bundle, output)
        else:
            warnings = len(problems) - len(errors)
            also = f" and {counted(warnings, 'warning')}" if warnings else ""
            output.note(f"{counted(len(errors), 'problem')}{also}")
    if any(problem.code == _UNREADABLE for problem in errors) or (strict and unasked):
        return FAILED
    return VIOLATIONS if errors or (strict and problems) else OK


def _known_codes(ignored: Sequence[str]) -> set[str]:
    """The codes of warnings in upper case; ConfigurationError for one that there is not."""
    codes = {code.upper() for text in ignored for code in text.split(",")}
    for code in sorted(codes - PROBLEM_CODES.keys()):
        raise ConfigurationError(
            f"no problem has the code `{code}`",
            remedy="`streamwarden policy explain-code` lists all",
        )
    return codes


def _print(problems: Sequence[Problem], output: Output) -> None:
    for problem in problems:
        style = "bold red" if problem.severity == "error" else "yellow"
        shown = Text().append(escaped(f"{problem.location}: "), "bold")
        shown.append(f"{problem.severity} {problem.code}", style)
        shown.append(f": {escaped(problem.message)}")
        if problem.text:
            shown.append(f"\n    {escaped(problem.text)}", "dim")
        if problem.corrected is not None:
            shown.append(f"\n  write: {escaped(problem.corrected)}", "green")
        if problem.remedy:
            shown.append(f"\n  help: {escaped(problem.remedy)}")
        output.print(shown)


def _praise(bundle: Bundle, warnings: int, output: Output) -> None:
    rules = sum(len(policy.rules) for policy in bundle.policies)
    said = counted(warnings, "warning") if warnings else "no problems"
    output.print(
        f"{bundle.name} ({bundle.digest[:12]}): {counted(len(bundle.policies), 'policy')}, "
        f"{counted(rules, 'rule')}, {counted(len(bundle.tests), 'case')}; {said}"
    )


def _named_schemas(bundle: Bundle | None) -> set[str]:
    """The subjects that policies name as their schema."""
    policies = () if bundle is None else bundle.policies
    return {policy.schema for policy in policies if policy.schema is not None}


def _hint_at_schemas(bundle: Bundle, output: Output) -> None:
    naming = sum(policy.schema is not None for policy in bundle.policies)
    if naming:
        verb, them = ("names", "it") if naming == 1 else ("name", "them")
        output.note(
            f"hint: {counted(naming, 'policy')} {verb} a schema; give --schemas to check {them}"
        )


@click.command("explain-code")
@click.argument("code", required=False)
@output_options
def explain_code(code: str | None, output: Output) -> None:
    """Say what the code of a problem means and how to get rid of it.

      streamwarden policy explain-code SW104

    Without CODE, list all of them.
    """
    if code is None:
        chosen = dict(sorted(PROBLEM_CODES.items()))
    else:
        name = code.upper()
        if name not in PROBLEM_CODES:
            raise ConfigurationError(
                f"no problem has the code `{code}`",
                remedy="`streamwarden policy explain-code` lists all",
            )
        chosen = {name: PROBLEM_CODES[name]}
    if output.json:
        write_json(
            [{"code": name, **entry._asdict()} for name, entry in chosen.items()]
            if code is None
            else {"code": code.upper(), **chosen[code.upper()]._asdict()}
        )
        return
    for name, entry in chosen.items():
        output.print(Text(f"{name}: {entry.title}", "bold"))
        if code is not None:
            output.print(entry.explanation)
