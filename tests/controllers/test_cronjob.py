"""CronJobs: what schedules mean, which run is due; and whole lives on a clock that is put forward."""

import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from controller_objects import NOW, ago, metadata, template
from hypothesis import given
from hypothesis import strategies as st
from story import Story, story

from bireme.aio.clock import RealClock, VirtualClock
from bireme.api.kinds import batch, core, meta
from bireme.controllers import cron_plan, job_plan, schedules
from bireme.controllers.ownership import reference_to

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        pytest.param("*/15 * * * *", "2026-01-01T12:00:30", "2026-01-01T12:15:00", id="every quarter"),
        pytest.param("0 9-17/4 * * *", "2026-01-01T09:00", "2026-01-01T13:00", id="a range in steps"),
        pytest.param("5/20 * * * *", "2026-01-01T00:06", "2026-01-01T00:25", id="steps from a number"),
        pytest.param("0 0 * * mon-fri", "2026-01-03T00:00", "2026-01-05T00:00", id="weekdays by name"),
        pytest.param("0 0 31 * *", "2026-01-31T00:00", "2026-03-31T00:00", id="months without that day"),
        pytest.param("0 0 29 feb ?", "2026-01-01T00:00", "2028-02-29T00:00", id="a leap day"),
        pytest.param("0 0 13 * fri", "2026-01-01T00:00", "2026-01-02T00:00", id="either of two days"),
        pytest.param("0 0 */2 * mon", "2026-01-01T00:00", "2026-01-03T00:00", id="steps of days are days"),
        pytest.param("@weekly", "2026-01-01T00:00", "2026-01-04T00:00", id="a macro"),
        pytest.param("@every 1h30m", "2026-01-01T00:10", "2026-01-01T01:40", id="so long after the last"),
    ],
)
def test_next(text: str, after: str, expected: str) -> None:
    assert schedules.parse(text).next(at(after)) == at(expected)


def test_no_time_ever() -> None:
    assert schedules.parse("0 0 30 2 *").next(NOW) is None


def test_a_zone_moves_and_skips() -> None:
    daily = schedules.parse("30 2 * * *")
    assert daily.next(at("2026-01-01T00:00"), BERLIN) == at("2026-01-01T01:30")
    assert daily.next(at("2026-07-01T00:00"), BERLIN) == at("2026-07-01T00:30")
    # On 29 March 2026 there is no half past two.
    assert daily.next(at("2026-03-28T12:00"), BERLIN) == at("2026-03-30T00:30")


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(2, 20).map("*/{}".format),
        st.tuples(number, number).map(lambda two: f"{min(two)}-{max(two)}"),
    )


@given(
    fields=st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)),
    minutes=st.integers(0, 600_000),
    zone=st.sampled_from((UTC, BERLIN, zoneinfo.ZoneInfo("Asia/Kolkata"), zoneinfo.ZoneInfo("Australia/Lord_Howe"))),
)
def test_next_is_the_first_minute_that_is_meant(fields: tuple[str, ...], minutes: int, zone: Any) -> None:
    schedule = schedules.parse(" ".join(fields))
    after = at("2026-01-01T00:00") + timedelta(minutes=minutes)
    found = schedule.next(after, zone)
    assert found is not None
    assert found > after
    for step in range(1, min(600, int((found - after).total_seconds()) // 60)):
        local = (after + timedelta(minutes=step)).astimezone(zone)
        assert not _means(fields, local)
    assert _means(fields, found.astimezone(zone))


def _means(fields: Iterable[str], local: datetime) -> bool:
    """The long way: each field asked of the local time."""
    minute, hour, day, month, weekday = fields
    days = (_has(day, local.day, 1), _has(weekday, local.isoweekday() % 7, 0))
    right_day = all(days) if "*" in (day, weekday) else any(days)
    return _has(minute, local.minute, 0) and _has(hour, local.hour, 0) and _has(month, local.month, 1) and right_day


def _has(field: str, number: int, low: int) -> bool:
    if field.startswith("*/"):
        return (number - low) % int(field.removeprefix("*/")) == 0
    first, _, last = field.partition("-")
    return field == "*" or int(first) <= number <= int(last or first)


def cron(schedule: str = "0 * * * *", *, last_s: float | None = None, **spec: Any) -> batch.CronJob:
    return batch.CronJob(
        metadata=metadata("c", creation_timestamp=ago(7 * 86_400)),
        spec=batch.CronJobSpec(schedule=schedule, **spec),
        status=batch.CronJobStatus(last_schedule_time=ago(last_s) if last_s is not None else ""),
    )


@pytest.mark.parametrize(
    ("job", "expected", "missed"),
    [
        pytest.param(cron(last_s=0), None, 0, id="nothing since the last"),
        pytest.param(cron(last_s=3600), NOW, 1, id="one"),
        pytest.param(cron(last_s=4 * 3600), NOW, 4, id="the latest of four"),
        pytest.param(cron("* * * * *"), NOW, 7 * 1440, id="a week of minutes"),
        pytest.param(cron("30 9 * * 1-3"), NOW - timedelta(days=1, hours=2.5), 4, id="not every day: about so many"),
        pytest.param(cron("30 11 * * *", starting_deadline_seconds=600), None, 0, id="too late to count"),
    ],
)
def test_due(job: batch.CronJob, expected: datetime | None, missed: int) -> None:
    found = cron_plan.due(job, now=NOW)
    assert (found.at, found.missed) == (expected, missed)
    assert found.next is not None
    assert found.next > NOW


def test_the_job_of_a_run_is_named_by_its_time() -> None:
    made = cron_plan.job_for(cron(time_zone="Europe/Berlin"), NOW)
    assert made.metadata.name == f"c-{int(NOW.timestamp()) // 60}"
    assert made.metadata.annotations[cron_plan.SCHEDULED_AT] == "2026-01-01T13:00:00+01:00"


def ended(name: str, type: str, seconds: float) -> batch.Job:
    return batch.Job(
        metadata=metadata(name),
        status=batch.JobStatus(start_time=ago(seconds), conditions=[batch.JobCondition(type=type, status="True")]),
    )


def test_history_keeps_the_latest() -> None:
    jobs = [
        ended("a", "Complete", 30),
        ended("b", "Complete", 20),
        ended("c", "Failed", 10),
        ended("d", "Failed", 40),
    ]
    kept = cron(successful_jobs_history_limit=1, failed_jobs_history_limit=1)
    assert [job.metadata.name for job in cron_plan.beyond_history(kept, jobs)] == ["a", "d"]


# Whole lives.


async def begin(there: Story, **spec: Any) -> None:
    shape = template()
    shape.spec.restart_policy = "Never"
    job = batch.JobTemplateSpec(spec=batch.JobSpec(template=shape))
    wanted = batch.CronJobSpec(schedule="*/5 * * * *", job_template=job, **spec)
    await there.client.create(batch.CronJob(metadata=meta.ObjectMeta(name="c", namespace="default"), spec=wanted))


async def until_jobs(there: Story, clock: VirtualClock, number: int) -> list[batch.Job]:
    """The Jobs, once there are so many; the clock is put forward meanwhile."""

    async def claim() -> list[batch.Job] | None:
        await clock.advance(60)
        found = (await there.client.list(batch.Job, namespace="default")).items
        return found if len(found) >= number else None

    found: list[batch.Job] = await there.until(claim)
    return found


async def test_a_job_is_made_at_each_time() -> None:
    clock = VirtualClock(RealClock().now())  # objects are stamped by the server, in real time
    async with story(clock=clock) as there:
        await begin(there)
        jobs = await until_jobs(there, clock, 2)
        minutes = sorted(int(job.metadata.name.removeprefix("c-")) for job in jobs)
        assert all(minute % 5 == 0 for minute in minutes)
        assert len(set(minutes)) == len(minutes)

        async def told() -> bool:
            found = await there.client.get(batch.CronJob, "c", namespace="default")
            return len(found.status.active) == len((await there.client.list(batch.Job, namespace="default")).items)

        await there.until(told)


async def test_forbid_waits_for_the_last_one_and_history_is_short() -> None:
    clock = VirtualClock(RealClock().now())  # objects are stamped by the server, in real time
    async with story(clock=clock) as there:
        await begin(there, concurrency_policy="Forbid", successful_jobs_history_limit=0)
        (first,) = await until_jobs(there, clock, 1)
        for _ in range(15):
            await clock.advance(60)
        assert [job.metadata.uid for job in await until_jobs(there, clock, 1)] == [first.metadata.uid]

        async def replaced() -> bool:
            for pod in await there.pods():
                if pod.status.phase == "Running":
                    patch = {"status": {"phase": "Succeeded"}}
                    name = pod.metadata.name
                    await there.client.patch(core.Pod, name, patch, namespace="default", subresource="status")
            await clock.advance(60)
            found = (await there.client.list(batch.Job, namespace="default")).items
            return all(job.metadata.uid != first.metadata.uid for job in found)

        await there.until(replaced)


async def test_replace_ends_the_last_one() -> None:
    clock = VirtualClock(RealClock().now())  # objects are stamped by the server, in real time
    async with story(clock=clock) as there:
        await begin(there, concurrency_policy="Replace")
        (first,) = await until_jobs(there, clock, 1)

        async def replaced() -> bool:
            await clock.advance(60)
            found = (await there.client.list(batch.Job, namespace="default")).items
            uids = {job.metadata.uid for job in found}
            return bool(uids) and first.metadata.uid not in uids

        await there.until(replaced)


async def test_a_job_made_by_hand_is_wondered_at_and_its_own_are_not() -> None:
    clock = VirtualClock(RealClock().now())  # objects are stamped by the server, in real time
    async with story(clock=clock) as there:
        await begin(there, concurrency_policy="Replace")
        (own,) = await until_jobs(there, clock, 1)
        cron = await there.client.get(batch.CronJob, "c", namespace="default")
        by_hand = batch.Job(
            metadata=meta.ObjectMeta(name="by-hand", namespace="default", owner_references=[reference_to(cron)]),
            spec=cron.spec.job_template.spec,
        )
        await there.client.create(by_hand)

        async def told() -> list[core.Event]:
            await clock.advance(60)
            found = (await there.client.list(core.Event, namespace="default")).items
            return [event for event in found if event.reason == "UnexpectedJob"]

        (event,) = await there.until(told)
        assert event.message.endswith("did not create or forgot: by-hand")

        async def replaced() -> bool:
            await clock.advance(60)
            found = (await there.client.list(batch.Job, namespace="default")).items
            return own.metadata.uid not in {job.metadata.uid for job in found}

        await there.until(replaced)
        assert len(await told()) == 1


async def test_suspended_ones_make_no_jobs() -> None:
    clock = VirtualClock(RealClock().now())  # objects are stamped by the server, in real time
    async with story(clock=clock) as there:
        await begin(there, suspend=True)
        for _ in range(20):
            await clock.advance(60)
        assert (await there.client.list(batch.Job, namespace="default")).items == []
        await there.client.patch(batch.CronJob, "c", {"spec": {"suspend": False}}, namespace="default")
        jobs = await until_jobs(there, clock, 1)
        assert job_plan.ended(jobs[0]) is None
