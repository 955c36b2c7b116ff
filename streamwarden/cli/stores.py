"""Bundle stores by their URLs, with the client properties of the command line."""

from __future__ import annotations

from collections.abc import Mapping

from ..policy.store import BundleStore, open_store
from ..producers.connection import connection_of
from .client import Client
from .output import SECRETS

__all__ = ["opened", "store_client", "store_settings"]

#: As long as a store in Kafka is read by default.
_READ_S = 5.0


def store_settings(url: str, client: Client | None) -> Mapping[str, object]:
    """What a store's own client takes of `-X` and `-F`: how to reach Kafka, and as whom.

    Where the brokers are is what the URL says.
    """
    SECRETS.note_url(url)
    if client is None or not url.startswith("kafka:"):
        return {}
    found = connection_of(client.properties)
    found.pop("bootstrap.servers", None)
    return {"log_level": 0, **found}


def store_client(url: str, client: Client | None) -> Mapping[str, object]:
    """`store_settings`, and the time that a store in Kafka may take to be read.

    That is `--timeout` where it is less than what a store takes by itself, and the URL says none.
    """
    settings = store_settings(url, client)
    if client is None or not settings or client.timeout_s >= _READ_S or "timeout_s=" in url:
        return settings
    return {**settings, "timeout_s": client.timeout_s}


def opened(url: str, client: Client | None = None, *, bundle: str | None = None) -> BundleStore:
    """The store at `url`, of the bundle called `bundle` where the URL names none."""
    settings = store_client(url, client)
    if bundle is not None and "bundle=" not in url.partition("?")[2]:
        url += ("&" if "?" in url else "?") + f"bundle={bundle}"
    return open_store(url, client=settings)
