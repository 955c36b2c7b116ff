"""IP addresses and networks, as in Kubernetes' CEL library."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

from ..types import BOOL, CIDR, INT, IP, STRING
from ..values import CelError, Cidr, Ip
from .registry import Library, identity

__all__ = [
    "NETWORK",
    "cidr_ip",
    "cidr_text",
    "contains_cidr",
    "contains_cidr_text",
    "contains_ip",
    "contains_ip_text",
    "family",
    "ip_text",
    "is_canonical",
    "is_cidr",
    "is_ip",
    "masked",
    "prefix_length",
]

NETWORK: Final = Library()
_MAPPED: Final = 0xFFFF << 32  # ::ffff:0:0/96, where IPv4 addresses are mapped into IPv6.
_BITS: Final = {4: 32, 6: 128}
_TEXT_MAX: Final = 64  # The longest address has 45 characters.


def _parse(text: str) -> Ip | CelError:
    if "%" in text:
        return CelError("invalid_argument", "an IP address with a zone is not allowed")
    if ":" in text and "." in text:
        return CelError("invalid_argument", "an IPv4 address inside IPv6 is not allowed")
    try:
        if len(text) > _TEXT_MAX:
            raise ValueError
        address = ipaddress.ip_address(text)
    except ValueError:
        return CelError("conversion", "the text is no IP address")
    number = int(address)
    if address.version == 6 and number >> 32 << 32 == _MAPPED:
        return Ip(4, number & 0xFFFF_FFFF)
    return Ip(address.version, number)


def _parse_cidr(text: str) -> Cidr | CelError:
    host, slash, length = text.partition("/")
    address = _parse(host)
    if isinstance(address, CelError):
        return address if slash else CelError("conversion", "the text is no CIDR")
    # A mapped address with a prefix of its IPv6 form would be ambiguous.
    if address.version == 4 and ":" in host:
        return CelError("invalid_argument", "an IPv4 address inside IPv6 is not allowed")
    if not _LENGTH.fullmatch(length) or int(length) > _BITS[address.version]:
        return CelError("conversion", "the text is no CIDR")
    return Cidr(address, int(length))


_LENGTH: Final = re.compile("0|[1-9][0-9]{0,2}", re.ASCII)


def ip_text(address: Ip) -> str:
    """The canonical text of an address."""
    kind = ipaddress.IPv4Address if address.version == 4 else ipaddress.IPv6Address
    return str(kind(address.number))


def cidr_text(network: Cidr) -> str:
    """Address and prefix length."""
    return f"{ip_text(network.address)}/{network.length}"


NETWORK.add("ip", (STRING,), IP, _parse, form="function")
NETWORK.add("cidr", (STRING,), CIDR, _parse_cidr, form="function")
NETWORK.add("ip", (IP,), IP, identity, form="function")
NETWORK.add("cidr", (CIDR,), CIDR, identity, form="function")


@NETWORK.function("isIP", STRING, result=BOOL, form="both")
def is_ip(text: str) -> bool:
    """Whether `ip()` would take the text."""
    return isinstance(_parse(text), Ip)


@NETWORK.function("isCIDR", STRING, result=BOOL, form="both")
def is_cidr(text: str) -> bool:
    """Whether `cidr()` would take the text."""
    return isinstance(_parse_cidr(text), Cidr)


@NETWORK.function("ip.isCanonical", STRING, result=BOOL)
def is_canonical(text: str) -> object:
    """Whether the text is the way in which the address would be written."""
    address = _parse(text)
    return address if isinstance(address, CelError) else ip_text(address) == text


@NETWORK.method("family", IP, result=INT)
def family(address: Ip) -> int:
    """4 or 6."""
    return address.version


def _property(
    name: str, test: Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]
) -> None:
    def has_property(address: Ip) -> bool:
        if address.version == 4:
            return test(ipaddress.IPv4Address(address.number))
        return test(ipaddress.IPv6Address(address.number))

    NETWORK.add(name, (IP,), BOOL, has_property, form="method")


def _is_link_local_multicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return int(address) >> 8 == 0xE00000  # 224.0.0.0/24
    return int(address) >> 112 & 0xFF0F == 0xFF02  # ff02::/16, whatever the flags


def _is_global_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """As Go defines it: private addresses are global unicast too."""
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or (address.version == 4 and int(address) == 0xFFFF_FFFF)
    )


_property("isUnspecified", lambda address: address.is_unspecified)
_property("isLoopback", lambda address: address.is_loopback)
_property("isGlobalUnicast", _is_global_unicast)
_property("isLinkLocalMulticast", _is_link_local_multicast)
_property("isLinkLocalUnicast", lambda address: address.is_link_local)


def _prefix(address: Ip, length: int) -> int:
    return address.number >> (_BITS[address.version] - length)


@NETWORK.method("containsIP", CIDR, IP, result=BOOL)
def contains_ip(network: Cidr, address: Ip) -> bool:
    """Whether the address is in the network."""
    return address.version == network.address.version and (
        _prefix(address, network.length) == _prefix(network.address, network.length)
    )


@NETWORK.method("containsIP", CIDR, STRING, result=BOOL)
def contains_ip_text(network: Cidr, text: str) -> object:
    """The same for a text."""
    address = _parse(text)
    return address if isinstance(address, CelError) else contains_ip(network, address)


@NETWORK.method("containsCIDR", CIDR, CIDR, result=BOOL)
def contains_cidr(network: Cidr, other: Cidr) -> bool:
    """Whether all of the other network is in this one."""
    return other.length >= network.length and contains_ip(network, other.address)


@NETWORK.method("containsCIDR", CIDR, STRING, result=BOOL)
def contains_cidr_text(network: Cidr, text: str) -> object:
    """The same for a text."""
    other = _parse_cidr(text)
    return other if isinstance(other, CelError) else contains_cidr(network, other)


@NETWORK.method("ip", CIDR, result=IP)
def cidr_ip(network: Cidr) -> Ip:
    """The address as written, host bits included."""
    return network.address


@NETWORK.method("masked", CIDR, result=CIDR)
def masked(network: Cidr) -> Cidr:
    """The network without host bits."""
    bits = _BITS[network.address.version] - network.length
    address = Ip(network.address.version, network.address.number >> bits << bits)
    return Cidr(address, network.length)


@NETWORK.method("prefixLength", CIDR, result=INT)
def prefix_length(network: Cidr) -> int:
    """The length of the prefix in bits."""
    return network.length
