"""What has to be so before this server is ready, under the names that users of the original know.

Most checks hold from the moment on that they held first: who deletes a start object later doesn't make the server
unready, it is made again soon. Whether the store takes writes, and whether the caches follow it, is asked each time.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from bireme.apiserver.front_proxy import CONFIG_MAP
from bireme.apiserver.health import Check, Health
from bireme.registry.admission.priority import SYSTEM_CLASSES
from bireme.registry.bootstrap import NAMESPACES
from bireme.registry.flow_defaults import GROUP as FLOWS
from bireme.registry.flow_defaults import LEVELS, MANDATORY, SCHEMAS
from bireme.registry.rbac import GROUP as RBAC
from bireme.registry.verbs import Registry

LONGEST_WRITE_S = 2.0
LONGEST_LAG_S = 5.0
Condition = Callable[[Registry], bool]


def add_start_checks(health: Health, registry: Registry, *, authenticates_to_others: bool) -> None:
    """Have `health` ask whether the server has all that it starts with.

    `authenticates_to_others`: it tells servers behind it by whom they are asked.
    """
    health.add("etcd", partial(_store_fault, registry), live=True)
    health.add("informer-sync", Following(registry))
    for name, condition in _START.items():
        if authenticates_to_others or condition is not _published:
            health.add(f"poststarthook/{name}", _once(registry, condition), live=True)


def _store_fault(registry: Registry) -> str:
    told = registry.store.statistics()
    if told.ended:
        return "the store takes no more writes"
    return f"a write takes {told.writing_s:.1f} s" if told.writing_s > LONGEST_WRITE_S else ""


class Following:
    """Whether the caches come to hold what the store held when it was asked last."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._wanted, self._since = 0, registry.clock.monotonic()

    def __call__(self) -> str:
        """What is wrong."""
        cache, now = self._registry.cache, self._registry.clock.monotonic()
        if cache.revision >= self._wanted:
            self._wanted, self._since = self._registry.store.revision, now
        behind = now - self._since
        return f"the caches are {behind:.0f} s behind the store" if behind > LONGEST_LAG_S else ""


def _once(registry: Registry, condition: Condition) -> Check:
    held = False

    def check() -> str:
        nonlocal held
        held = held or condition(registry)
        return "" if held else "not finished"

    return check


def _there(group: str, version: str, plural: str, names: Iterable[str], namespace: str = "") -> Condition:
    wanted = tuple(names)

    def are_there(registry: Registry) -> bool:
        return all(registry.find(group, version, plural, namespace, name) is not None for name in wanted)

    return are_there


def _custom_kinds(registry: Registry) -> bool:
    """Whether every kind that users brought is served."""
    for tree in registry.every("apiextensions.k8s.io", "v1", "customresourcedefinitions"):
        conditions = {each["type"]: each["status"] for each in (tree.get("status") or {}).get("conditions") or ()}
        spec = tree["spec"]
        served = [each["name"] for each in spec["versions"] if each["served"]]
        kinds = [registry.kinds.at(spec["group"], version, spec["names"]["plural"]) for version in served]
        if conditions.get("Established") == "True" and None in kinds:
            return False
    return True


def _flows(registry: Registry) -> bool:
    return all(_there(FLOWS, "v1", plural, MANDATORY)(registry) for plural in (SCHEMAS, LEVELS))


_published = _there("", "v1", "configmaps", (CONFIG_MAP,), "kube-system")
_START: Mapping[str, Condition] = {
    "crd-informer-synced": _custom_kinds,
    "start-system-namespaces-controller": _there("", "v1", "namespaces", NAMESPACES),
    "start-cluster-authentication-info-controller": _published,
    "bootstrap-controller": _there("", "v1", "services", ("kubernetes",), "default"),
    "start-kubernetes-service-cidr-controller": _there("networking.k8s.io", "v1", "servicecidrs", ("kubernetes",)),
    "rbac/bootstrap-roles": _there(RBAC, "v1", "clusterroles", ("cluster-admin", "view")),
    "scheduling/bootstrap-system-priority-classes": _there(
        "scheduling.k8s.io", "v1", "priorityclasses", SYSTEM_CLASSES
    ),
    "priority-and-fairness-config-producer": _flows,
}
