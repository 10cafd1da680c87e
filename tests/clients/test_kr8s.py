"""kr8s: objects by name and label, waiting, scaling, watching."""

import kr8s
import pytest
from kr8s.objects import ConfigMap, Deployment, Pod

# It warns of every version that is newer than itself.
pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}}


@pytest.fixture
def api(server, namespace):
    return kr8s.api(kubeconfig=str(server.kubeconfig), namespace=namespace)


def test_a_pod_runs_is_labelled_read_and_deleted(api, namespace):
    spec = {"containers": [{"name": "main", "image": "i"}]}
    pod = Pod({**POD, "metadata": {**POD["metadata"], "namespace": namespace}, "spec": spec}, api=api)
    pod.create()
    pod.wait("condition=Ready", timeout=20)
    assert pod.status.phase == "Running"
    pod.label({"c": "d"})
    assert [one.name for one in api.get("pods", label_selector="c=d", namespace=namespace)] == ["p"]
    assert list(pod.logs()) == [f"{namespace}/p/main is hollow"]
    pod.delete()
    pod.wait("delete", timeout=20)
    assert not pod.exists()


def test_a_deployment_is_scaled_and_its_pods_found(api, namespace, until):
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "i"}]}}
    tree = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
    web = Deployment(tree, api=api)
    web.create()
    web.wait("condition=Available", timeout=20)
    web.scale(3)
    until(lambda: web.refresh() or web.status.get("readyReplicas") == 3)
    assert len(list(web.pods())) == 3


def test_a_change_is_watched(api, namespace):
    made = ConfigMap({"metadata": {"name": "m", "namespace": namespace}, "data": {"a": "1"}}, api=api)
    made.create()
    for event, found in api.watch("configmaps", namespace=namespace, field_selector={"metadata.name": "m"}):
        assert (event, found.name) == ("ADDED", "m")
        break
    made.patch({"data": {"a": "2"}})
    assert ConfigMap.get("m", namespace=namespace, api=api).data.a == "2"
    assert api.version()["major"] == "1"
