"""A client for tests: plain calls, objects as trees, `kind/name` as kubectl users write it.

It asks through a function that blocks until the answer is there; what carries it is the cluster's business.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from bireme.aio.clock import RealClock
from bireme.api.errors import ApiError, NotFound
from bireme.http.answers import Reply
from bireme.testing.manifests import objects
from bireme.testing.resources import Resources, Served

Tree = dict[str, Any]
Trees = list[Tree]
Ask = Callable[[str, str, Sequence[tuple[str, str]], Mapping[str, str], bytes], Reply]
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
MANAGER = "bireme-test"
LOOK_S = 0.01
REAL = RealClock()
KIND_APPEARS_S = 5.0


class Client:
    """Verbs as one user. A namespace that is not said is that of `namespace()`."""

    def __init__(self, ask: Ask, namespace: Callable[[], str]) -> None:
        self._ask, self._namespace = ask, namespace
        self._resources = Resources()

    def request(
        self, method: str, path: str, body: Any = None, *, media: str = "", query: Mapping[str, str] | None = None
    ) -> Any:
        """The tree in the answer to any request. Raises the ApiError of an answer that is no success."""
        headers = {"content-type": media or "application/json"} if body is not None else {}
        data = b"" if body is None else orjson.dumps(body)
        reply = self._ask(method, path, list((query or {}).items()), headers, data)
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return reply.body.decode()

    def get(self, what: str, *, namespace: str = "") -> Tree:
        """The object `kind/name`. Raises NotFound."""
        return self._tree("GET", self._path(what, namespace))

    def list(self, kind: str, *, namespace: str = "", labels: str = "", fields: str = "") -> Trees:
        """The objects of a kind in one namespace; in all with `namespace="*"`."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        path = self._resource(kind).path("" if namespace == "*" else namespace or self._namespace())
        found = self.request("GET", path, query={key: value for key, value in query.items() if value})
        return list(found["items"])

    def create(self, *given: Any) -> Trees:
        """Create objects: trees, YAML, files. Raises AlreadyExists, Invalid …"""
        return [self._tree("POST", self._place(tree, named=False), tree) for tree in objects(*given)]

    def apply(self, *given: Any) -> Trees:
        """Apply objects: trees, YAML, files, folders. What others own is taken over."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return [self._tree("PATCH", self._place(tree), tree, media=APPLY, query=query) for tree in objects(*given)]

    def patch(self, what: str, patch: Any, *, namespace: str = "", subresource: str = "", media: str = MERGE) -> Tree:
        """Change `kind/name` by a merge patch, or by another that `media` names."""
        return self._tree("PATCH", self._path(what, namespace, subresource), patch, media=media)

    def delete(self, what: str, *, namespace: str = "", grace_s: int | None = None, propagation: str = "") -> None:
        """Ask for the end of `kind/name`; it may take its time (`wait_gone`). Raises NotFound."""
        options: Tree = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if propagation:
            options["propagationPolicy"] = propagation
        self.request("DELETE", self._path(what, namespace), options)

    def wait(
        self,
        what: str,
        *,
        condition: str = "",
        phase: str = "",
        until: Callable[[Tree], Any] | None = None,
        namespace: str = "",
        timeout: float = 30.0,
    ) -> Tree:
        """The object `kind/name` once it is there and its condition is True, its phase this, or `until` holds.

        Raises TimeoutError, which shows the object as it was last.
        """
        wanted = condition or phase or ("as wished" if until else "there")
        last: Tree | None = None
        deadline = REAL.monotonic() + timeout
        while REAL.monotonic() < deadline:
            try:
                last = self.get(what, namespace=namespace)
            except NotFound:
                last = None
            if last is not None and _holds(last, condition, phase, until):
                return last
            time.sleep(LOOK_S)
        shown = orjson.dumps(last.get("status", last), option=orjson.OPT_INDENT_2).decode() if last else "not there"
        raise TimeoutError(f"{what} was not {wanted} within {timeout:g}s: {shown}")

    def wait_gone(self, what: str, *, namespace: str = "", timeout: float = 30.0) -> None:
        """Return once `kind/name` is no more. Raises TimeoutError."""
        deadline = REAL.monotonic() + timeout
        while REAL.monotonic() < deadline:
            try:
                last = self.get(what, namespace=namespace)
            except NotFound:
                return
            time.sleep(LOOK_S)
        held = last["metadata"].get("finalizers")
        raise TimeoutError(f"{what} was still there after {timeout:g}s; finalizers: {held}")

    def _tree(self, method: str, path: str, body: Any = None, **options: Any) -> Tree:
        tree = self.request(method, path, body, **options)
        assert isinstance(tree, dict), f"{method} {path} answered {str(tree)[:200]}"
        return tree

    def _path(self, what: str, namespace: str, subresource: str = "") -> str:
        kind, _, name = what.partition("/")
        if not name:
            raise ValueError(f"{what!r} names no object: say kind/name")
        return self._resource(kind).path(namespace or self._namespace(), name, subresource)

    def _place(self, tree: Tree, *, named: bool = True) -> str:
        metadata = tree.get("metadata") or {}
        served = self._found(lambda: self._resources.of_object(tree), f"{tree['apiVersion']} {tree['kind']}")
        return served.path(metadata.get("namespace") or self._namespace(), metadata["name"] if named else "")

    def _resource(self, word: str) -> Served:
        return self._found(lambda: self._resources.of_word(word), word)

    def _found(self, look: Callable[[], Served | None], word: str) -> Served:
        """The resource; a kind that was brought a moment ago is given the time to appear."""
        deadline = REAL.monotonic() + KIND_APPEARS_S
        while (served := look()) is None:
            documents = [self._ask("GET", path, (), {"accept": DISCOVERY}, b"").body for path in ("/api", "/apis")]
            self._resources = Resources(*map(orjson.loads, documents))
            if (served := look()) is not None:
                return served
            if REAL.monotonic() > deadline:
                raise ApiError(f"the server has no resource {word!r}")
            time.sleep(LOOK_S)
        return served


def _holds(tree: Tree, condition: str, phase: str, until: Callable[[Tree], Any] | None) -> bool:
    status = tree.get("status") or {}
    if phase and status.get("phase") != phase:
        return False
    if condition:
        fitting = [each for each in status.get("conditions") or () if each["type"].lower() == condition.lower()]
        if not any(each.get("status") == "True" for each in fitting):
            return False
    return until is None or bool(until(tree))
