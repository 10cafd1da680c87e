"""Addresses, ranges of addresses, and URLs. Source: the documentation of the libraries of Kubernetes for them."""

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.values import Opaque

_IP, _CIDR, _URL = "kubernetes.IP", "kubernetes.CIDR", "kubernetes.URL"
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Ip(Opaque):
    """One address."""

    __slots__ = ("address",)
    type_name = _IP

    def __init__(self, address: _Address) -> None:
        self.address = address

    def same(self, other: Opaque) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __str__(self) -> str:
        return str(self.address)

    @property
    def size(self) -> int:
        """Bytes, for costs."""
        return len(self.address.packed)


class Cidr(Opaque):
    """A range, kept with the address it was written with."""

    __slots__ = ("interface",)
    type_name = _CIDR

    def __init__(self, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
        self.interface = interface

    def same(self, other: Opaque) -> bool:
        return isinstance(other, Cidr) and self.interface == other.interface

    def __str__(self) -> str:
        return str(self.interface)

    @property
    def size(self) -> int:
        """Bytes of the prefix, for costs."""
        return -(-self.interface.network.prefixlen // 8)


class Url(Opaque):
    """A URL, taken apart."""

    __slots__ = ("parts", "text")
    type_name = _URL

    def __init__(self, text: str, parts: SplitResult) -> None:
        self.text = text
        self.parts = parts

    def same(self, other: Opaque) -> bool:
        return isinstance(other, Url) and self.text == other.text

    def __str__(self) -> str:
        return self.text


def _ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise CelError(f'IP Address "{text}" parse error during conversion from string') from None
    if isinstance(address, ipaddress.IPv6Address):
        if "%" in text:
            raise CelError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped is not None:
            raise CelError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def _is_ip(text: str) -> bool:
    try:
        _ip(text)
    except CelError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_ip(text)) == text


def _cidr(text: str) -> Cidr:
    fault = f'network address parse error during conversion from string: "{text}"'
    address, slash, prefix = text.partition("/")
    if not slash or not re.fullmatch(r"0|[1-9]\d{0,2}", prefix, re.ASCII):
        raise CelError(fault)
    _ip(address)
    try:
        return Cidr(ipaddress.ip_interface(text))
    except ValueError:
        raise CelError(fault) from None


def _is_cidr(text: str) -> bool:
    try:
        _cidr(text)
    except CelError:
        return False
    return True


def _contains_ip(cidr: Cidr, address: Any) -> bool:
    ip = _ip(address) if isinstance(address, str) else address
    return ip.address in cidr.interface.network


def _contains_cidr(cidr: Cidr, other: Any) -> bool:
    inner = _cidr(other) if isinstance(other, str) else other
    mine, others = cidr.interface.network, inner.interface.network
    return mine.version == others.version and mine.prefixlen <= others.prefixlen and others.network_address in mine


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(cidr.interface.network)))


def _is_global_unicast(ip: Ip) -> bool:
    address = ip.address
    broadcast = str(address) == "255.255.255.255"
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (special or broadcast)


def _is_link_local_multicast(ip: Ip) -> bool:
    packed = ip.address.packed
    if ip.address.version == 4:
        return packed[:3] == b"\xe0\x00\x00"
    return packed[0] == 0xFF and packed[1] & 0x0F == 2


def _is_link_local(ip: Ip) -> bool:
    return ip.address.is_link_local


# URLs


def _url(text: str) -> Url:
    fault = CelError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    if _CONTROL.search(text) or not (text.startswith("/") or _SCHEME.match(text)) or _ESCAPE.search(text):
        raise fault
    try:
        parts = urlsplit(text)
        if parts.netloc and not _host_is_right(parts):
            raise fault
    except ValueError:
        raise fault from None
    if (parts.scheme and not text[len(parts.scheme) + 1 :].startswith("/")) or " " in text.partition("?")[0]:
        raise fault
    return Url(text, parts)


def _host_is_right(parts: SplitResult) -> bool:
    host = parts.netloc.rpartition("@")[2]
    port = parts.port  # raises ValueError for what is no port
    return (port is None or port >= 0) and not re.search(r'[\s<>"]', host)


def _is_url(text: str) -> bool:
    try:
        _url(text)
    except CelError:
        return False
    return True


def _host(url: Url) -> str:
    return url.parts.netloc.rpartition("@")[2]


def _hostname(url: Url) -> str:
    host = _host(url)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _port(url: Url) -> str:
    host = _host(url)
    rest = host.partition("]")[2] if host.startswith("[") else host
    return rest.rpartition(":")[2] if ":" in rest else ""


def _query(url: Url) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in parse_qsl(url.parts.query, keep_blank_values=True):
        found.setdefault(key, []).append(value)
    return found


ROWS: list[Row] = [
    ("ip", f"(string): {_IP}", _ip, "traverse"),
    ("isIP", "(string): bool", _is_ip, "traverse"),
    ("ip.isCanonical", "(string): bool", _is_canonical, "twice"),
    ("family", f"{_IP}.(): int", lambda ip: ip.address.version),
    ("isUnspecified", f"{_IP}.(): bool", lambda ip: ip.address.is_unspecified),
    ("isLoopback", f"{_IP}.(): bool", lambda ip: ip.address.is_loopback),
    ("isLinkLocalMulticast", f"{_IP}.(): bool", _is_link_local_multicast),
    ("isLinkLocalUnicast", f"{_IP}.(): bool", _is_link_local),
    ("isGlobalUnicast", f"{_IP}.(): bool", _is_global_unicast),
    ("cidr", f"(string): {_CIDR}", _cidr, "traverse"),
    ("isCIDR", "(string): bool", _is_cidr, "traverse"),
    ("containsIP", f"{_CIDR}.(string): bool", _contains_ip, "addresses"),
    ("containsIP", f"{_CIDR}.({_IP}): bool", _contains_ip, "addresses"),
    ("containsCIDR", f"{_CIDR}.(string): bool", _contains_cidr, "addresses"),
    ("containsCIDR", f"{_CIDR}.({_CIDR}): bool", _contains_cidr, "addresses"),
    ("ip", f"{_CIDR}.(): {_IP}", lambda cidr: Ip(cidr.interface.ip)),
    ("masked", f"{_CIDR}.(): {_CIDR}", _masked),
    ("prefixLength", f"{_CIDR}.(): int", lambda cidr: cidr.interface.network.prefixlen),
    ("url", f"(string): {_URL}", _url, "traverse"),
    ("isURL", "(string): bool", _is_url, "traverse"),
    ("getScheme", f"{_URL}.(): string", lambda url: url.parts.scheme),
    ("getHost", f"{_URL}.(): string", _host),
    ("getHostname", f"{_URL}.(): string", _hostname),
    ("getPort", f"{_URL}.(): string", _port),
    ("getEscapedPath", f"{_URL}.(): string", lambda url: url.parts.path),
    ("getPath", f"{_URL}.(): string", lambda url: unquote(url.parts.path)),
    ("getQuery", f"{_URL}.(): map<string, list<string>>", _query),
]
