"""Tables: a cell for every column of every kind, and the rules of the cells that people read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bireme.api.scheme import Resource, builtin
from bireme.apiserver import table
from bireme.apiserver.columns.column import human_duration, listed, selector_text

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAY_AGO = "2026-01-01T00:00:00Z"


def shown(kind: str, *, group: str = "", **tree: Any) -> dict[str, Any]:
    resource = Resource(group, "v1", kind, f"{kind.lower()}s", kind.lower(), namespaced=True)
    metadata = {"name": "a", "creationTimestamp": DAY_AGO} | tree.pop("metadata", {})
    cells = table.row(resource, {"metadata": metadata, **tree}, NOW)
    return dict(zip([column.name for column in table.columns(resource)], cells, strict=True))


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=-2), "<invalid>"),
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(seconds=120), "2m"),
        (timedelta(seconds=345), "5m45s"),
        (timedelta(minutes=10, seconds=5), "10m"),
        (timedelta(minutes=179), "179m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=7, minutes=59), "7h59m"),
        (timedelta(hours=47), "47h"),
        (timedelta(hours=50), "2d2h"),
        (timedelta(days=8), "8d"),
        (timedelta(days=729), "729d"),
        (timedelta(days=740), "2y10d"),
        (timedelta(days=3000), "8y"),
    ],
)
def test_human_duration(length: timedelta, text: str) -> None:
    assert human_duration(length.total_seconds()) == text


@pytest.mark.parametrize("each", builtin().resources(), ids=lambda each: f"{each.group}/{each.version}/{each.kind}")
def test_every_kind_has_a_cell_for_every_column_even_when_empty(each: Resource) -> None:
    for tree in ({}, {"metadata": {"name": "a"}, "spec": {}, "status": {}}):
        assert len(table.row(each, tree, NOW)) == len(table.columns(each))


def test_kinds_without_a_printer() -> None:
    assert shown("PodPreset", group="settings.k8s.io") == {"Name": "a", "Created At": DAY_AGO}
    assert shown("Thing", group="example.com") == {"Name": "a", "Age": "24h"}


RUNNING = {"name": "c", "ready": True, "started": True, "state": {"running": {}}}


def ended(code: int, reason: str = "", **fields: Any) -> dict[str, Any]:
    return {"name": "d", "state": {"terminated": {"exitCode": code, "reason": reason, **fields}}}


def waiting(reason: str) -> dict[str, Any]:
    return {"name": "c", "state": {"waiting": {"reason": reason}}}


READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        pytest.param({"phase": "Pending"}, "Pending", id="phase"),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, "Evicted", id="the pod's reason"),
        pytest.param(
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            "SchedulingGated",
            id="gated",
        ),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [waiting("ErrImagePull")]}, "ErrImagePull", id="waits"
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": [RUNNING], "conditions": READY}, "Running", id="running"
        ),
        pytest.param({"phase": "Running", "containerStatuses": [ended(2)]}, "ExitCode:2", id="exit code"),
        pytest.param({"phase": "Running", "containerStatuses": [ended(0, signal=9)]}, "Signal:9", id="signal"),
        pytest.param(
            {"phase": "Running", "containerStatuses": [ended(0, "Completed"), RUNNING], "conditions": READY},
            "Running",
            id="one is done, one runs",
        ),
        pytest.param(
            {"phase": "Running", "containerStatuses": [ended(0, "Completed"), RUNNING]}, "NotReady", id="not ready"
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [ended(0, "Completed"), ended(1, "Error")]},
            "Error",
            id="one failed",
        ),
        pytest.param({"phase": "Pending", "initContainerStatuses": [waiting("")]}, "Init:0/2", id="init step"),
        pytest.param(
            {"phase": "Pending", "initContainerStatuses": [ended(0), waiting("ErrImagePull")]},
            "Init:ErrImagePull",
            id="init reason",
        ),
        pytest.param({"phase": "Pending", "initContainerStatuses": [ended(3)]}, "Init:ExitCode:3", id="init code"),
    ],
)
def test_pod_status(status: dict[str, Any], text: str) -> None:
    spec = {"containers": [{"name": "c"}, {"name": "d"}], "initContainers": [{"name": "i"}, {"name": "j"}]}
    assert shown("Pod", spec=spec, status=status)["Status"] == text


def test_pod_that_is_going() -> None:
    metadata = {"deletionTimestamp": DAY_AGO}
    assert shown("Pod", metadata=metadata, status={"phase": "Running"})["Status"] == "Terminating"
    assert shown("Pod", metadata=metadata, status={"phase": "Succeeded"})["Status"] == "Succeeded"
    assert shown("Pod", metadata=metadata, status={"phase": "Running", "reason": "NodeLost"})["Status"] == "Unknown"


def test_pod_ready_restarts_and_wide() -> None:
    spec = {
        "nodeName": "n1",
        "containers": [{"name": "c"}],
        "initContainers": [{"name": "s", "restartPolicy": "Always"}],
        "readinessGates": [{"conditionType": "a/b"}],
    }
    last = {"terminated": {"finishedAt": "2026-01-01T23:59:00Z"}}
    sidecar = {**RUNNING, "name": "s", "restartCount": 1}
    status = {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "a/b", "status": "True"}],
        "initContainerStatuses": [sidecar],
        "containerStatuses": [{**RUNNING, "restartCount": 2, "lastState": last}],
    }
    assert shown("Pod", spec=spec, status=status) == {
        "Name": "a",
        "Ready": "2/2",
        "Status": "Running",
        "Restarts": "3 (60s ago)",
        "Age": "24h",
        "IP": "10.0.0.1",
        "Node": "n1",
        "Nominated Node": "<none>",
        "Readiness Gates": "1/1",
    }


def test_completed_pods_say_so() -> None:
    pod = builtin().resource("", "v1", "pods")
    assert pod is not None
    (condition,) = table.row_conditions(pod, {"status": {"phase": "Succeeded"}})
    assert (condition["type"], condition["reason"]) == ("Completed", "Succeeded")
    assert table.row_conditions(pod, {"status": {"phase": "Running"}}) == []


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        pytest.param(
            {"clusterIP": "10.96.0.1", "ports": [{"port": 80, "protocol": "TCP"}]},
            {},
            ("10.96.0.1", "<none>", "80/TCP"),
            id="cluster IP",
        ),
        pytest.param(
            {"type": "NodePort", "clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30080}, {"port": 53}]},
            {},
            ("10.96.0.1", "<none>", "80:30080/TCP,53/TCP"),
            id="node port",
        ),
        pytest.param(
            {"type": "LoadBalancer", "clusterIP": "1.1.1.1"}, {}, ("1.1.1.1", "<pending>", "<none>"), id="pending"
        ),
        pytest.param(
            {"type": "LoadBalancer", "clusterIP": "1.1.1.1"},
            {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "h"}]}},
            ("1.1.1.1", "2.2.2.2,h", "<none>"),
            id="balanced",
        ),
        pytest.param({"type": "ExternalName", "externalName": "x.y"}, {}, ("<none>", "x.y", "<none>"), id="name"),
        pytest.param({"clusterIP": "None"}, {}, ("None", "<none>", "<none>"), id="headless"),
    ],
)
def test_service(spec: dict[str, Any], status: dict[str, Any], expected: tuple[str, str, str]) -> None:
    cells = shown("Service", spec=spec, status=status)
    assert (cells["Cluster-IP"], cells["External-IP"], cells["Port(s)"]) == expected


def test_node() -> None:
    cells = shown(
        "Node",
        metadata={"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
        },
    )
    assert (cells["Status"], cells["Roles"]) == ("Ready,SchedulingDisabled", "control-plane,worker")
    assert (cells["Internal-IP"], cells["External-IP"]) == ("10.0.0.1", "<none>")


def test_deployment() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}
    spec = {"replicas": 3, "template": template, "selector": {"matchLabels": {"b": "c", "a": "b"}}}
    cells = shown("Deployment", group="apps", spec=spec, status={"readyReplicas": 2, "updatedReplicas": 3})
    assert list(cells.values()) == ["a", "2/3", 3, 0, "24h", "c,d", "i,j", "a=b,b=c"]


def test_job() -> None:
    status = {"startTime": DAY_AGO, "completionTime": "2026-01-01T00:01:30Z", "succeeded": 1}
    cells = shown("Job", group="batch", spec={"completions": 2}, status=status)
    assert (cells["Status"], cells["Completions"], cells["Duration"]) == ("Running", "1/2", "90s")


def test_event() -> None:
    cells = shown(
        "Event",
        count=3,
        firstTimestamp=DAY_AGO,
        lastTimestamp="2026-01-01T23:00:00Z",
        involvedObject={"kind": "Pod", "name": "p"},
        message="text\n",
    )
    assert (cells["Last Seen"], cells["Object"], cells["Message"]) == ("60m (x3 over 24h)", "pod/p", "text")


def test_autoscaler() -> None:
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}
    now = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 50}}}
    spec = {"metrics": [metric], "maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}
    cells = shown("HorizontalPodAutoscaler", group="autoscaling", spec=spec, status={"currentMetrics": [now]})
    assert (cells["Targets"], cells["MinPods"]) == ("cpu: 50%/80%", "<unset>")
    assert shown("HorizontalPodAutoscaler", group="autoscaling", spec=spec)["Targets"] == "cpu: <unknown>/80%"


def test_lists_are_cut() -> None:
    assert listed(["a", "b", "c", "d", "e"]) == "a,b,c + 2 more..."
    assert listed([]) == "<none>"


def test_selector_text() -> None:
    expressions = [
        {"key": "x", "operator": "In", "values": ["b", "a"]},
        {"key": "y", "operator": "DoesNotExist"},
    ]
    assert selector_text({"matchLabels": {"k": "v"}, "matchExpressions": expressions}) == "k=v,x in (a,b),!y"
    assert selector_text({}) == "<none>"
