"""Make `api/kinds/*.py` and the compressed schema from the published Kubernetes definitions.

    generate_kinds.py DEFINITIONS.json

DEFINITIONS.json is `kubernetes-json-schema/vX.Y.Z-local/_definitions.json` of the PyPI package
`kubernetes-validate`. The output is committed; nothing of that package is needed at run time.
"""

import gzip
import json
import keyword
import re
import sys
from pathlib import Path
from typing import Any

SRC = Path(__file__).resolve().parents[1] / "src" / "bireme" / "api"

# Definition prefix to module of api/kinds; a group's preferred GA version only.
MODULES = {
    "io.k8s.apimachinery.pkg.apis.meta.v1": "meta",
    "io.k8s.apimachinery.pkg.version": "meta",
    "io.k8s.api.core.v1": "core",
    "io.k8s.api.apps.v1": "apps",
    "io.k8s.api.batch.v1": "batch",
    "io.k8s.api.autoscaling.v2": "autoscaling",
    "io.k8s.api.autoscaling.v1": "autoscaling_v1",
    "io.k8s.api.policy.v1": "policy",
    "io.k8s.api.networking.v1": "networking",
    "io.k8s.api.discovery.v1": "discovery",
    "io.k8s.api.events.v1": "events",
    "io.k8s.api.coordination.v1": "coordination",
    "io.k8s.api.rbac.v1": "rbac",
    "io.k8s.api.storage.v1": "storage",
    "io.k8s.api.scheduling.v1": "scheduling",
    "io.k8s.api.scheduling.v1alpha3": "scheduling_v1alpha3",
    "io.k8s.api.node.v1": "node",
    "io.k8s.api.certificates.v1": "certificates",
    "io.k8s.api.admissionregistration.v1": "admissionregistration",
    "io.k8s.api.flowcontrol.v1": "flowcontrol",
    "io.k8s.api.resource.v1": "resource",
    "io.k8s.api.storagemigration.v1": "storagemigration",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1": "apiextensions",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1": "apiregistration",
    "io.k8s.api.authentication.v1": "authentication",
    "io.k8s.api.authorization.v1": "authorization",
}
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("Quantity", ' = ""'),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("IntOrString | None", " = None"),
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": ("str", ' = ""'),
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": ("str", ' = ""'),
}
OPAQUE = {
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
}
# What no part of ours reads, and what would be half the work of reading a pod, and more than half of its memory.
UNREAD = {("ObjectMeta", "managedFields")}
HEADER = '''"""{title}, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

{imports}
'''


def split(name: str) -> tuple[str, str]:
    prefix, _, leaf = name.rpartition(".")
    return prefix, leaf


def snake(name: str) -> str:
    """`clusterIPs` to `cluster_ips`, `podCIDR` to `pod_cidr`."""
    name = re.sub(r"[^A-Za-z0-9]", "_", name).lstrip("_")
    name = re.sub(r"(IPs|CIDRs|IDs|URLs|UIDs|APIs|GIDs|VMs)(?=[A-Z]|$)", lambda m: m[1][0] + m[1][1:].lower(), name)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return text + "_" if keyword.iskeyword(text) or text in ("bool", "int", "str", "list", "dict") else text


def camel(name: str) -> str:
    """What msgspec's rename="camel" makes of an attribute."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def plain_type(schema: dict[str, Any]) -> str | None:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        kinds = next((kind for kind in kinds if kind != "null"), None)
    return kinds


class Module:
    def __init__(self, name: str) -> None:
        self.name = name
        self.used: set[str] = set()
        self.kinds: set[str] = set()
        self.classes: list[str] = []

    def type_of(self, schema: dict[str, Any], definitions: dict[str, Any]) -> str:
        """The annotation of a value that is there."""
        if ref := schema.get("$ref"):
            target = ref.removeprefix("#/$defs/")
            if target in SCALARS:
                return self.base(SCALARS[target][0].removesuffix(" | None"))
            if target in OPAQUE or not definitions[target].get("properties"):
                alias = definitions[target]
                return "Any" if plain_type(alias) in (None, "object") else self.type_of(alias, definitions)
            prefix, leaf = split(target)
            module = MODULES[prefix]
            if module == self.name:
                return leaf
            self.used.add(module)
            return f"{module}.{leaf}"
        match plain_type(schema):
            case "string":
                return "str"
            case "integer":
                return "int"
            case "number":
                return "float"
            case "boolean":
                return "bool"
            case "array":
                return f"list[{self.type_of(schema['items'], definitions)}]"
            case "object" if "additionalProperties" in schema:
                return f"dict[str, {self.type_of(schema['additionalProperties'], definitions)}]"
            case "object":
                return "dict[str, Any]"
        return "Any"

    def base(self, name: str) -> str:
        if name in ("Quantity", "IntOrString"):
            self.kinds.add(name)
        return name

    def field(self, name: str, schema: dict[str, Any], *, required: bool, definitions: dict[str, Any]) -> str:
        attribute = snake(name)
        kind = self.type_of(schema, definitions)
        factory = ""
        if kind in ("str", "Quantity"):
            default = '""'
        elif kind.startswith("list["):
            default = "[]"
        elif kind.startswith("dict["):
            default = "{}"
        elif kind == "Any":
            default = "None"
        elif (
            "$ref" in schema
            and kind[0].isupper() | ("." in kind)
            and kind != "IntOrString"
            and (required or name in ("metadata", "spec", "status"))
        ):
            default, factory = "", kind
        else:
            kind, default = f"{kind} | None", "None"
        renamed = "" if camel(attribute) == name else f'name="{name}"'
        if factory:
            value = f"field(default_factory=lambda: {factory}()" + (f", {renamed})" if renamed else ")")
        elif renamed and default in ("[]", "{}"):
            value = f"field(default_factory={'list' if default == '[]' else 'dict'}, {renamed})"
        elif renamed:
            value = f"field(default={default}, {renamed})"
        else:
            value = default
        if value.startswith("field("):
            self.kinds.add("field")
        return f"    {attribute}: {kind} = {value}"

    def add(self, name: str, schema: dict[str, Any], definitions: dict[str, Any]) -> None:
        _, leaf = split(name)
        properties: dict[str, Any] = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        gvks = schema.get("x-kubernetes-group-version-kind") or []
        is_kind = len(gvks) == 1 and "metadata" in properties and not leaf.endswith("List")
        lines = []
        if is_kind:
            gvk = gvks[0]
            lines.append(f'    __gvk__ = ("{gvk["group"]}", "{gvk["version"]}", "{gvk["kind"]}")')
        for key in sorted(properties):
            if (is_kind and key in ("apiVersion", "kind", "metadata")) or (leaf, key) in UNREAD:
                continue
            lines.append(self.field(key, properties[key], required=key in required, definitions=definitions))
        base = "Object" if is_kind else "Model"
        self.kinds.add(base)
        self.classes.append(f"class {leaf}({base}):\n" + "\n".join(lines or ["    pass"]))

    def text(self) -> str:
        body = "\n\n\n".join(self.classes) + "\n"
        lines = []
        if re.search(r"\bAny\b", body):
            lines += ["from typing import Any", ""]
        if "field" in self.kinds:
            lines += ["from msgspec import field", ""]
        if self.used:
            lines.append(f"from bireme.api.kinds import {', '.join(sorted(self.used))}")
        bases = self.kinds - {"field"}
        if "Object" in bases and self.name != "meta":
            lines.append("from bireme.api.kinds.meta import Object")
        if bases - {"Object"}:
            lines.append(f"from bireme.api.model import {', '.join(sorted(bases - {'Object'}))}")
        if self.name == "meta":
            body = META_HEAD + body
        return HEADER.format(title=f"The kinds of {self.name}", imports="\n".join(lines)) + "\n\n" + body


META_HEAD = '''class Object(Model):
    """What every kind has. `api_version` and `kind` are filled in when it is encoded."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = field(default_factory=lambda: ObjectMeta())


'''


def trimmed(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions of served versions, null types folded away, under short `$ref`s."""

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        out = {
            key: {name: walk(field) for name, field in item.items()} if key == "properties" else walk(item)
            for key, item in value.items()
        }
        if isinstance(out.get("type"), list):
            out["type"] = next(kind for kind in out["type"] if kind != "null")
        if "$ref" in out:
            out["$ref"] = out["$ref"].replace("#/$defs/", "#/definitions/")
        return out

    keep = {}
    for name, schema in definitions.items():
        prefix, _ = split(name)
        if prefix in MODULES or name in SCALARS or name in OPAQUE:
            keep[name] = walk(schema)
    return keep


def main() -> None:
    definitions: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())["$defs"]
    modules: dict[str, Module] = {}
    for name in sorted(definitions):
        prefix, leaf = split(name)
        module = MODULES.get(prefix)
        schema = definitions[name]
        if module is None or name in SCALARS or name in OPAQUE or not schema.get("properties"):
            continue
        if leaf.endswith("List") and "items" in schema["properties"] and "metadata" in schema["properties"]:
            continue
        modules.setdefault(module, Module(module)).add(name, schema, definitions)
    for module in modules.values():
        (SRC / "kinds" / f"{module.name}.py").write_text(module.text())
    data = json.dumps(trimmed(definitions), separators=(",", ":"), sort_keys=True).encode()
    (SRC / "data" / "kubernetes-1.37.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))


if __name__ == "__main__":
    main()
