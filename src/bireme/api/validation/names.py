"""How names may be spelled: DNS labels and subdomains, qualified names, label values, ports, paths, addresses.

Each rule is a function from a text to the faults in it, () when there is none, worded as Kubernetes does. The
answers for short texts are remembered, since the same few names stand in most objects.
Source: apimachinery pkg/util/validation and pkg/api/validation/path (described, not copied); RFC 1035, 1123, 6335.
"""

import functools
import ipaddress
import re
from collections.abc import Callable

Rule = Callable[[str], tuple[str, ...]]

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

# Possessive quantifiers: what one part has taken is never tried again, so the time is linear.
_LABEL = re.compile(r"(?!-)[-a-z0-9]++(?<!-)")
_SUBDOMAIN = re.compile(r"(?!-)[-a-z0-9]++(?<!-)(?:\.(?!-)[-a-z0-9]++(?<!-))*+")
_LABEL_1035 = re.compile(r"[a-z](?:[-a-z0-9]*+(?<!-))?")
_QUALIFIED = re.compile(r"(?![-_.])[-A-Za-z0-9_.]++(?<![-_.])")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]++")
_PORT_NAME = re.compile(r"[-a-z0-9]++")
_HTTP_HEADER = re.compile(r"[-A-Za-z0-9]++")
_WILDCARD = re.compile(r"\*\.(?!-)[-a-z0-9]++(?<!-)(?:\.(?!-)[-a-z0-9]++(?<!-))*+")
_PERCENT = re.compile(r"[0-9]{1,9}%")

_LABEL_FMT = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_FMT = rf"{_LABEL_FMT}(\.{_LABEL_FMT})*"
_QUALIFIED_FMT = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"


def _pattern_fault(text: str, form: str, *examples: str) -> str:
    given = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {given}regex used for validation is '{form}')"


_LABEL_FAULT = _pattern_fault(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL_FMT,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_FAULT = _pattern_fault(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN_FMT,
    "example.com",
)
_LABEL_1035_FAULT = _pattern_fault(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character",
    "[a-z]([-a-z0-9]*[a-z0-9])?",
    "my-name",
    "abc-123",
)
_WILDCARD_FAULT = _pattern_fault(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_SUBDOMAIN_FMT}",
    "*.example.com",
)
_NAME_PART_FAULT = _pattern_fault(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _QUALIFIED_FMT,
    "MyName",
    "my.name",
    "123-abc",
)
_LABEL_VALUE_FAULT = _pattern_fault(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character",
    f"({_QUALIFIED_FMT})?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_FAULT = _pattern_fault(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "[-._a-zA-Z0-9]+",
    "key.name",
    "KEY_NAME",
    "key-name",
)
_ENV_NAME_FAULT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_HTTP_HEADER_FAULT = _pattern_fault(
    "a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", "X-Header-Name"
)


def longest(limit: int) -> str:
    """The fault of a text that is over its limit."""
    return f"must be no more than {limit} characters"


def _remembered(limit: int) -> Callable[[Rule], Rule]:
    """Keep the answers for texts up to `limit` long; longer ones only get the fault of being too long."""

    def keep(rule: Rule) -> Rule:
        cached = functools.lru_cache(maxsize=16_384)(rule)

        @functools.wraps(rule)
        def ask(text: str) -> tuple[str, ...]:
            return cached(text) if len(text) <= limit else (longest(limit),)

        return ask

    return keep


@_remembered(LABEL_MAX)
def dns_label(text: str) -> tuple[str, ...]:
    """RFC 1123 label."""
    if _LABEL.fullmatch(text):
        return ()
    return ("must not contain dots",) if _SUBDOMAIN.fullmatch(text) else (_LABEL_FAULT,)


@_remembered(SUBDOMAIN_MAX)
def dns_subdomain(text: str) -> tuple[str, ...]:
    """RFC 1123 subdomain."""
    return () if _SUBDOMAIN.fullmatch(text) else (_SUBDOMAIN_FAULT,)


@_remembered(LABEL_MAX)
def dns_label_1035(text: str) -> tuple[str, ...]:
    """RFC 1035 label, which starts with a letter."""
    return () if _LABEL_1035.fullmatch(text) else (_LABEL_1035_FAULT,)


@_remembered(SUBDOMAIN_MAX)
def wildcard_subdomain(text: str) -> tuple[str, ...]:
    """A subdomain whose first label is a star."""
    return () if _WILDCARD.fullmatch(text) else (_WILDCARD_FAULT,)


@_remembered(SUBDOMAIN_MAX + 1 + LABEL_MAX)
def qualified_name(text: str) -> tuple[str, ...]:
    """The key of a label, annotation, taint or resource: a name, with a domain before it or not."""
    prefix, slash, name = text.rpartition("/")
    faults: list[str] = []
    if slash:
        if "/" in prefix:
            return (
                f"a qualified name {_NAME_PART_FAULT} with an optional DNS subdomain prefix and '/' "
                "(e.g. 'example.com/MyName')",
            )
        if not prefix:
            faults.append("prefix part must be non-empty")
        faults += [f"prefix part {fault}" for fault in dns_subdomain(prefix) if prefix]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > LABEL_MAX:
        faults.append(f"name part {longest(LABEL_MAX)}")
    if not _QUALIFIED.fullmatch(name):
        faults.append(f"name part {_NAME_PART_FAULT}")
    return tuple(faults)


@_remembered(LABEL_MAX)
def label_value(text: str) -> tuple[str, ...]:
    """The value of a label."""
    return () if not text or _QUALIFIED.fullmatch(text) else (_LABEL_VALUE_FAULT,)


@_remembered(SUBDOMAIN_MAX)
def config_key(text: str) -> tuple[str, ...]:
    """A key of a ConfigMap or Secret, which becomes a file name."""
    if not _CONFIG_KEY.fullmatch(text):
        return (_CONFIG_KEY_FAULT,)
    if text in (".", ".."):
        return (f"must not be '{text}'",)
    return ("must not start with '..'",) if text.startswith("..") else ()


def environment_name(text: str) -> tuple[str, ...]:
    """The name of an environment variable."""
    return () if text and text.isascii() and text.isprintable() and "=" not in text else (_ENV_NAME_FAULT,)


def http_header(text: str) -> tuple[str, ...]:
    """The name of an HTTP header."""
    return () if _HTTP_HEADER.fullmatch(text) else (_HTTP_HEADER_FAULT,)


@_remembered(15)
def port_name(text: str) -> tuple[str, ...]:
    """The name of a port (IANA service name)."""
    faults = []
    if not _PORT_NAME.fullmatch(text):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= letter <= "z" for letter in text):
        faults.append("must contain at least one letter (a-z)")
    if "--" in text:
        faults.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return tuple(faults)


def port_number(number: int) -> tuple[str, ...]:
    """A port of TCP, UDP or SCTP."""
    return () if 1 <= number <= 65535 else ("must be between 1 and 65535, inclusive",)


def path_segment(text: str) -> tuple[str, ...]:
    """A name that only has to stand in a path."""
    if text in (".", ".."):
        return (f"may not be '{text}'",)
    return tuple(f"may not contain '{mark}'" for mark in "/%" if mark in text)


def is_percent(value: str) -> bool:
    """Whether it is a share such as "25%"."""
    return _PERCENT.fullmatch(value) is not None


@functools.lru_cache(maxsize=4096)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def ip_address(text: str) -> tuple[str, ...]:
    """An IPv4 or IPv6 address, without a zone."""
    if len(text) <= LABEL_MAX and _is_address(text):
        return ()
    return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)


def cidr(text: str) -> tuple[str, ...]:
    """A range of addresses."""
    try:
        if "/" in text and len(text) <= LABEL_MAX:
            ipaddress.ip_network(text, strict=False)
            return ()
    except ValueError:
        pass
    return ("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",)
