"""A lease renewed in its bytes is the lease that the long way gives: same object, same refusal, same owners."""

import asyncio
from contextlib import AsyncExitStack
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api import patch as patches
from bireme.api.errors import ApiError
from bireme.http.interface import Identity
from bireme.registry.field_managers import Apply
from bireme.registry.options import Call
from bireme.registry.renewals import Renewal, renew_by_patch, renew_by_update, renewed, said_by_patch
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
PLACE = ("kube-node-lease", "n")
NODE = Identity("system:node:n", ("system:nodes",))
USERS = (Identity("a"), NODE, Identity("system:node:other", ("system:nodes",)))
MANAGERS = ("kubelet", "elector", "")
TIMES = ("2026-03-01T00:00:00.000001Z", "2026-03-01T00:00:10.500000Z", "2026-03-01T00:00:20.000000Z")
ODD = ("2026-02-30T00:00:00.000000Z", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00.000000+00:00", "soon", 7, None)
WEBHOOK = {
    "metadata": {"name": "w"},
    "webhooks": [
        {
            "name": "w.example.com",
            "clientConfig": {"url": "https://192.0.2.9/"},
            "rules": [
                {
                    "apiGroups": ["coordination.k8s.io"],
                    "apiVersions": ["v1"],
                    "resources": ["leases"],
                    "operations": ["UPDATE"],
                }
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
            "matchConditions": [{"name": "never", "expression": "false"}],
        }
    ],
}


def lease(**more: Any) -> Tree:
    """As a node makes it."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "n", "ownerReferences": [owner], "annotations": {"renewTime": "x"} if more else {}},
        "spec": {"holderIdentity": "n", "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }


async def patched(registry: Registry, body: Tree, call: Call, *, quick: bool) -> Tree:
    kind, text = registry.kind("coordination.k8s.io", "v1", "leases"), orjson.dumps(body)
    if quick and (found := await renew_by_patch(registry, kind, *PLACE, text, call)) is not None:
        return found.tree()
    return (await registry.patch(kind, *PLACE, lambda tree: patches.merge_patch(tree, deepcopy(body)), call)).tree()


async def updated(registry: Registry, change: Tree, call: Call, *, quick: bool) -> Tree:
    """Put what there is with some fields of its spec changed; `metadata` in `change` goes into the metadata."""
    kind = registry.kind("coordination.k8s.io", "v1", "leases")
    tree = registry.read(kind, *PLACE)[1]
    change = dict(change)
    for name, value in change.pop("metadata", {}).items():
        tree["metadata"].pop(name, None)
        if value is not None:
            tree["metadata"][name] = value
    tree["spec"].update(change)
    tree["spec"] = {name: tree["spec"][name] for name in sorted(tree["spec"])}
    tree = orjson.loads(orjson.dumps(tree))
    if quick and (found := await renew_by_update(registry, kind, *PLACE, deepcopy(tree), call)) is not None:
        return found.tree()
    return (await registry.update(kind, *PLACE, tree, call))[0].tree()


async def applied(registry: Registry, spec: Tree, call: Call, *, quick: bool) -> Tree:
    kind = registry.kind("coordination.k8s.io", "v1", "leases")
    config = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n"}, "spec": spec}
    return (await registry.apply(kind, *PLACE, Apply(config, force=True), call))[0].tree()


DEEDS = {"patch": patched, "update": updated, "apply": applied}
times = st.one_of(st.sampled_from(TIMES), st.sampled_from(ODD))
bodies = st.one_of(
    times.map(lambda time: {"spec": {"renewTime": time}}),
    st.just({"metadata": {"labels": {"a": "b"}}}),
    st.just({"metadata": {"annotations": {"renewTime": "y"}}}),
    st.just({"metadata": {"managedFields": [{}]}}),
    st.just({"spec": {"renewTime": TIMES[0], "holderIdentity": "other"}}),
    st.just({"spec": {"renewTime": TIMES[1], "holderIdentity": "n", "leaseDurationSeconds": 40}}),
)
changes = st.one_of(
    times.map(lambda time: {"renewTime": time}),
    st.sampled_from([40.0, True, 41]).map(lambda said: {"renewTime": TIMES[1], "leaseDurationSeconds": said}),
    st.sampled_from(
        [
            {"renewTime": TIMES[0], "metadata": {"managedFields": None}},
            {"renewTime": TIMES[2], "metadata": {"resourceVersion": None}},
            {"renewTime": TIMES[2], "metadata": {"resourceVersion": "1"}},
            {"renewTime": TIMES[1], "metadata": {"uid": "other"}},
            {"renewTime": TIMES[1], "unknown": 1},
        ]
    ),
)
specs = st.sampled_from([{"holderIdentity": "n"}, {"renewTime": TIMES[0]}, {"leaseDurationSeconds": 40}])
deeds = st.one_of(
    st.tuples(st.just("patch"), bodies), st.tuples(st.just("update"), changes), st.tuples(st.just("apply"), specs)
)
steps = st.tuples(
    deeds, st.sampled_from(MANAGERS), st.sampled_from(USERS), st.sampled_from([0.0, 1.0, 10.0]), st.integers(0, 9)
)


async def outcome(registry: Registry, deed: str, said: Tree, call: Call, *, quick: bool) -> Any:
    try:
        return await DEEDS[deed](registry, said, call, quick=quick), call.warnings
    except ApiError as error:
        return type(error), error.message


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, min_size=1, max_size=12), st.booleans())
def test_quick_and_long_way_agree(opened_now: Any, history: list[Any], annotated: bool) -> None:
    async def play() -> None:
        async with AsyncExitStack() as stack:
            registries = [await stack.enter_async_context(opened_now()) for _ in range(2)]
            for registry in registries:
                await made(registry, annotated=annotated)
            for (deed, said), manager, user, wait, chance in history:
                outcomes = []
                for quick, registry in enumerate(registries):
                    call = Call(user=user, field_manager=manager or "x", dry_run=chance == 0)
                    outcomes.append(await outcome(registry, deed, deepcopy(said), call, quick=bool(quick)))
                    await registry.clock.advance(wait)  # type: ignore[attr-defined]
                assert outcomes[0] == outcomes[1]
                kept = [one.read(one.kind("coordination.k8s.io", "v1", "leases"), *PLACE)[1] for one in registries]
                assert kept[0] == kept[1]

    asyncio.run(play())


async def made(registry: Registry, *, annotated: bool = False, manager: str = "kubelet") -> None:
    namespaces, leases = registry.kind("", "v1", "namespaces"), registry.kind("coordination.k8s.io", "v1", "leases")
    if registry.find("", "v1", "namespaces", "", PLACE[0]) is None:
        await registry.create(namespaces, "", {"metadata": {"name": PLACE[0]}}, Call())
    more = {"annotated": True} if annotated else {}
    await registry.create(leases, PLACE[0], lease(**more), Call(field_manager=manager))


async def quick(registry: Registry, body: Tree, manager: str = "kubelet", **options: Any) -> Any:
    kind = registry.kind("coordination.k8s.io", "v1", "leases")
    call = Call(field_manager=manager, **options)
    return await renew_by_patch(registry, kind, *PLACE, orjson.dumps(body), call)


RENEWAL = {"spec": {"renewTime": TIMES[0]}}


async def test_who_renewed_last_goes_the_quick_way(opened: Any) -> None:
    async with opened() as registry:
        await made(registry)
        document = await quick(registry, RENEWAL)
        assert document is not None
        assert document.tree()["spec"]["renewTime"] == TIMES[0]


async def test_another_manager_goes_the_long_way_once(opened: Any) -> None:
    async with opened() as registry:
        await made(registry, manager="maker")
        assert await quick(registry, RENEWAL) is None
        await registry.clock.advance(1.0)
        await patched(registry, RENEWAL, Call(field_manager="kubelet"), quick=False)
        assert await quick(registry, {"spec": {"renewTime": TIMES[1]}}) is not None


async def test_the_quick_way_writes_what_the_store_keeps(opened: Any) -> None:
    async with opened() as registry:
        await made(registry)
        document = await quick(registry, RENEWAL)
        item, tree = registry.read(registry.kind("coordination.k8s.io", "v1", "leases"), *PLACE)
        assert (document.value, document.revision) == (item.value, item.revision)
        assert tree["metadata"]["managedFields"][0]["manager"] == "kubelet"


@pytest.mark.parametrize("plural", ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"])
async def test_a_webhook_for_leases_is_asked(opened: Any, plural: str) -> None:
    async with opened() as registry:
        await made(registry)
        kind = registry.kind("admissionregistration.k8s.io", "v1", plural)
        await registry.create(kind, "", deepcopy(WEBHOOK), Call())
        assert await quick(registry, RENEWAL) is None


async def test_nodes_are_held_to_their_own_lease(opened: Any) -> None:
    async with opened() as registry:
        await made(registry)
        assert await quick(registry, RENEWAL, user=NODE) is not None
        other = Identity("system:node:other", ("system:nodes",))
        assert await quick(registry, {"spec": {"renewTime": TIMES[1]}}, user=other) is None


async def test_a_dry_run_writes_nothing(opened: Any) -> None:
    async with opened() as registry:
        await made(registry)
        assert await quick(registry, RENEWAL, dry_run=True) is None


def test_only_the_time_is_renewed_by_patch() -> None:
    assert said_by_patch(b' { "spec" : {"renewTime":"2026-03-01T00:00:00.000001Z"} } ') == Renewal(TIMES[0])
    said = said_by_patch(b'{"spec":{"renewTime":"2026-03-01T00:00:00.000001Z", "a": 1}}')
    assert said == Renewal(TIMES[0], (b'"a":1',))
    assert said_by_patch(b'{"spec":{"renewTime":null}}') is None
    assert said_by_patch(b'{"spec":{"a":1}}') is None
    assert said_by_patch(b'{"spec":{"a":1,"a":1,"renewTime":"2026-03-01T00:00:00.000001Z"}}') is None
    assert said_by_patch('{"spec":{"renewTime":"\u0662026-03-01T00:00:00.000001Z"}}'.encode()) is None


async def test_what_is_so_already_may_be_said_too(opened: Any) -> None:
    async with opened() as registry:
        await made(registry)
        more = {"holderIdentity": "n", "leaseDurationSeconds": 40}
        assert await quick(registry, {"spec": {"renewTime": TIMES[0], **more}}) is not None
        assert await quick(registry, {"spec": {"renewTime": TIMES[1], **more, "leaseDurationSeconds": 4}}) is None
        assert await quick(registry, {"spec": {"renewTime": TIMES[1], **more, "holderIdentity": "m"}}) is None


def test_a_clock_that_went_back_goes_the_long_way(opened: Any) -> None:
    async def check() -> None:
        async with opened() as registry:
            await made(registry)
            kind = registry.kind("coordination.k8s.io", "v1", "leases")
            value = registry.item(kind, *PLACE).value
            args = (value, kind.prefix, "kubelet", "coordination.k8s.io/v1")
            assert renewed(*args, Renewal(TIMES[0]), now="1999-01-01T00:00:00Z") is None
            assert renewed(*args, Renewal(TIMES[0]), now="2999-01-01T00:00:00Z") is not None

    asyncio.run(check())
