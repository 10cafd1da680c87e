"""Builders of objects, short enough for tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bireme.api.kinds import apps, core, meta
from bireme.api.times import rfc3339
from bireme.controllers.ownership import reference_to
from bireme.controllers.revisions import DESIRED, MAXIMUM

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


def metadata(name: str, **more: Any) -> meta.ObjectMeta:
    fields = {"namespace": "default", "uid": f"uid-{name}", "creation_timestamp": ago(100), "resource_version": "1"}
    return meta.ObjectMeta(name=name, **{**fields, **more})


def template(image: str = "one", **labels: str) -> core.PodTemplateSpec:
    return core.PodTemplateSpec(
        metadata=meta.ObjectMeta(labels={"app": "a", **labels}),
        spec=core.PodSpec(containers=[core.Container(name="c", image=image)]),
    )


def deployment(replicas: int = 3, *, image: str = "one", surge: Any = None, down: Any = None, **spec: Any) -> Any:
    rolling = apps.RollingUpdateDeployment(max_surge=surge, max_unavailable=down)
    strategy = apps.DeploymentStrategy(type="RollingUpdate", rolling_update=rolling)
    return apps.Deployment(
        metadata=metadata("d", generation=1),
        spec=apps.DeploymentSpec(
            replicas=replicas,
            selector=meta.LabelSelector(match_labels={"app": "a"}),
            template=template(image),
            **{"strategy": strategy, "progress_deadline_seconds": 600, "revision_history_limit": 10, **spec},
        ),
    )


def replica_set(
    name: str,
    replicas: int,
    available: int | None = None,
    *,
    desired: int | None = None,
    maximum: int | None = None,
    age: float = 100,
    image: str = "one",
    owner: apps.Deployment | None = None,
    **annotations: str,
) -> apps.ReplicaSet:
    have = replicas if available is None else available
    marks = {DESIRED: desired, MAXIMUM: maximum}
    return apps.ReplicaSet(
        metadata=metadata(
            name,
            creation_timestamp=ago(age),
            annotations={**{k: str(v) for k, v in marks.items() if v is not None}, **annotations},
            owner_references=[reference_to(owner)] if owner else [],
            labels={"app": "a"},
        ),
        spec=apps.ReplicaSetSpec(replicas=replicas, template=template(image)),
        status=apps.ReplicaSetStatus(replicas=replicas, ready_replicas=have, available_replicas=have),
    )


def pod(
    name: str = "p",
    *,
    phase: str = "Running",
    ready: bool = True,
    ready_for: float = 50,
    node: str = "n1",
    ip: str = "10.244.0.2",
    labels: dict[str, str] | None = None,
    restarts: int = 0,
    going: bool = False,
    owner: Any = None,
    spec: dict[str, Any] | None = None,
    **more: Any,
) -> core.Pod:
    condition = core.PodCondition(type="Ready", status=str(ready), last_transition_time=ago(ready_for))
    return core.Pod(
        metadata=metadata(
            name,
            labels={"app": "a"} if labels is None else labels,
            deletion_timestamp=ago(0) if going else "",
            owner_references=[reference_to(owner)] if owner else [],
            **more,
        ),
        spec=core.PodSpec(node_name=node, containers=[core.Container(name="c")], **(spec or {})),
        status=core.PodStatus(
            phase=phase,
            pod_ip=ip,
            pod_ips=[core.PodIP(ip=ip)] if ip else [],
            conditions=[condition],
            container_statuses=[core.ContainerStatus(name="c", restart_count=restarts)],
        ),
    )


def node(
    name: str = "n1",
    *,
    ready: str = "True",
    zone: str = "",
    taints: list[core.Taint] | None = None,
    conditions: dict[str, str] | None = None,
    unschedulable: bool | None = None,
) -> core.Node:
    states = {**({"Ready": ready} if ready else {}), **(conditions or {})}
    return core.Node(
        metadata=metadata(name, namespace="", labels={"topology.kubernetes.io/zone": zone} if zone else {}),
        spec=core.NodeSpec(taints=taints or [], unschedulable=unschedulable),
        status=core.NodeStatus(
            conditions=[
                core.NodeCondition(
                    type=type, status=status, last_heartbeat_time=ago(10), last_transition_time=ago(1000)
                )
                for type, status in states.items()
            ]
        ),
    )


def service(name: str = "s", *, ports: list[core.ServicePort] | None = None, **spec: Any) -> core.Service:
    fields = {"selector": {"app": "a"}, "cluster_ip": "10.96.0.9", "ip_families": ["IPv4"], "type": "ClusterIP"}
    return core.Service(
        metadata=metadata(name, labels={"team": "x"}),
        spec=core.ServiceSpec(
            ports=[core.ServicePort(name="http", port=80, target_port=8080, protocol="TCP")]
            if ports is None
            else ports,
            **{**fields, **spec},
        ),
    )
