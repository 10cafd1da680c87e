"""Every path of the API with what may be done there, in the words of OpenAPI v2.

`openapi.py` puts them into documents and turns them to v3. Clients read in them which kinds take a patch of
which type, a dry run or field validation (`x-kubernetes-group-version-kind`, `x-kubernetes-action`). The old
`/watch/` paths are served but not described. Source: api/openapi-spec/swagger.json of Kubernetes.
"""

from collections.abc import Iterator
from typing import Any

from bireme.api.definitions import META, REF
from bireme.api.scheme import Gvk, Resource, Subresource, definition_of

Tree = dict[str, Any]

JSON = "application/json"
YAML = "application/yaml"
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
PATCH, STATUS, DELETE_OPTIONS = f"{META}Patch", f"{META}Status", f"{META}DeleteOptions"

# Query parameters: name to (type, what it does).
PARAMETERS: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "allowWatchBookmarks requests watch events with type BOOKMARK."),
    "continue": ("string", "The continue token of an earlier list: the next page is returned."),
    "dryRun": ("string", "When present, indicates that modifications should not be persisted. Valid value: All."),
    "fieldManager": ("string", "fieldManager is a name associated with the actor that is making these changes."),
    "fieldSelector": ("string", "A selector to restrict the list of returned objects by their fields."),
    "fieldValidation": (
        "string",
        "fieldValidation instructs the server on how to handle unknown or duplicate fields: Ignore, Warn or Strict.",
    ),
    "gracePeriodSeconds": ("integer", "The duration in seconds before the object should be deleted."),
    "labelSelector": ("string", "A selector to restrict the list of returned objects by their labels."),
    "limit": ("integer", "limit is a maximum number of responses to return for a list call."),
    "orphanDependents": ("boolean", "Deprecated: please use the PropagationPolicy."),
    "pretty": ("string", "If 'true', then the output is pretty printed."),
    "propagationPolicy": ("string", "Whether and how garbage collection will be performed."),
    "resourceVersion": ("string", "resourceVersion sets a constraint on what versions a request may be served from."),
    "resourceVersionMatch": (
        "string",
        "Determines how resourceVersion is applied to list calls.",
    ),
    "sendInitialEvents": ("boolean", "sendInitialEvents=true begins a watch with the objects that exist."),
    "timeoutSeconds": ("integer", "Timeout for the list/watch call."),
    "watch": ("boolean", "Watch for changes to the described resources."),
}
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_MATCH = ("continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LIST = ("allowWatchBookmarks", *_MATCH, "sendInitialEvents", "timeoutSeconds", "watch")

# Verb to (method, x-kubernetes-action, word of the operation's id, parameters).
VERBS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "create": ("post", "post", "create", _WRITE),
    "delete": ("delete", "delete", "delete", _DELETE),
    "deletecollection": ("delete", "deletecollection", "deleteCollection", (*_DELETE, *_MATCH, "timeoutSeconds")),
    "get": ("get", "get", "read", ()),
    "list": ("get", "list", "list", _LIST),
    "patch": ("patch", "patch", "patch", _WRITE),
    "update": ("put", "put", "replace", _WRITE),
}
_CONNECT = frozenset({"attach", "exec", "portforward", "proxy"})
_RESPONSES = {"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201")}


def paths_of(resource: Resource) -> Iterator[tuple[str, Tree]]:
    """Paths of a resource with their operations by method, and the parameters that all of them have."""
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    inside = ["namespace"] if resource.namespaced else []
    collection = f"{base}{scope}/{resource.plural}"
    yield from _path(resource, collection, inside, ("list", "create", "deletecollection"))
    if resource.namespaced and "list" in resource.verbs:
        yield from _path(resource, f"{base}/{resource.plural}", [], ("list",), everywhere=True)
    yield from _path(resource, f"{collection}/{{name}}", ["name", *inside], ("get", "update", "patch", "delete"))
    for item in resource.subresources:
        yield from _subresource_path(resource, item, f"{collection}/{{name}}/{item.name}", ["name", *inside])


def _path(
    resource: Resource, path: str, inside: list[str], verbs: tuple[str, ...], *, everywhere: bool = False
) -> Iterator[tuple[str, Tree]]:
    served = [verb for verb in verbs if verb in resource.verbs]
    if not served:
        return
    operations: Tree = {}
    for verb in served:
        scope = "" if everywhere or not resource.namespaced else "Namespaced"
        tail = "ForAllNamespaces" if everywhere else ""
        answer = {"list": f"{resource.definition}List", "delete": STATUS, "deletecollection": STATUS}
        operations[VERBS[verb][0]] = _operation(
            resource,
            verb,
            f"{scope}{resource.kind}{tail}",
            resource.gvk,
            body=resource.definition,
            answer=answer.get(verb, resource.definition),
        )
    yield path, operations | {"parameters": _shared(inside)}


def _subresource_path(
    resource: Resource, item: Subresource, path: str, inside: list[str]
) -> Iterator[tuple[str, Tree]]:
    title = f"{'Namespaced' if resource.namespaced else ''}{resource.kind}{item.name.title()}"
    connects = item.name in _CONNECT
    own = item.kind == resource.gvk
    definition = "" if connects or item.name == "log" else resource.definition if own else definition_of(item.kind)
    operations: Tree = {
        VERBS[verb][0]: _operation(
            resource, verb, title, item.kind, body=definition, answer=definition, connects=connects
        )
        for verb in sorted(item.verbs)
    }
    yield path, operations | {"parameters": _shared(inside)}


def _operation(
    resource: Resource, verb: str, title: str, kind: Gvk, *, body: str, answer: str, connects: bool = False
) -> Tree:
    method, action, word, names = VERBS[verb]
    schema: Tree = {"$ref": REF + answer} if answer else {"type": "string"}
    deed = f"connect{method.title()}" if connects else word
    parameters = [] if connects or not body else [*_bodies(verb, body), *map(_query, names)]
    responses = {code: {"description": "OK", "schema": schema} for code in _RESPONSES.get(verb, ("200",))}
    return {
        "operationId": f"{deed}{_family(resource, capital=True)}{resource.version.title()}{title}",
        "tags": [f"{_family(resource, capital=False)}_{resource.version}"],
        "description": f"{deed} {resource.kind}",
        "consumes": _patches(resource, kind) if verb == "patch" and not connects else ["*/*"],
        "produces": ["*/*"] if not answer else [JSON, YAML],
        "parameters": parameters,
        "responses": {**responses, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": "connect" if connects else action,
        "x-kubernetes-group-version-kind": kind._asdict(),
    }


def _patches(resource: Resource, kind: Gvk) -> list[str]:
    """The patches that are taken; how lists are merged strategically is not known of custom kinds."""
    custom = resource.is_custom and kind == resource.gvk
    return [media for media in PATCHES if not (custom and "strategic" in media)]


def _bodies(verb: str, definition: str) -> list[Tree]:
    wanted = {"create": definition, "update": definition, "patch": PATCH}.get(verb)
    optional = {"delete": DELETE_OPTIONS, "deletecollection": DELETE_OPTIONS}.get(verb)
    name = wanted or optional
    if name is None:
        return []
    body: Tree = {"name": "body", "in": "body", "schema": {"$ref": REF + name}}
    return [body | {"required": True} if wanted else body]


def _query(name: str) -> Tree:
    kind, description = PARAMETERS[name]
    return {"name": name, "in": "query", "type": kind, "uniqueItems": True, "description": description}


def _shared(inside: list[str]) -> list[Tree]:
    path = [
        {
            "name": name,
            "in": "path",
            "type": "string",
            "required": True,
            "uniqueItems": True,
            "description": "name of the object" if name == "name" else "object name and auth scope",
        }
        for name in inside
    ]
    return [*path, _query("pretty")]


def _family(resource: Resource, *, capital: bool) -> str:
    """`RbacAuthorization`, `core`: the group as operations spell it."""
    words = (resource.group.removesuffix(".k8s.io") or "core").split(".")
    text = "".join(word[:1].upper() + word[1:] for word in words)
    return text if capital else text[:1].lower() + text[1:]
