"""A container's environment."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from kubelet_pods import container, pod

from bireme.api.kinds import core
from bireme.kubelet.environment import EnvironmentProblem, Facts, environment, expand

SERVICE = msgspec.convert(
    {
        "metadata": {"name": "my-web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.1.1", "ports": [{"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP"}]},
    },
    core.Service,
)
MAP = core.ConfigMap(data={"B": "2", "A": "1"})
SECRET = core.Secret(data={"pw": "czNjcmV0"})
FACTS = Facts(
    host_ip="192.0.2.1",
    pod_ips=("10.0.0.2",),
    allocatable={"cpu": "2", "memory": "4Gi"},
    config_maps={"m": MAP},
    secrets={"s": SECRET},
)


def made(facts=FACTS, **wanted):
    target = pod(container(**wanted), metadata={"labels": {"a": "b"}}, serviceAccountName="sa", nodeName="n")
    return dict(environment(target, target.spec.containers[0], facts))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$(NONE)", "$(NONE)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("a$", "a$"),
        ("$$", "$"),
    ],
)
def test_expansion(text, expected):
    assert expand(text, {"A": "1", "B": "2"}) == expected


@given(some.text(some.sampled_from("$()Ab"), max_size=30))
def test_expansion_takes_any_text(text):
    assert isinstance(expand(text, {"A": "$(A)"}), str)


def test_variables_refer_to_earlier_ones():
    found = made(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2$(C)"}, {"name": "C", "value": "3"}])
    assert found["B"] == "12$(C)"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "p"),
        ({"fieldRef": {"fieldPath": "metadata.labels['a']"}}, "b"),
        ({"fieldRef": {"fieldPath": "status.podIP"}}, "10.0.0.2"),
        ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "sa"),
        ({"configMapKeyRef": {"name": "m", "key": "A"}}, "1"),
        ({"secretKeyRef": {"name": "s", "key": "pw"}}, "s3cret"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "2"),
        ({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, "4096"),
        ({"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}, "250"),
    ],
)
def test_sources(source, expected):
    found = made(env=[{"name": "X", "valueFrom": source}], resources={"requests": {"cpu": "250m"}})
    assert found["X"] == expected


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]},
            'configmap "no" not found',
        ),
        (
            {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "couldn't find key k in Secret s",
        ),
        ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found'),
        ({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.bad"}}}]}, "not supported"),
    ],
)
def test_what_is_missing_is_named(wanted, words):
    with pytest.raises(EnvironmentProblem, match=words):
        made(**wanted)


def test_optional_sources_may_be_missing():
    found = made(
        env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}}}],
        envFrom=[{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "no", "optional": True}}],
    )
    assert found == {"P_A": "1", "P_B": "2"}


def test_services_of_the_namespace_are_told():
    found = made(Facts(services=[SERVICE], api_host="10.96.0.1", api_port=443))
    assert found == {
        "KUBERNETES_SERVICE_HOST": "10.96.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "MY_WEB_SERVICE_HOST": "10.96.1.1",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP": "80",
        "MY_WEB_PORT": "tcp://10.96.1.1:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.96.1.1:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.96.1.1",
        "MY_WEB_PORT_53_UDP": "udp://10.96.1.1:53",
        "MY_WEB_PORT_53_UDP_PROTO": "udp",
        "MY_WEB_PORT_53_UDP_PORT": "53",
        "MY_WEB_PORT_53_UDP_ADDR": "10.96.1.1",
    }


def test_service_links_can_be_switched_off():
    target = pod(container(), enableServiceLinks=False)
    assert environment(target, target.spec.containers[0], Facts(services=[SERVICE])) == []
