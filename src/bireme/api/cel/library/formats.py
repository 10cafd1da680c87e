"""Named formats that texts can be held against. Source: the documentation of the format library of Kubernetes."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable

from bireme.api.cel.coercion import parse_timestamp
from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.library.network import _url
from bireme.api.cel.values import NONE, Opaque, Optional
from bireme.api.validation import names

_NAME = "kubernetes.NamedFormat"
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Format(Opaque):
    """One format; `faults` gives what is wrong with a text."""

    __slots__ = ("faults", "name")
    type_name = _NAME

    def __init__(self, name: str, faults: Callable[[str], Iterable[str]]) -> None:
        self.name = name
        self.faults = faults


def _prefix(rule: Callable[[str], tuple[str, ...]]) -> Callable[[str], tuple[str, ...]]:
    # What ends in a dash may be the beginning of a right name.
    return lambda text: rule(text[:-1] + "a" if text.endswith("-") else text)


def _uri(text: str) -> tuple[str, ...]:
    try:
        _url(text)
    except CelError as error:
        return (str(error),)
    return ()


def _uuid(text: str) -> tuple[str, ...]:
    return () if _UUID.fullmatch(text) else ("does not match the UUID format",)


def _byte(text: str) -> tuple[str, ...]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ("invalid base64",)
    return ()


def _date(text: str) -> tuple[str, ...]:
    return ("invalid date",) if not _DATE.fullmatch(text) or _no_time(text) else ()


def _datetime(text: str) -> tuple[str, ...]:
    return ("invalid datetime",) if _DATE.fullmatch(text) or _no_time(text) else ()


def _no_time(text: str) -> bool:
    try:
        parse_timestamp(text)
    except CelError:
        return True
    return False


_FORMATS: dict[str, Format] = {
    name: Format(name, faults)
    for name, faults in {
        "dns1123Label": names.dns_label,
        "dns1123Subdomain": names.dns_subdomain,
        "dns1035Label": names.dns_label_1035,
        "qualifiedName": names.qualified_name,
        "dns1123LabelPrefix": _prefix(names.dns_label),
        "dns1123SubdomainPrefix": _prefix(names.dns_subdomain),
        "dns1035LabelPrefix": _prefix(names.dns_label_1035),
        "labelValue": names.label_value,
        "uri": _uri,
        "uuid": _uuid,
        "byte": _byte,
        "date": _date,
        "datetime": _datetime,
    }.items()
}


def _named(name: str) -> Optional:
    return Optional(_FORMATS[name]) if name in _FORMATS else NONE


def _validate(form: Format, text: str) -> Optional:
    faults = list(form.faults(text))
    return Optional(faults) if faults else NONE


def _constant(form: Format) -> Callable[[], Format]:
    return lambda: form


ROWS: list[Row] = [
    ("format.named", f"(string): optional<{_NAME}>", _named),
    ("validate", f"{_NAME}.(string): optional<list<string>>", _validate, "traverse"),
    *[(f"format.{name}", f"(): {_NAME}", _constant(form)) for name, form in _FORMATS.items()],
]
