"""Named secret keys for stamps and masks, held so that they can rotate and are never printed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

from streamwarden.errors import ConfigurationError

__all__ = ["TRIAL_KEYS", "KeyRing", "mac_text"]

_KID = re.compile(r"[A-Za-z0-9_-]{1,32}")
#: BLAKE2b takes at most 64 bytes of key; shorter than 16 could be guessed.
_KEY_MIN_BYTES, _KEY_MAX_BYTES = 16, 64
_FILE_MAX_BYTES = 65_536
_NULL_PART = b"\xff\xff\xff\xff"


class KeyRing:
    """Keys by id: the first one signs or hashes, every one is known when reading.

    Its repr shows the ids only.
    """

    __slots__ = ("_keys", "first")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ConfigurationError("a key file needs at least one key", remedy=_HOW)
        for kid, key in keys.items():
            if not _KID.fullmatch(kid):
                raise ConfigurationError(f"`{kid}` is no key id", remedy=_HOW)
            if not _KEY_MIN_BYTES <= len(key) <= _KEY_MAX_BYTES:
                raise ConfigurationError(
                    f"key `{kid}` has {len(key)} bytes",
                    remedy=f"use {_KEY_MIN_BYTES} to {_KEY_MAX_BYTES} random bytes",
                )
        self._keys = dict(keys)
        #: Id and bytes of the key that signs.
        self.first: tuple[str, bytes] = next(iter(self._keys.items()))

    def get(self, kid: str) -> bytes | None:
        """The key called `kid`, or None."""
        return self._keys.get(kid)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @classmethod
    def load(cls, source: KeyRing | str | Path | Mapping[str, str | bytes]) -> KeyRing:
        """Read keys from a YAML file `{KID: base64 key}` or from a mapping of the same form.

        Bytes in a mapping are taken as they are. Raises ConfigurationError.
        """
        if isinstance(source, KeyRing):
            return source
        if isinstance(source, Mapping):
            return cls({kid: _decode(kid, key) for kid, key in source.items()})
        return cls({kid: _decode(kid, key) for kid, key in _read(Path(source)).items()})


#: What `hash` masks are made with where events are only tried: no secret, and the same everywhere.
TRIAL_KEYS: Final = KeyRing({"replay": bytes(_KEY_MIN_BYTES)})

_HOW = "write `KID: base64 key`, one a line; `head -c 32 /dev/urandom | base64` makes a key"


def _decode(kid: str, key: str | bytes) -> bytes:
    if isinstance(key, bytes):
        return key
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"key `{kid}` is not base64", remedy=_HOW) from None


def _read(path: Path) -> dict[str, str]:
    # A key file is a flat mapping by definition, so a line is all there is to parse; a YAML
    # library would put the secrets into its error messages.
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the key file `{path}`: {error.strerror}", remedy="check path and rights"
        ) from None
    if len(data) > _FILE_MAX_BYTES:
        raise ConfigurationError(f"the key file `{path}` is too large", remedy=_HOW)
    keys: dict[str, str] = {}
    for number, raw in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#") or line in ("---", "{}"):
            continue
        kid, colon, text = line.strip("{}").partition(":")
        kid, text = kid.strip().strip("\"'"), text.partition(" #")[0].strip().strip("\"'")
        if not colon or not kid or not text or kid in keys:
            raise ConfigurationError(f"{path}:{number}:1: not a new `KID: base64 key`", remedy=_HOW)
        keys[kid] = text
    return keys


def mac_text(key: bytes, *parts: bytes | None) -> str:
    """Keyed BLAKE2b over `parts`, 16 bytes as base64url without padding (22 characters).

    Each part is preceded by its length as 4 bytes big-endian; None is length 0xFFFFFFFF and
    nothing, so that no two lists of parts give the same bytes. BLAKE2: RFC 7693.
    """
    digest = blake2b(digest_size=16, key=key)
    for part in parts:
        if part is None:
            digest.update(_NULL_PART)
        else:
            digest.update(len(part).to_bytes(4, "big"))
            digest.update(part)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")
