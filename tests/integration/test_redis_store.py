"""The Redis store against a real Redis: its contract, rights, TLS, clusters, faults and races."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from streamwarden.errors import StoreError
from streamwarden.policy.store import BundleStore, open_store

from ..servers.cache import find_program, free_port
from ..servers.redis_server import RedisServer, StartRedis
from ..unit.policy.store_contract import OpenStore, StoreContract, bundle
from .following import until


@pytest.fixture
def server(start_redis: StartRedis) -> RedisServer:
    return start_redis(tcp=True)


class TestContract(StoreContract):
    """What every store promises."""

    @pytest.fixture
    def open_it(self, server: RedisServer) -> Iterator[OpenStore]:
        opened: list[BundleStore] = []

        def open_named(name: str | None) -> BundleStore:
            store = open_store(server.url + ("" if name is None else f"?bundle={name}"))
            opened.append(store)
            return store

        yield open_named
        for store in opened:
            store.close()


def opened(url: str, **client: object) -> BundleStore:
    """A store to be used once and left to the garbage collector."""
    return open_store(url, client=client)


def test_a_database_that_is_not_there_is_told(server: RedisServer) -> None:
    """In the server's own words."""
    number_less = server.url.rsplit("/", 1)[0]

    with pytest.raises(StoreError, match=r"DB index is out of range; "):
        opened(f"{number_less}/99?bundle=b").active()


def test_users_need_few_rights(server: RedisServer) -> None:
    """The rights that the docs list are enough; what is not allowed is told, without passwords."""
    reading = ["+get", "+hget", "+hgetall", "+smembers", "+subscribe"]
    writing = [*reading, "+set", "+hset", "+hexists", "+hkeys", "+sadd", "+eval", "+publish"]
    with Redis.from_url(server.url) as admin:
        for name, commands in (("publisher", writing), ("guard", reading)):
            admin.acl_setuser(
                name,
                enabled=True,
                passwords=["+s3cr3t/%"],
                keys=["sw:*"],
                channels=["sw:*"],
                commands=["+select", *commands],
            )
        admin.config_set("requirepass", "s3cr3t/%")
    query = "?bundle=payments"
    address = server.url.removeprefix("redis://")

    with closing(opened(f"redis://publisher:s3cr3t%2F%25@{address}{query}")) as publisher:
        publisher.publish(bundle("a"), by="ann", reason="x")
        publisher.activate(1, by="ann", reason="x")
    with closing(opened(f"redis://{address}{query}", username="guard", password="s3cr3t/%")) as one:
        assert one.active() is not None
        assert one.wait_for_change(1)
        assert len(one.history()) == len(one.activations()) == 1
        with pytest.raises(StoreError, match="does not allow it") as denied:
            one.publish(bundle("b"), by="ann", reason="x")
    for wrong in (f"redis://guard:s3cr3t@{address}{query}", f"redis://{address}{query}"):
        with closing(opened(wrong)) as other, pytest.raises(StoreError) as refused:
            other.active()
        assert refused.value.code == "SW196"
        assert "s3cr3t" not in f"{refused.value} {other!r} {vars(other)}"
    assert "s3cr3t" not in str(denied.value)


def test_unix_sockets(server: RedisServer) -> None:
    """With a database of their own."""
    with closing(open_store(f"redis+unix://{server.socket_path}?db=3&bundle=payments")) as store:
        store.publish(bundle("a"), by="ann", reason="x")
    with Redis(unix_socket_path=server.socket_path, db=3) as admin:
        assert admin.exists("sw:{payments}:number")


def test_tls(start_redis: StartRedis, tmp_path: Path) -> None:
    """Certificates are checked, also against the host's name; the client may have one too."""
    make_certificates(tmp_path)
    port = free_port()
    start_redis(
        *("--tls-port", str(port), "--tls-cert-file", f"{tmp_path}/server.crt"),
        *("--tls-key-file", f"{tmp_path}/server.key", "--tls-ca-cert-file", f"{tmp_path}/ca.crt"),
    )
    url = f"rediss://127.0.0.1:{port}/0?bundle=payments"
    mine = f"&cert={tmp_path}/server.crt&key={tmp_path}/server.key"

    with closing(open_store(f"{url}&ca={tmp_path}/ca.crt{mine}")) as store:
        assert store.publish(bundle("a"), by="ann", reason="x").number == 1
        assert store.wait_for_change(1)
    unknown_authority = f"{url}{mine}"
    no_certificate = f"{url}&ca={tmp_path}/ca.crt"
    other_name = f"{url}&ca={tmp_path}/ca.crt{mine}".replace("127.0.0.1", "localhost")
    for wrong in (unknown_authority, no_certificate, other_name):
        with closing(open_store(wrong)) as store, pytest.raises(StoreError) as refused:
            store.active()
        assert refused.value.code == "SW196"


def make_certificates(folder: Path) -> None:
    """An authority, and a certificate of it for 127.0.0.1."""
    openssl = find_program("openssl", remedy="install it")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for arguments in (
        ["-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority"],
        [
            *("-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=server"),
            *("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
    ):
        subprocess.run(
            [openssl, "req", "-x509", *new, *arguments], cwd=folder, check=True, capture_output=True
        )


def test_a_cluster(start_redis: StartRedis) -> None:
    """Whichever node is named, the one that has the bundle's keys is found."""
    # By themselves nodes talk to each other at ports that clients' connections may have.
    buses = [str(free_port()) for _ in range(2)]
    options = ("--cluster-enabled", "yes", "--cluster-port")
    nodes = [start_redis(*options, bus, tcp=True) for bus in buses]
    with Redis.from_url(nodes[0].url) as first, Redis.from_url(nodes[1].url) as second:
        first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        second.execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        port = nodes[1].url.partition("1:")[2].partition("/")[0]
        first.execute_command("CLUSTER", "MEET", "127.0.0.1", port, buses[1])
        for node in (first, second):
            until(lambda node=node: b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO"))  # type: ignore[misc]

    for name in ("payments", "orders", "refunds"):
        for node in nodes:
            with closing(open_store(f"{node.url}?bundle={name}")) as store:
                published = store.publish(bundle(name=name), by="ann", reason="x")
                store.activate(published.number, by="ann", reason="x")
                assert store.wait_for_change(30)
        for node in nodes:
            with closing(open_store(f"{node.url}?bundle={name}")) as store:
                active = store.active()
                assert active is not None
                assert active.bundle.label == f"{name}@2"


def test_what_was_evicted_is_told_and_its_number_not_given_again(server: RedisServer) -> None:
    """A Redis that makes room by throwing keys away is the wrong place; it is noticed."""
    url = f"{server.url}?bundle=payments"
    with closing(open_store(url)) as store, Redis.from_url(server.url) as admin:
        for note in "abc":
            store.publish(bundle(note), by="ann", reason="x")
        store.activate(3, by="ann", reason="x")
        admin.delete("sw:{payments}:number", "sw:{payments}:bundle:3")
        assert store.publish(bundle("d"), by="ann", reason="x").number == 4
        with closing(open_store(url)) as fresh, pytest.raises(StoreError) as lost:
            fresh.active()
        admin.set("sw:{payments}:active", '{"epoch": 1')
        with pytest.raises(StoreError) as torn:
            store.active()
        admin.delete("sw:{payments}:publications")
        admin.set("sw:{payments}:publications", "x")
        with pytest.raises(StoreError, match="refuses"):
            store.history()

    assert (lost.value.code, torn.value.code) == ("SW192", "SW192")


@pytest.mark.parametrize(
    "url",
    [
        *("redis://u:s3cr3t@host:port/0", "redis://u:s3cr3t@host/x", "redis://h/0?password"),
        *("redis://h/0?ca=x", "redis://u:s3cr3t@h/0?tls=1", "redis://h/0?timeout_s=0"),
        *("redis+unix:relative", "redis://h/0?db=a", "redis://h/0?password=s3cr3t&nothing=1"),
        *("redis://u:s3cr3t?x@h/0?bundle=b", "redis://u:x?s3cr3t@h/0?bundle=b", "redis:u:s3cr3t@h"),
        *(
            "redis://u:s3cr3t/x@h/0?nothing=1",
            "redis://u:s3cr3t#x@h/y",
            "redis:u:s3cr3t@h?db=1&nix=1",
        ),
    ],
)
def test_urls_that_make_no_sense(url: str) -> None:
    """StoreError when it is opened, without what may be a secret."""
    with pytest.raises(StoreError) as caught:
        open_store(url)

    assert caught.value.remedy
    assert "s3cr3t" not in str(caught.value)
