"""Jobs: what is counted, when they end, how many pods they have; and whole lives over the real API."""

from datetime import timedelta
from typing import Any

import pytest
from controller_objects import NOW, ago, metadata, template
from hypothesis import given
from hypothesis import strategies as st
from story import Story, story

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import batch, core, meta
from bireme.controllers import indexes, job_plan, job_policies, job_tally


def job(status: batch.JobStatus | None = None, **spec: Any) -> batch.Job:
    fields = {"completions": 1, "parallelism": 1, "backoff_limit": 6, "template": template(), **spec}
    return batch.Job(
        metadata=metadata("j"), spec=batch.JobSpec(**fields), status=status or batch.JobStatus(start_time=ago(60))
    )


def pod(
    name: str,
    phase: str = "Running",
    *,
    index: int | None = None,
    tracked: bool = True,
    code: int | None = None,
    seconds_ago: float = 30,
    **more: Any,
) -> core.Pod:
    ended = core.ContainerStateTerminated(exit_code=code or 0, finished_at=ago(seconds_ago))
    statuses = [core.ContainerStatus(name="c", state=core.ContainerState(terminated=ended))]
    return core.Pod(
        metadata=metadata(
            name,
            finalizers=[job_tally.TRACKING] if tracked else [],
            annotations={} if index is None else {job_tally.INDEX: str(index)},
            **more,
        ),
        status=core.PodStatus(phase=phase, container_statuses=statuses if phase in ("Failed", "Succeeded") else []),
    )


@given(st.sets(st.integers(0, 60)))
def test_indexes_are_spelled_and_read(numbers: set[int]) -> None:
    assert indexes.parse(indexes.spelled(numbers)) == numbers


def test_runs_of_three_indexes_and_more_are_short() -> None:
    assert indexes.spelled({5, 0, 1, 2, 7, 8}) == "0-2,5,7,8"


def test_a_pod_is_first_written_down_then_counted() -> None:
    done = pod("a", "Succeeded")
    first = job_tally.tally(job(), [done])
    assert (first.succeeded, first.uncounted_succeeded, first.release) == (0, ["uid-a"], [done])
    noted = batch.JobStatus(uncounted_terminated_pods=batch.UncountedTerminatedPods(succeeded=["uid-a"]))
    second = job_tally.tally(job(noted), [done])
    assert (second.succeeded, second.uncounted_succeeded, second.release) == (0, ["uid-a"], [done])
    third = job_tally.tally(job(noted), [pod("a", "Succeeded", tracked=False)])
    assert (third.succeeded, third.uncounted_succeeded, third.release) == (1, [], [])
    gone = job_tally.tally(job(noted), [])
    assert gone.succeeded == 1


def test_a_pod_on_its_way_out_is_a_failure_unless_one_waits_for_it() -> None:
    leaving = pod("a", deletion_timestamp=ago(1))
    assert job_tally.tally(job(), [leaving]).uncounted_failed == ["uid-a"]
    waits = job_tally.tally(job(pod_replacement_policy="Failed"), [leaving])
    assert (waits.uncounted_failed, waits.terminating) == ([], [leaving])


def test_a_pod_that_was_just_deleted_stays_uncounted_until_its_end_is_seen() -> None:
    leaving = pod("a")
    noted = batch.JobStatus(uncounted_terminated_pods=batch.UncountedTerminatedPods(failed=["uid-a"]))
    found = job_tally.tally(job(noted), [], hidden=[leaving])
    assert (found.failed, found.uncounted_failed, found.active, found.release) == (0, ["uid-a"], [], [])


def test_what_runs_when_a_job_is_lost_failed() -> None:
    runs = pod("a")
    assert job_tally.tally(job(), [runs]).uncounted_failed == []
    assert job_tally.tally(job(), [runs], lost=True).uncounted_failed == ["uid-a"]


IGNORES = batch.PodFailurePolicy(
    rules=[
        batch.PodFailurePolicyRule(
            action="Ignore",
            on_pod_conditions=[batch.PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")],
        ),
        batch.PodFailurePolicyRule(
            action="FailJob",
            on_exit_codes=batch.PodFailurePolicyOnExitCodesRequirement(operator="In", values=[42]),
        ),
    ]
)


def test_a_disrupted_pod_is_no_failure() -> None:
    lost = pod("a", "Failed", code=137)
    lost.status.conditions = [core.PodCondition(type="DisruptionTarget", status="True")]
    found = job_tally.tally(job(pod_failure_policy=IGNORES), [lost])
    assert (found.uncounted_failed, found.release) == ([], [lost])


def test_one_exit_code_ends_the_job() -> None:
    found = job_tally.tally(job(pod_failure_policy=IGNORES), [pod("a", "Failed", code=42)])
    end = job_plan.verdict(job(pod_failure_policy=IGNORES), found, now=NOW)
    assert end is not None
    assert end.reason == "PodFailurePolicy"
    assert end.message == ("Container c for pod default/a failed with exit code 42 matching FailJob rule at index 1")


@pytest.mark.parametrize(
    ("spec", "found", "reason"),
    [
        pytest.param({}, {}, None, id="nothing yet"),
        pytest.param({}, {"succeeded": 1}, "CompletionsReached", id="as many as wanted"),
        pytest.param({}, {"uncounted_succeeded": ["a"]}, "CompletionsReached", id="not counted but succeeded"),
        pytest.param({"completions": 2}, {"succeeded": 1}, None, id="one of two"),
        pytest.param({"completions": None}, {"succeeded": 1}, "CompletionsReached", id="a queue that is empty"),
        pytest.param(
            {"completions": None}, {"succeeded": 1, "active": [pod("a")]}, None, id="a queue that is worked at"
        ),
        pytest.param({"backoff_limit": 2}, {"failed": 2}, None, id="as many failures as allowed"),
        pytest.param({"backoff_limit": 2}, {"failed": 3}, "BackoffLimitExceeded", id="one more"),
        pytest.param({"active_deadline_seconds": 60}, {}, "DeadlineExceeded", id="too long"),
        pytest.param({"active_deadline_seconds": 60, "suspend": True}, {}, None, id="suspended, not too long"),
        pytest.param(
            {"completions": 2, "completion_mode": "Indexed", "backoff_limit_per_index": 0},
            {"done": {0}, "failed_indexes": {1}},
            "FailedIndexes",
            id="all indexes over, one failed",
        ),
        pytest.param(
            {"completions": 9, "completion_mode": "Indexed", "backoff_limit_per_index": 0, "max_failed_indexes": 1},
            {"failed_indexes": {1, 2}},
            "MaxFailedIndexesExceeded",
            id="too many indexes failed",
        ),
    ],
)
def test_verdict(spec: dict[str, Any], found: dict[str, Any], reason: str | None) -> None:
    end = job_plan.verdict(job(**spec), job_tally.Tally(**found), now=NOW)
    assert (end.reason if end else None) == reason


@pytest.mark.parametrize(
    ("rule", "succeeded", "expected"),
    [
        pytest.param({"succeeded_indexes": "0,2"}, {0, 1}, "", id="one is missing"),
        pytest.param({"succeeded_indexes": "0,2"}, {0, 2}, "Matched rules at index 0", id="all of them"),
        pytest.param({"succeeded_indexes": "0-5", "succeeded_count": 1}, {3}, "Matched rules at index 0", id="one"),
        pytest.param({"succeeded_count": 2}, {3, 9}, "Matched rules at index 0", id="any two"),
        pytest.param({"succeeded_count": 2}, {3}, "", id="one of any two"),
    ],
)
def test_success_policy(rule: dict[str, Any], succeeded: set[int], expected: str) -> None:
    policy = batch.SuccessPolicy(rules=[batch.SuccessPolicyRule(**rule)])
    assert job_policies.success_match(policy, succeeded) == expected


@pytest.mark.parametrize(
    ("spec", "found", "expected"),
    [
        pytest.param({"completions": 5, "parallelism": 2}, {}, 2, id="as many side by side as allowed"),
        pytest.param({"completions": 5, "parallelism": 9, "n": 0}, {"succeeded": 3}, 2, id="no more than are left"),
        pytest.param({"completions": None, "parallelism": 3}, {"succeeded": 1}, 0, id="none once a queue is empty"),
        pytest.param(
            {"parallelism": 1, "pod_replacement_policy": "Failed"},
            {"terminating": [pod("a")]},
            0,
            id="none before the old one is gone",
        ),
    ],
)
def test_how_many_are_made(spec: dict[str, Any], found: dict[str, Any], expected: int) -> None:
    spec.pop("n", None)
    assert job_plan.to_make(job(**spec), job_tally.Tally(**found)) == expected


def test_free_indexes() -> None:
    found = job_tally.Tally(done={0}, failed_indexes={2}, active=[pod("a", index=1)])
    assert list(job_plan.free_indexes(job(completions=5), found)) == [3, 4]


def test_each_failure_in_a_row_doubles_the_wait() -> None:
    one = [pod("a", "Failed", seconds_ago=30)]
    assert job_plan.not_before(one) == NOW + timedelta(seconds=10 - 30)
    three = [pod(name, "Failed", seconds_ago=30) for name in "abc"]
    assert job_plan.not_before(three) == NOW + timedelta(seconds=40 - 30)
    assert job_plan.not_before([*three, pod("d", "Succeeded", seconds_ago=20)]) is None


# Whole lives.


def made(name: str = "j", **spec: Any) -> batch.Job:
    shape = template()
    shape.spec.restart_policy = "Never"
    return batch.Job(
        metadata=meta.ObjectMeta(name=name, namespace="default"), spec=batch.JobSpec(template=shape, **spec)
    )


async def end(there: Story, name: str, phase: str, code: int = 0) -> None:
    terminated = {"exitCode": code, "finishedAt": "2026-01-01T12:00:00Z", "startedAt": "2026-01-01T12:00:00Z"}
    statuses = [{"name": "c", "image": "one", "imageID": "", "ready": False, "restartCount": 0}]
    statuses[0]["state"] = {"terminated": terminated}
    patch = {"status": {"phase": phase, "containerStatuses": statuses}}
    await there.client.patch(core.Pod, name, patch, namespace="default", subresource="status")


async def running(there: Story, number: int) -> list[core.Pod]:
    async def all_of_them() -> list[core.Pod] | None:
        found = [item for item in await there.pods() if item.status.phase == "Running"]
        return found if len(found) == number else None

    found: list[core.Pod] = await there.until(all_of_them)
    return found


async def condition(there: Story, type: str) -> batch.Job:
    async def told() -> batch.Job | None:
        found = await there.client.get(batch.Job, "j", namespace="default")
        return found if job_plan.condition(found, type) else None

    found: batch.Job = await there.until(told)
    return found


async def test_a_job_runs_until_all_indexes_are_done() -> None:
    async with story() as there:
        await there.client.create(made(completions=3, parallelism=2, completion_mode="Indexed"))
        for item in await running(there, 2):
            assert item.spec.hostname == f"j-{job_tally.index_of(item)}"
            assert item.spec.containers[0].env[0].name == "JOB_COMPLETION_INDEX"
            await end(there, item.metadata.name, "Succeeded")
        (last,) = await running(there, 1)
        assert job_tally.index_of(last) == 2
        await end(there, last.metadata.name, "Succeeded")
        over = await condition(there, "Complete")
        assert (over.status.succeeded, over.status.completed_indexes) == (3, "0-2")

        async def let_go() -> bool:
            return not any(job_tally.is_tracked(item) for item in await there.pods())

        await there.until(let_go)


async def test_a_job_that_fails_ends_its_other_pods() -> None:
    async with story() as there:
        await there.client.create(made(parallelism=3, backoff_limit=0))
        first, *_ = await running(there, 3)
        await end(there, first.metadata.name, "Failed", 1)
        over = await condition(there, "Failed")
        assert over.status.failed == 3
        assert not over.status.active


async def test_a_suspended_job_has_no_pods_and_no_failures() -> None:
    async with story() as there:
        await there.client.create(made(parallelism=2))
        await running(there, 2)
        await there.client.patch(batch.Job, "j", {"spec": {"suspend": True}}, namespace="default")
        told = await condition(there, "Suspended")
        assert (told.status.start_time, told.status.failed) == ("", None)
        await there.client.patch(batch.Job, "j", {"spec": {"suspend": False}}, namespace="default")

        async def two_more() -> bool:
            return sum(not item.metadata.deletion_timestamp for item in await there.pods()) == 2

        await there.until(two_more)
        found = await there.client.get(batch.Job, "j", namespace="default")
        assert found.status.failed is None


async def test_pods_of_a_deleted_job_go_with_it() -> None:
    async with story() as there:
        await there.client.create(made(parallelism=2))
        for item in await running(there, 2):
            await end(there, item.metadata.name, "Failed", 1)
        await there.client.delete(batch.Job, "j", namespace="default", propagation="Background")

        async def nobody() -> bool:
            return not await there.pods()

        await there.until(nobody)


async def test_a_pod_is_counted_again_once_it_is_adopted_and_not_once_it_is_released() -> None:
    async with story() as there:
        await there.client.create(made())
        (item,) = await running(there, 1)

        async def change(patch: dict[str, Any], *, owned: bool) -> None:
            await there.client.patch(core.Pod, item.metadata.name, {"metadata": patch}, namespace="default")

            async def followed() -> bool:
                found = await there.client.get(core.Pod, item.metadata.name, namespace="default")
                return bool(found.metadata.owner_references) == job_tally.is_tracked(found) == owned

            await there.until(followed)

        await change({"ownerReferences": None, "finalizers": None}, owned=True)
        await change({"labels": {"batch.kubernetes.io/controller-uid": "another"}}, owned=False)
        await running(there, 2)


async def test_an_ended_job_goes_when_its_time_is_up() -> None:
    clock = VirtualClock()
    async with story(clock=clock) as there:
        await there.client.create(made(ttl_seconds_after_finished=3600))
        (item,) = await running(there, 1)
        await end(there, item.metadata.name, "Succeeded")
        await condition(there, "Complete")
        assert (await there.client.list(batch.Job, namespace="default")).items

        async def gone() -> bool:
            await clock.advance(600)
            return not (await there.client.list(batch.Job, namespace="default")).items

        await there.until(gone)
