"""What the API refuses: metadata of all kinds, and each kind's own rules."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.defaults.apply import apply
from bireme.api.scheme import Resource, builtin
from bireme.api.validation import names
from bireme.api.validation.batch import schedule_fault
from bireme.api.validation.validate import validate, validate_update

GROUPS = {
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ReplicaSet": "apps",
    "Job": "batch",
    "CronJob": "batch",
    "Ingress": "networking.k8s.io",
    "NetworkPolicy": "networking.k8s.io",
    "PodDisruptionBudget": "policy",
    "HorizontalPodAutoscaler": "autoscaling",
    "RoleBinding": "rbac.authorization.k8s.io",
    "ClusterRole": "rbac.authorization.k8s.io",
    "StorageClass": "storage.k8s.io",
    "EndpointSlice": "discovery.k8s.io",
    "Lease": "coordination.k8s.io",
    "PriorityClass": "scheduling.k8s.io",
}
CLUSTER = ("Namespace", "Node", "ClusterRole", "PersistentVolume", "StorageClass", "PriorityClass")
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "b"}]}}
WORKLOAD = {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}


def host_network(**port: int) -> dict[str, Any]:
    """A template whose pods are on the node's own network."""
    container = {"name": "c", "image": "b", "ports": [port]}
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"hostNetwork": True, "containers": [container]}}


def resource(kind: str) -> Resource:
    group = GROUPS.get(kind, "")
    return Resource(group, "v1", kind, f"{kind.lower()}s", kind.lower(), namespaced=kind not in CLUSTER)


def tree_of(kind: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": "a"} if kind in CLUSTER else {"name": "a", "namespace": "default"}
    tree = {"metadata": metadata | fields.pop("metadata", {}), **copy.deepcopy(fields)}
    apply(resource(kind), tree)
    return tree


def faults(kind: str, **fields: Any) -> list[str]:
    return [f"{cause.field}: {cause.message}" for cause in validate(resource(kind), tree_of(kind, **fields))]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"name": ""}, "metadata.name: Required value: name or generateName is required", id="no name"),
        pytest.param({"namespace": ""}, "metadata.namespace: Required value", id="no namespace"),
        pytest.param(
            {"name": "a" * 254},
            f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 characters',
            id="long name",
        ),
        pytest.param(
            {"labels": {"/x": "v"}},
            'metadata.labels: Invalid value: "/x": prefix part must be non-empty',
            id="label without prefix",
        ),
        pytest.param(
            {"labels": {"a": "-"}},
            'metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
            "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            id="label value",
        ),
        pytest.param(
            {"annotations": {"a": "x" * 262145}},
            "metadata.annotations: Too long: may not be more than 262144 bytes",
            id="annotations too large",
        ),
        pytest.param(
            {"finalizers": ["mine"]},
            'metadata.finalizers[0]: Invalid value: "mine": '
            "name is neither a standard finalizer name nor is it fully qualified",
            id="finalizer without a domain",
        ),
        pytest.param(
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
            'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
            id="owner without uid",
        ),
    ],
)
def test_metadata(metadata: dict[str, Any], expected: str) -> None:
    assert faults("ConfigMap", metadata=metadata) == [expected]


def test_cluster_scoped_has_no_namespace() -> None:
    assert faults("StorageClass", metadata={"namespace": "x"}, provisioner="a/b") == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet"])
def test_a_template_need_not_say_the_ports_of_its_node(kind: str) -> None:
    assert faults(kind, spec={**WORKLOAD, "template": host_network(containerPort=80)}) == []


def test_one_controller_only() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    (fault,) = faults("ConfigMap", metadata={"ownerReferences": [owner, {**owner, "name": "q"}]})
    assert fault.endswith('Found "true" in references for Pod/p and Pod/q')


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        pytest.param(
            "Deployment",
            {"spec": {**WORKLOAD, "replicas": -1}},
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            id="negative replicas",
        ),
        pytest.param(
            "Deployment",
            {"spec": {**WORKLOAD, "selector": {"matchLabels": {"app": "b"}}}},
            'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`',
            id="selector and template disagree",
        ),
        pytest.param(
            "Deployment", {"spec": {"template": TEMPLATE}}, "spec.selector: Required value", id="no selector"
        ),
        pytest.param(
            "Deployment",
            {"spec": {**WORKLOAD, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}},
            'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
            id="a rollout that can't move",
        ),
        pytest.param(
            "DaemonSet",
            {"spec": {**WORKLOAD, "template": host_network(containerPort=80, hostPort=81)}},
            "spec.template.spec.containers[0].ports[0].hostPort: Invalid value: 81: "
            "must match `containerPort` when `hostNetwork` is true",
            id="another port on the node's own network",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "-1Gi"}}}},
            'spec.resources[storage]: Invalid value: "-1Gi": must be greater than zero',
            id="less than no storage",
        ),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "Zm9v"}},
            'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
            "invalid character 'f' looking for beginning of value",
            id="credentials of registries that are no JSON",
        ),
        pytest.param(
            "Event",
            {"involvedObject": {"kind": "Pod", "namespace": "other"}},
            'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
            id="an event of another namespace",
        ),
        pytest.param(
            "Job",
            {"spec": {"template": TEMPLATE}},
            'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
            id="a job that restarts always",
        ),
        pytest.param("Service", {"spec": {}}, "spec.ports: Required value", id="service without ports"),
        pytest.param(
            "Service",
            {"spec": {"ports": [{"port": 80, "nodePort": 30000}]}},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            id="node port of a cluster IP",
        ),
        pytest.param(
            "Service",
            {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}]}},
            "spec.ports[1].name: Required value",
            id="ports need names",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"../x": "y"}},
            "data[../x]: Invalid value: \"../x\": a valid config key must consist of alphanumeric characters, '-', "
            "'_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
            "'[-._a-zA-Z0-9]+')",
            id="key that climbs",
        ),
        pytest.param(
            "ConfigMap",
            {"data": {"a": "x" * (1 << 20), "b": "y"}},
            ": Too long: may not be more than 1048576 bytes",
            id="config map too large",
        ),
        pytest.param("Secret", {"data": {"a": "*"}}, 'data[a]: Invalid value: "": must be base64', id="not base64"),
        pytest.param(
            "Secret",
            {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}},
            "data[tls.key]: Required value",
            id="TLS secret without key",
        ),
        pytest.param(
            "PersistentVolumeClaim",
            {"spec": {"accessModes": ["ReadWriteOnce"]}},
            "spec.resources[storage]: Required value",
            id="claim of nothing",
        ),
        pytest.param(
            "PersistentVolume",
            {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}},
            "spec: Required value: must specify a volume type",
            id="volume of nothing",
        ),
        pytest.param(
            "CronJob",
            {
                "spec": {
                    "schedule": "TZ=UTC * * * * *",
                    "jobTemplate": {
                        "spec": {
                            "template": {
                                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "b"}]}
                            }
                        }
                    },
                }
            },
            'spec.schedule: Invalid value: "TZ=UTC * * * * *": '
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            id="time zone in the schedule",
        ),
        pytest.param(
            "Ingress",
            {
                "spec": {
                    "rules": [
                        {
                            "http": {
                                "paths": [
                                    {
                                        "pathType": "Prefix",
                                        "path": "x",
                                        "backend": {"service": {"name": "s", "port": {"number": 80}}},
                                    }
                                ]
                            }
                        }
                    ]
                }
            },
            'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
            id="relative path",
        ),
        pytest.param(
            "NetworkPolicy",
            {"spec": {"ingress": [{"from": [{}]}]}},
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            id="peer of nothing",
        ),
        pytest.param(
            "PodDisruptionBudget",
            {"spec": {"minAvailable": "120%"}},
            'spec.minAvailable: Invalid value: "120%": must not be greater than 100%',
            id="more than all",
        ),
        pytest.param(
            "HorizontalPodAutoscaler",
            {"spec": {"maxReplicas": 0, "minReplicas": 0, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}},
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            id="from zero without an outside metric",
        ),
        pytest.param(
            "RoleBinding",
            {"roleRef": {"kind": "Robot", "name": "r"}},
            'roleRef.kind: Unsupported value: "Robot": supported values: "Role", "ClusterRole"',
            id="no role",
        ),
        pytest.param(
            "ClusterRole",
            {"rules": [{"apiGroups": [""], "resources": ["pods"]}]},
            "rules[0].verbs: Required value: verbs must contain at least one value",
            id="no verbs",
        ),
        pytest.param("StorageClass", {}, "provisioner: Required value", id="no provisioner"),
        pytest.param(
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}]},
            'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": '
            "may not be in the loopback range (127.0.0.0/8, ::1/128)",
            id="loopback endpoint",
        ),
        pytest.param(
            "Lease",
            {"spec": {"leaseDurationSeconds": 0}},
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            id="lease of no time",
        ),
        pytest.param(
            "PriorityClass",
            {"value": 2_000_000_000},
            "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
            id="a user above the system",
        ),
    ],
)
def test_kinds(kind: str, fields: dict[str, Any], expected: str) -> None:
    assert expected in faults(kind, **fields)
    assert len(faults(kind, **fields)) <= 2


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"])
def test_workloads_are_taken_and_keep_their_selector(kind: str) -> None:
    old = tree_of(kind, spec=WORKLOAD)
    assert validate(resource(kind), old) == []
    new = copy.deepcopy(old)
    new["spec"]["selector"] = {"matchLabels": {"app": "a", "tier": "x"}}
    new["spec"]["template"]["metadata"]["labels"] = {"app": "a", "tier": "x"}
    (cause,) = validate_update(resource(kind), new, old)
    assert cause.message.endswith("field is immutable") or "updates to statefulset spec" in cause.message


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        pytest.param(
            "Service",
            {"spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 80}]}},
            {"spec": {"clusterIP": "10.96.0.8", "ports": [{"port": 80}]}},
            'spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set',
            id="cluster IP",
        ),
        pytest.param(
            "ConfigMap",
            {"immutable": True, "data": {"a": "b"}},
            {"immutable": True, "data": {"a": "c"}},
            "data: Forbidden: field is immutable when `immutable` is set",
            id="immutable config map",
        ),
        pytest.param(
            "Secret",
            {"type": "a"},
            {"type": "b"},
            'type: Invalid value: "b": field is immutable',
            id="type of a secret",
        ),
        pytest.param(
            "PriorityClass",
            {"value": 1},
            {"value": 2},
            "value: Forbidden: may not be changed in an update.",
            id="priority",
        ),
        pytest.param(
            "StorageClass",
            {"provisioner": "a/b", "parameters": {"x": "1"}},
            {"provisioner": "a/b", "parameters": {"x": "2"}},
            "parameters: Forbidden: updates to parameters are forbidden.",
            id="class parameters",
        ),
    ],
)
def test_updates(kind: str, old: dict[str, Any], new: dict[str, Any], expected: str) -> None:
    causes = validate_update(resource(kind), tree_of(kind, **new), tree_of(kind, **old))
    assert [f"{cause.field}: {cause.message}" for cause in causes] == [expected]


def test_causes_carry_the_reasons_that_clients_test() -> None:
    causes = validate(resource("Deployment"), tree_of("Deployment", spec={"replicas": -1}))
    assert [(cause.reason, cause.field) for cause in causes] == [
        ("FieldValueInvalid", "spec.replicas"),
        ("FieldValueRequired", "spec.selector"),
        ("FieldValueRequired", "spec.template"),
    ]


@pytest.mark.parametrize(
    ("schedule", "good"),
    [
        ("*/5 * * * *", True),
        ("0 0 1-15/2 jan,MAR mon-fri", True),
        ("@hourly", True),
        ("@every 1h30m", True),
        ("? ? ? ? ?", True),
        ("60 * * * *", False),
        ("* * * *", False),
        ("*/0 * * * *", False),
        ("@sometimes", False),
        ("5-1 * * * *", False),
        ("a * * * *", False),
    ],
)
def test_schedule(schedule: str, *, good: bool) -> None:
    assert (schedule_fault(schedule) == "") == good


@pytest.mark.parametrize("rule", [names.dns_label, names.dns_subdomain, names.qualified_name, names.dns_label_1035])
def test_names_end_where_the_text_ends(rule: names.Rule) -> None:
    assert rule("a-1") == ()
    for text in ("a\n", "", "a-", "-a", "ä", "a b"):
        assert rule(text)


@given(st.text(max_size=40))
def test_every_label_is_a_subdomain(text: str) -> None:
    if not names.dns_label(text):
        assert not names.dns_subdomain(text)
        assert not names.qualified_name(text)


@pytest.mark.parametrize("each", builtin().resources(), ids=lambda each: f"{each.group}/{each.version}/{each.kind}")
def test_rules_of_every_kind_bear_an_empty_object(each: Resource) -> None:
    tree: dict[str, Any] = {"metadata": {}}
    apply(each, tree)
    assert validate(each, tree)
    assert isinstance(validate_update(each, {**tree, "spec": {}, "data": {}}, {"metadata": {}}), list)
