"""The protobuf form of the built-in kinds as a table: messages, their fields and numbers, and the envelope.

The table (`data/protobuf-fields.txt.gz`) has one line a message and one entry a field, `name=number type`, the name
being that of JSON. A mark before the type says what the wire does not: `?` has a pointer in Go, so its zero is not
the same as unset and unset is not written; `!` is shown by JSON when zero; `<` lies inline in JSON. `protobuf.py`
reads by this table, `protobuf_encoder.py` writes by it. Source: the published generated.proto files.
"""

import functools
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from bireme.api.resources_table import GROUP_ORDER

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
META = "apimachinery.pkg.apis.meta.v1."
SCALARS = frozenset({"string", "int32", "int64", "bool", "bytes", "double"})

_PACKAGES = {
    "apiextensions.k8s.io": "apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "kube_aggregator.pkg.apis.apiregistration",
}
_GROUPS = frozenset({"", *GROUP_ORDER, "apidiscovery.k8s.io", "meta.k8s.io"})
# Types that Go writes by hand, by the packages that hold them.
BY_HAND = frozenset(
    {f"{META}{name}" for name in ("Duration", "FieldsV1", "MicroTime", "Time", "Verbs")}
    | {f"apiextensions_apiserver.pkg.apis.apiextensions.{version}.{name}" for version in ("v1", "v1beta1")
       for name in ("JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray")}
    | {f"api.{group}.{version}.ExtraValue" for group in ("authentication", "authorization", "certificates")
       for version in ("v1", "v1beta1")}
    | {"apimachinery.pkg.api.resource.Quantity", "apimachinery.pkg.runtime.RawExtension"}
    | {"apimachinery.pkg.util.intstr.IntOrString"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its name in JSON, its type, and how it is written; `key` is a map's key type."""

    number: int
    name: str
    kind: str
    repeated: bool = False
    key: str = ""
    optional: bool = False
    shown: bool = False
    inline: bool = False

    @property
    def is_message(self) -> bool:
        """Whether its values are messages themselves."""
        return self.kind not in SCALARS


Message = Mapping[int, Field]


@functools.cache
def messages() -> Mapping[str, Message]:
    """Every message by its full name, its fields by number in rising order."""
    text = gzip.decompress((files("bireme.api") / "data" / "protobuf-fields.txt.gz").read_bytes()).decode()
    found: dict[str, Message] = {}
    package = ""
    for line in text.splitlines():
        if line.startswith("## "):
            package = line[3:]
            continue
        name, _, rows = line.partition(":")
        fields = sorted((_field(package, row.strip()) for row in rows.split(";") if row.strip()), key=_number)
        found[f"{package}.{name}"] = {field.number: field for field in fields}
    return found


@functools.lru_cache(maxsize=4096)
def message_of(api_version: str, kind: str) -> str | None:
    """The message of a kind's objects; None for kinds that have no such form."""
    group, _, version = api_version.rpartition("/")
    if group not in _GROUPS:  # another's may share its first word with one of these
        return None
    package = _PACKAGES.get(group, f"api.{group.partition('.')[0] or 'core'}")
    names = (f"{package}.{version}.{kind}", f"{META}{kind}")
    return next((name for name in names if name in messages()), None)


def _number(field: Field) -> int:
    return field.number


def _field(package: str, row: str) -> Field:
    head, _, kind = row.partition(" ")
    name, _, number = head.partition("=")
    mark = kind[0] if kind[0] in "?!<" else ""
    kind = kind.removeprefix(mark)
    repeated = kind.startswith("[]")
    key = ""
    if kind.startswith("map<"):
        key, _, kind = kind[4:-1].partition(", ")
    kind = kind.removeprefix("[]").removeprefix(".")
    if kind not in SCALARS and "." not in kind:
        kind = f"{package}.{kind}"
    return Field(int(number), name, kind, repeated, key, optional=mark == "?", shown=mark == "!", inline=mark == "<")
