from collections import Counter

from controller_objects import NOW, ago

from bireme.api.kinds import core
from bireme.controllers.namespace import Emptying, conditions


def said(emptying: Emptying) -> dict[str, tuple[str, str]]:
    return {item.type: (item.status, item.reason) for item in conditions([], emptying, now=NOW)}


def test_nothing_left() -> None:
    assert said(Emptying()) == {
        "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered"),
        "NamespaceDeletionGroupVersionParsingFailure": ("False", "ParsedGroupVersions"),
        "NamespaceDeletionContentFailure": ("False", "ContentDeleted"),
        "NamespaceContentRemaining": ("False", "ContentRemoved"),
        "NamespaceFinalizersRemaining": ("False", "ContentHasNoFinalizers"),
    }


def test_something_left() -> None:
    emptying = Emptying(Counter({"pods.": 2}), Counter({"x/y": 1}), ["jobs.batch: refused"])
    found = {item.type: item for item in conditions([], emptying, now=NOW)}
    remaining = found["NamespaceContentRemaining"]
    assert (remaining.status, remaining.reason) == ("True", "SomeResourcesRemain")
    assert remaining.message == "Some resources are remaining: pods. has 2 resource instances"
    assert "x/y in 1 resource instances" in found["NamespaceFinalizersRemaining"].message
    assert found["NamespaceDeletionContentFailure"].reason == "ContentDeletionFailed"


def test_times_stay_while_a_status_stays() -> None:
    before = conditions([], Emptying(Counter({"pods.": 2})), now=NOW)
    for item in before:
        item.last_transition_time = ago(60)
    before.append(core.NamespaceCondition(type="Other", status="True"))
    after = {item.type: item for item in conditions(before, Emptying(), now=NOW)}
    assert after["NamespaceContentRemaining"].last_transition_time == ago(0)
    assert after["NamespaceFinalizersRemaining"].last_transition_time == ago(60)
    assert "Other" in after


def test_a_server_that_does_not_answer_holds_the_namespace() -> None:
    emptying = Emptying(undiscovered=["metrics.k8s.io/v1beta1"])
    condition = next(item for item in conditions([], emptying, now=NOW) if "Discovery" in item.type)
    assert (condition.status, condition.reason) == ("True", "DiscoveryFailed")
    assert condition.message == (
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: "
        "metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1"
    )
