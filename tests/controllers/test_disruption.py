from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from controller_objects import template
from story import story

from bireme.api.errors import TooManyRequests
from bireme.api.kinds import apps, core, meta, policy
from bireme.controllers import disruption
from bireme.controllers.disruption import Expected

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def budget(**spec: Any) -> policy.PodDisruptionBudget:
    selector = meta.LabelSelector(match_labels={"app": "a"})
    return policy.PodDisruptionBudget(
        metadata=meta.ObjectMeta(name="b", namespace="default"),
        spec=policy.PodDisruptionBudgetSpec(selector=selector, **spec),
    )


@pytest.mark.parametrize(
    ("spec", "total", "healthy"),
    [
        pytest.param({"min_available": 2}, 5, 2, id="a number that must stay"),
        pytest.param({"min_available": "50%"}, 5, 3, id="a share that must stay is rounded up"),
        pytest.param({"max_unavailable": 1}, 5, 4, id="a number that may go"),
        pytest.param({"max_unavailable": "30%"}, 5, 3, id="a share that may go is rounded up"),
        pytest.param({"max_unavailable": 7}, 5, 0, id="more may go than there are"),
    ],
)
def test_expected(spec: dict[str, Any], total: int, healthy: int) -> None:
    assert disruption.expected(budget(**spec), total) == Expected(total, healthy)


@pytest.mark.parametrize(("pods", "current", "spare"), [(5, 4, 2), (5, 2, 0), (5, 1, 0), (0, 0, 0)])
def test_what_is_spare(pods: int, current: int, spare: int) -> None:
    made = disruption.status(budget(), Expected(pods, 2), current, {}, now=NOW)
    assert made.disruptions_allowed == spare
    (condition,) = made.conditions
    assert condition.status == ("True" if spare else "False")
    assert condition.reason == ("SufficientPods" if spare else "InsufficientPods")


def test_an_evicted_pod_counts_again_after_two_minutes() -> None:
    there = budget()
    there.status.disrupted_pods = {
        "p": "2025-12-31T23:59:00Z",
        "q": "2025-12-31T23:57:00Z",
        "gone": "2026-01-01T00:00:00Z",
    }
    pods = [core.Pod(metadata=meta.ObjectMeta(name=name)) for name in ("p", "q")]
    assert disruption.disrupted(there, pods, now=NOW) == ({"p": "2025-12-31T23:59:00Z"}, timedelta(minutes=1))


async def test_evictions_spend_the_budget() -> None:
    async with story() as there:
        await there.client.create(
            apps.ReplicaSet(
                metadata=meta.ObjectMeta(name="s", namespace="default"),
                spec=apps.ReplicaSetSpec(
                    replicas=2, selector=meta.LabelSelector(match_labels={"app": "a"}), template=template("one")
                ),
            )
        )
        await there.client.create(budget(max_unavailable=1))

        async def allowed() -> policy.PodDisruptionBudget | None:
            found = await there.client.get(policy.PodDisruptionBudget, "b", namespace="default")
            return found if found.status.disruptions_allowed == 1 else None

        status = (await there.until(allowed)).status
        assert (status.expected_pods, status.desired_healthy, status.current_healthy) == (2, 1, 2)
        first, second = await there.pods()
        await _evict(there, first)
        with pytest.raises(TooManyRequests, match="would violate the pod's disruption budget") as refusal:
            await _evict(there, second)
        assert refusal.value.causes[0].reason == "DisruptionBudget"
        assert await there.until(allowed)  # once the set has made another


async def test_a_budget_counts_against_the_size_of_a_stateful_set_as_it_changes() -> None:
    async with story() as there:
        spec = apps.StatefulSetSpec(
            replicas=2, service_name="s", selector=meta.LabelSelector(match_labels={"app": "a"}), template=template()
        )
        await there.client.create(
            apps.StatefulSet(metadata=meta.ObjectMeta(name="s", namespace="default"), spec=spec)
        )
        await there.client.create(budget(max_unavailable="50%"))

        async def expects(pods: int, healthy: int) -> bool:
            found = (await there.client.get(policy.PodDisruptionBudget, "b", namespace="default")).status
            return (found.expected_pods, found.desired_healthy, found.current_healthy) == (pods, healthy, pods)

        await there.until(lambda: expects(2, 1))
        await there.client.patch(apps.StatefulSet, "s", {"spec": {"replicas": 5}}, namespace="default")
        await there.until(lambda: expects(5, 2))


async def test_a_set_whose_size_is_known_is_not_asked_for_it() -> None:
    async with story() as there:
        asked: list[str] = []
        plain = there.client.request

        async def request(method: str, path: str, **more: Any) -> Any:
            asked.append(path)
            return await plain(method, path, **more)

        there.client.request = request  # type: ignore[method-assign]
        set_ = apps.ReplicaSet(
            metadata=meta.ObjectMeta(name="s", namespace="default"),
            spec=apps.ReplicaSetSpec(
                replicas=1, selector=meta.LabelSelector(match_labels={"app": "a"}), template=template("one")
            ),
        )
        await there.client.create(set_)
        await there.client.create(budget(max_unavailable=1))

        async def told() -> bool:
            return (
                await there.client.get(policy.PodDisruptionBudget, "b", namespace="default")
            ).status.expected_pods == 1

        await there.until(told)
        assert not [path for path in asked if path.endswith("/scale")]


async def _evict(there: Any, pod: core.Pod) -> None:
    eviction = policy.Eviction(metadata=meta.ObjectMeta(name=pod.metadata.name, namespace="default"))
    await there.client.create_subresource(core.Pod, pod.metadata.name, "eviction", eviction, namespace="default")
