"""`policy import` makes documents of data-contract rules, or says why it cannot."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.contract_fields import contract_fields, matches_name
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import load_directories

from .conftest import Run

SCHEMA = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "email", "type": ["null", "string"], "confluent:tags": ["PII"]},
        {"name": "words", "type": {"type": "array", "items": "string"}, "confluent:tags": ["W"]},
        {"name": "amount", "type": "double"},
    ],
}


def contract(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    common = {"kind": "CONDITION", "mode": "WRITE", "type": "CEL"}
    listed = [{"name": f"r{number}", **common, **rule} for number, rule in enumerate(rules)]
    answer = {"subject": "orders-value", "version": 1, "id": 1, "schema": json.dumps(SCHEMA)}
    return {**answer, "ruleSet": {"domainRules": listed}, **more}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "contract.json"


def imported(run: Run, file: Path, answer: dict[str, Any]) -> Guard:
    """A guard on what was written."""
    file.write_text(json.dumps(answer))
    result = run("policy", "import", file, "-o", file.parent / "made")
    assert result.exit_code == 0, result.stderr
    return Guard(load_directories([file.parent / "made"]))


def effect(guard: Guard, stage: str = "produce", **value: Any) -> str:
    whole: dict[str, Any] = {"email": None, "words": [], "amount": 1.0, **value}
    return guard.decide(topic="orders", value=json.dumps(whole), stage=stage).effect.value


def test_conditions_become_rules(run: Run, file: Path) -> None:
    """With guard, stage, action and what it says; tombstones are not looked at."""
    guard = imported(
        run,
        file,
        contract(
            {"expr": "message.amount < 9.0", "doc": "amounts {are} small", "onFailure": "DLQ"},
            {"expr": "message.email != null ; message.email.isEmail()", "mode": "READ"},
            {"expr": "message.amount > 0.0", "onFailure": "NONE", "name": "a name; odd"},
            {"expr": "false", "disabled": True},
        ),
    )

    assert effect(guard, amount=9.0) == "reject"
    assert effect(guard, amount=0.0) == "warn"
    assert effect(guard, email="x") == "allow"
    assert effect(guard, "consume", email="x") == "reject"
    assert guard.decide(topic="orders", value=None).passes
    decision = guard.decide(topic="orders", value='{"amount": 9.0}')
    assert "amounts {are} small" in decision.reasons()


def test_a_field_that_the_schema_does_not_have_is_told(run: Run, file: Path) -> None:
    """With the one that was probably meant; without a schema nothing is known."""
    answer = contract({"expr": "message.amout > 0.0"}, {"expr": "message.amount > 0.0"})
    file.write_text(json.dumps(answer))
    found = run("policy", "import", file, "--json")
    file.write_text(json.dumps(answer["ruleSet"]))
    alone = run("policy", "import", file, "--topic", "orders", "--json")

    said = "the schema has no field `amout` in `shop.Order`; did you mean `amount`?"
    assert [each for each in json.loads(found.stdout)["notices"] if "no field" in each] == [
        f"rule `r0` reads an unknown field: {said}"
    ]
    assert f"warning: rule `r0` reads an unknown field: {said}" in found.stderr
    assert (found.exit_code, alone.exit_code) == (0, 0)
    assert "no field" not in alone.stderr


def test_actions_for_writing_and_reading_apart(run: Run, file: Path) -> None:
    """`ERROR,NONE` refuses at writing and warns at reading."""
    rule = {"expr": "message.amount < 9.0", "mode": "WRITEREAD", "onFailure": "ERROR,NONE"}

    guard = imported(run, file, contract(rule))

    assert (effect(guard, amount=9.0), effect(guard, "consume", amount=9.0)) == ("reject", "warn")


def test_rules_on_fields_become_one_for_each(run: Run, file: Path) -> None:
    """By tags of the schema and of its metadata; elements of arrays are checked, with a notice."""
    answer = contract(
        {"type": "CEL_FIELD", "tags": ["PII"], "expr": "typeName == 'STRING' ; value.isEmail()"},
        {"type": "CEL_FIELD", "tags": ["W"], "expr": "value != ''"},
        {"type": "CEL_FIELD", "tags": ["SUM"], "expr": "value > 0.0 && name == 'amount'"},
        metadata={"tags": {"shop.*.amount": ["SUM"]}},
    )

    guard = imported(run, file, answer)
    said = json.loads(run("policy", "import", file, "--json").stdout)

    assert [rule["id"] for rule in said["documents"][0]["rules"]] == [
        *("r0.email", "r1.words", "r2.amount")
    ]
    assert "every element of value.words[]" in said["notices"][0]
    assert effect(guard, email="x") == "reject"
    assert effect(guard, email="a@example.org", words=["a"]) == "allow"
    assert effect(guard, words=["a", ""]) == "reject"
    assert effect(guard, amount=0.0) == "reject"


def test_a_semicolon_inside_a_text_is_text(run: Run, file: Path) -> None:
    """The original client cuts there."""
    guard = imported(run, file, contract({"expr": "message.email != ';' ; message.email != 'a;b'"}))

    assert effect(guard, email="a;b") == "reject"
    assert effect(guard, email=";") == "allow"


def test_what_cannot_be_expressed_is_refused(run: Run, file: Path) -> None:
    """All at once; `--partial` goes on, with status 2."""
    transform = {"type": "CEL_FIELD", "kind": "TRANSFORM", "tags": ["PII"], "expr": "'***'"}
    answer = contract(transform, {"type": "ENCRYPT"}, {"expr": "1 +"}, {"expr": "true"})
    file.write_text(json.dumps(answer))

    refused = run("policy", "import", file)
    partial = run("policy", "import", file, "--partial")

    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert "rule `r0` transforms events" in refused.stderr
    assert "`effect: mask` for value.email" in refused.stderr
    assert "rule `r1` is of the type `ENCRYPT`" in refused.stderr
    assert "rule `r2` has the condition `1 +`" in refused.stderr
    assert "3 rules cannot be expressed" in refused.stderr
    assert partial.exit_code == 2
    assert "id: r3" in partial.stdout


@pytest.mark.parametrize("guard", ["message.nothing", "message.address.zip == 'x'"])
def test_a_guard_that_fails_refuses(run: Run, file: Path, guard: str) -> None:
    """Also where the body holds, and in a condition on fields."""
    answer = contract({"expr": f"{guard} ; true"})
    by_field = contract({"type": "CEL_FIELD", "tags": ["PII"], "expr": f"{guard} ; true"})

    assert effect(imported(run, file, answer), address=None) == "reject"
    (file.parent / "made").rename(file.parent / "before")
    assert effect(imported(run, file, by_field), address=None) == "reject"


def test_what_is_imported_has_no_flaw(run: Run, file: Path) -> None:
    """Not even one that only `--strict` minds."""
    fields = {
        "type": "CEL_FIELD",
        "tags": ["PII"],
        "expr": "typeName == 'STRING' ; value.isEmail()",
    }
    imported(
        run, file, contract({"expr": "message.amount < 9.0"}, {**fields, "onSuccess": "ERROR"})
    )

    result = run("policy", "check", file.parent / "made", "--strict")

    assert result.exit_code == 0, result.stdout


def test_success_is_that_of_all_fields(run: Run, file: Path) -> None:
    """One rule rejects where the condition holds for each; a name of no field holds at once."""
    rule = {"type": "CEL_FIELD", "expr": "value == 'x'", "onSuccess": "ERROR", "onFailure": "NONE"}
    guard = imported(run, file, contract({**rule, "tags": ["PII", "W"]}))

    assert effect(guard, email="x", words=["x", "x"]) == "reject"
    assert effect(guard, email="x", words=["x", "y"]) == "warn"
    assert effect(guard, email="y") == "warn"
    written = (file.parent / "made" / "orders-value.yaml").read_text()
    assert written.count("the data contract's rule r0 holds") == 1


JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "email": {"type": ["string", "null"], "confluent:tags": ["PII"]},
        "part": {
            "oneOf": [
                {"type": "object", "if": {}, "properties": {"a": {"type": "string"}}},
                {"type": "object", "properties": {"b": {"type": "string"}}},
            ]
        },
    },
}


def test_fields_of_a_json_schema(run: Run, file: Path) -> None:
    """By tags; rules below branches that no condition tells apart are refused, others are not."""
    rule = {"type": "CEL_FIELD", "tags": ["PII"], "expr": "typeName == 'STRING' ; value.isEmail()"}
    below = {"type": "CEL_FIELD", "tags": ["B"], "expr": "value != ''"}
    schema = {"schemaType": "JSON", "schema": json.dumps(JSON_SCHEMA)}
    tags = {"metadata": {"tags": {"$.part.b": ["B"]}}}

    guard = imported(run, file, contract(rule, **schema, **tags))
    file.write_text(json.dumps(contract(rule, below, **schema, **tags)))
    refused = run("policy", "import", file)

    assert (effect(guard), effect(guard, email="x")) == ("allow", "reject")
    assert refused.exit_code == 1
    assert "rule `r1` is about fields below branches" in refused.stderr
    assert "rule `r0`" not in refused.stderr


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#"}, "nested in itself"),
        ({"$ref": "other.json"}, "`other.json` refers to another schema"),
        ({"properties": {"a": {"items": [{"type": "string"}]}}}, "`items` that are a list"),
        ({"$ref": "#/definitions/None"}, "cannot be read"),
    ],
)
def test_json_schemas_that_cannot_be_read(
    run: Run, file: Path, schema: dict[str, Any], said: str
) -> None:
    """They are told, and conditions on whole events are none of their business."""
    answer = contract({"type": "CEL_FIELD", "expr": "true"}, {"expr": "true"})
    file.write_text(json.dumps({**answer, "schemaType": "JSON", "schema": json.dumps(schema)}))

    result = run("policy", "import", file, "--partial")

    assert result.exit_code == 2
    assert said in result.stderr
    assert "id: r1" in result.stdout


def test_an_unknown_function_is_an_error(run: Run, file: Path) -> None:
    """As `policy check` tells it."""
    file.write_text(json.dumps(contract({"expr": "decimals.ge(message.amount, 1)"})))

    result = run("policy", "import", file)

    assert result.exit_code == 1
    assert "orders-value.yaml:" in result.stderr


def test_tags_that_are_no_list_are_refused(run: Run, file: Path) -> None:
    """They would name other fields, letter by letter."""
    file.write_text(json.dumps(contract({"type": "CEL_FIELD", "tags": "PII", "expr": "true"})))

    result = run("policy", "import", file)

    assert result.exit_code == 1
    assert "rule `r0` has `tags` that are not a list" in result.stderr


def test_what_the_language_does_not_have_is_left_out_too(run: Run, file: Path) -> None:
    """Of each document; the others stay, and the status says that rules are left out."""
    pattern = {"name": "ahead", "expr": "message.email.matches('(?=a)b')"}
    file.write_text(json.dumps(contract({"expr": "true"}, pattern, {**pattern, "mode": "READ"})))

    result = run("policy", "import", file, "--partial", "--json")

    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert [rule["id"] for one in report["documents"] for rule in one["rules"]] == ["r0"]
    assert len(report["refused"]) == 2
    assert report["refused"][0].startswith("rule `ahead` cannot be expressed: SW126: RE2 refuses")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds no JSON object"),
        ("{}", "is no data contract"),
        ("{", "holds no JSON object"),
        ('{"ruleSet": {"domainRules": "all"}}', "`domainRules` is not a list of rules"),
        ('{"ruleSet": {"migrationRules": [1]}}', "`migrationRules` is not a list of rules"),
    ],
)
def test_what_is_no_contract_is_an_error(run: Run, file: Path, content: str, said: str) -> None:
    """It says what is wanted."""
    file.write_text(content)

    assert said in run("policy", "import", file, "-t", "t").stderr


@contextmanager
def serving(answer: dict[str, Any]) -> Generator[tuple[str, list[tuple[str, str | None]]]]:
    """A registry that gives one answer, and what it was asked."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200 if "orders" in self.path else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_registry_is_asked_by_url(run: Run) -> None:
    """With the user in the URL, who is not told to anybody."""
    with serving(contract({"expr": "true"})) as (host, asked):
        url = f"http://me:secret@{host}/subjects"
        good = run("policy", "import", f"{url}/orders-value/versions/latest")
        bad = run("policy", "import", f"{url}/else/versions/1")

    assert "policy: orders-value" in good.stdout
    assert asked[0] == ("/subjects/orders-value/versions/latest", "Basic bWU6c2VjcmV0")
    assert "the registry says 404" in bad.stderr
    assert "secret" not in bad.stderr


def test_a_malformed_url_is_told_without_its_password(run: Run) -> None:
    """And not as an accident: somebody forgot to escape it."""
    for url in ("http://me:secret@[x/subjects/a/versions/1", "http://me:x/secret@h/subjects/a"):
        done = run("policy", "import", url)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "its host or port is malformed" in done.stderr
        assert "secret" not in done.stderr


def test_tags_of_the_metadata_have_wildcards() -> None:
    """`*` is one part of a name, `**` any number of them."""
    assert matches_name("shop.*.email", "shop.Order.email")
    assert not matches_name("*.email", "shop.Order.email")
    assert matches_name("**.email", "shop.Order.email")


def test_a_registry_that_is_not_there_is_told_as_that(run: Run) -> None:
    """Naming another version would not help, nor where the user may not read."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/subjects/a-value/versions/1"

    away = run("policy", "import", url)

    assert away.exit_code == 1
    assert "the registry cannot be reached: connection refused; check host and port" in away.stderr
    assert "name a version" not in away.stderr


def test_the_help_of_an_import_says_what_its_usage_does(run: Run) -> None:
    """The argument has one name."""
    said = run("policy", "import", "--help").stdout

    assert "FILE|URL is what a schema registry answers" in said
    assert "PLACE" not in said


def test_a_schema_that_refers_to_itself_is_refused() -> None:
    """Its fields have no end."""
    node = {"name": "next", "type": ["null", "Node"]}
    schema = {"type": "record", "name": "Node", "fields": [node]}

    with pytest.raises(ValueError, match="nested in itself"):
        contract_fields(json.dumps(schema), {})
