"""A status that is patched the short way is what the long way gives: same bytes in the store, answers and errors."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bireme.http.interface import Identity

Tree = dict[str, Any]
PODS, NODES = "/api/v1/namespaces/default/pods", "/api/v1/nodes"
STRATEGIC, MERGE = "application/strategic-merge-patch+json", "application/merge-patch+json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ADMIN = Identity("admin", ("system:masters",))
NODE, OTHER_NODE = (Identity(f"system:node:{name}", ("system:nodes",)) for name in ("n1", "n2"))
WEBHOOK = {
    "metadata": {"name": "w"},
    "webhooks": [
        {
            "name": "w.example.com",
            "clientConfig": {"url": "https://192.0.2.9/"},
            "rules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/status"], "operations": ["UPDATE"]}
            ],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail",
            "matchConditions": [{"name": "never", "expression": "false"}],
        }
    ],
}
POLICY = {
    "metadata": {"name": "p"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/status"], "operations": ["UPDATE"]}
            ]
        },
        "validations": [{"expression": "object.status.phase != 'Failed' && object.spec.nodeName != ''"}],
    },
}
BINDING = {"metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}}


def mostly(*said: Any, odd: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """One of what is usual, now and then what is odd."""
    return st.integers(0, 9).flatmap(lambda chance: st.sampled_from(odd if odd and chance == 6 else said))


# What stands for the atoms of a shape, and what may be put there.
USUAL = {
    "T0": ("2026-01-01T00:00:00Z", "2026-01-01T00:00:07Z", "2025-12-31T23:00:00Z", "2026-01-01T00:00:08Z"),
    "T1": ("2026-01-01T00:00:07Z", "2026-01-01T00:00:08Z"),
    "I0": ("10.1.0.1", "10.1.0.2", "192.0.2.7", "10.1.0.4"),
    "I1": ("10.1.0.2", "10.1.0.3", "fd00::2"),
    "C0": ("containerd://a", "containerd://b", "containerd://c/d"),
}
ODD = {
    "T0": ("2026-02-30T00:00:00Z", "2026-01-01T00:00:00+00:00", "soon"),
    "T1": ("2026-01-01T00:00:61Z", ""),
    "I0": ("FD00::1", "~", "1.5", "fd00::1"),
    "I1": ("2001:db8::1", "FD00::1"),
    "C0": ("containerd://2026-01-01Z", "cri-o://10.1.0.1", "plain", "a\\b"),
}
times, addresses = st.sampled_from(["T0", "T1", "2026-01-01T00:00:00Z"]), st.sampled_from(["I0", "I1", "10.9.9.9"])
conditions = st.fixed_dictionaries(
    {"type": mostly("Ready", "PodScheduled", odd=("T0", "I0")), "status": st.sampled_from(["True", "False"])},
    optional={"lastTransitionTime": times, "reason": mostly("Why", "T0", odd=(None,))},
)
containers = st.fixed_dictionaries(
    {"name": mostly("c", "d", odd=("C0",))},
    optional={
        "image": st.sampled_from(["i:1", "C0"]),
        "containerID": st.just("C0"),
        "ready": st.booleans(),
        "restartCount": mostly(0, 1, 1.0, odd=("1", True)),
        "state": times.map(lambda time: {"running": {"startedAt": time}}),
        "allocatedResources": mostly("100m", "1", odd=("I0", "T0")).map(lambda amount: {"cpu": amount}),
    },
)
odd_ones = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from([None, 7, "T0"]),
        "message": st.sampled_from(["null", 'a "quoted": "T0"', "\u00e9\u2028"]),
        "conditions": st.sampled_from([[{"type": "Ready", "$patch": "delete"}], [{"status": "True"}], "T0", None]),
        "podIPs": st.sampled_from([[{"ip": "I0"}, {"$patch": "replace"}], [{"ip": "I0"}, {"ip": "I1"}], ["I0"]]),
        "resourceClaimStatuses": st.just([{"name": "claim", "resourceClaimName": "C0"}]),
        "$setElementOrder/conditions": st.just([{"type": "Ready"}]),
        "$retainKeys": st.just(["phase"]),
        "unknown": st.just("T0"),
    },
)
statuses = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Running", "Failed"]),
        "message": st.sampled_from(["started at T0", "T0", "I0"]),
        "podIP": addresses,
        "hostIP": addresses,
        "podIPs": st.lists(addresses.map(lambda one: {"ip": one}), max_size=2),
        "hostIPs": st.lists(addresses.map(lambda one: {"ip": one}), max_size=1),
        "startTime": times,
        "conditions": st.lists(conditions, max_size=3),
        "containerStatuses": st.lists(containers, max_size=2),
        "observedGeneration": st.sampled_from([1, 1.0]),
    },
)
usual = st.just(
    {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "T0"}],
        "containerStatuses": [{"name": "c", "containerID": "C0", "state": {"running": {"startedAt": "T1"}}}],
        "hostIP": "I1",
        "podIP": "I0",
        "podIPs": [{"ip": "I0"}],
        "startTime": "T0",
    }
)
odd_shapes = st.builds(lambda plain, odd: plain | odd, statuses, odd_ones)
shapes = st.one_of(usual, usual, statuses, statuses, odd_shapes, st.none())
OF_THIS_ONE = {"uid": "UID"}
ODD_METADATA = (
    None,
    {"uid": "UID", "resourceVersion": "VERSION"},
    {"uid": "other"},
    {"resourceVersion": "1"},
    {"uid": None},
    {"labels": {"a": "b"}},
    {"labels": None},
    {"finalizers": []},
    {"managedFields": [{}]},
)
ODD_QUERIES = ("fieldManager=kubelet", "dryRun=All", "fieldValidation=Strict", "fieldValidation=Ignore", "force=1")
usual_atoms = st.fixed_dictionaries({hole: st.sampled_from(said) for hole, said in USUAL.items()})
odd_atoms = st.fixed_dictionaries({hole: mostly(*said, odd=ODD[hole]) for hole, said in USUAL.items()})
atoms = st.one_of(usual_atoms, usual_atoms, odd_atoms)
USUAL_STEP: Tree = {
    "metadata": OF_THIS_ONE,
    "media": STRATEGIC,
    "query": "",
    "user": ADMIN,
    "spaced": False,
    "wait": 0.0,
    "event": "",
}
one_by_one = st.builds(
    lambda atoms, odd: [
        {**USUAL_STEP, **each, "pod": pod, "shape": 0} | (odd if pod == "f" else {})
        for pod, each in zip("abcdef", atoms, strict=True)
    ],
    st.lists(
        st.fixed_dictionaries({"atoms": usual_atoms, "accept": st.sampled_from(["application/json", PROTOBUF])}),
        min_size=6,
        max_size=6,
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "atoms": odd_atoms,
            "metadata": st.sampled_from(ODD_METADATA),
            "query": st.sampled_from(ODD_QUERIES),
            "user": st.sampled_from([NODE, OTHER_NODE]),
            "wait": st.just(1.0),
            "event": st.sampled_from(["webhook", "policy", "delete", "bind"]),
        },
    ),
)
steps = st.fixed_dictionaries(
    {
        "pod": mostly(*"abcdef", odd=("held", "unbound")),
        "shape": st.integers(0, 1),
        "atoms": atoms,
        "metadata": mostly(OF_THIS_ONE, odd=ODD_METADATA),
        "media": st.sampled_from([STRATEGIC, STRATEGIC, MERGE]),
        "query": mostly("", odd=ODD_QUERIES),
        "user": mostly(ADMIN, NODE, odd=(OTHER_NODE,)),
        "accept": st.sampled_from(["application/json", PROTOBUF, TABLE]),
        "spaced": mostly(False, odd=(True,)),
        "wait": st.sampled_from([0.0, 0.0, 1.0, 7.0]),
        "event": mostly("", "", "", "", odd=("webhook", "policy", "delete", "bind")),
    }
)


def pod(name: str) -> Tree:
    made: Tree = {
        "metadata": {"name": name, "labels": {"app": "x", "empty": ""}},
        "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "E", "value": '","status":{'}]}]},
    }
    if name == "held":
        made["metadata"] |= {"finalizers": ["example.com/hold"], "annotations": {"a": '{"b":{}}'}}
    if name != "unbound":
        made["spec"]["nodeName"] = "n1"
    return made


def without_short_way(door: Any) -> None:
    async def never(*_: Any) -> None:
        return None

    door.server._resources._statuses.patch = never


def body_of(step: Tree, shape: Tree | None, there: Tree) -> bytes:
    said: Tree = {"status": shape}
    if step["metadata"] is not None:
        said = {"metadata": step["metadata"], **said}
    text = json.dumps(said, ensure_ascii=False, separators=None if step["spaced"] else (",", ":"))
    text = text.replace("UID", there["metadata"]["uid"]).replace("VERSION", there["metadata"]["resourceVersion"])
    for hole, atom in step["atoms"].items():
        text = text.replace(hole, json.dumps(atom)[1:-1])
    return text.encode()


async def played(door: Any, step: Tree, shape: Tree | None) -> Any:
    """What a step gives, and what the store holds then."""
    await door.clock.advance(step["wait"])
    path = f"{PODS}/{step['pod']}"
    match step["event"]:
        case "webhook":
            await door.ask("POST", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", WEBHOOK)
        case "policy":
            group = "/apis/admissionregistration.k8s.io/v1"
            await door.ask("POST", f"{group}/validatingadmissionpolicies", POLICY)
            await door.ask("POST", f"{group}/validatingadmissionpolicybindings", BINDING)
        case "delete":
            await door.ask("DELETE", path)
        case "bind":
            await door.ask("POST", f"{path}/binding", {"target": {"name": "n2"}})
    there = await door.ask("GET", path)
    if there.status != 200:
        return there.status
    reply = await door.ask(
        "PATCH",
        f"{path}/status?{step['query']}",
        body_of(step, shape, there.tree),
        user=step["user"],
        accept=step["accept"],
        content_type=step["media"],
        user_agent="density/1",
    )
    kind = door.registry.kind("", "v1", "pods")
    item = door.registry.store.get(kind.key("default", step["pod"]))
    return reply.status, reply.headers, reply.body, item


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(shapes, shapes), st.one_of(st.lists(steps, min_size=1, max_size=24), one_by_one))
def test_short_and_long_way_agree(opened_now: Any, drawn: tuple[Any, Any], history: list[Tree]) -> None:
    async def play() -> None:
        async with AsyncExitStack() as stack:
            short, long = [await stack.enter_async_context(opened_now()) for _ in range(2)]
            without_short_way(long)
            for door in (short, long):
                for name in (*"abcdef", "held", "unbound"):
                    await door.make(PODS, pod(name))
            for step in history:
                said = [await played(door, step, drawn[step["shape"]]) for door in (short, long)]
                assert said[0] == said[1]

    asyncio.run(play())


async def test_a_node_tells_of_itself_the_short_way(opened: Any) -> None:
    async with opened() as short, opened() as long:
        without_short_way(long)
        node = {"metadata": {"name": "n1", "labels": {"zone": ""}}, "spec": {"podCIDR": "10.0.0.0/24"}}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
        bodies: list[Tree] = [
            {"capacity": {"cpu": "1000m", "memory": "1Gi"}, "conditions": [ready]},
            {"conditions": [{**ready, "lastHeartbeatTime": "2026-01-01T00:00:10Z"}], "nodeInfo": {"machineID": "m"}},
            {"conditions": [{**ready, "lastHeartbeatTime": "2026-01-01T00:00:20Z"}], "allocatable": {"cpu": "0.5"}},
            {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}], "nodeInfo": None},
            {"capacity": {"cpu": "many"}},
        ]
        for door in (short, long):
            await door.make(NODES, node)
        for user in (NODE, OTHER_NODE):
            for number, status in enumerate(bodies):
                said = []
                for door in (short, long):
                    await door.clock.advance(float(number))
                    reply = await door.ask(
                        "PATCH", f"{NODES}/n1/status", {"status": status}, user=user, content_type=STRATEGIC
                    )
                    item = door.registry.store.get(door.registry.kind("", "v1", "nodes").key("", "n1"))
                    said.append((reply.status, reply.body, item))
                assert said[0] == said[1]


async def test_what_goes_the_short_way(opened: Any) -> None:
    async with opened() as door:
        await door.make(PODS, pod("a"))
        asked: list[bool] = []
        patch = door.server._resources._statuses.patch

        async def noted(*said: Any) -> Any:
            document = await patch(*said)
            asked.append(document is not None)
            return document

        door.server._resources._statuses.patch = noted

        async def say(status: Tree, **more: Any) -> bool:
            reply = await door.ask("PATCH", f"{PODS}/a/status", {"status": status, **more}, content_type=STRATEGIC)
            assert reply.status == 200
            return asked.pop()

        assert await say({"phase": "Running"})
        assert await say(
            {"message": "so"}, metadata={"uid": (await door.ask("GET", f"{PODS}/a")).tree["metadata"]["uid"]}
        )
        assert not await say({"message": "so"}, metadata={"labels": {"a": "b"}})
        await door.ask("DELETE", f"{PODS}/a")
        assert not await say({"message": "it goes"})
