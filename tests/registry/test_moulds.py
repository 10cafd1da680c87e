"""What is cast from a mould is what the long way would have made, to the byte; and it is the mould that made it."""

import asyncio
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.errors import ApiError, Forbidden
from bireme.http.interface import Identity
from bireme.registry.moulds import Moulds
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.record import Document
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
USERS = (Identity("a"), Identity("b", ("system:nodes",)), Identity("system:node:n", ("system:nodes",)))


def pod(**spec: Any) -> Tree:
    containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]
    metadata = {"generateName": "web-", "labels": {"app": "web"}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


def named(name: str, **rest: Any) -> Tree:
    return {"metadata": {"name": name}, **rest}


LIMITS = {"limits": [{"type": "Container", "defaultRequest": {"memory": "1Gi"}, "default": {"cpu": "2"}}]}
CHANGES: dict[str, tuple[str, str, str, Tree]] = {
    "a limit range": ("", "v1", "limitranges", named("l", spec=LIMITS)),
    "a quota": ("", "v1", "resourcequotas", named("q", spec={"hard": {"pods": "5", "requests.cpu": "4"}})),
    "a default priority": (
        "scheduling.k8s.io",
        "v1",
        "priorityclasses",
        named("p", value=7, globalDefault=True),
    ),
    "another account": ("", "v1", "serviceaccounts", named("other", automountServiceAccountToken=False)),
    "a policy": (
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicies",
        named(
            "no-web",
            spec={
                "matchConstraints": {
                    "resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
                    ]
                },
                "validations": [{"expression": "object.metadata.name != '' && has(object.metadata.uid)"}],
            },
        ),
    ),
    "its binding": (
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        named("no-web", spec={"policyName": "no-web", "validationActions": ["Deny"]}),
    ),
}

bodies = st.sampled_from(
    [
        pod(),
        pod(serviceAccountName="other"),
        pod(priorityClassName="p"),
        pod(tolerations=[{"operator": "Exists"}]),
        pod(nodeName="n1"),
        pod(containers=[{"name": "c", "image": "i", "env": [{"name": "E", "value": "\x01name\x01 \x01uid\x01"}]}]),
        pod(containers=[{"name": "c", "image": "i", "env": [{"name": "E", "value": 'web- "quoted" \u00e9'}]}]),
        pod(containers=[]),
    ]
)
steps = st.one_of(
    st.tuples(st.just("make"), bodies, st.sampled_from(USERS), st.integers(1, 4)),
    st.tuples(st.just("change"), st.sampled_from(sorted(CHANGES)), st.none(), st.just(0)),
    st.tuples(st.just("label"), st.sampled_from(["privileged", "baseline", "restricted"]), st.none(), st.just(0)),
    st.tuples(st.just("forget"), st.sampled_from(sorted(CHANGES)), st.none(), st.just(0)),
)


async def played(registry: Registry, moulds: Moulds | None, story: list[Any]) -> list[Any]:
    """What each step came to: the stored bytes, or the refusal."""
    kind = registry.kind("", "v1", "pods")
    told: list[Any] = []
    for deed, what, user, times in story:
        if deed != "make":
            told.append(await changed(registry, deed, what))
            continue
        body = orjson.dumps(what)
        for _ in range(times):
            call = Call(user=user, field_manager="m")
            try:
                if moulds is None:
                    made = await registry.create(kind, "default", orjson.loads(body), call)
                else:
                    made = await moulds.create(kind, "default", body, call, lambda: orjson.loads(body))  # noqa: B023
                told.append((made.value, call.warnings, call.audit))
            except ApiError as error:
                told.append((type(error), error.message, call.audit))
    return told


async def changed(registry: Registry, deed: str, what: str) -> str:
    try:
        if deed == "label":
            kind = registry.kind("", "v1", "namespaces")
            labels = {"pod-security.kubernetes.io/enforce": what}
            await registry.patch(
                kind,
                "",
                "default",
                lambda tree: {**tree, "metadata": {**tree["metadata"], "labels": labels}},
                Call(),
            )
            return ""
        group, version, plural, tree = CHANGES[what]
        kind = registry.kind(group, version, plural)
        namespace = "default" if kind.resource.namespaced else ""
        if deed == "change":
            await registry.create(kind, namespace, orjson.loads(orjson.dumps(tree)), Call())
        else:
            await registry.delete(kind, namespace, tree["metadata"]["name"], DeleteOptions(), Call())
    except ApiError as error:
        return error.message
    return ""


async def played_together(registry: Registry, moulds: Moulds, story: list[Any]) -> list[Any]:
    """As `played`, with the pods of a step made by one call."""
    kind = registry.kind("", "v1", "pods")
    told: list[Any] = []
    for deed, what, user, times in story:
        if deed != "make":
            told.append(await changed(registry, deed, what))
            continue
        body, call = orjson.dumps(what), Call(user=user, field_manager="m")
        read = partial(orjson.loads, body)
        for made in await moulds.create_all(kind, "default", body, times, call, read):
            if isinstance(made, ApiError):
                told.append((type(made), made.message))
            else:
                assert isinstance(made, Document)
                told.append((made.value, call.warnings))
    return told


@given(story=st.lists(steps, min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_many_by_one_call_come_out_as_one_by_one(opened_now, story):
    async def compared() -> None:
        async with opened_now() as registry:
            single = await played(registry, Moulds(registry), story)
        async with opened_now() as registry:
            together = await played_together(registry, Moulds(registry), story)
        assert [each[:2] if isinstance(each, tuple) else each for each in single] == together

    asyncio.run(compared())


async def test_those_that_are_cast_by_one_call_are_one_commit(opened):
    async with opened() as registry:
        moulds, kind, body = Moulds(registry), registry.kind("", "v1", "pods"), orjson.dumps(pod())
        read, before = partial(orjson.loads, body), registry.store.statistics().commits
        made = await moulds.create_all(kind, "default", body, 10, Call(), read)
        assert len({document.tree()["metadata"]["uid"] for document in made}) == 10
        assert (moulds.cast, registry.store.statistics().commits) == (8, before + 3)


async def test_a_name_that_is_taken_is_drawn_again(opened, monkeypatch):
    async with opened() as registry:
        moulds, kind, body = Moulds(registry), registry.kind("", "v1", "pods"), orjson.dumps(pod())
        read = partial(orjson.loads, body)
        await moulds.create_all(kind, "default", body, 2, Call(), read)
        names = iter(["web-a", "web-a", "web-b"])
        monkeypatch.setattr(registry, "_generate_name", lambda base: next(names))
        made = await moulds.create_all(kind, "default", body, 2, Call(), read)
        assert [document.tree()["metadata"]["name"] for document in made] == ["web-a", "web-b"]


@given(story=st.lists(steps, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_mould_gives_what_the_long_way_gives(opened_now, story):
    async def compared() -> None:
        async with opened_now() as registry:
            slow = await played(registry, None, story)
        async with opened_now() as registry:
            quick = await played(registry, Moulds(registry), story)
        assert quick == slow

    asyncio.run(compared())


async def test_the_third_of_a_kind_is_cast(opened):
    async with opened() as registry:
        moulds = Moulds(registry)
        made = await played(registry, moulds, [("make", pod(), USERS[0], 5)])
        assert moulds.cast == 3
        names = {orjson.loads(value)["metadata"]["name"] for value, *_ in made}
        uids = {orjson.loads(value)["metadata"]["uid"] for value, *_ in made}
        assert (len(names), len(uids)) == (5, 5)


@pytest.mark.parametrize("what", ["a limit range", "a default priority", "another account"])
async def test_what_admission_looked_at_breaks_the_mould(opened, what):
    async with opened() as registry:
        moulds = Moulds(registry)
        await played(registry, moulds, [("make", pod(), USERS[0], 3), ("change", what, None, 0)])
        await played(registry, moulds, [("make", pod(), USERS[0], 1)])
        assert moulds.cast == 1
        await played(registry, moulds, [("make", pod(), USERS[0], 3)])
        assert moulds.cast > 1


async def test_a_quota_is_charged_for_each(opened):
    async with opened() as registry:
        moulds = Moulds(registry)
        await changed(registry, "change", "a quota")
        told = await played(registry, moulds, [("make", pod(), USERS[0], 6)])
        assert [isinstance(value, bytes) for value, *_ in told] == [True] * 4 + [False] * 2
        assert told[-1][0] is Forbidden
        assert moulds.cast == 2
        quota = registry.find("", "v1", "resourcequotas", "default", "q")
        assert quota["status"]["used"] == {"pods": "4", "requests.cpu": "4"}


async def test_a_body_that_says_its_name_keeps_it(opened):
    async with opened() as registry:
        kind, moulds = registry.kind("", "v1", "pods"), Moulds(registry)
        body = orjson.dumps({**pod(), "metadata": {"name": "web-0", "generateName": "web-"}})
        for _ in range(4):
            made = await moulds.create(kind, "default", body, Call(), lambda: orjson.loads(body))
            assert made.tree()["metadata"]["name"] == "web-0"
            await registry.delete(kind, "default", "web-0", DeleteOptions(grace_period_s=0), Call())
        assert moulds.cast == 0


async def test_a_quota_elsewhere_does_not_break_the_mould(opened):
    async with opened() as registry:
        moulds = Moulds(registry)
        await registry.create(registry.kind("", "v1", "namespaces"), "", named("n"), Call())
        quotas, maps = registry.kind("", "v1", "resourcequotas"), registry.kind("", "v1", "configmaps")
        await registry.create(quotas, "n", named("q", spec={"hard": {"configmaps": "9"}}), Call())
        await played(registry, moulds, [("make", pod(), USERS[0], 2)])
        for number in range(3):
            while "used" not in (registry.find("", "v1", "resourcequotas", "n", "q").get("status") or {}):
                await asyncio.sleep(0)
            await registry.create(maps, "n", named(f"c{number}"), Call())
            await played(registry, moulds, [("make", pod(), USERS[0], 1)])
        assert moulds.cast == 3


async def test_a_namespace_that_is_going_takes_nothing(opened):
    async with opened() as registry:
        moulds = Moulds(registry)
        kind, space = registry.kind("", "v1", "pods"), registry.kind("", "v1", "namespaces")
        await registry.create(space, "", named("n"), Call())
        await registry.create(registry.kind("", "v1", "serviceaccounts"), "n", named("default"), Call())
        body = orjson.dumps(pod())

        async def make() -> None:
            await moulds.create(kind, "n", body, Call(), lambda: orjson.loads(body))

        for _ in range(3):
            await make()
        await registry.delete(space, "", "n", DeleteOptions(), Call())
        with pytest.raises(Forbidden, match="being terminated"):
            await make()
