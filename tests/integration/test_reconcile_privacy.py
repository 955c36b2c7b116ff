"""What one of the versions involved hides is hidden in all that a reconciliation writes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import CliRunner

from streamwarden.cli.root import main
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.reconciler.findings_topic import finding_schema

from ..servers.topics import ConsumeAll, Kafka, MakeTopic, create_topic, unique_name
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


SSN_SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [{"name": "amount", "type": "double"}, {"name": "ssn", "type": "string"}],
}
#: Behind two bytes and a fingerprint of eight stands the record of a single object.
SINGLE_OBJECT_HEAD_BYTES = 10


def framed(amount: float, ssn: str) -> bytes:
    """A payment in Avro, with the id that a directory gives to its only schema."""
    out = io.BytesIO()
    schema = fastavro.parse_schema(SSN_SCHEMA)
    fastavro.schemaless_writer(out, schema, {"amount": amount, "ssn": ssn})
    return b"\0" + (1).to_bytes(4, "big") + out.getvalue()


@pytest.mark.parametrize("form", ["json", "avro"])
def test_findings_in_a_topic_hide_as_much(
    kafka: Kafka, make_topic: MakeTopic, consume_all: ConsumeAll, tmp_path: Path, form: str
) -> None:
    """Neither key, nor reason, nor trail tells there what a former version hides."""
    topic, findings = make_topic(), make_topic("findings")
    store = DirectoryStore(tmp_path / "store", name="b")
    amounts = ("50.0", "10.0") if form == "avro" else ("50", "10")
    hiding = policy_for(topic, OVER.replace("LIMIT", amounts[0]), more=HIDDEN)
    plain = policy_for(topic, OVER.replace("LIMIT", amounts[1]))
    then, _ = versions_of(store, make_bundle(hiding), make_bundle(plain))
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "t-value.avsc").write_text(json.dumps(SSN_SCHEMA))
    plant = Planter(kafka.bootstrap, topic, store)
    value = framed(20.0, SECRET) if form == "avro" else {"amount": 20, "ssn": SECRET}
    stamp = f"1;b@{then.number};{then.digest[:12]};allow;produce"
    plant.bypass(value, stamp=stamp, key=SECRET.encode())
    plant.bypass(value, key=SECRET.encode())
    called = [
        *("reconcile", "-b", kafka.bootstrap, "-t", topic, "--store", f"dir:{store.path}"),
        *("--schemas", str(tmp_path / "schemas"), "--findings-topic", findings),
    ]

    told = CliRunner().invoke(main, called)

    assert told.exit_code == 2, told.output
    written = [record[3] or b"" for record in consume_all(findings)]
    schema = fastavro.parse_schema(finding_schema())
    found: list[Any] = [
        fastavro.schemaless_reader(io.BytesIO(each[SINGLE_OBJECT_HEAD_BYTES:]), schema, None)
        for each in written
    ]
    assert [each["kind"] for each in found] == ["now-rejected", "unchecked"]
    assert [each["key"] for each in found] == ["***", "***"]
    assert [each["rules"][0]["reason"] for each in found] == ["ssn ***", "ssn ***"]
    assert [SECRET.encode() in each for each in written] == [False, False]
