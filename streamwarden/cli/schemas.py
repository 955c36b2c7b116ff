"""`streamwarden schemas`: a registry's schemas as files."""

from __future__ import annotations

from pathlib import Path

import click

from streamwarden.errors import ConfigurationError

from ..schemas.pull import pull
from .lazy import HelpGroup
from .options import output_options
from .output import SECRETS, Output, counted, write_json
from .times import Duration

__all__ = ["schemas"]

schemas = HelpGroup(
    "schemas",
    help="""Keep the schemas of a registry as files, for guards and tests without one.

  streamwarden schemas pull http://localhost:8081 schemas/
""",
)


@schemas.command("pull", short_help="write a registry's schemas into a directory")
@click.argument("registry", metavar="URL")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--subject", "subjects", multiple=True, metavar="NAME", help="Only this one; repeatable."
)
@click.option(
    "-X",
    "properties",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the registry's client, such as basic.auth.user.info=NAME:PASSWORD.",
)
@click.option("--timeout", "timeout_s", type=Duration(), default="30s", show_default=True)
@output_options
def _pull(
    registry: str,
    directory: Path,
    subjects: tuple[str, ...],
    properties: tuple[str, ...],
    timeout_s: float,
    output: Output,
) -> None:
    """Write every version of a registry's subjects, and what they refer to, into a directory.

      streamwarden schemas pull http://localhost:8081 schemas/
      streamwarden schemas pull https://registry schemas/ --subject payments-value

    The directory is what --schemas takes; its index.yaml names the ids. What is there of other
    subjects stays.
    """
    SECRETS.note_url(registry)
    config = {"url": registry, **_settings(properties)}
    pulled = pull(config, directory, subjects, timeout_s=timeout_s)
    if output.json:
        write_json(
            {
                "subjects": list(pulled.subjects),
                "schemas": pulled.schemas,
                "skipped": list(pulled.skipped),
            }
        )
    else:
        subjects_words = counted(len(pulled.subjects), "subject")
        output.print(f"{counted(pulled.schemas, 'schema')} of {subjects_words} in {directory}")
    for subject in pulled.skipped:
        output.warn(f"subject `{subject}` is of a kind that is not read, and was left out")


def _settings(properties: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in properties:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or name.strip() == "url":
            raise ConfigurationError(
                "one of -X is no setting of the registry's client",
                remedy="write such as `-X basic.auth.user.info=NAME:PASSWORD`",
            )
        SECRETS.note_property(name, value.strip())
        found[name.strip()] = value.strip()
    return found
