"""`streamwarden schemas pull` from a real registry."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from click.testing import CliRunner, Result

from streamwarden.cli import main
from tests.servers.registry import RegistryServer
from tests.servers.topics import unique_name

SCHEMA = {"type": "record", "name": "Payment", "fields": [{"name": "amount", "type": "double"}]}


def register(registry: RegistryServer, subject: str) -> int:
    request = urllib.request.Request(
        f"{registry.url}/subjects/{subject}/versions",
        json.dumps({"schema": json.dumps(SCHEMA)}).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return int(json.load(response)["id"])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_subject_becomes_a_file(registry: RegistryServer, tmp_path: Path) -> None:
    """With its id in the index."""
    subject = unique_name("payments")
    number = register(registry, subject)

    result = run("schemas", "pull", registry.url, tmp_path / "s", "--subject", subject, "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"subjects": [subject], "schemas": 1, "skipped": []}
    assert json.loads((tmp_path / "s" / f"{subject}.avsc").read_text())["name"] == "Payment"
    index = (tmp_path / "s" / "index.yaml").read_text()
    assert f"id: {number}," in index
    assert subject in index
    words = run("schemas", "pull", registry.url, tmp_path / "s", "--subject", subject)
    assert words.stdout == f"1 schema of 1 subject in {tmp_path}/s\n"


def test_a_registry_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Without the password that was given for it."""
    result = run(
        *("schemas", "pull", "http://app:hunter2@localhost:1", tmp_path / "s", "--timeout", "2s")
    )

    assert result.exit_code == 1
    assert "error: the schema registry" in result.stderr
    assert "hunter2" not in result.output
    assert not (tmp_path / "s").exists()
