"""The formats of texts that custom kinds' schemas may ask for; ones that are not listed are not checked.

Source: the formats of kube-openapi's `strfmt`, by the Kubernetes documentation of CustomResourceDefinitions.
"""

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from bireme.api.validation.names import dns_label, dns_subdomain

Format = Callable[[str], bool]

_LONGEST = 64 * 1024


def _matches(pattern: str, flags: int = 0) -> Format:
    compiled = re.compile(pattern, re.ASCII | flags)
    return lambda text: len(text) <= _LONGEST and compiled.fullmatch(text) is not None


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _address(version: int) -> Format:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return check


def _network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _uuid(version: int | None) -> Format:
    shape = _matches(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")

    def check(text: str) -> bool:
        return shape(text) and (version is None or uuid.UUID(text).version == version)

    return check


def _luhn(text: str) -> bool:
    digits = [int(digit) for digit in text if digit.isdecimal()]
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [digit if place % 2 == 0 else digit * 2 for place, digit in enumerate(reversed(digits))]
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0


def _isbn(length: int) -> Format:
    def check(text: str) -> bool:
        digits = text.replace("-", "").replace(" ", "").upper()
        if len(digits) != length or not digits[:-1].isdecimal() or digits[-1] not in "0123456789X":
            return False
        values = [10 if digit == "X" else int(digit) for digit in digits]
        if length == 10:
            return sum(value * (10 - place) for place, value in enumerate(values)) % 11 == 0
        return (
            values[-1] < 10 and sum(value * (3 if place % 2 else 1) for place, value in enumerate(values)) % 10 == 0
        )

    return check


_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_CHANNEL = r"\s*(25[0-5]|2[0-4]\d|1?\d?\d)\s*"
_isbn10, _isbn13 = _isbn(10), _isbn(13)

FORMATS: Mapping[str, Format] = {
    "bsonobjectid": _matches(r"(?i)[0-9a-f]{24}"),
    "byte": _base64,
    "cidr": _network,
    "creditcard": _luhn,
    "date": _matches(_DATE),
    "date-time": _matches(rf"(?i){_DATE}[T ]{_TIME}"),
    "datetime": _matches(rf"(?i){_DATE}[T ]{_TIME}"),
    "duration": _matches(
        r"[+-]?(\d+(\.\d*)?\s*(ns|us|µs|μs|ms|s|m|h|d|w|(nano|micro|milli)?seconds?|minutes?|hours?|days?|weeks?)\s*)+|0"
    ),
    "email": _matches(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _matches(
        r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?"
    ),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "k8s-short-name": lambda text: not dns_label(text),
    "k8s-long-name": lambda text: not dns_subdomain(text),
    "mac": _matches(
        r"(?i)[0-9a-f]{2}([:-][0-9a-f]{2}){5}|[0-9a-f]{2}([:-][0-9a-f]{2}){7}|[0-9a-f]{4}(\.[0-9a-f]{4}){2,3}"
    ),
    "rgbcolor": _matches(rf"rgb\({_CHANNEL},{_CHANNEL},{_CHANNEL}\)"),
    "ssn": _matches(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": _uri,
    "uuid": _uuid(None),
    "uuid3": _uuid(3),
    "uuid4": _uuid(4),
    "uuid5": _uuid(5),
}
