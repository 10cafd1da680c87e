import pytest

from bireme.api.kinds import apps, autoscaling_v1, core, events
from bireme.api.scheme import Gvk, Scheme, builtin


def test_every_built_in_kind_is_there_once() -> None:
    resources = builtin().resources()
    assert len({(item.group, item.version, item.plural) for item in resources}) == len(resources) >= 70


def test_pods() -> None:
    pods = builtin().of_type(core.Pod)
    assert (pods.plural, pods.singular, pods.short_names, pods.categories) == ("pods", "pod", ("po",), ("all",))
    assert pods.key_prefix == "/registry/core/pods/"
    assert pods.definition == "io.k8s.api.core.v1.Pod"
    eviction = pods.subresource("eviction")
    assert eviction is not None
    assert eviction.kind == Gvk("policy", "v1", "Eviction")
    assert eviction.verbs == {"create"}
    assert {"metadata.name", "metadata.namespace", "spec.nodeName"} <= pods.selectable
    assert pods.has_status
    assert pods.subresource("scale") is None


def test_scale_and_titles() -> None:
    deployments = builtin().of_type(apps.Deployment)
    assert deployments.subresource("scale") is not None
    assert deployments.title == "deployments.apps"
    assert deployments.api_version == "apps/v1"
    assert builtin().resource("apps", "v1", "deployments") is deployments
    assert builtin().of_kind("apps", "v1", "Deployment") is deployments
    assert builtin().of_kind("apps", "v2", "Deployment") is None


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        pytest.param(
            autoscaling_v1.HorizontalPodAutoscaler, "/registry/autoscaling/horizontalpodautoscalers/", id="hpa"
        ),
        pytest.param(events.Event, "/registry/core/events/", id="events"),
    ],
)
def test_versions_share_their_storage(kind: type, prefix: str) -> None:
    resource = builtin().of_type(kind)
    assert resource.key_prefix == prefix
    assert resource.stored_as is not resource


def test_groups_and_versions_are_ordered() -> None:
    scheme = builtin()
    assert scheme.groups()[:4] == ["", "apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert scheme.versions("autoscaling") == ["v2", "v1"]
    assert [item.plural for item in scheme.of_group_version("batch", "v1")] == ["cronjobs", "jobs"]


def test_kinds_come_and_go() -> None:
    scheme = Scheme()
    pods = builtin().of_type(core.Pod)
    scheme.add(pods)
    assert scheme.resources() == [pods]
    scheme.remove(pods)
    assert scheme.of_kind("", "v1", "Pod") is None
