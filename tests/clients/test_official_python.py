"""The official Python client: typed calls, watches, the dynamic client, exec, leader election."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.stream import stream


@pytest.fixture(scope="module")
def api(server):
    configuration = client.Configuration()
    config.load_kube_config(str(server.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as opened:
        yield opened


def deployment(name, replicas=2):
    labels = {"app": name}
    container = client.V1Container(name="main", image="example.com/i:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def test_a_deployment_is_watched_to_readiness_scaled_and_deleted(api, namespace, until):
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(namespace, deployment("web"))
    follower = watch.Watch()
    for event in follower.stream(apps.list_namespaced_deployment, namespace, timeout_seconds=30):
        if (event["object"].status.ready_replicas or 0) == 2:
            follower.stop()
    assert event["type"] == "MODIFIED"
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    until(lambda: len(core.list_namespaced_pod(namespace, label_selector="app=web").items) == 1)
    apps.delete_namespaced_deployment("web", namespace)
    until(lambda: not core.list_namespaced_pod(namespace).items)


def test_a_watch_goes_on_from_where_another_stopped(api, namespace):
    core = client.CoreV1Api(api)
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    for name in ("a", "b"):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name}})
    first = watch.Watch()
    for event in first.stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=20):
        seen = event["object"].metadata
        if seen.name == "a":
            first.stop()
    names = []
    rest = watch.Watch()
    version = seen.resource_version
    for event in rest.stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=20
    ):
        names.append(event["object"].metadata.name)
        rest.stop()
    assert names == ["b"]


def test_errors_are_those_that_the_client_knows(api, namespace):
    core = client.CoreV1Api(api)
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_pod("nobody", namespace)
    assert caught.value.status == 404
    assert '"reason":"NotFound"' in caught.value.body.replace(" ", "")
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    with pytest.raises(client.ApiException) as caught:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    assert caught.value.status == 409


def test_the_dynamic_client_finds_kinds_applies_and_watches(api, namespace):
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d", "namespace": namespace}}
    maps.server_side_apply(body={**tree, "data": {"a": "1"}}, namespace=namespace, field_manager="dynamic")
    assert maps.get(name="d", namespace=namespace).data.a == "1"
    patch = {"metadata": {"labels": {"x": "y"}}}
    maps.patch(name="d", namespace=namespace, body=patch, content_type="application/merge-patch+json")
    for event in maps.watch(namespace=namespace, label_selector="x=y", timeout=20):
        assert event["object"].metadata.name == "d"
        break
    maps.delete(name="d", namespace=namespace)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        maps.get(name="d", namespace=namespace)


def test_a_command_is_run_in_a_pod(api, namespace, until):
    core = client.CoreV1Api(api)
    metadata = client.V1ObjectMeta(name="p", annotations={"hollow.bireme.dev/exec": "hello\n"})
    spec = client.V1PodSpec(containers=[client.V1Container(name="main", image="i")])
    core.create_namespaced_pod(namespace, client.V1Pod(metadata=metadata, spec=spec))
    until(lambda: core.read_namespaced_pod("p", namespace).status.phase == "Running")
    assert core.read_namespaced_pod_log("p", namespace) == f"{namespace}/p/main is hollow\n"
    said = stream(core.connect_get_namespaced_pod_exec, "p", namespace, command=["true"], stdout=True, stderr=True)
    assert said == "hello\n"


def test_one_leads_and_another_takes_over_when_it_is_killed(server, namespace, until):
    script = Path(__file__).parent / "candidate.py"

    def candidate(name):
        command = [sys.executable, "-u", str(script), str(server.kubeconfig), namespace, name]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    candidates = [candidate("first")]
    try:
        assert candidates[0].stdout.readline() == "leading\n"
        candidates.append(candidate("second"))
        candidates[0].kill()
        assert candidates[1].stdout.readline() == "leading\n"
        lock = server.ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/lead")
        record = json.loads(lock["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"])
        assert record["holderIdentity"] == "second"
    finally:
        for one in candidates:
            one.kill()
            one.wait()
            one.stdout.close()
