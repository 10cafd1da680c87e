"""What groups a pod with others when it says nothing of spreading: its services and its controller."""

from typing import Any, cast

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import apps, core, meta
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.scheduler.caches import Caches
from bireme.scheduler.spreading import Spreading

LABELS = {"app": "web", "tier": "front"}


def put(informer: Informer[Any], obj: Any) -> None:
    """As if the server had told of it."""
    informer.have([obj])


def service(name: str, **selector: str) -> core.Service:
    about = meta.ObjectMeta(name=name, namespace="default")
    return core.Service(metadata=about, spec=core.ServiceSpec(selector=selector))


def pod(kind: str = "", name: str = "", *, version: str = "apps/v1") -> core.Pod:
    owner = [meta.OwnerReference(api_version=version, kind=kind, name=name, uid="u", controller=True)] if kind else []
    return core.Pod(metadata=meta.ObjectMeta(name="p", namespace="default", labels=LABELS, owner_references=owner))


@pytest.fixture
def caches() -> Caches:
    return Caches.of(cast("Client", None), clock=VirtualClock())


def said(spreading: Spreading, wanted: core.Pod) -> str | None:
    selector = spreading.selector(wanted)
    return None if selector is None else str(selector)


def test_services_that_select_the_pod_are_merged(caches: Caches) -> None:
    spreading = Spreading(caches)
    assert said(spreading, pod()) is None
    put(caches.services, service("one", app="web"))
    put(caches.services, service("two", tier="front"))
    put(caches.services, service("other", app="db"))
    put(caches.services, service("none"))
    assert said(spreading, pod()) == "app=web,tier=front"
    put(caches.services, service("two"))
    assert said(spreading, pod()) == "app=web"


def test_the_selector_of_the_controller_is_added(caches: Caches) -> None:
    spreading = Spreading(caches)
    put(caches.services, service("one", app="web"))
    owned = pod("ReplicaSet", "r")
    assert said(spreading, owned) == "app=web"
    about = meta.ObjectMeta(name="r", namespace="default")
    expression = meta.LabelSelectorRequirement(key="tier", operator="In", values=["front", "back"])
    selector = meta.LabelSelector(match_labels={"app": "web"}, match_expressions=[expression])
    put(caches.replica_sets, apps.ReplicaSet(metadata=about, spec=apps.ReplicaSetSpec(selector=selector)))
    assert said(spreading, owned) == "app=web,tier in (back,front)"
    put(
        caches.replication_controllers,
        core.ReplicationController(metadata=about, spec=core.ReplicationControllerSpec(selector={"tier": "front"})),
    )
    assert said(spreading, pod("ReplicationController", "r", version="v1")) == "app=web,tier=front"
    assert said(spreading, pod("Job", "r", version="batch/v1")) == "app=web"
