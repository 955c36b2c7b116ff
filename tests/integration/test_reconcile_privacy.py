"""What one of the versions involved hides is hidden in all that a reconciliation writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from streamwarden.cli.root import main
from streamwarden.policy.directory_store import DirectoryStore

from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, policy_for, versions_of

SECRET = "999-45-6789"
OVER = (
    "{id: over, when: 'value.amount > LIMIT && value.ssn.startsWith(\"999-\")', effect: reject, "
    "reason: 'ssn {value.ssn}'}"
)
HIDDEN = "sensitive: [value.ssn, key]\n"
MASK = "{id: ssn, when: has(value.ssn), effect: mask, mask: [{field: value.ssn, with: redact}]}"


@pytest.mark.parametrize("how", ["candidate", "former", "stamped", "masked"])
def test_nothing_that_a_version_hides_is_shown(kafka: Kafka, tmp_path: Path, how: str) -> None:
    """Judged by a candidate or a former version that hides nothing, or stamped by one that does."""
    topic = create_topic(kafka.bootstrap, unique_name("t"))
    store = DirectoryStore(tmp_path / "store", name="b")
    plain = policy_for(topic, OVER.replace("LIMIT", "10"))
    loose = policy_for(topic, OVER.replace("LIMIT", "50"), more=HIDDEN)
    if how == "masked":
        loose = policy_for(topic, OVER.replace("LIMIT", "50"), MASK)
    versions = {
        "candidate": [loose],
        "former": [plain, loose],
        "stamped": [loose, plain],
        "masked": [loose],
    }[how]
    published = versions_of(store, *map(make_bundle, versions))
    stamping = published[0] if how == "stamped" else published[-1]
    plant = Planter(kafka.bootstrap, topic, store)
    value = {"amount": 20, "ssn": SECRET}
    stamp = f"1;b@{stamping.number};{stamping.digest[:12]};allow;produce"
    key = b"masked" if how == "masked" else SECRET.encode()
    plant.bypass(value, stamp=stamp, key=key)
    plant.bypass(value, key=key)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "p.yaml").write_text(plain)
    (tmp_path / "plain" / "bundle.yaml").write_text("bundle: b\n")
    forms = ["findings=f.jsonl", "report=r.html", "junit=j.xml", "openreports=o.yaml"]
    written = [tmp_path / form.partition("=")[2] for form in forms]
    by = {"former": ["--as-of", "#1"], "stamped": []}.get(
        how, ["--against", str(tmp_path / "plain")]
    )
    called = [
        *("reconcile", "-b", kafka.bootstrap, "-t", topic, "--store", f"dir:{store.path}"),
        *by,
        *(f"--{form.partition('=')[0]}={path}" for form, path in zip(forms, written, strict=True)),
    ]

    told = CliRunner().invoke(main, called)
    as_json = CliRunner().invoke(main, [*called, "--json"])

    assert told.exit_code == as_json.exit_code == 2, told.output + as_json.output
    texts = [told.output, as_json.output, *(path.read_text() for path in written)]
    assert [SECRET in text for text in texts] == [False] * 6
    assert '"reason":"ssn ***"' in written[0].read_text()
