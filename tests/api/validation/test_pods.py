"""Pods: what is refused, in which words, and what an update may change."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from bireme.api.defaults.apply import apply
from bireme.api.scheme import Resource
from bireme.api.validation.validate import validate, validate_update

POD = Resource(group="", version="v1", kind="Pod", plural="pods", singular="pod", namespaced=True)


def pod(**spec: Any) -> dict[str, Any]:
    containers = spec.pop("containers", [{"name": "c", "image": "busybox"}])
    tree = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"containers": containers, **spec}}
    apply(POD, tree)
    return tree


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "busybox", **fields}], volumes=[{"name": "v"}])


def faults(tree: dict[str, Any]) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate(POD, tree)]


LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
C = "spec.containers[0]"


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        pytest.param(pod(containers=[]), "spec.containers: Required value", id="no containers"),
        pytest.param(pod(containers=[{"image": "b"}]), f"{C}.name: Required value", id="no name"),
        pytest.param(
            pod(containers=[{"name": "A_", "image": "b"}]), f'{C}.name: Invalid value: "A_": {LABEL}', id="bad name"
        ),
        pytest.param(
            pod(containers=[{"name": "c", "image": "b"}] * 2),
            'spec.containers[1].name: Duplicate value: "c"',
            id="a name twice",
        ),
        pytest.param(pod(containers=[{"name": "c"}]), f"{C}.image: Required value", id="no image"),
        pytest.param(
            container(imagePullPolicy="Sometimes"),
            f'{C}.imagePullPolicy: Unsupported value: "Sometimes": '
            'supported values: "Always", "IfNotPresent", "Never"',
            id="unknown pull policy",
        ),
        pytest.param(
            pod(restartPolicy="Maybe"),
            'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"',
            id="unknown restart policy",
        ),
        pytest.param(
            container(ports=[{"containerPort": 70000}]),
            f"{C}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="port out of range",
        ),
        pytest.param(
            container(ports=[{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]),
            f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"',
            id="a host port twice",
        ),
        pytest.param(
            container(ports=[{"containerPort": 1, "name": "way-too-long-port-name"}]),
            f'{C}.ports[0].name: Invalid value: "way-too-long-port-name": must be no more than 15 characters',
            id="port name too long",
        ),
        pytest.param(
            container(env=[{"name": "A=B"}]),
            f'{C}.env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of '
            "printable ASCII characters other than '='",
            id="bad variable name",
        ),
        pytest.param(
            container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            f'{C}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
            id="value and source",
        ),
        pytest.param(
            container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
            f"{C}.env[0].valueFrom.secretKeyRef.key: Required value",
            id="secret without key",
        ),
        pytest.param(
            container(volumeMounts=[{"name": "w", "mountPath": "/w"}]),
            f'{C}.volumeMounts[0].name: Not found: "w"',
            id="mount of no volume",
        ),
        pytest.param(
            container(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a/../../etc"}]),
            f"{C}.volumeMounts[0].subPath: Invalid value: \"a/../../etc\": must not contain '..'",
            id="climbing sub-path",
        ),
        pytest.param(
            pod(volumes=[{"name": "h", "hostPath": {"path": "/var/../etc"}}]),
            "spec.volumes[0].hostPath.path: Invalid value: \"/var/../etc\": must not contain '..'",
            id="host path with a step back",
        ),
        pytest.param(
            pod(volumes=[{"name": "h", "emptyDir": {}, "secret": {"secretName": "s"}}]),
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
            id="two sources",
        ),
        pytest.param(
            pod(volumes=[{"name": "m", "configMap": {"name": "m", "items": [{"key": "a", "path": "/etc/passwd"}]}}]),
            'spec.volumes[0].configMap.items[0].path: Invalid value: "/etc/passwd": must be a relative path',
            id="absolute item path",
        ),
        pytest.param(
            container(livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2}),
            f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
            id="liveness needs one success",
        ),
        pytest.param(
            container(readinessProbe={}),
            f"{C}.readinessProbe: Required value: must specify a handler type",
            id="no handler",
        ),
        pytest.param(
            container(readinessProbe={"tcpSocket": {"port": 1}, "periodSeconds": -1}),
            f"{C}.readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            id="negative period",
        ),
        pytest.param(
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="request over limit",
        ),
        pytest.param(
            container(resources={"requests": {"cpu": "-1"}}),
            f'{C}.resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            id="negative request",
        ),
        pytest.param(
            container(resources={"requests": {"gpu": "1"}}),
            f'{C}.resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
            id="unknown resource",
        ),
        pytest.param(
            pod(dnsPolicy="None"),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            id="no DNS at all",
        ),
        pytest.param(
            pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x", "effect": "NoSchedule"}]),
            "spec.tolerations[0].operator: Invalid value: "
            '{"key":"a","operator":"Exists","value":"x","effect":"NoSchedule"}: '
            "value must be empty when `operator` is 'Exists'",
            id="toleration with a value too many",
        ),
        pytest.param(
            pod(terminationGracePeriodSeconds=-1),
            "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
            id="negative grace",
        ),
        pytest.param(
            pod(initContainers=[{"name": "i", "image": "b", "readinessProbe": {"exec": {"command": ["x"]}}}]),
            "spec.initContainers[0].readinessProbe: Forbidden: "
            "may not be set for init containers without restartPolicy=Always",
            id="probe of an init container",
        ),
    ],
)
def test_refused(tree: dict[str, Any], expected: str) -> None:
    assert faults(tree) == [expected]


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(pod(), id="the least pod"),
        pytest.param(
            pod(hostNetwork=True, containers=[{"name": "c", "image": "b", "ports": [{"containerPort": 80}]}]),
            id="host network",
        ),
        pytest.param(container(resources={"limits": {"example.com/gpu": 1}}), id="extended resource"),
        pytest.param(
            container(env=[{"name": "a.b-c", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x/y']"}}}]),
            id="label in the environment",
        ),
        pytest.param(pod(initContainers=[{"name": "s", "image": "b", "restartPolicy": "Always"}]), id="sidecar"),
        pytest.param(
            container(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "..data"}]), id="dots in a name"
        ),
    ],
)
def test_taken(tree: dict[str, Any]) -> None:
    assert faults(tree) == []


def changed(change: Callable[[dict[str, Any]], Any], **spec: Any) -> list[str]:
    old = pod(**spec)
    new = copy.deepcopy(old)
    change(new["spec"])
    return [cause.message.splitlines()[0] for cause in validate_update(POD, new, old)]


TOLERATION = {"key": "a", "operator": "Exists", "effect": "NoExecute"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda spec: spec["containers"][0].update(image="other"), id="image"),
        pytest.param(lambda spec: spec.update(activeDeadlineSeconds=5), id="a deadline"),
        pytest.param(lambda spec: spec.update(tolerations=[TOLERATION]), id="one more toleration"),
    ],
)
def test_update_may(change: Callable[[dict[str, Any]], Any]) -> None:
    assert changed(change) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda spec: spec["containers"][0].update(command=["x"]), id="command"),
        pytest.param(lambda spec: spec.update(nodeSelector={"a": "b"}), id="node selector"),
        pytest.param(lambda spec: spec.update(nodeName="n2"), id="another node"),
        pytest.param(lambda spec: spec.update(hostNetwork=True), id="host network"),
    ],
)
def test_update_may_not(change: Callable[[dict[str, Any]], Any]) -> None:
    (message,) = changed(change, nodeName="n1")
    assert message.startswith("Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")


def test_container_may_not_be_added() -> None:
    messages = changed(lambda spec: spec["containers"].append({**spec["containers"][0], "name": "d"}))
    assert messages[0] == "Forbidden: pod updates may not add or remove containers"


def test_resize_changes_only_amounts() -> None:
    old = container(resources={"requests": {"cpu": "1"}})
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2"
    assert validate_update(POD, new, old, subresource="resize") == []
    assert validate_update(POD, new, old)
    new["spec"]["containers"][0]["image"] = "other"
    assert validate_update(POD, new, old, subresource="resize")


def test_ephemeral_containers_are_only_added() -> None:
    old = pod()
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"] = [{"name": "e", "image": "b"}]
    apply(POD, new)
    assert validate_update(POD, new, old, subresource="ephemeralcontainers") == []
    assert validate_update(POD, old, new, subresource="ephemeralcontainers")
