"""The options of a connection into an object, as admission sees them: from the query to an object.

Source: PodExecOptions, PodAttachOptions, PodPortForwardOptions and the proxy options of the Kubernetes API.
"""

from typing import Any

from bireme.apiserver.routes import Route
from bireme.http.interface import Query

Tree = dict[str, Any]
_STREAMS = ("stdin", "stdout", "stderr", "tty")


def connect_options(route: Route, query: Query) -> Tree:
    """The options object of a request for exec, attach, portforward or proxy."""
    kind = route.kind.resource.kind
    match route.subresource:
        case "exec":
            return _options("PodExecOptions", query, command=query.all("command"))
        case "attach":
            return _options("PodAttachOptions", query)
        case "portforward":
            ports = [int(port) for port in query.all("ports") if _is_number(port)]
            return {"kind": "PodPortForwardOptions", "apiVersion": "v1", **({"ports": ports} if ports else {})}
    return {"kind": f"{kind}ProxyOptions", "apiVersion": "v1", "path": f"/{route.rest}" if route.rest else ""}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _options(kind: str, query: Query, *, command: list[str] | None = None) -> Tree:
    options: Tree = {"kind": kind, "apiVersion": "v1"}
    options |= {name: True for name in _STREAMS if name in query and query.flag(name)}
    if query.get("container"):
        options["container"] = query.get("container")
    if command:
        options["command"] = command
    return options
