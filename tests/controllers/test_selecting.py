"""Whoever means a pod is found by the pod's labels, however his selector is written."""

from collections.abc import Mapping

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import apps, core, meta
from bireme.api.selectors import LabelSelector
from bireme.client.client import Client
from bireme.controllers.informers import Informers
from bireme.controllers.replicaset import would_adopt
from bireme.controllers.selecting import SELECTS, filed_selector, may_select

EXISTS = meta.LabelSelectorRequirement(key="app", operator="Exists")
SELECTORS = {
    "one-label": meta.LabelSelector(match_labels={"app": "web"}),
    "two-labels": meta.LabelSelector(match_labels={"app": "web", "tier": "front"}),
    "a-template": meta.LabelSelector(match_labels={"app": "web", "pod-template-hash": "1"}),
    "expressions": meta.LabelSelector(
        match_expressions=[meta.LabelSelectorRequirement(key="app", operator="Exists")]
    ),
    "everything": meta.LabelSelector(),
    "another": meta.LabelSelector(match_labels={"app": "db"}),
}
LABELS: dict[str, Mapping[str, str]] = {
    "none": {},
    "one": {"app": "web"},
    "two": {"app": "web", "tier": "front"},
    "all": {"app": "web", "tier": "front", "pod-template-hash": "1"},
    "other": {"app": "db", "x": "y"},
}


def pod(labels: Mapping[str, str], namespace: str = "d") -> core.Pod:
    return core.Pod(metadata=meta.ObjectMeta(name="p", namespace=namespace, uid="u", labels=dict(labels)))


@pytest.fixture
def sets() -> Informers:
    """A cache of ReplicaSets with all these selectors."""
    informers = Informers(Client(None), clock=VirtualClock())  # type: ignore[arg-type]
    informers.index(
        apps.ReplicaSet, SELECTS, lambda each: filed_selector(each.metadata.namespace, each.spec.selector)
    )
    for name, selector in SELECTORS.items():
        made = apps.ReplicaSet(metadata=meta.ObjectMeta(name=name, namespace="d", uid=name))
        made.spec.selector = selector
        informers.of(apps.ReplicaSet).have([made])
    return informers


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_those_who_mean_a_pod_are_among_those_who_are_asked(sets: Informers, labels: Mapping[str, str]) -> None:
    meant = {name for name, selector in SELECTORS.items() if LabelSelector.from_struct(selector).matches(labels)}
    asked = [each.metadata.name for each in may_select(sets, apps.ReplicaSet, pod(labels))]
    assert meant <= set(asked)
    assert len(asked) == len(set(asked))
    assert {key.name for key in would_adopt(sets, None, pod(labels))} == meant
    assert not list(may_select(sets, apps.ReplicaSet, pod(labels, namespace="elsewhere")))


def test_an_orphan_that_stays_as_it_was_wakes_nobody(sets: Informers) -> None:
    lonely, labelled = pod({}), pod({"app": "db"})
    assert would_adopt(sets, labelled, labelled) == set()
    assert {key.name for key in would_adopt(sets, lonely, labelled)} == {"another", "expressions", "everything"}
