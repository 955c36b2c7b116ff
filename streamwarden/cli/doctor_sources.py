"""What `doctor` looks at besides the cluster: libraries, settings, policies, store, schemas, log."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from confluent_kafka import KafkaException

from streamwarden._version import __version__
from streamwarden.errors import ConfigurationError, StoreError, StreamwardenError
from streamwarden.settings import source_settings

from ..policy.bundle import Bundle
from ..policy.guard import Guard
from ..policy.last_known_good import default_path
from ..policy.redis_connection import Operation, RedisConnection
from ..policy.store import ActiveBundle, StoreAddress, open_store, store_address
from ..producers.checkup import check_log_topic, check_store_topic
from ..producers.log_target import log_target
from ..producers.repairs import Check
from ..schemas.registry import NotFound, SchemaSource, Unavailable
from .client import Client
from .loading import opened_schemas, read
from .options import PolicySource
from .stores import store_settings

__all__ = [
    "check_decision_log",
    "check_libraries",
    "check_policies",
    "check_schemas",
    "policy_flags",
]

_CLOCKS_APART_MAX_S = 5.0
#: Says 1 where this user may write, 0 where not, -1 where the server is too old to say.
_MAY_WRITE = """
if not redis.acl_check_cmd then return -1 end
return redis.acl_check_cmd('SET', KEYS[1], '0') and 1 or 0
"""
_ABSENT_SUBJECT = "streamwarden-doctor"
#: A registry that has the time is asked for so long at most.
_SCHEMAS_S = 5.0
#: As long as a store in Kafka is read by default.
_STORE_S = 5.0
#: For a question that is left when others were not answered until the deadline.
_LAST_S = 1.0


def check_libraries() -> Check:
    """The versions at work, for whoever is asked for help."""
    from confluent_kafka import libversion, version  # noqa: PLC0415 - a module may keep its name

    versions = (
        f"streamwarden {__version__}",
        f"confluent-kafka {_plain(version())}",
        f"librdkafka {_plain(libversion())}",
    )
    return Check("libraries", "ok", f"Python {platform.python_version()}", ", ".join(versions))


def _plain(version: object) -> str:
    """A library says its version as text, or as text and a number."""
    return str(cast("tuple[object, ...]", version)[0] if isinstance(version, tuple) else version)


def policy_flags(source: PolicySource) -> tuple[str, ...]:
    """The flags that name the policies, without passwords; for commands that are shown."""
    flags = [word for each in source.directories for word in ("--policies", str(each))]
    if source.store is not None:
        address = store_address(source.store)
        bundle = "" if address.bundle is None else f"?bundle={address.bundle}"
        flags += ["--store", address.shown + bundle]
    return tuple(flags)


def check_policies(
    source: PolicySource, client: Client, deadline: float
) -> tuple[Bundle | None, list[Check]]:
    """The bundle that a guard would decide by, and what was found on the way to it.

    `deadline` (monotonic) is for whoever does not answer.
    """
    checks = _settings_checks(source)
    bundle: Bundle | None = None
    if source.directories:
        bundle, found = _directories(source, deadline)
        checks += found
    elif source.store is not None:
        bundle, found = _store(source.store, client, deadline)
        checks += found
    if bundle is not None:
        checks += _guard_checks(bundle, source)
    return bundle, checks


def _settings_checks(source: PolicySource) -> list[Check]:
    """The STREAMWARDEN_ variables, and the place of the last known good policy."""
    try:
        settings = source_settings({})
    except ConfigurationError as error:
        return [Check("settings", "fail", "environment", error.message, error.remedy)]
    if source.store is None or source.store.startswith("dir:") or settings.last_known_good == "off":
        return []
    address = store_address(source.store)
    path: Path | None = Path(settings.last_known_good)
    if settings.last_known_good == "default":
        path = default_path(address.shown, address.bundle)  # the folder is the same for all
    folder = None if path is None else _nearest(path.parent)
    if folder is None or not os.access(folder, os.W_OK | os.X_OK):
        means = "a guard that starts while the store is away has no policy, and refuses to start"
        found = "the last known good policy cannot be kept"
        return [Check("settings", "warn", str(folder or "no home"), found, means)]
    kept = "the last known good policy is kept there"
    return [Check("settings", "ok", str(folder), kept)]


def _nearest(folder: Path) -> Path:
    """The folder, or what it would be made in."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _directories(source: PolicySource, deadline: float) -> tuple[Bundle | None, list[Check]]:
    shown = " ".join(map(str, source.directories))
    check = f"streamwarden policy check {shown}"
    try:
        with opened_schemas(source.schemas, timeout_s=_lookup_s(deadline)) as schemas:
            bundle, problems = read(source.directories, schemas)
    except StreamwardenError as error:
        return None, [Check("policies", "fail", shown, error.message, error.remedy)]
    if bundle is None:
        first = next(each for each in problems if each.severity == "error")
        means = "a guard refuses to start"
        return None, [Check("policies", "fail", shown, f"{first.message} …", means, (check,))]
    if problems:
        found = f"{bundle.label}, with {len(problems)} warnings"
        return bundle, [Check("policies", "warn", shown, found, "look at them", (check,))]
    return bundle, [Check("policies", "ok", shown, f"{bundle.label} ({bundle.digest[:12]})")]


def _store(url: str, client: Client, deadline: float) -> tuple[Bundle | None, list[Check]]:
    checks: list[Check] = []
    try:
        address = store_address(url, client=store_settings(url, client))
        shown = address.shown
        if address.scheme == "kafka":
            checks = _topic_checks(address, deadline)
        causes = [check for check in checks if check.status == "fail"]
        if causes and time.monotonic() >= deadline:
            return None, causes  # it would have to be waited for once more
        active = _active(url, client, deadline)
        if address.scheme != "kafka":
            checks = _place_checks(address, None if active is None else active.bundle.name)
    except StreamwardenError as error:
        failed = Check("store", "fail", url.partition(":")[0], error.message, error.remedy)
        return None, [check for check in checks if check.status == "fail"] or [failed]
    if active is None:
        publish = f"streamwarden bundle publish --policies DIR --store {shown} --yes"
        means = "a guard refuses to start"
        nothing = Check("store", "fail", shown, "no bundle is active", means, (publish,))
        return None, [*checks, nothing]
    at = f"{active.bundle.label} is active, epoch {active.activation.epoch}"
    return active.bundle, [*checks, Check("store", "ok", shown, at)]


def _active(url: str, client: Client, deadline: float) -> ActiveBundle | None:
    settings = dict(store_settings(url, client))
    if url.startswith("kafka:") and "timeout_s" not in store_address(url).options:
        settings["timeout_s"] = min(_STORE_S, max(_LAST_S, deadline - time.monotonic()))
    store = open_store(url, client=settings)
    try:
        return store.active()
    finally:
        store.close()


def _topic_checks(address: StoreAddress, deadline: float) -> list[Check]:
    """What of a store's topic keeps guards from reading it, with what repairs it."""
    servers, _, topic = address.location.strip("/").rpartition("/")
    config = {**address.options, **address.client, "bootstrap.servers": servers}
    try:
        return check_store_topic(config, topic, deadline)
    except (KafkaException, TimeoutError) as raised:
        return [Check("store", "fail", topic, _said(raised), "guards take no new policy")]


def _said(raised: KafkaException | TimeoutError) -> str:
    return raised.args[0].str() if isinstance(raised, KafkaException) else "no answer in time"


def _place_checks(address: StoreAddress, bundle: str | None) -> list[Check]:
    if address.scheme == "dir":
        may = os.access(_nearest(Path(address.location)), os.W_OK)
        found = "this user may publish" if may else "this user may only read"
        return [Check("store", "ok", address.shown, found)]
    return _redis_checks(address, bundle)


def _redis_checks(address: StoreAddress, bundle: str | None) -> list[Check]:
    """Whether this user may publish, asked without writing, and how far the clocks are apart."""
    connection = RedisConnection(address)
    key = f"sw:{{{bundle or address.bundle or 'policy'}}}:number"

    def may_write(operation: Operation) -> int:
        return int(operation.do("EVAL", _MAY_WRITE, 1, key))

    def server_time(operation: Operation) -> float:
        seconds, microseconds = operation.do("TIME")
        return float(seconds) + float(microseconds) / 1e6

    checks: list[Check] = []
    try:
        try:
            said = connection.read(key, may_write)
        except StoreError:  # no right to run scripts, with which everything is written
            said = 0
        words = {1: "this user may publish", 0: "this user may only read"}
        checks.append(Check("store", "ok", address.shown, words.get(said, "it answers")))
        try:
            apart_s = abs(connection.read(key, server_time) - time.time())
        except StoreError:  # a guard needs no right to ask for the time
            return checks
    finally:
        connection.close()
    if apart_s > _CLOCKS_APART_MAX_S:
        found = f"its clock and the one here are {apart_s:.0f} s apart"
        means = "`now`, effective dates and stamps go by the clock here: check NTP on both"
        checks.append(Check("clock", "warn", address.shown, found, means))
    return checks


def _guard_checks(bundle: Bundle, source: PolicySource) -> list[Check]:
    try:
        stamp_keys, mask_keys = source.keys(source.stamp_keys), source.keys(source.mask_keys)
        Guard(bundle, stamp_keys=stamp_keys, mask_keys=mask_keys, decision_log="off").close()
    except StreamwardenError as error:
        return [Check("keys", "fail", bundle.label, error.message, error.remedy)]
    return []


def check_decision_log(url: str | None, client: Client, deadline: float) -> list[Check]:
    """Whether decisions can be written where they are to be; nothing where they are not logged."""
    if url is None or url == "off":
        return []
    try:
        target = log_target(url, {"client": store_settings(url, client)})
        blocks = source_settings({}).decision_log_unreachable == "block"
    except StreamwardenError as error:
        return [Check("decision log", "fail", url.partition(":")[0], error.message, error.remedy)]
    means = "nothing that has to be logged is decided" if blocks else "entries are dropped"
    if target.path is None:
        try:
            return check_log_topic(target, means, deadline)
        except (KafkaException, TimeoutError) as raised:
            return [Check("decision log", "fail", target.topic, _said(raised), means)]
    path = target.path
    if os.access(path if path.exists() else path.parent, os.W_OK):
        return [Check("decision log", "ok", str(path), "this user may write it")]
    return [Check("decision log", "fail", str(path), "this user may not write it", means)]


def check_schemas(
    schemas: str | None, bundle: Bundle, topics: Sequence[str], deadline: float
) -> list[Check]:
    """Whether schemas can be had, and those of policies and topics are there."""
    avro = [topic for topic in topics if bundle.formats(topic)[0] == "avro"]
    if schemas is None:
        means = "their events are undecodable; say --schemas"
        return [Check("schemas", "fail", t, "Avro, and no schemas are named", means) for t in avro]
    named = {policy.schema: policy.id for policy in bundle.policies if policy.schema is not None}
    try:
        with opened_schemas(schemas, timeout_s=_lookup_s(deadline)) as source:
            assert source is not None
            return _subject_checks(source, named, avro)
    except StreamwardenError as error:
        return [Check("schemas", "fail", _shown(schemas), error.message, error.remedy)]


def _lookup_s(deadline: float) -> float:
    """How long one lookup of a schema may take."""
    return round(min(_SCHEMAS_S, max(_LAST_S, deadline - time.monotonic())), 1)


def _subject_checks(
    source: SchemaSource, named: dict[str, str], avro: Sequence[str]
) -> list[Check]:
    checks: list[Check] = []
    by_topic = {f"{topic}-value": topic for topic in avro}
    for subject in sorted({*named, *by_topic}) or [_ABSENT_SUBJECT]:
        found = source.latest(subject)
        if isinstance(found, Unavailable):
            means = "producers get errors and consumers wait (`schema_unavailable`)"
            return [*checks, Check("schemas", "fail", subject, found.reason, means)]
        if subject == _ABSENT_SUBJECT:
            checks.append(Check("schemas", "ok", "registry", "it answers"))
        elif not isinstance(found, NotFound):
            checks.append(Check("schemas", "ok", subject, f"{found.kind}, id {found.id}"))
        elif subject in named:
            means = f"policy `{named[subject]}` is not checked against it: register the schema"
            checks.append(Check("schemas", "fail", subject, "there is no such subject", means))
        else:
            means = f"right if {by_topic[subject]} names its subjects otherwise"
            checks.append(Check("schemas", "warn", subject, "there is no such subject", means))
    return checks


def _shown(schemas: str) -> str:
    from ..schemas.registry_client import shown_registry  # noqa: PLC0415 - directories need none

    return shown_registry(schemas) if "://" in schemas else schemas
