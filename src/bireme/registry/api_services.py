"""APIServices: who serves each group and version, this server or one behind it.

Every group and version that is served here has one that says so, made and unmade as kinds come and go. Those that
name a service stand for other servers; `remotes` is worked out anew only when an APIService was written. Left to
others: asking those servers (`apiserver/aggregation.py`). Source: the kube-aggregator's documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bireme.api.errors import AlreadyExists, Conflict, NotFound
from bireme.api.scheme import Scheme
from bireme.api.times import rfc3339
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
GROUP = "apiregistration.k8s.io"
MANAGED = "kube-aggregator.kubernetes.io/automanaged"
MANAGER = "kube-apiserver"
_OTHERS = (1000, 100)
# Group priority and version priority; versions of a group go down by one from there.
_PRIORITIES: Mapping[str, tuple[int, int]] = {
    "": (18000, 1),
    "apps": (17800, 15),
    "events.k8s.io": (17750, 5),
    "authentication.k8s.io": (17700, 15),
    "authorization.k8s.io": (17600, 15),
    "autoscaling": (17500, 30),
    "batch": (17400, 15),
    "certificates.k8s.io": (17300, 15),
    "networking.k8s.io": (17200, 15),
    "policy": (17100, 15),
    "rbac.authorization.k8s.io": (17000, 15),
    "storage.k8s.io": (16800, 15),
    "apiextensions.k8s.io": (16700, 15),
    "admissionregistration.k8s.io": (16700, 15),
    "scheduling.k8s.io": (16600, 15),
    "coordination.k8s.io": (16500, 15),
    "node.k8s.io": (16300, 15),
    "discovery.k8s.io": (16200, 15),
    "flowcontrol.apiserver.k8s.io": (16100, 21),
    "resource.k8s.io": (15900, 20),
    "storagemigration.k8s.io": (15800, 15),
}


@dataclass(frozen=True, slots=True)
class Remote:
    """A group and version that another server serves; `available` is what was last found of it."""

    name: str
    group: str
    version: str
    namespace: str
    service: str
    port: int
    bundle: str
    insecure: bool
    priorities: tuple[int, int]
    available: bool
    why: str

    @property
    def path(self) -> str:
        """Where it is served, here and there."""
        return f"/apis/{self.group}/{self.version}"


@dataclass(frozen=True, slots=True)
class Condition:
    """Whether an APIService can be used, and why."""

    status: str
    reason: str
    message: str


LOCAL = Condition("True", "Local", "Local APIServices are always available")
PASSED = Condition("True", "Passed", "all checks passed")


class ApiServices:
    """The APIServices of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kind = registry.kind(GROUP, "v1", "apiservices")
        self._builtin = {(r.group, r.version) for r in registry.scheme.resources() if not _is_custom(registry, r)}
        self._seen = -1
        self._remotes: dict[tuple[str, str], Remote] = {}
        self.generation = 0

    @property
    def written(self) -> int:
        """Rises with every write of an APIService."""
        return self._registry.store.written(self._kind.key_prefix)

    @property
    def remotes(self) -> Mapping[tuple[str, str], Remote]:
        """Those of other servers, by group and version; `generation` rises when they change."""
        written = self.written
        if written != self._seen:
            found = {}
            for tree in self._trees():
                remote = remote_of(tree)
                if remote is not None and (remote.group, remote.version) not in self._builtin:
                    found[remote.group, remote.version] = remote
            if found != self._remotes:
                self.generation += 1
            self._remotes, self._seen = found, written
        return self._remotes

    def _trees(self) -> list[Tree]:
        return self._registry.every(GROUP, "v1", "apiservices")

    async def settle(self) -> None:
        """Have one for each group and version that is served here, and no others of ours."""
        wanted = {tree["metadata"]["name"]: tree for tree in local_services(self._registry.scheme)}
        there = {tree["metadata"]["name"]: tree for tree in self._trees()}
        for name, tree in wanted.items():
            known = there.get(name)
            if known is None:
                await self._make(tree)
            elif _is_managed(known) and known.get("spec") != tree["spec"]:
                await self._patch(name, {"spec": tree["spec"]})
        for name, tree in there.items():
            if name not in wanted and _is_managed(tree) and not (tree.get("spec") or {}).get("service"):
                await self._drop(name)

    async def _make(self, tree: Tree) -> None:
        try:
            await self._registry.create(self._kind, "", tree, Call(field_manager=MANAGER))
        except AlreadyExists:
            return
        await self.tell(tree["metadata"]["name"], LOCAL)

    async def _drop(self, name: str) -> None:
        try:
            await self._registry.delete(self._kind, "", name, DeleteOptions(), Call())
        except NotFound:
            return

    async def tell(self, name: str, condition: Condition) -> None:
        """Write down what was found of an APIService, unless that stands there."""
        tree = self._registry.find(GROUP, "v1", "apiservices", "", name)
        if tree is None:
            return
        old = available(tree)
        said = (old.get("status"), old.get("reason"), old.get("message"))
        if said == (condition.status, condition.reason, condition.message):
            return
        changed = old.get("status") != condition.status
        row = {
            "type": "Available",
            "status": condition.status,
            "lastTransitionTime": rfc3339(self._registry.clock.now()) if changed else old["lastTransitionTime"],
            "reason": condition.reason,
            "message": condition.message,
        }
        conditions = (tree.get("status") or {}).get("conditions") or ()
        others = [each for each in conditions if each.get("type") != "Available"]
        status = {**(tree.get("status") or {}), "conditions": [*others, row]}
        await self._patch(name, {"status": status}, subresource="status")

    async def _patch(self, name: str, part: Tree, *, subresource: str = "") -> None:
        call = Call(field_manager=MANAGER)

        def change(tree: Tree) -> Tree:
            return {**tree, **part}

        try:
            await self._registry.patch(self._kind, "", name, change, call, subresource=subresource)
        except (Conflict, NotFound):
            return  # it is looked at again, since somebody else wrote it


def local_services(scheme: Scheme) -> list[Tree]:
    """The APIServices of all that is served here."""
    made = []
    for group in scheme.groups():
        if group == GROUP:
            continue  # it is served by whoever serves APIServices
        first, second = _PRIORITIES.get(group, _OTHERS)
        for place, version in enumerate(scheme.versions(group)):
            spec: Tree = {
                "groupPriorityMinimum": first,
                "version": version,
                "versionPriority": max(second - place, 1),
            }
            if group:
                spec["group"] = group
            labels = {MANAGED: "onstart" if group in _PRIORITIES else "true"}
            made.append({"metadata": {"name": f"{version}.{group}", "labels": labels}, "spec": spec})
    return made


def remote_of(tree: Tree) -> Remote | None:
    """The server that an APIService stands for; None for our own."""
    spec = tree.get("spec") or {}
    service = spec.get("service")
    if not service:
        return None
    condition = available(tree)
    return Remote(
        tree["metadata"]["name"],
        spec.get("group") or "",
        spec.get("version") or "",
        service.get("namespace") or "",
        service.get("name") or "",
        service.get("port") or 443,
        spec.get("caBundle") or "",
        spec.get("insecureSkipTLSVerify") is True,
        (spec.get("groupPriorityMinimum") or 0, spec.get("versionPriority") or 0),
        condition.get("status") == "True",
        condition.get("message") or "",
    )


def available(tree: Tree) -> Tree:
    """The Available condition; {} where there is none yet."""
    conditions = (tree.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == "Available"), {})


def _is_managed(tree: Tree) -> bool:
    return MANAGED in (tree["metadata"].get("labels") or {})


def _is_custom(registry: Registry, resource: Any) -> bool:
    kind = registry.kinds.at(resource.group, resource.version, resource.plural)
    return kind is not None and kind.custom is not None
