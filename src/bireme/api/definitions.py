"""Where the shape of each kind is written: the published schema, and our own structs in the same words.

A definition is a JSON schema in the dialect of the Kubernetes OpenAPI document, named as there
("io.k8s.api.core.v1.Pod"). The published ones are read from the compressed file that
`tools/generate_kinds.py` makes, each only when it is asked for; those of our own decks are derived from
their structs, so that a kind is stated once.
"""

import functools
import gzip
import hashlib
import inspect
from importlib import resources
from typing import Any

import msgspec
from msgspec import inspect as shapes

from bireme.api.scheme import IN_HOUSE_MODULES, gvk_of, in_house_definition, in_house_kinds

Definition = dict[str, Any]

REF = "#/definitions/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME = f"{META}Time"

_KINDS = "bireme.api.kinds."

_PREFIXES = {
    "meta": META.removesuffix("."),
    "autoscaling": "io.k8s.api.autoscaling.v2",
    "autoscaling_v1": "io.k8s.api.autoscaling.v1",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
}
_TYPE_FIELDS = {
    "apiVersion": {"description": "The version of the schema that this object is written in.", "type": "string"},
    "kind": {"description": "What this object is.", "type": "string"},
}
_METADATA = {"description": "What every object has: a name, labels, owners, versions."}


class Definitions:
    """Definitions by name; the texts are kept, the trees made when asked for."""

    def __init__(self, published: dict[str, msgspec.Raw], own: dict[str, Definition]) -> None:
        self._published = published
        self._own = own

    @functools.cached_property
    def digest(self) -> str:
        """Changes when any definition does."""
        digest = hashlib.sha256()
        for name in sorted(self._published):
            digest.update(name.encode() + bytes(self._published[name]))
        digest.update(msgspec.json.encode(self._own, order="sorted"))
        return digest.hexdigest()

    def __contains__(self, name: str) -> bool:
        return name in self._own or name in self._published

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted({*self._published, *self._own})

    def get(self, name: str) -> Definition:
        """The definition of that name; KeyError if there is none. The tree is the caller's own."""
        if name in self._own:
            return self._own[name]
        tree: Definition = msgspec.json.decode(self._published[name])
        return tree


@functools.cache
def builtin() -> Definitions:
    """The definitions of every kind that is built in."""
    packed = resources.files("bireme.api").joinpath("data/kubernetes-1.37.json.gz").read_bytes()
    published = msgspec.json.decode(gzip.decompress(packed), type=dict[str, msgspec.Raw])
    return Definitions(published, derived(in_house_kinds()))


def derived(kinds: tuple[type[Any], ...]) -> dict[str, Definition]:
    """The definitions of structs of our own, of all that they hold, and of their lists."""
    made: dict[str, Definition] = {}
    for kind in kinds:
        name = in_house_definition(kind)
        _add_struct(kind, made)
        gvk = gvk_of(kind)._asdict()
        made[name]["x-kubernetes-group-version-kind"] = [gvk]
        made[name]["properties"] |= _TYPE_FIELDS
        made[name]["properties"]["metadata"] |= _METADATA
        made[f"{name}List"] = _list_of(name, {**gvk, "kind": f"{gvk['kind']}List"})
    return made


def _list_of(name: str, gvk: dict[str, str]) -> Definition:
    return {
        "description": f"{gvk['kind']} is a list of {gvk['kind'].removesuffix('List')}.",
        "type": "object",
        "required": ["items"],
        "properties": {
            **_TYPE_FIELDS,
            "items": {"type": "array", "items": {"$ref": REF + name}},
            "metadata": {"$ref": f"{REF}{META}ListMeta"},
        },
        "x-kubernetes-group-version-kind": [gvk],
    }


def _add_struct(cls: type[Any], made: dict[str, Definition]) -> str:
    """The name of a struct's definition; one of our own is written down with all that it holds."""
    module = cls.__module__.removeprefix(_KINDS)
    if module not in IN_HOUSE_MODULES:
        return f"{_PREFIXES.get(module, f'io.k8s.api.{module}.v1')}.{cls.__name__}"
    name = in_house_definition(cls)
    if name not in made:
        definition: Definition = {"type": "object"}
        made[name] = definition
        if cls.__doc__:
            definition["description"] = inspect.cleandoc(cls.__doc__)
        info = shapes.type_info(cls)
        assert isinstance(info, shapes.StructType)
        definition["properties"] = {
            field.encode_name: _shape(field.type, made) for field in sorted(info.fields, key=lambda f: f.encode_name)
        }
    return name


def _shape(info: shapes.Type, made: dict[str, Definition]) -> Definition:
    match info:
        case shapes.StructType(cls=cls):
            return {"$ref": REF + _add_struct(cls, made)}
        case shapes.ListType(item_type=item) | shapes.SetType(item_type=item) | shapes.VarTupleType(item_type=item):
            return {"type": "array", "items": _shape(item, made), "x-kubernetes-list-type": "atomic"}
        case shapes.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _shape(value, made)}
        case shapes.UnionType(types=types):
            return _union(types, made)
        case shapes.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case shapes.EnumType(cls=cls):
            return {"type": "string", "enum": [item.value for item in cls]}
        case shapes.Metadata(type=inner):
            return _shape(inner, made)
    return dict(_SCALARS.get(type(info), {}))


_SCALARS: dict[type[shapes.Type], Definition] = {
    shapes.StrType: {"type": "string"},
    shapes.IntType: {"type": "integer", "format": "int64"},
    shapes.FloatType: {"type": "number", "format": "double"},
    shapes.BoolType: {"type": "boolean"},
    shapes.BytesType: {"type": "string", "format": "byte"},
    shapes.DateTimeType: {"$ref": REF + TIME},
}


def _union(types: tuple[shapes.Type, ...], made: dict[str, Definition]) -> Definition:
    rest = [item for item in types if not isinstance(item, shapes.NoneType)]
    if len(rest) == 1:
        return _shape(rest[0], made)
    kinds = {type(item) for item in rest}
    if kinds == {shapes.IntType, shapes.StrType}:
        return {"$ref": REF + INT_OR_STRING}
    if kinds == {shapes.IntType, shapes.StrType, shapes.FloatType}:
        return {"$ref": REF + QUANTITY}
    if kinds == {shapes.IntType, shapes.FloatType}:
        return {"type": "number", "format": "double"}
    return {}
