"""A cache that follows the real API in this process: changes, indexes, lost history, a server that is away."""

import asyncio

import pytest
from tests.support.cluster import cluster

from bireme.aio.clock import RealClock, VirtualClock
from bireme.api.errors import Expired, ServiceUnavailable
from bireme.api.kinds import core, meta
from bireme.client import informer as informers
from bireme.client.client import Change, Client, Listing
from bireme.client.informer import Informer, Key
from bireme.client.parts import EXISTENCE


def config_map(name: str, **data: str) -> core.ConfigMap:
    return core.ConfigMap(metadata=meta.ObjectMeta(name=name, namespace="default"), data=data)


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(60):
        await condition.wait()


async def test_it_holds_what_is_and_what_comes() -> None:
    async with cluster() as c, asyncio.TaskGroup() as tasks:
        await c.client.create(config_map("a", team="x"))
        informer = Informer(
            c.client,
            core.ConfigMap,
            clock=RealClock(),
            namespace="default",
            indexes={"team": lambda obj: [obj.data.get("team", "")]},
        )
        seen: list[tuple[str | None, str | None]] = []
        gone = asyncio.Event()

        def changed(old: core.ConfigMap | None, new: core.ConfigMap | None) -> None:
            seen.append((old and old.data.get("team"), new and new.data.get("team")))
            if new is None:
                gone.set()

        informer.on_change(changed)
        running = tasks.create_task(informer.run())
        await informer.wait_synced()
        assert [obj.metadata.name for obj in informer.by_index("team", "x")] == ["a"]
        await c.client.patch(core.ConfigMap, "a", {"data": {"team": "y"}}, namespace="default")
        await c.client.delete(core.ConfigMap, "a", namespace="default")
        await until(gone)
        assert seen == [(None, "x"), ("x", "y"), ("y", None)]
        assert informer.get(Key("default", "a")) is None
        assert informer.by_index("team", "y") == []
        running.cancel()


class FlakyClient(Client):
    """Answers from a script: each list and watch does the next thing."""

    def __init__(self) -> None:
        self._lane = None
        self.lists: list[list[core.ConfigMap]] = []
        self.watches: list[Exception | Change[core.ConfigMap] | None] = []

    async def list(self, kind, **_):  # type: ignore[no-untyped-def, override]
        if not self.lists:
            await asyncio.Event().wait()
        return Listing(self.lists.pop(0), "5")

    async def watch(self, kind, **_):  # type: ignore[no-untyped-def, override]
        if not self.watches:
            await asyncio.Event().wait()
        heard = self.watches.pop(0)
        if isinstance(heard, Exception):
            raise heard
        if heard is None:
            return
        yield heard
        await asyncio.Event().wait()


async def test_lost_history_lists_again_and_tells_only_what_differs() -> None:
    client, clock = FlakyClient(), VirtualClock()
    client.lists = [[config_map("a"), config_map("b")], [config_map("b")]]
    client.watches = [ServiceUnavailable("away"), Expired("too old")]
    informer: Informer[core.ConfigMap] = Informer(client, core.ConfigMap, clock=clock)
    told: list[str] = []
    informer.on_change(lambda old, new: told.append(f"{old and old.metadata.name}->{new and new.metadata.name}"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await clock.advance(60)
        running.cancel()
    assert told == ["None->a", "None->b", "a->None"]
    assert informer.statistics().lists == 2


async def test_a_watch_that_ends_at_once_is_not_asked_for_again_and_again_but_what_is_there() -> None:
    client, clock = FlakyClient(), VirtualClock()
    client.lists = [[config_map("a")], [config_map("a"), config_map("b")], []]
    client.watches = [None, None]
    informer: Informer[core.ConfigMap] = Informer(client, core.ConfigMap, clock=clock)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await clock.advance(0.1)
        assert (len(client.watches), informer.statistics().lists) == (1, 1)
        await clock.advance(0.2)
        assert (len(client.watches), informer.statistics().lists) == (0, 2)
        assert informer.get(Key("default", "b"))
        await clock.advance(0.2)
        assert informer.statistics().lists == 2
        await clock.advance(0.3)
        assert informer.statistics().lists == 3
        running.cancel()


async def test_a_long_list_comes_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informers, "PAGE", 3)
    async with cluster() as c, asyncio.TaskGroup() as tasks:
        for number in range(7):
            await c.client.create(config_map(f"a-{number}"))
        informer = Informer(c.client, core.ConfigMap, clock=RealClock(), namespace="default")
        running = tasks.create_task(informer.run())
        await informer.wait_synced()
        assert [obj.metadata.name for obj in informer.items()] == [f"a-{number}" for number in range(7)]
        gone = asyncio.Event()
        informer.on_change(lambda old, new: gone.set() if new is None else None)
        await c.client.delete(core.ConfigMap, "a-5", namespace="default")
        await until(gone)
        assert informer.get(Key("default", "a-5")) is None
        running.cancel()


def test_who_asks_for_edges_hears_of_what_comes_and_goes_alone() -> None:
    informer: Informer[core.ConfigMap] = Informer(FlakyClient(), core.ConfigMap, clock=VirtualClock())
    told: list[str] = []
    informer.on_change(
        lambda old, new: told.append(f"{old and old.metadata.name}->{new and new.metadata.name}"), reads=EXISTENCE
    )
    informer.have([config_map("a"), config_map("a"), config_map("b")])
    informer.clear()
    assert told == ["None->a", "None->b", "a->None", "b->None"]


def test_another_of_the_same_name_is_one_that_went_and_one_that_came() -> None:
    informer: Informer[core.ConfigMap] = Informer(FlakyClient(), core.ConfigMap, clock=VirtualClock())
    first, second = config_map("a"), config_map("a")
    first.metadata.uid, second.metadata.uid = "1", "2"
    told: list[tuple[str | None, str | None]] = []
    informer.on_change(
        lambda old, new: told.append((old and old.metadata.uid, new and new.metadata.uid)), reads=EXISTENCE
    )
    informer.have([first])
    informer.have([second])
    assert told == [(None, "1"), ("1", None), (None, "2")]


async def test_who_fails_halfway_is_told_all_of_it_again() -> None:
    client = FlakyClient()
    informer: Informer[core.ConfigMap] = Informer(client, core.ConfigMap, clock=VirtualClock())
    told: list[str] = []

    def stumble(old: core.ConfigMap | None, new: core.ConfigMap | None) -> None:
        told.append(new.metadata.name if new else "")
        if len(told) == 1:
            raise ValueError

    informer.on_change(stumble)
    heard = [config_map("a"), config_map("b")]
    with pytest.raises(ValueError):
        informer._told([("default", each.metadata.name, each, 7) for each in heard])
    client.lists = [heard]
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await informer.wait_synced()
        running.cancel()
    assert told == ["a", "b", "a", "b"]


def test_who_fails_takes_nothing_from_others() -> None:
    informer: Informer[core.ConfigMap] = Informer(FlakyClient(), core.ConfigMap, clock=VirtualClock())
    told: list[str] = []

    def stumble(old: core.ConfigMap | None, new: core.ConfigMap | None) -> None:
        if new is None:
            raise ValueError

    informer.on_change(stumble)
    informer.on_change(lambda old, new: told.append(f"{old and old.metadata.name}->{new and new.metadata.name}"))
    informer.have([config_map("a")])
    with pytest.raises(ValueError):
        informer._told([("default", "a", None, 7), ("default", "b", config_map("b"), 8)])
    assert told == ["None->a", "a->None", "None->b"]


async def test_who_always_fails_at_one_object_keeps_nobody_from_following() -> None:
    client, clock = FlakyClient(), VirtualClock()
    client.lists = [[config_map("a"), config_map("b")]]
    informer: Informer[core.ConfigMap] = Informer(client, core.ConfigMap, clock=clock)

    def stumble(old: core.ConfigMap | None, new: core.ConfigMap | None) -> None:
        raise ValueError

    informer.on_change(stumble)
    with pytest.raises(ValueError):
        await informer.run()
    assert informer.synced
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await clock.advance(60)
        assert not running.done()  # it follows: nothing is listed anew
        running.cancel()
    assert informer.statistics().lists == 1


async def test_one_change_at_which_somebody_fails_is_not_all_that_is_heard() -> None:
    client, clock = FlakyClient(), VirtualClock()
    odd, good = config_map("odd"), config_map("good")
    odd.metadata.resource_version, good.metadata.resource_version = "6", "7"
    client.lists = [[], [odd]]
    client.watches = [Change("ADDED", odd), Change("ADDED", good)]
    informer: Informer[core.ConfigMap] = Informer(client, core.ConfigMap, clock=clock)

    def stumble(old: core.ConfigMap | None, new: core.ConfigMap | None) -> None:
        if new is not None and new.metadata.name == "odd":
            raise ValueError

    informer.on_change(stumble)
    for _ in range(2):  # once at the change, and once when it is told of it again
        with pytest.raises(ValueError):
            await informer.run()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        await clock.advance(1)
        running.cancel()
    assert sorted(key.name for key in map(informers.key_of, informer.items())) == ["good", "odd"]
