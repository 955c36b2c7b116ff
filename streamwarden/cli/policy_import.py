"""`streamwarden policy import`: the rules of a data contract as policy documents."""

from __future__ import annotations

import base64
import http.client
import json
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import click

from streamwarden.errors import ConfigurationError
from streamwarden.urls import http_url, shown_url

from ..policy.contracts import Contract, Imported, import_contract
from ..policy.formatting import formatted
from ..policy.loader import read_directories
from .failures import OK, VIOLATIONS
from .options import output_options, topic_option
from .output import SECRETS, Output, counted, say, write_json
from .times import Duration

__all__ = ["document_text", "import_rules"]

#: Schemas of registries are at most some MB.
_ANSWER_MAX_BYTES = 16 * 1024 * 1024
#: What a registry answers to somebody who may not read.
_REFUSALS = (401, 403)
#: The file of a document that is looked at by itself.
_ALONE = "policy.yaml"
_SUBJECT = re.compile(r"/subjects/([^/]+)/versions/")


@click.command("import")
@click.argument("place", metavar="FILE|URL")
@topic_option(
    required=False, multiple=True, help="A topic of the events; else the subject's. Repeatable."
)
@click.option("--policy", "name", metavar="NAME", help="The policy's name; else the subject.")
@click.option("--owner", default="data-contracts", show_default=True, metavar="NAME")
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write documents there, and not to stdout.",
)
@click.option("--partial", is_flag=True, help="Go on without rules that cannot be expressed.")
@click.option("--timeout", "timeout_s", type=Duration(), default="30s", show_default=True)
@output_options
def import_rules(
    place: str,
    topics: tuple[str, ...],
    name: str | None,
    owner: str,
    directory: Path | None,
    partial: bool,
    timeout_s: float,
    output: Output,
) -> int:
    """Make policy documents of the rules of a data contract, with the same verdicts.

    FILE|URL is what a schema registry answers for a version of a subject, as a file or by its URL,
    or a file with the `ruleSet` alone.

      streamwarden policy import http://localhost:8081/subjects/payments-value/versions/latest
      streamwarden policy import contract.json --topic payments --owner payments-risk -o policies/

    Conditions of the types CEL and CEL_FIELD become rules, the latter one for each field that it
    is tried on. Transforms, encryption and other types cannot be expressed and are refused;
    --partial goes on without them. Where the original clients are wrong, a notice says so.

    Exit status: 0 done, 2 done with --partial, and rules are left out, 1 not done.
    """
    answer = _fetched(place, timeout_s) if "://" in place else _read(Path(place))
    subject = _SUBJECT.search(place)
    try:
        contract = Contract.of(answer, subject="" if subject is None else unquote(subject[1]))
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"`{SECRETS.hide(place)}` is no data contract: {error}") from None
    topics = topics or _topics(contract.subject)
    title = name or re.sub(r"[^A-Za-z0-9._-]+", "-", contract.subject).strip("-._") or topics[0]
    found = import_contract(contract, name=title, owner=owner, topics=topics)
    if partial:
        found = _expressible(found)
    for notice in found.notices:
        output.warn(notice)
    for refusal in found.refused:
        say(f"{'warning' if partial else 'error'}: {refusal}")
    if found.refused and not partial:
        raise ConfigurationError(
            f"{counted(len(found.refused), 'rule')} cannot be expressed",
            remedy="go on without them with --partial",
        )
    texts = {f"{document['policy']}.yaml": document_text(document) for document in found.documents}
    _check(texts)
    if output.json:
        write_json(_report(found))
    _write(texts, directory, output)
    if not texts:
        output.warn("there is no rule to import")
    return VIOLATIONS if found.refused else OK


def _topics(subject: str) -> tuple[str, ...]:
    if not subject.endswith("-value"):
        raise ConfigurationError(
            "the topic of these rules is not known", remedy="say --topic TOPIC"
        )
    return (subject.removesuffix("-value"),)


def _report(found: Imported) -> dict[str, object]:
    return {
        "documents": list(found.documents),
        "refused": list(found.refused),
        "notices": list(found.notices),
    }


def _write(texts: Mapping[str, str], directory: Path | None, output: Output) -> None:
    if directory is None:
        if not output.json:
            click.echo("---\n".join(texts.values()), nl=False)
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name in texts:
        if (directory / name).exists():
            raise ConfigurationError(
                f"`{directory / name}` is there already", remedy="remove it, or say --policy NAME"
            )
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
        output.note(f"wrote {directory / name}")


# ----------------------------------------------------------------------- reading


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return _object(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read `{path}`: {error.strerror}", remedy="check path and rights"
        ) from None


def _fetched(url: str, timeout_s: float) -> Mapping[str, Any]:
    SECRETS.note_url(url)
    place = http_url(url, "FILE|URL")
    request = urllib.request.Request(place.bare)  # noqa: S310 - checked
    if place.user is not None:
        user = f"{place.user}:{place.password or ''}"
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - checked
            return _object(answer.read(_ANSWER_MAX_BYTES + 1), shown_url(url))
    except urllib.error.HTTPError as error:
        said = f"the registry says {error.code} {error.reason}"
        remedy = "name a version, as in http://HOST/subjects/SUBJECT/versions/latest"
        if error.code in _REFUSALS:
            remedy = "name a user who may read it, as in http://USER:PASSWORD@HOST/…"
    except (OSError, http.client.HTTPException) as error:
        said = f"the registry cannot be reached: {_reason(error)}"
        remedy = "check host and port, and that the registry runs and can be reached from here"
    raise ConfigurationError(f"cannot read `{shown_url(url)}`: {said}", remedy=remedy)


def _reason(error: Exception) -> str:
    """What the system says, without its number."""
    cause: object = getattr(error, "reason", error)
    return str(getattr(cause, "strerror", None) or cause).lower()


def _object(data: bytes, place: str) -> Mapping[str, Any]:
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or len(data) > _ANSWER_MAX_BYTES:
        raise ConfigurationError(
            f"`{SECRETS.hide(place)}` holds no JSON object",
            remedy="give the registry's answer for a version of a subject",
        )
    return cast("Mapping[str, Any]", found)


# ----------------------------------------------------------------------- writing


def document_text(document: Mapping[str, Any]) -> str:
    """A document as people write it."""
    lines = [f"{key}: {_scalar(value)}" for key, value in document.items() if key != "rules"]
    lines.append("rules:")
    for rule in document["rules"]:
        entries = [f"{key}: {_scalar(value)}" for key, value in rule.items()]
        lines += [f"  - {entries[0]}", *(f"    {entry}" for entry in entries[1:])]
    return formatted("\n".join(lines).encode(), "import")


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./'-]+)*")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off"))


def _scalar(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, cast('list[object]', value)))}]"
    text = str(value)
    if text == "off" or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text)


def _check(texts: Mapping[str, str]) -> None:
    """Raise ConfigurationError where a condition asks for what the language does not have."""
    errors = _errors(texts)
    for error in errors:
        say(f"error: {error}", lines=True)
    if errors:
        raise ConfigurationError(
            "conditions use what the language does not have",
            remedy="see `streamwarden policy explain-code`, and mend the contract or write it by hand",
        )


def _expressible(found: Imported) -> Imported:
    """Without the rules whose conditions ask for what the language does not have."""
    documents: list[Mapping[str, Any]] = []
    refused = list(found.refused)
    for document in found.documents:
        errors = {}
        if _errors({_ALONE: document_text(document)}):
            alone = [document_text({**document, "rules": [rule]}) for rule in document["rules"]]
            errors = {
                i: said[0] for i, text in enumerate(alone) if (said := _errors({_ALONE: text}))
            }
        rules = [rule for i, rule in enumerate(document["rules"]) if i not in errors]
        for i, error in errors.items():
            reason = error.partition("\n")[0].partition(": error ")[2]
            refused.append(f"rule `{document['rules'][i]['id']}` cannot be expressed: {reason}")
        if rules:
            documents.append({**document, "rules": rules})
    return replace(found, documents=tuple(documents), refused=tuple(refused))


def _errors(texts: Mapping[str, str]) -> list[str]:
    """What is wrong with policy documents, by the names of their files."""
    if not texts:
        return []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        _, problems = read_directories(folder)
    errors = [problem for problem in problems if problem.severity == "error"]
    return [str(problem).replace(f"{folder}/", "") for problem in errors]
