"""Bundle stores by their URLs, with the client properties of the command line."""

from __future__ import annotations

from collections.abc import Mapping

from ..policy.store import BundleStore, open_store
from ..producers.connection import connection_of
from .client import Client
from .output import SECRETS

__all__ = ["opened", "store_settings"]


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


def opened(url: str, client: Client | None = None, *, bundle: str | None = None) -> BundleStore:
    """The store at `url`, of the bundle called `bundle` where the URL names none."""
    settings = store_settings(url, client)
    if bundle is not None and "bundle=" not in url.partition("?")[2]:
        url += ("&" if "?" in url else "?") + f"bundle={bundle}"
    return open_store(url, client=settings)
