"""The stamp: the one header that says which bundle version decided what on an event.

    1;payments@15;9f3a1c2b7d4e;allow;produce[;id=…][;at=…][;mode=shadow][;ov=…][;ap=…][;mac=KID.TEXT]

Format version, bundle@number, first 12 hex digits of the digest, effect, stage, then optional
fields in this order. Headers are hostile input: a stamp is parsed within fixed bounds, and only a
verified mac makes it more than a claim.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from .keys import KeyRing, mac_text
from .model import Effect

__all__ = [
    "STAMP_HEADER",
    "Stamp",
    "StampError",
    "Verification",
    "find_stamps",
    "is_guard_header",
    "sign",
    "verify",
]

STAMP_HEADER = "streamwarden"
#: Far above what the fields below can need; longer is not ours.
_STAMP_MAX_BYTES = 1024

_STAGES = ("produce", "consume", "reconcile")
_EFFECTS = {effect.value: effect for effect in Effect}
_STAMP = re.compile(
    r"1;(?P<name>[a-z0-9][a-z0-9._-]{0,127})@(?P<number>0|[1-9][0-9]{0,17})"
    r";(?P<digest>[0-9a-f]{12});(?P<effect>[a-z]+);(?P<stage>[a-z]+)"
    r"(?:;id=(?P<id>[A-Za-z0-9_-]{1,64}))?"
    r"(?:;at=(?P<at>0|[1-9][0-9]{0,15}))?"
    r"(?:;mode=(?P<mode>shadow|off))?"
    r"(?:;ov=(?P<ov>[A-Za-z0-9_.-]{1,64}))?"
    r"(?:;ap=(?P<ap>[A-Za-z0-9_.-]{1,64}))?"
    r"(?:;mac=(?P<kid>[A-Za-z0-9_-]{1,32})\.(?P<mac>[A-Za-z0-9_-]{22}))?"
)

Verification = Literal["valid", "invalid", "unsigned", "unknown-key"]


class StampError(ValueError):
    """A header that calls itself a stamp and is none."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """One stamp. `at` is in milliseconds; `mac` is (key id, text); None where the field is absent."""

    bundle: str
    number: int
    digest12: str
    effect: Effect
    stage: str
    id: str | None = None
    at: int | None = None
    mode: str | None = None
    ov: str | None = None
    ap: str | None = None
    mac: tuple[str, str] | None = None

    @property
    def label(self) -> str:
        """The version as people write it: `payments@15`."""
        return f"{self.bundle}@{self.number}"

    @classmethod
    def parse(cls, data: bytes | None) -> Stamp:
        """Read a header value. Raises StampError, whose text holds nothing of the header."""
        if data is None or len(data) > _STAMP_MAX_BYTES:
            raise StampError("the stamp is empty or too long")
        try:
            found = _STAMP.fullmatch(data.decode("ascii"))
        except UnicodeDecodeError:
            raise StampError("the stamp is not ASCII") from None
        if found is None:
            raise StampError("the stamp does not have the form of format 1")
        effect, stage = _EFFECTS.get(found["effect"]), found["stage"]
        if effect is None or stage not in _STAGES:
            raise StampError("the stamp names an unknown effect or stage")
        return cls(
            bundle=found["name"],
            number=int(found["number"]),
            digest12=found["digest"],
            effect=effect,
            stage=stage,
            id=found["id"],
            at=None if found["at"] is None else int(found["at"]),
            mode=found["mode"],
            ov=found["ov"],
            ap=found["ap"],
            mac=None if found["kid"] is None else (found["kid"], found["mac"]),
        )

    def encode(self) -> bytes:
        """The header value. `parse(encode(stamp)) == stamp`."""
        text = self._unsigned()
        if self.mac is not None:
            text += f";mac={self.mac[0]}.{self.mac[1]}"
        return text.encode("ascii")

    def _unsigned(self) -> str:
        text = f"1;{self.bundle}@{self.number};{self.digest12};{self.effect.value};{self.stage}"
        for name, value in (
            ("id", self.id),
            ("at", self.at),
            ("mode", self.mode),
            ("ov", self.ov),
            ("ap", self.ap),
        ):
            if value is not None:
                text += f";{name}={value}"
        return text

    def headers(self, *, expanded: bool = False) -> list[tuple[str, bytes | None]]:
        """The stamp as headers: the packed one, and with `expanded` one readable header a field."""
        packed: list[tuple[str, bytes | None]] = [(STAMP_HEADER, self.encode())]
        if expanded:
            packed += [
                (f"{STAMP_HEADER}-{name}", str(value).encode())
                for name, value in self.to_dict().items()
            ]
        return packed

    def to_dict(self) -> dict[str, object]:
        """The stamp as findings show it; a mac is only named, never shown."""
        shown: dict[str, object] = {
            "bundle": self.label,
            "digest": self.digest12,
            "effect": self.effect.value,
            "stage": self.stage,
        }
        for name in ("id", "at", "mode", "ov", "ap"):
            if (value := getattr(self, name)) is not None:
                shown[name] = value
        if self.mac is not None:
            shown["key"] = self.mac[0]
        return shown


def sign(stamp: Stamp, keys: KeyRing, topic: str, key: bytes | None, value: bytes | None) -> Stamp:
    """`stamp` with a mac that binds it to topic, key and value (not to the other headers)."""
    kid, secret = keys.first
    text = _mac(stamp, secret, topic, key, value)
    return replace(stamp, mac=(kid, text))


def verify(
    stamp: Stamp, keys: KeyRing, topic: str, key: bytes | None, value: bytes | None
) -> Verification:
    """Whether the mac of `stamp` was made with one of `keys` for this very record."""
    if stamp.mac is None:
        return "unsigned"
    kid, text = stamp.mac
    secret = keys.get(kid)
    if secret is None:
        return "unknown-key"
    expected = _mac(replace(stamp, mac=None), secret, topic, key, value)
    return "valid" if hmac.compare_digest(expected, text) else "invalid"


def _mac(stamp: Stamp, secret: bytes, topic: str, key: bytes | None, value: bytes | None) -> str:
    return mac_text(secret, replace(stamp, mac=None).encode(), topic.encode(), key, value)


def find_stamps(headers: Iterable[tuple[str, bytes | None]]) -> list[bytes | None]:
    """The values of every header called `streamwarden`, in order; more than one is a forgery."""
    return [value for name, value in headers if name == STAMP_HEADER]


def is_guard_header(name: str) -> bool:
    """True for the names that only a guard writes; rules do not see them."""
    return name == STAMP_HEADER or name.startswith(("streamwarden-", "__dlq.errors."))
