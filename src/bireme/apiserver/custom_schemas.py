"""The schemas of custom kinds as they are published, beside those that are built in.

OpenAPI v3 can say nearly all that a structural schema does. v2 can't: what it has no words for is left out, and
where values may be null, unknown or of two types, the schema is left open, so that clients refuse nothing that the
server takes. Source: the publishing of Kubernetes' apiextensions server, by its documentation.
"""

import hashlib
from typing import Any

import orjson

from bireme.api import definitions as known
from bireme.api.definitions import META, REF, Definitions
from bireme.api.structural.settling import EMBEDDED, PRESERVE
from bireme.registry.custom import Custom
from bireme.registry.kinds import Kinds

Tree = dict[str, Any]
_GVK = "x-kubernetes-group-version-kind"
_OWN: Tree = {
    "apiVersion": {
        "description": "APIVersion defines the versioned schema of this representation of an object. Servers should "
        "convert recognized schemas to the latest internal value, and may reject unrecognized values.",
        "type": "string",
    },
    "kind": {
        "description": "Kind is a string value representing the REST resource this object represents. Servers may "
        "infer this from the endpoint the client submits requests to.",
        "type": "string",
    },
    "metadata": {"$ref": f"{REF}{META}ObjectMeta", "description": "Standard object's metadata."},
}
# What schemas hold: lists of schemas, maps of schemas, and single ones.
_LISTS = ("allOf", "anyOf", "oneOf")
_NOT_IN_V2 = frozenset((*_LISTS, "not", "nullable", "example"))
_INT_OR_STRING = "x-kubernetes-int-or-string"


class CustomDefinitions:
    """The definitions that are built in, and those of the custom kinds that are served now."""

    def __init__(self, kinds: Kinds, builtin: Definitions | None = None) -> None:
        self._kinds = kinds
        self._builtin = builtin or known.builtin()
        self._generation = -1
        self._served: dict[str, tuple[Custom, bool]] = {}

    def get(self, name: str, *, v3: bool = False) -> Tree:
        """The definition of that name, KeyError if there is none."""
        found = self._all().get(name)
        if found is None:
            return self._builtin.get(name)
        custom, is_list = found
        if is_list:
            return _list_of(custom)
        return published(custom, v3=v3)

    def digest_of(self, group: str, version: str) -> str:
        """Changes when any definition of a group and version does."""
        digest = hashlib.sha256(self._builtin.digest.encode())
        for name, (custom, is_list) in sorted(self._all().items()):
            if (custom.resource.group, custom.resource.version) == (group, version) and not is_list:
                digest.update(name.encode() + orjson.dumps(custom.schema, option=orjson.OPT_SORT_KEYS))
        return digest.hexdigest()

    def _all(self) -> dict[str, tuple[Custom, bool]]:
        if self._generation != self._kinds.generation:
            self._generation = self._kinds.generation
            self._served = {}
            for kind in self._kinds.all():
                if kind.custom is not None:
                    self._served[kind.definition] = (kind.custom, False)
                    self._served[f"{kind.definition}List"] = (kind.custom, True)
        return self._served


def published(custom: Custom, *, v3: bool) -> Tree:
    """The definition of a version of a custom kind."""
    schema = custom.schema if v3 else _for_v2(custom.schema)
    made: Tree = {**schema, "type": "object"}
    if v3 or not custom.schema.get(PRESERVE):
        made["properties"] = {**(schema.get("properties") or {}), **_OWN}
        said = (custom.schema.get("properties") or {}).get("metadata") or {}
        if v3 and said.get("properties"):
            made["properties"]["metadata"] = {**_OWN["metadata"]}
    made = _with_embedded(made)
    made[_GVK] = [custom.resource.gvk._asdict()]
    return made


def _list_of(custom: Custom) -> Tree:
    resource = custom.resource
    kind = resource.list_kind or f"{resource.kind}List"
    return {
        "description": f"{kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": _OWN["apiVersion"],
            "items": {
                "description": f"List of {resource.plural}.",
                "type": "array",
                "items": {"$ref": REF + resource.definition},
            },
            "kind": _OWN["kind"],
            "metadata": {"$ref": f"{REF}{META}ListMeta", "description": "Standard list metadata."},
        },
        _GVK: [{"group": resource.group, "version": resource.version, "kind": kind}],
    }


def _with_embedded(schema: Tree) -> Tree:
    """The schema with the fields of every object in those that are embedded."""
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {
            name: _with_embedded(said) if isinstance(said, dict) and "$ref" not in said else said
            for name, said in made["properties"].items()
        }
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), dict):
            made[name] = _with_embedded(made[name])
    if made.get(EMBEDDED):
        made["properties"] = {**(made.get("properties") or {}), **_OWN}
        made["required"] = sorted({*(made.get("required") or ()), "apiVersion", "kind"})
    return made


def _for_v2(schema: Tree) -> Tree:
    """What OpenAPI v2 can say of a schema."""
    made = {name: said for name, said in schema.items() if name not in _NOT_IN_V2}
    if schema.get(_INT_OR_STRING):
        made.pop("type", None)
    elif schema.get(PRESERVE) or schema.get("nullable"):
        for name in ("type", "items", "properties", "required", "additionalProperties"):
            made.pop(name, None)
        return made
    if "properties" in made:
        made["properties"] = {name: _for_v2(said) for name, said in made["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), dict):
            made[name] = _for_v2(made[name])
        elif name in made:
            del made[name]
    return made
