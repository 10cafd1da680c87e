"""lightkube: typed and generic resources, apply with owners, watches."""

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod


@pytest.fixture
def client(server, namespace):
    config = KubeConfig.from_file(str(server.kubeconfig))
    return Client(config=config.get(), namespace=namespace, field_manager="lightkube")


def test_objects_are_made_listed_patched_and_deleted(client, until):
    assert {node.metadata.name for node in client.list(Node)} == {"hollow-0", "hollow-1"}
    pod = Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(containers=[Container(name="main", image="i")]))
    client.create(pod)
    until(lambda: client.get(Pod, "p").status.phase == "Running")
    client.patch(Pod, "p", {"metadata": {"labels": {"a": "b"}}})
    assert [one.metadata.name for one in client.list(Pod, labels={"a": "b"})] == ["p"]
    assert list(client.log("p")) == [f"{client.namespace}/p/main is hollow\n"]
    client.delete(Pod, "p", grace_period=0)
    with pytest.raises(ApiError) as caught:
        until(lambda: client.get(Pod, "p") is None)
    assert caught.value.status.code == 404


def test_what_another_owns_is_a_conflict_unless_forced(client):
    wanted = ConfigMap(metadata=ObjectMeta(name="m"), data={"a": "1"})
    client.apply(wanted)
    with pytest.raises(ApiError) as caught:
        client.apply(ConfigMap(metadata=ObjectMeta(name="m"), data={"a": "2"}), field_manager="other")
    assert caught.value.status.reason == "Conflict"
    client.apply(ConfigMap(metadata=ObjectMeta(name="m"), data={"a": "2"}), field_manager="other", force=True)
    assert client.get(ConfigMap, "m").data == {"a": "2"}


def test_a_deployment_is_waited_for_and_scaled(client, until):
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    client.create(Deployment.from_dict({"metadata": {"name": "web"}, "spec": spec}))
    client.wait(Deployment, "web", for_conditions=["Available"])
    scale = client.get(Deployment.Scale, "web")
    scale.spec.replicas = 2
    client.replace(scale, "web")
    until(lambda: client.get(Deployment, "web").status.readyReplicas == 2)


def test_changes_are_watched(client):
    client.create(ConfigMap(metadata=ObjectMeta(name="w"), data={"a": "1"}))
    for event, found in client.watch(ConfigMap, fields={"metadata.name": "w"}, server_timeout=20):
        if event == "ADDED":
            client.patch(ConfigMap, "w", {"data": {"a": "2"}})
        else:
            assert (event, found.data) == ("MODIFIED", {"a": "2"})
            break
