"""Defaults: what the API fills in, kind by kind, and that filling in twice changes nothing."""

import copy
from typing import Any

import pytest

from bireme.api.defaults.apply import apply, apply_to_status
from bireme.api.scheme import Resource


def resource(kind: str, *, group: str = "") -> Resource:
    return Resource(
        group=group, version="v1", kind=kind, plural=f"{kind.lower()}s", singular=kind.lower(), namespaced=True
    )


def defaulted(kind: str, tree: dict[str, Any], *, group: str = "") -> dict[str, Any]:
    apply(resource(kind, group=group), tree)
    again = copy.deepcopy(tree)
    apply(resource(kind, group=group), again)
    assert again == tree
    return tree


def pod(**spec: Any) -> dict[str, Any]:
    return defaulted("Pod", {"metadata": {"name": "a"}, "spec": spec})["spec"]


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "busybox", **fields}])["containers"][0]


def test_pod_spec() -> None:
    spec = pod(containers=[])
    assert spec == {
        "containers": [],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        pytest.param("busybox", "Always", id="no tag"),
        pytest.param("busybox:latest", "Always", id="latest"),
        pytest.param("busybox:1.36", "IfNotPresent", id="a tag"),
        pytest.param("localhost:5000/busybox", "Always", id="a registry's port is no tag"),
        pytest.param("localhost:5000/busybox:1", "IfNotPresent", id="a registry's port and a tag"),
        pytest.param("busybox@sha256:abc", "IfNotPresent", id="a digest"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert container(image=image)["imagePullPolicy"] == policy


def test_container_basics() -> None:
    assert container(image="a:1") == {
        "name": "c",
        "image": "a:1",
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "resources": {},
    }


def test_limits_become_requests_and_are_spelled_canonically() -> None:
    resources = {"limits": {"cpu": 0.5, "memory": "1024Mi"}, "requests": {"cpu": "100m"}}
    assert container(resources=resources)["resources"] == {
        "limits": {"cpu": "500m", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "1Gi"},
    }


def test_pod_level_limit_asks_for_what_the_containers_ask() -> None:
    spec = pod(
        resources={"limits": {"cpu": "2", "memory": "1Gi"}},
        containers=[{"name": "a", "resources": {"requests": {"cpu": "300m"}}}, {"name": "b"}],
    )
    assert spec["resources"]["requests"] == {"cpu": "300m", "memory": "1Gi"}


def test_probe() -> None:
    probe = container(readinessProbe={"httpGet": {"port": 80}, "periodSeconds": 3})["readinessProbe"]
    assert probe == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "periodSeconds": 3,
        "timeoutSeconds": 1,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_host_ports_follow_under_host_network() -> None:
    spec = pod(hostNetwork=True, containers=[{"name": "c", "ports": [{"containerPort": 80}]}])
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        pytest.param({}, {"emptyDir": {}}, id="nothing is an empty dir"),
        pytest.param(
            {"configMap": {"name": "m"}},
            {"configMap": {"name": "m", "defaultMode": 420}},
            id="file mode",
        ),
        pytest.param({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}, id="host path's type"),
        pytest.param(
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
            id="token's life",
        ),
    ],
)
def test_volume(volume: dict[str, Any], expected: dict[str, Any]) -> None:
    assert pod(volumes=[{"name": "v", **volume}])["volumes"] == [{"name": "v", **expected}]


def test_template_gets_no_requests_from_limits() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}}
    spec = defaulted("Deployment", {"spec": {"template": template}}, group="apps")["spec"]
    assert spec["template"]["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert "enableServiceLinks" not in spec["template"]["spec"]
    assert spec["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


def test_deployment() -> None:
    assert defaulted("Deployment", {"spec": {}}, group="apps")["spec"] == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }


def test_zero_replicas_stay_zero() -> None:
    assert defaulted("ReplicaSet", {"spec": {"replicas": 0}}, group="apps")["spec"]["replicas"] == 0


def test_stateful_set() -> None:
    spec = defaulted("StatefulSet", {"spec": {"volumeClaimTemplates": [{"spec": {}}]}}, group="apps")["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["spec"] == {"volumeMode": "Filesystem"}


@pytest.mark.parametrize(
    ("spec", "completions", "backoff"),
    [
        pytest.param({}, 1, 6, id="one run"),
        pytest.param({"parallelism": 3}, None, 6, id="a work queue has no number of completions"),
        pytest.param({"backoffLimitPerIndex": 1}, 1, 2147483647, id="limits per index lift the common one"),
    ],
)
def test_job(spec: dict[str, Any], completions: int | None, backoff: int) -> None:
    job = defaulted("Job", {"spec": spec}, group="batch")["spec"]
    assert (job.get("completions"), job["backoffLimit"]) == (completions, backoff)


def test_service_ports_and_policies() -> None:
    spec = defaulted("Service", {"spec": {"type": "NodePort", "ports": [{"port": 80}]}})["spec"]
    assert spec["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]
    assert spec["externalTrafficPolicy"] == spec["internalTrafficPolicy"] == "Cluster"
    assert spec["ipFamilyPolicy"] == "SingleStack"


def test_external_name_has_no_families() -> None:
    spec = defaulted("Service", {"spec": {"type": "ExternalName", "externalName": "a.b"}})["spec"]
    assert spec == {"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"}


def test_session_affinity_timeout() -> None:
    spec = defaulted("Service", {"spec": {"sessionAffinity": "ClientIP"}})["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_secret_folds_plain_text_into_data() -> None:
    secret = defaulted("Secret", {"data": {"a": "eA=="}, "stringData": {"b": "ü"}})
    assert secret == {"type": "Opaque", "data": {"a": "eA==", "b": "w7w="}}


def test_namespace_carries_its_name() -> None:
    namespace = defaulted("Namespace", {"metadata": {"name": "n"}})
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert namespace["status"]["phase"] == "Active"


def test_a_status_says_what_strict_clients_miss() -> None:
    pod = {"spec": {}, "status": {"containerStatuses": [{"name": "c", "image": "i"}]}}
    apply_to_status(resource("Pod"), pod)
    said = {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    assert pod["status"]["containerStatuses"] == [said]
    node = {"spec": {}, "status": {"nodeInfo": {"kubeletVersion": "v1"}}}
    apply_to_status(resource("Node"), node)
    assert node["status"]["nodeInfo"]["kubeProxyVersion"] == ""
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1"


def test_network_policy_types() -> None:
    policy = defaulted("NetworkPolicy", {"spec": {"egress": [{}]}}, group="networking.k8s.io")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_role_binding_groups() -> None:
    tree = {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}
    binding = defaulted("RoleBinding", tree, group="rbac.authorization.k8s.io")
    assert binding["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert [subject.get("apiGroup") for subject in binding["subjects"]] == ["rbac.authorization.k8s.io", None]


def test_limit_range_inherits() -> None:
    limits = [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]
    item = defaulted("LimitRange", {"spec": {"limits": limits}})["spec"]["limits"][0]
    assert item["default"] == {"cpu": "2"}
    assert item["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


def test_kinds_without_defaults_are_left_alone() -> None:
    assert defaulted("Lease", {"spec": {}}, group="coordination.k8s.io") == {"spec": {}}


def test_what_another_type_had_filled_in_goes_with_the_type() -> None:
    spec = {"type": "ClusterIP", "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": True}
    left = defaulted("Service", {"spec": spec})["spec"]
    assert "externalTrafficPolicy" not in left
    assert "allocateLoadBalancerNodePorts" not in left


def test_conditions_of_a_budget_have_a_message() -> None:
    budget = Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", namespaced=True)
    tree: dict[str, Any] = {"status": {"conditions": [{"type": "DisruptionAllowed"}, {"type": "A", "message": "b"}]}}
    apply_to_status(budget, tree)
    assert [item["message"] for item in tree["status"]["conditions"]] == ["", "b"]


def test_a_scaled_up_target_gets_four_pods_or_twice_as_many() -> None:
    said = {"apiVersion": "autoscaling/v2", "spec": {"behavior": {}}}
    tree = defaulted("HorizontalPodAutoscaler", said, group="autoscaling")
    policies = tree["spec"]["behavior"]["scaleUp"]["policies"]
    assert [(policy["type"], policy["value"]) for policy in policies] == [("Pods", 4), ("Percent", 100)]
