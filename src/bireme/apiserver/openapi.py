"""The schemas of all that is served: OpenAPI v3 by group and version, and v2 in one, as JSON or protobuf.

Plain functions make the documents from the scheme and the definitions; `OpenApiPages` keeps them as compressed
bytes, each made when it is first asked for. A v3 page has the hash that its address in the index carries, so that
clients may keep it for good. Source: kube-openapi handlers v2 and v3; paths are in `operations.py`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from bireme.api.definitions import INT_OR_STRING, QUANTITY, REF
from bireme.api.scheme import Resource, Scheme
from bireme.apiserver import gnostic
from bireme.apiserver.custom_schemas import CustomDefinitions
from bireme.apiserver.operations import DELETE_OPTIONS, PATCH, STATUS, paths_of
from bireme.apiserver.pages import Page
from bireme.apiserver.remote_documents import Known
from bireme.registry.api_services import Remote
from bireme.registry.kinds import Kinds

Tree = dict[str, Any]

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_V2_PROTOBUF_ANSWER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V3_REF = "#/components/schemas/"
_FOR_GOOD = {"cache-control": "public, immutable"}
_EDITION = 1  # to be raised when the documents change though the definitions do not
_GVK = "x-kubernetes-group-version-kind"
_TITLE = {"title": "Bireme", "version": "v1.37.0"}
_BEARER = {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}
# What OpenAPI v2 can't say of types that are a number or a text.
_V2_TYPES = {QUANTITY: {"type": "string"}, INT_OR_STRING: {"type": "string", "format": "int-or-string"}}
_V3_FORMATS = {INT_OR_STRING: {"format": "int-or-string"}}


def document_v2(scheme: Scheme, definitions: CustomDefinitions) -> Tree:
    """The v2 document of all that is served."""
    resources = scheme.resources()
    return {
        "swagger": "2.0",
        "info": _TITLE,
        "paths": {path: item for resource in resources for path, item in paths_of(resource)},
        "definitions": _reachable(resources, definitions, scheme),
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def document_v3(scheme: Scheme, definitions: CustomDefinitions, group: str, version: str) -> Tree | None:
    """The v3 document of one group and version, with the schemas that it needs; None if that is not served."""
    resources = scheme.of_group_version(group, version)
    if not resources:
        return None
    schemas = _reachable(resources, definitions, scheme, v3=True)
    return {
        "openapi": "3.0.0",
        "info": _TITLE,
        "paths": {path: _path_v3(item) for resource in resources for path, item in paths_of(resource)},
        "components": {
            "schemas": {name: _schema_v3(schema) for name, schema in schemas.items()},
            "securitySchemes": {"BearerToken": _BEARER},
        },
    }


def index_v3(scheme: Scheme, definitions: CustomDefinitions) -> Tree:
    """The index at `/openapi/v3`: where each group and version is described, and its hash."""
    paths: Tree = {}
    for group in scheme.groups():
        for version in scheme.versions(group):
            tag = hash_v3(scheme, definitions, group, version)
            place = _place(group, version)
            paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={tag}"}
    return {"paths": paths}


def hash_v3(scheme: Scheme, definitions: CustomDefinitions, group: str, version: str) -> str:
    """Changes whenever the document of a group and version may have."""
    digest = hashlib.sha256(f"{_EDITION} {definitions.digest_of(group, version)}".encode())
    for resource in scheme.of_group_version(group, version):
        told = sorted((item.name, item.kind, *sorted(item.verbs)) for item in resource.subresources)
        digest.update(repr((resource.gvk, resource.plural, sorted(resource.verbs), told)).encode())
    return digest.hexdigest().upper()


class OpenApiPages:
    """The documents as bytes, each made when it is first asked for; that of v2 takes some tenths of a second."""

    def __init__(self, scheme: Scheme, definitions: CustomDefinitions | None = None) -> None:
        self._scheme = scheme
        self._definitions = definitions or CustomDefinitions(Kinds(Scheme()))
        self._pages: dict[str, Page] = {}
        self.others: Sequence[tuple[Remote, Known]] = ()  # what servers behind this one say of their schemas

    def forget(self) -> None:
        """Make all anew: the scheme has changed."""
        self._pages.clear()

    def page(self, path: str, accept: str = "") -> Page | None:
        """The document at a path below `/openapi`, in the form that the client takes; None if there is none."""
        path = path.rstrip("/")
        if path == "/openapi/v2":
            key = "v2 protobuf" if _wants_protobuf(accept) else "v2"
        elif path == "/openapi/v3" or path.startswith("/openapi/v3/api"):
            key = path.removeprefix("/openapi/")
        else:
            return None
        if key not in self._pages:
            made = self._made(key)
            if made is None:
                return None
            self._pages[key] = made
        return self._pages[key]

    def _whole_v2(self) -> Tree:
        whole = document_v2(self._scheme, self._definitions)
        for _, known in self.others:
            _joined_v2(whole, known.v2)
        return whole

    def _made(self, key: str) -> Page | None:
        scheme, definitions = self._scheme, self._definitions
        if key == "v2 protobuf":
            return Page.of(gnostic.document(self._whole_v2()), _V2_PROTOBUF_ANSWER, {"vary": "Accept"})
        if key == "v2":
            return Page.of(orjson.dumps(self._whole_v2()), "application/json", {"vary": "Accept"})
        if key == "v3":
            index = index_v3(scheme, definitions)
            for remote, known in self.others:
                if known.v3:
                    index["paths"][remote.path.lstrip("/")] = {"serverRelativeURL": known.v3}
            return Page.of(orjson.dumps(index), "application/json")
        match key.split("/")[1:]:
            case ["api", version]:
                group = ""
            case ["apis", group, version] if group:
                pass
            case _:
                return None
        tree = document_v3(scheme, definitions, group, version)
        if tree is None:
            return None
        tag = hash_v3(scheme, definitions, group, version)
        return Page.of(orjson.dumps(tree), "application/json", _FOR_GOOD, etag=tag)


def _joined_v2(whole: Tree, other: Tree) -> None:
    """Put another server's v2 document into ours, in place. Definitions of one name are held to be the same."""
    whole["paths"].update(other.get("paths") or {})
    for name, definition in (other.get("definitions") or {}).items():
        whole["definitions"].setdefault(name, definition)


def _wants_protobuf(accept: str) -> bool:
    first = next((entry.partition(";")[0].strip() for entry in accept.split(",") if entry.strip()), "")
    return first in (V2_PROTOBUF, _V2_PROTOBUF_ANSWER)


def _place(group: str, version: str) -> str:
    return f"apis/{quote(group)}/{version}" if group else f"api/{version}"


def _reachable(
    resources: Iterable[Resource], definitions: CustomDefinitions, scheme: Scheme, *, v3: bool = False
) -> dict[str, Tree]:
    """The definitions of the resources, of what their paths name, and of all that these refer to."""
    waiting = [STATUS, DELETE_OPTIONS, PATCH]
    for resource in resources:
        for _, item in paths_of(resource):
            waiting += _references(item)
    made: dict[str, Tree] = {}
    while waiting:
        name = waiting.pop()
        if name not in made:
            made[name] = definition = _definition(name, definitions, scheme, v3=v3)
            waiting += _references(definition)
    return dict(sorted(made.items()))


def _definition(name: str, definitions: CustomDefinitions, scheme: Scheme, *, v3: bool) -> Tree:
    definition = definitions.get(name, v3=v3)
    if v3:
        definition = {**definition, **_V3_FORMATS.get(name, {})}
    elif name in _V2_TYPES:
        definition = {"description": definition.get("description", ""), **_V2_TYPES[name]}
    kinds = definition.get(_GVK)
    if kinds is not None and len(kinds) > 1:
        served = [kind for kind in kinds if scheme.of_group_version(kind["group"], kind["version"])]
        definition = {**definition, _GVK: served}
    return definition


def _references(tree: Any) -> list[str]:
    found: list[str] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                found.append(reference.removeprefix(REF))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def _schema_v3(schema: Any) -> Any:
    """A schema in the words of v3: beside a reference nothing may stand, so it moves into `allOf`."""
    if isinstance(schema, list):
        return [_schema_v3(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return {key: _schema_v3(value) for key, value in schema.items()}
    moved = {"$ref": _V3_REF + reference.removeprefix(REF)}
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    return {"allOf": [moved], **rest} if rest else moved


def _path_v3(item: Tree) -> Tree:
    return {
        key: [_parameter_v3(said) for said in value] if key == "parameters" else _operation_v3(value)
        for key, value in item.items()
    }


def _operation_v3(said: Tree) -> Tree:
    body = next((item for item in said["parameters"] if item["in"] == "body"), None)
    made: Tree = {key: value for key, value in said.items() if key not in ("consumes", "produces")}
    made["parameters"] = [_parameter_v3(item) for item in said["parameters"] if item is not body]
    if body is not None:
        schema = _schema_v3(body["schema"])
        made["requestBody"] = {"content": {media: {"schema": schema} for media in said["consumes"]}}
        if body.get("required"):
            made["requestBody"]["required"] = True
    made["responses"] = {code: _response_v3(item, said["produces"]) for code, item in said["responses"].items()}
    return made


def _response_v3(said: Tree, medias: list[str]) -> Tree:
    if "schema" not in said:
        return said
    schema = _schema_v3(said["schema"])
    return {"description": said["description"], "content": {media: {"schema": schema} for media in medias}}


def _parameter_v3(said: Tree) -> Tree:
    made = {key: value for key, value in said.items() if key not in ("type", "uniqueItems")}
    return {**made, "schema": {"type": said["type"], "uniqueItems": True}}
