"""The checks of texts that data-contract rules use: `isEmail`, `isUuid`, `isUri` and so on.

Names and meaning as in Confluent's clients, whose CEL has them as methods and as functions. Every
check takes time linear in the text: each pattern has no two ways to read a character.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from ..types import BOOL, STRING
from .registry import Library

__all__ = [
    "FORMATS",
    "is_email",
    "is_hostname",
    "is_ipv4",
    "is_ipv6",
    "is_uri",
    "is_uri_reference",
    "is_uuid",
]

FORMATS: Final = Library()

_HOST_LENGTH_MAX: Final = 253
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
#: The addresses that the HTML standard lets into a form: a practical cut of RFC 5322.
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+", re.ASCII)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
#: RFC 3986: unreserved characters, sub-delimiters and escapes, with what each part adds.
_TEXT: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}"
_USER: Final = re.compile(_TEXT + r"|:)*", re.ASCII)
_NAME: Final = re.compile(_TEXT + r")*", re.ASCII)
_PATH: Final = re.compile(_TEXT + r"|[:@/])*", re.ASCII)
_QUERY: Final = re.compile(_TEXT + r"|[:@/?])*", re.ASCII)
_PORT: Final = re.compile(r"[0-9]*", re.ASCII)


@FORMATS.function("isHostname", STRING, result=BOOL, form="both")
def is_hostname(text: str) -> bool:
    """RFC 1123: labels of letters, digits and inner hyphens; the last one is not all digits."""
    host = text.removesuffix(".")
    labels = host.split(".")
    return (
        len(host) <= _HOST_LENGTH_MAX
        and all(map(_LABEL.fullmatch, labels))
        and not labels[-1].isdigit()
    )


@FORMATS.function("isEmail", STRING, result=BOOL, form="both")
def is_email(text: str) -> bool:
    """A plain address, `local@host`, without name or comment."""
    local, at, host = text.rpartition("@")
    return (
        bool(at)
        and len(text) <= 254
        and len(local) <= 64
        and _LOCAL_PART.fullmatch(local) is not None
        and not host.endswith(".")
        and is_hostname(host)
    )


@FORMATS.function("isUuid", STRING, result=BOOL, form="both")
def is_uuid(text: str) -> bool:
    """Five groups of hexadecimal digits with hyphens between them, in either case."""
    return _UUID.fullmatch(text) is not None


@FORMATS.function("isIpv4", STRING, result=BOOL, form="both")
def is_ipv4(text: str) -> bool:
    """Four numbers with dots, without leading zeros."""
    return len(text) <= 15 and _is_address(ipaddress.IPv4Address, text)


@FORMATS.function("isIpv6", STRING, result=BOOL, form="both")
def is_ipv6(text: str) -> bool:
    """RFC 4291; a zone may follow after `%`."""
    return len(text) <= 128 and _is_address(ipaddress.IPv6Address, text)


def _is_address(kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


@FORMATS.function("isUri", STRING, result=BOOL, form="both")
def is_uri(text: str) -> bool:
    """RFC 3986, with a scheme."""
    scheme, colon, rest = text.partition(":")
    return bool(colon) and _SCHEME.fullmatch(scheme) is not None and _is_relative(rest)


@FORMATS.function("isUriRef", STRING, result=BOOL, form="both")
def is_uri_reference(text: str) -> bool:
    """RFC 3986: a URI, or a reference relative to one."""
    if is_uri(text):
        return True
    first_segment = re.split(r"[/?#]", text, maxsplit=1)[0]
    return ":" not in first_segment and _is_relative(text)


def _is_relative(text: str) -> bool:
    """Whether the text is what may follow a scheme: authority, path, query and fragment."""
    rest, _, fragment = text.partition("#")
    rest, _, query = rest.partition("?")
    if rest.startswith("//"):
        authority, _, path = rest[2:].partition("/")
        if not _is_authority(authority):
            return False
    else:
        path = rest
    return all((_PATH.fullmatch(path), _QUERY.fullmatch(query), _QUERY.fullmatch(fragment)))


def _is_authority(text: str) -> bool:
    user, _, host = text.rpartition("@")
    if host.startswith("["):
        literal, closed, port = host[1:].partition("]")
        if not closed or "%" in literal or not is_ipv6(literal):
            return False
        port = port.removeprefix(":") if port.startswith(":") else port and "?"
    else:
        name, _, port = host.partition(":")
        if not _NAME.fullmatch(name):
            return False
    return _USER.fullmatch(user) is not None and _PORT.fullmatch(port) is not None
