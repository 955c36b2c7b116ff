"""`--store` with Redis and Kafka: published, activated, looked at and decided by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamwarden.cli import main
from streamwarden.cli.output import SECRETS

from ..guards import BAD, CLEAN, write_policy
from ..servers.redis_server import StartRedis
from ..servers.topics import unique_name

PASSWORD = "s3cr3tpassword"


@pytest.fixture(params=["redis", "kafka"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "kafka":
        bootstrap = request.getfixturevalue("kafka").bootstrap
        return f"kafka://{bootstrap}/{unique_name('store')}?sasl.password={PASSWORD}"
    start_redis: StartRedis = request.getfixturevalue("start_redis")
    server = start_redis("--requirepass", PASSWORD, tcp=True)
    return f"{server.url}?password={PASSWORD}"


@pytest.mark.kafka
@pytest.mark.redis
def test_from_policies_to_decisions(url: str, tmp_path: Path) -> None:
    """The same commands as with a directory; the password is nowhere in what they say."""
    policies = ["--policies", str(write_policy(tmp_path / "policies", "payments"))]
    events = tmp_path / "events.jsonl"
    events.write_bytes(CLEAN + b"\n" + BAD + b"\n")
    store = ["--store", url]

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(main, [*arguments])
        assert result.exit_code == status, result.output
        assert PASSWORD not in result.output
        return result

    run("bundle", "publish", *policies, *store, "--reason", "first", "--yes")
    write_policy(tmp_path / "policies", "payments", need=2)
    run("bundle", "publish", *policies, *store, "--reason", "second", "--yes", "--no-activate")
    run("bundle", "activate", "2", *store, "--yes")
    active = json.loads(run("bundle", "active", *store, "--json").stdout)
    history = json.loads(run("bundle", "history", *store, "--json").stdout)
    decided = run("decide", "-t", "payments", *store, str(events), status=2).stdout.splitlines()
    wrong = run("decide", "-t", "payments", "--store", f"{url}&nothing=1", str(events), status=1)

    assert SECRETS.hide(f"it is {PASSWORD}") == "it is ***"
    SECRETS.forget()
    assert active["bundle"] == history["active"] == "limits@2"
    assert [entry["number"] for entry in history["published"]] == [1, 2]
    assert [json.loads(line)["effect"] for line in decided] == ["allow", "reject"]
    assert {json.loads(line)["bundle"] for line in decided} == {"limits@2"}
    assert "there is no `nothing`" in wrong.output
