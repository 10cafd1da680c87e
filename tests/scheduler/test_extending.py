"""Extenders: real servers on loopback that have a say about nodes, scores, evictions and bindings."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.scheduler.scheduling import Scheduling, node, pod, scheduling_with_rules

from bireme.aio.clock import RealClock
from bireme.api.kinds import core, meta, scheduling
from bireme.http.certificates import Authority, server_context
from bireme.scheduler.configuration import Settings
from bireme.scheduler.extender_settings import Extender, ManagedResource, TlsSettings
from bireme.scheduler.profile import Profile

PATIENCE_S = 60


@dataclass
class Server:
    """Answers each verb by a function of what it was sent, and keeps that."""

    answers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self.open.set()

    async def handle(self, request: web.Request) -> web.Response:
        verb, args = request.match_info["verb"], await request.json()
        self.sent.append((verb, args))
        self.asked.set()
        await self.open.wait()
        answer = self.answers[verb](args)
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    def of(self, verb: str) -> list[Any]:
        """What came for a verb."""
        return [args for at, args in self.sent if at == verb]


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, **answers: Callable[[Any], Any]) -> AsyncIterator[Server]:
    server = Server(answers)
    app = web.Application()
    app.router.add_post("/extender/{verb}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0]
    server.url = f"{'https' if tls else 'http'}://{host}:{port}/extender"
    try:
        yield server
    finally:
        server.open.set()
        await runner.cleanup()


@asynccontextmanager
async def extended(*extenders: Extender, profile: Profile | None = None) -> AsyncIterator[Scheduling]:
    """A scheduler with these extenders."""
    async with scheduling_with_rules(Settings(profiles=(profile or Profile(),), extenders=extenders)) as s:
        yield s


def extender_at(url: str, *, timeout: str = "60s", **settings: Any) -> Extender:
    """An extender for which a loaded machine has time."""
    return Extender(url_prefix=url, http_timeout=timeout, **settings)


def names(args: Any) -> list[str]:
    return list(args["NodeNames"])


def only(*wanted: str) -> Callable[[Any], Any]:
    """A filter that leaves these nodes, and says so in small letters, as servers in other languages do."""

    def answer(args: Any) -> Any:
        left = [name for name in names(args) if name in wanted]
        failed = {name: "no licence here" for name in names(args) if name not in wanted}
        return {"nodenames": left, "failedNodes": failed}

    return answer


def asking(pod: core.Pod, resource: str) -> core.Pod:
    """The pod, which wants one of the resource too."""
    resources = pod.spec.containers[0].resources
    assert resources is not None
    resources.requests[resource] = resources.limits[resource] = "1"
    return pod


async def ready(s: Scheduling, *pods: core.Pod, nodes: Sequence[core.Node] = ()) -> None:
    await s.register(*(nodes or [node("a"), node("b"), node("c")]))
    await s.create(*pods)


async def test_an_extender_filters() -> None:
    async with serving(filter=only("b")) as server:
        extender = extender_at(server.url, filter_verb="filter", node_cache_capable=True)
        async with extended(extender) as s:
            await ready(s, pod("p"))
            assert await s.placed("p") == "b"
            (args,) = server.of("filter")
            assert args["Pod"]["metadata"]["name"] == "p"
            assert args["Nodes"] is None


async def test_an_extender_without_a_cache_is_shown_nodes() -> None:
    def last(args: Any) -> Any:
        items = args["Nodes"]["items"]
        return {"Nodes": {"items": [item for item in items if item["metadata"]["name"] == "c"]}}

    async with serving(filter=last) as server, extended(extender_at(server.url, filter_verb="filter")) as s:
        await ready(s, pod("p"))
        assert await s.placed("p") == "c"
        (args,) = server.of("filter")
        assert args["NodeNames"] is None
        assert args["Nodes"]["items"][0]["status"]["allocatable"]["cpu"] == "4"


async def test_extenders_are_asked_one_after_the_other_and_their_scores_weigh_tenfold() -> None:
    def scores(args: Any) -> Any:
        return [{"Host": name, "Score": {"a": 1, "c": 10}.get(name, 0)} for name in names(args)]

    async with serving(first=only("a", "c"), second=only("a", "b", "c"), score=scores) as server:
        first = extender_at(server.url, filter_verb="first", node_cache_capable=True)
        second = extender_at(
            f"{server.url}/",
            filter_verb="second",
            prioritize_verb="score",
            weight=3,
            node_cache_capable=True,
        )
        async with extended(first, second) as s:
            await ready(s, pod("p"))
            assert await s.placed("p") == "c"
            assert names(server.of("first")[0]) == ["a", "b", "c"]
            assert names(server.of("second")[0]) == names(server.of("score")[0]) == ["a", "c"]


async def test_a_pod_that_no_extender_wants_anywhere_says_why() -> None:
    def none(args: Any) -> Any:
        return {
            "NodeNames": [],
            "FailedNodes": {"a": "no licence", "b": "no licence"},
            "FailedAndUnresolvableNodes": {"c": "too old"},
        }

    async with serving(filter=none) as server:
        extender = extender_at(server.url, filter_verb="filter", node_cache_capable=True)
        async with extended(extender) as s:
            await ready(s, pod("p"))
            assert await s.refused("p") == (
                "0/3 nodes are available: 1 too old, 2 no licence."
                " preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling,"
                " 2 No preemption victims found for incoming pod."
            )


async def test_what_others_say_of_nodes_that_an_extender_was_not_shown_is_told_first() -> None:
    async with serving(filter=only()) as server:
        gpu = ManagedResource("example.com/gpu", ignored_by_scheduler=True)
        wanting = extender_at(server.url, filter_verb="filter", node_cache_capable=True, managed_resources=(gpu,))
        async with extended(wanting, profile=Profile(ignored=frozenset((gpu.name,)))) as s:
            a, b = node("a"), node("b")
            a.metadata.labels, b.metadata.labels = {"rack": "1"}, {"rack": "2"}
            await ready(s, pod("there", labels="web"), nodes=[a])
            assert await s.placed("there") == "a"
            await s.register(b)
            apart = asking(pod("apart", labels="web"), gpu.name)
            term = core.PodAffinityTerm(
                topology_key="rack", label_selector=meta.LabelSelector(match_labels={"app": "web"})
            )
            apart.spec.affinity = core.Affinity(
                pod_anti_affinity=core.PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
            )
            await s.create(apart)
            assert (await s.refused("apart")).startswith(
                "0/2 nodes are available: 1 no licence here, 1 node(s) didn't match pod anti-affinity rules."
            )


async def test_a_slow_extender_holds_up_nobody_but_those_it_wants_to_hear_of() -> None:
    async with serving(filter=only("a", "b")) as server:
        server.open.clear()
        extender = extender_at(
            server.url,
            filter_verb="filter",
            node_cache_capable=True,
            managed_resources=(ManagedResource("example.com/gpu", ignored_by_scheduler=True),),
        )
        profile = Profile(ignored=frozenset(("example.com/gpu",)))
        async with extended(extender, profile=profile) as s:
            await ready(
                s,
                *(asking(pod(f"slow{n}"), "example.com/gpu") for n in range(20)),
                nodes=[node("a", cpu="64", pods="64"), node("z", cpu="64", pods="64")],
            )
            async with asyncio.timeout(PATIENCE_S):
                await server.asked.wait()
            await s.create(pod("quick"))
            assert await s.placed("quick")
            assert len(server.of("filter")) <= 16
            server.open.set()
            for n in range(20):
                assert await s.placed(f"slow{n}") == "a"
            assert all(args["Pod"]["metadata"]["name"] != "quick" for args in server.of("filter"))


async def test_an_extender_that_fails_fails_the_pod_and_an_ignorable_one_does_not() -> None:
    def broken(args: Any) -> Any:
        return web.Response(status=500, text="no")

    async with serving(filter=broken) as server:
        extender = extender_at(server.url, filter_verb="filter", node_cache_capable=True)
        async with extended(extender) as s:
            await ready(s, pod("p"))
            assert await s.refused("p") == f"failed filter with extender at URL {server.url}/filter, code 500"
            found = await s.cluster.client.get(core.Pod, "p", namespace="default")
            assert found.status.conditions[0].reason == "SchedulerError"
        ignorable = extender_at(server.url, filter_verb="filter", ignorable=True)
        async with extended(ignorable) as s:
            await ready(s, pod("p"))
            assert await s.placed("p")


async def test_an_extender_that_does_not_answer_in_time_fails_the_pod() -> None:
    async with serving(filter=only("a")) as server:
        server.open.clear()
        async with extended(extender_at(server.url, timeout="50ms", filter_verb="filter")) as s:
            await ready(s, pod("p"))
            assert server.url in await s.refused("p")


async def test_an_extender_is_known_by_its_certificate(tmp_path: Path) -> None:
    now = RealClock().now()
    authority = Authority.create(tmp_path / "ca", now=now)
    server_side = server_context(authority.issue("extender", hosts=["127.0.0.1"], server=True, now=now))
    bundle = base64.b64encode(authority.certificate).decode()
    async with serving(tls=server_side, filter=only("b")) as server:
        known = extender_at(
            server.url, filter_verb="filter", node_cache_capable=True, tls_config=TlsSettings(ca_data=bundle)
        )
        async with extended(known) as s:
            await ready(s, pod("p"))
            assert await s.placed("p") == "b"
        async with extended(extender_at(server.url, filter_verb="filter", tls_config=TlsSettings())) as s:
            await ready(s, pod("p"))
            assert server.url in await s.refused("p")
        unchecked = extender_at(server.url, filter_verb="filter", node_cache_capable=True, enable_https=True)
        async with extended(unchecked) as s:
            await ready(s, pod("p"))
            assert await s.placed("p") == "b"


async def test_what_cannot_be_read_is_an_error_and_no_crash() -> None:
    for nonsense in ([], {"NodeNames": 3}, {"FailedNodes": []}, "x", None, 7):
        async with serving(filter=lambda args, said=nonsense: said) as server:
            extender = extender_at(server.url, filter_verb="filter", node_cache_capable=True)
            async with extended(extender) as s:
                await ready(s, pod("p"))
                assert await s.refused("p")


async def test_scores_that_fail_are_no_opinion() -> None:
    async with serving(score=lambda args: [{"Host": "a", "Score": "high"}]) as server:
        extender = extender_at(server.url, prioritize_verb="score", weight=1, node_cache_capable=True)
        async with extended(extender) as s:
            await ready(s, pod("p"))
            assert await s.placed("p")


async def test_an_extender_binds_what_is_its_to_bind() -> None:
    async with extended_binder() as (s, bound):
        await ready(s, asking(pod("theirs"), "example.com/gpu"), pod("ours"))
        assert await s.placed("ours")
        assert await s.placed("theirs")
        assert [args["PodName"] for args in bound] == ["theirs"]
        found = await s.cluster.client.get(core.Pod, "theirs", namespace="default")
        assert bound[0]["PodUID"] == found.metadata.uid
        assert bound[0]["Node"] == found.spec.node_name


@asynccontextmanager
async def extended_binder() -> AsyncIterator[tuple[Scheduling, list[Any]]]:
    """An extender that binds pods with a gpu, by itself."""
    bound: list[Any] = []
    made: list[Scheduling] = []
    app = web.Application()

    async def bind(request: web.Request) -> web.Response:
        args = await request.json()
        bound.append(args)
        binding = core.Binding(
            metadata=meta.ObjectMeta(name=args["PodName"], namespace=args["PodNamespace"], uid=args["PodUID"]),
            target=core.ObjectReference(kind="Node", name=args["Node"]),
        )
        client = made[0].cluster.client
        await client.create_subresource(core.Pod, args["PodName"], "binding", binding, namespace=args["PodNamespace"])
        return web.json_response({})

    app.router.add_post("/bind", bind)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    gpu = ManagedResource("example.com/gpu", ignored_by_scheduler=True)
    extender = extender_at(f"http://{host}:{port}", bind_verb="bind", managed_resources=(gpu,))
    try:
        async with extended(extender, profile=Profile(ignored=frozenset((gpu.name,)))) as s:
            made.append(s)
            yield s, bound
    finally:
        await runner.cleanup()


async def test_an_extender_says_whom_to_evict() -> None:
    def rather_b(args: Any) -> Any:
        victims = args["NodeNameToMetaVictims"]
        return {"NodeNameToMetaVictims": {name: each for name, each in victims.items() if name == "b"}}

    async with serving(preempt=rather_b) as server:
        extender = extender_at(server.url, preempt_verb="preempt", node_cache_capable=True)
        async with extended(extender) as s:
            await s.create(scheduling.PriorityClass(metadata=meta.ObjectMeta(name="high"), value=1000))
            await ready(s, pod("low-1", cpu="4"), nodes=[node("a")])
            assert await s.placed("low-1") == "a"
            await ready(s, pod("low-2", cpu="4"), nodes=[node("b")])
            assert await s.placed("low-2") == "b"
            await s.create(pod("urgent", cpu="4", priority="high"))
            found = await s.settled("urgent", lambda found: found.status.nominated_node_name)
            assert found.status.nominated_node_name == "b"
            await s.end("low-2")
            assert await s.placed("urgent") == "b"
            (args,) = server.of("preempt")
            assert sorted(args["NodeNameToMetaVictims"]) == ["a", "b"]


async def test_without_the_extender_s_consent_nobody_is_evicted() -> None:
    async with serving(preempt=lambda args: {"NodeNameToMetaVictims": {}}) as server:
        extender = extender_at(server.url, preempt_verb="preempt")
        async with extended(extender) as s:
            await s.create(scheduling.PriorityClass(metadata=meta.ObjectMeta(name="high"), value=1000))
            await ready(s, pod("low", cpu="4"), nodes=[node("a")])
            assert await s.placed("low") == "a"
            await s.create(pod("urgent", cpu="4", priority="high"))
            assert "Insufficient cpu" in await s.refused("urgent")
            found = await s.cluster.client.get(core.Pod, "low", namespace="default")
            assert not found.metadata.deletion_timestamp
            (args,) = server.of("preempt")
            (victim,) = args["NodeNameToVictims"]["a"]["Pods"]
            assert victim["metadata"]["name"] == "low"
