"""Plugins that an operator turns on, and what is refused of resizes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from bireme.aio.clock import VirtualClock
from bireme.api.errors import ApiError, BadRequest, Forbidden, NotFound, TooManyRequests
from bireme.api.scheme import builtin
from bireme.http.interface import Identity
from bireme.registry.admission.always_pull_images import AlwaysPullImages
from bireme.registry.admission.configuration import AdmissionConfig, AdmissionConfigError, read_admission_config
from bireme.registry.admission.event_rate_limit import EventLimit, EventRateLimit
from bireme.registry.admission.extended_resource_toleration import ExtendedResourceToleration, is_extended
from bireme.registry.admission.hard_anti_affinity import LimitPodHardAntiAffinityTopology
from bireme.registry.admission.namespace_exists import NamespaceExists
from bireme.registry.admission.plugins import OPTIONAL
from bireme.registry.admission.pod_node_selector import PodNodeSelector
from bireme.registry.admission.pod_resize import PodResizeValidator
from bireme.registry.admission.pod_toleration_restriction import (
    ClusterTolerations,
    PodTolerationRestriction,
    covers,
    merged,
)
from bireme.registry.options import Call
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry, fill_registry, run_registry
from bireme.store.memory import MemoryStore
from support.admission import Lookup, put_before

Tree = dict[str, Any]
SCHEDULER = "scheduler.alpha.kubernetes.io"


def pod(**spec: Any) -> Tree:
    return {"metadata": {"name": "p"}, "spec": spec}


def container(**said: Any) -> Tree:
    return {"name": "c", "image": "i", **said}


def namespace(**annotations: str) -> Lookup:
    said = {f"{SCHEDULER}/{name.replace('_', '-')}": text for name, text in annotations.items()}
    return Lookup(namespaces=[{"metadata": {"name": "default", "annotations": said}}])


async def test_images_are_always_pulled() -> None:
    tree = pod(
        containers=[container(imagePullPolicy="Never")],
        initContainers=[container()],
        volumes=[{"name": "v", "image": {"reference": "r", "pullPolicy": "Never"}}, {"name": "e", "emptyDir": {}}],
    )
    await put_before(AlwaysPullImages(), "pods", tree)
    spec = tree["spec"]
    assert spec["containers"][0]["imagePullPolicy"] == spec["initContainers"][0]["imagePullPolicy"] == "Always"
    assert [volume.get("image") for volume in spec["volumes"]] == [{"reference": "r", "pullPolicy": "Always"}, None]


async def test_older_pods_may_be_changed_but_for_their_images() -> None:
    old = pod(containers=[container(imagePullPolicy="Never")])
    same, other = (pod(containers=[container(imagePullPolicy="Never", image=image)]) for image in ("i", "other"))
    await put_before(AlwaysPullImages(), "pods", same, old=old)
    assert same == old
    await put_before(AlwaysPullImages(), "pods", other, old=old)
    assert other["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_a_policy_that_came_later_is_refused() -> None:
    """A webhook may not take it back: what refuses comes after all that fills in."""

    class Refusing(AlwaysPullImages):
        async def admit(self, attributes: Any) -> None:
            pass

    with pytest.raises(Forbidden) as refusal:
        await put_before(Refusing(), "pods", pod(containers=[container(imagePullPolicy="Never")]))
    assert refusal.value.message == (
        'pods "p" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: "Never": supported values: '
        '"Always"'
    )


@pytest.mark.parametrize(
    ("name", "extended"),
    [
        ("example.com/gpu", True),
        ("cpu", False),
        ("hugepages-2Mi", False),
        ("kubernetes.io/batch", False),
        ("requests.example.com/gpu", False),
        ("example.com/-", False),
    ],
)
def test_extended_resources(name: str, extended: bool) -> None:
    assert is_extended(name) is extended


async def test_who_asks_for_a_device_tolerates_its_taint() -> None:
    def asking(*names: str) -> Tree:
        return container(resources={"requests": dict.fromkeys(names, "1")})

    there = {"key": "b.example/y", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": None}
    tree = pod(containers=[asking("cpu", "b.example/y")], initContainers=[asking("a.example/x")], tolerations=[there])
    await put_before(ExtendedResourceToleration(), "pods", tree)
    added = {"key": "a.example/x", "operator": "Exists", "effect": "NoSchedule"}
    assert tree["spec"]["tolerations"] == [there, added]
    plain = pod(containers=[asking("cpu")])
    await put_before(ExtendedResourceToleration(), "pods", plain)
    assert "tolerations" not in plain["spec"]


async def test_others_are_kept_off_a_node_only() -> None:
    def against(key: str) -> Tree:
        terms = [{"topologyKey": "kubernetes.io/hostname"}, {"topologyKey": key}]
        return pod(affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})

    await put_before(LimitPodHardAntiAffinityTopology(), "pods", against("kubernetes.io/hostname"))
    with pytest.raises(Forbidden, match="has TopologyKey zone but only key"):
        await put_before(LimitPodHardAntiAffinityTopology(), "pods", against("zone"))


@pytest.mark.parametrize(
    ("annotation", "cluster", "said", "made"),
    [
        pytest.param("a=b, c=d", {}, {"c": "d"}, {"a": "b", "c": "d"}, id="those of the namespace come to the pod's"),
        pytest.param(None, {"a": "b"}, {}, {"a": "b"}, id="the cluster's where the namespace says nothing"),
        pytest.param("", {"a": "b"}, {}, None, id="an empty annotation says: none"),
    ],
)
async def test_pods_of_a_namespace_go_to_its_nodes(
    annotation: str | None, cluster: Tree, said: Tree, made: Tree | None
) -> None:
    objects = namespace() if annotation is None else namespace(node_selector=annotation)
    tree = pod(nodeSelector=said) if said else pod()
    await put_before(PodNodeSelector(objects, {"clusterDefaultNodeSelector": cluster}), "pods", tree)
    assert tree["spec"].get("nodeSelector") == made


@pytest.mark.parametrize(
    ("annotation", "said", "error", "text"),
    [
        ("a=b", {"a": "x"}, Forbidden, "pod node label selector conflicts with its namespace node label selector"),
        ("", {"z": "z"}, Forbidden, "pod node label selector labels conflict with its namespace whitelist"),
        ("a", {}, BadRequest, "invalid selector: a"),
        ("a=!", {}, BadRequest, "invalid selector: a=!"),
    ],
)
async def test_selectors_that_are_refused(annotation: str, said: Tree, error: type[ApiError], text: str) -> None:
    plugin = PodNodeSelector(namespace(node_selector=annotation), {"default": {"a": "b"}})
    with pytest.raises(error, match=text):
        await put_before(plugin, "pods", pod(nodeSelector=said))


ANY: Tree = {"operator": "Exists"}
KEY: Tree = {"key": "k", "operator": "Exists"}
ONE: Tree = {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("wide", "one", "does"),
    [
        (ANY, ONE, True),
        (KEY, ONE, True),
        (ONE, KEY, False),
        (ONE, dict(ONE), True),
        ({**KEY, "effect": "NoSchedule"}, ONE, False),
        ({"key": "k", "value": "v"}, ONE, True),
        ({"key": "k", "value": "w"}, ONE, False),
        ({"value": "v"}, ONE, False),
        ({**ONE, "tolerationSeconds": 5}, ONE, False),
        ({**ONE, "tolerationSeconds": 5}, {**ONE, "tolerationSeconds": 4}, True),
        ({**ONE, "tolerationSeconds": 5}, {**ONE, "tolerationSeconds": 6}, False),
    ],
)
def test_which_toleration_covers_which(wide: Tree, one: Tree, does: bool) -> None:
    assert covers(wide, one) is does


def test_tolerations_that_others_cover_are_left_out() -> None:
    assert merged([ONE, KEY], [dict(KEY), {"key": "z", "operator": "Exists"}]) == [
        KEY,
        {"key": "z", "operator": "Exists"},
    ]
    assert merged([KEY], [ONE]) == [KEY]


async def test_a_pod_tolerates_what_its_namespace_says() -> None:
    plugin = PodTolerationRestriction(
        namespace(defaultTolerations='[{"key": "n", "operator": "Exists"}]'), ClusterTolerations((KEY,))
    )
    tree = pod(tolerations=[ONE], containers=[container(resources={"requests": {"cpu": "1"}})])
    await put_before(plugin, "pods", tree)
    assert [each["key"] for each in tree["spec"]["tolerations"]] == ["n", "k", "node.kubernetes.io/memory-pressure"]
    plain = pod(containers=[container()])
    await put_before(PodTolerationRestriction(namespace(), ClusterTolerations((KEY,))), "pods", plain)
    assert plain["spec"]["tolerations"] == [KEY]
    older = pod(containers=[container()])
    await put_before(plugin, "pods", older, old=pod(containers=[container()]))
    assert "tolerations" not in older["spec"]


async def test_a_pod_tolerates_no_more_than_it_may() -> None:
    cluster = ClusterTolerations(allowed=(KEY,))
    here = namespace(tolerationsWhitelist='[{"key": "n", "operator": "Exists"}]')
    await put_before(PodTolerationRestriction(namespace(), cluster), "pods", pod(tolerations=[ONE]))
    for objects, said, scope in ((here, ONE, "namespace"), (namespace(), {"key": "n", **ANY}, "cluster")):
        with pytest.raises(Forbidden, match=rf"conflict with its {scope} whitelist"):
            await put_before(PodTolerationRestriction(objects, cluster), "pods", pod(tolerations=[said]))
    open_to_all = namespace(tolerationsWhitelist="")
    await put_before(PodTolerationRestriction(open_to_all, cluster), "pods", pod(tolerations=[ANY]))
    broken = namespace(tolerationsWhitelist="{")
    with pytest.raises(BadRequest, match="holds no list of tolerations"):
        await put_before(PodTolerationRestriction(broken, cluster), "pods", pod(tolerations=[ANY]))


def event(name: str = "e", **about: Any) -> Tree:
    return {"metadata": {"name": name}, "source": {"component": "c"}, "involvedObject": {"name": "p", **about}}


@pytest.mark.parametrize(
    ("kind", "same", "other"),
    [
        ("Server", {"namespace": "a"}, None),
        ("Namespace", {"user": Identity("b")}, {"namespace": "a"}),
        ("User", {"namespace": "a"}, {"user": Identity("b")}),
        ("SourceAndObject", {"namespace": "a"}, {"tree": event(name="q", uid="u")}),
    ],
)
async def test_events_are_limited_by_key(kind: str, same: Tree, other: Tree | None) -> None:
    clock = VirtualClock()
    plugin = EventRateLimit([EventLimit(kind, qps=1, burst=2)], clock.monotonic)

    async def tell(*, tree: Tree | None = None, **who: Any) -> None:
        await put_before(plugin, "events", tree or event(), **who)

    await tell()
    await tell(**same)
    with pytest.raises(TooManyRequests, match=rf"limit reached on type {kind} for key "):
        await tell()
    if other is not None:
        await tell(**other)
    await put_before(plugin, "configmaps", {"metadata": {"name": "c"}})
    await clock.advance(1)
    await tell()
    with pytest.raises(TooManyRequests):
        await tell()


async def test_events_of_both_groups_count_and_old_keys_are_forgotten() -> None:
    plugin = EventRateLimit([EventLimit("Namespace", qps=1, burst=1, keys=1)], VirtualClock().monotonic)
    await put_before(plugin, "events.k8s.io/v1/events", {"metadata": {"name": "e"}})
    with pytest.raises(TooManyRequests):
        await put_before(plugin, "events", event())
    await put_before(plugin, "events", event(), namespace="other")
    await put_before(plugin, "events", event())


def node(*, cpu: str = "2", memory: str = "1Gi", **labels: str) -> Lookup:
    said = {f"kubernetes.io/{name}": value for name, value in labels.items()}
    metadata = {"name": "n", "labels": said}
    return Lookup(nodes=[{"metadata": metadata, "status": {"allocatable": {"cpu": cpu, "memory": memory}}}])


def sized(cpu: str, memory: str = "1Mi") -> Tree:
    return pod(nodeName="n", containers=[container(resources={"requests": {"cpu": cpu, "memory": memory}})])


@pytest.mark.parametrize(
    ("objects", "tree", "text"),
    [
        (
            node(os="linux"),
            sized("2001m", "2Gi"),
            "Node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000; memory, "
            "requested: 2147483648, allocatable: 1073741824",
        ),
        (Lookup(), sized("1"), 'node "n" not found'),
        (node(os="windows"), sized("1"), 'pod resize is only supported on linux nodes, node "n" is "windows"'),
    ],
)
async def test_pods_that_their_node_could_never_hold(objects: Lookup, tree: Tree, text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        await put_before(PodResizeValidator(objects), "pods", tree, old=sized("100m"), subresource="resize")
    assert refusal.value.message == f'pods "p" is forbidden: {text}'


async def test_pods_grow_to_what_their_node_has() -> None:
    for objects, tree, old in (
        (node(os="linux"), sized("2"), sized("1")),
        (Lookup(), pod(containers=[]), sized("1")),
        (Lookup(), sized("1"), sized("1")),
    ):
        await put_before(PodResizeValidator(objects), "pods", tree, old=old, subresource="resize")


def configured(folder: Path, *plugins: tuple[str, Tree]) -> Path:
    said = [{"name": name, "configuration": tree} for name, tree in plugins]
    path = folder / "admission.yaml"
    tree = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": said}
    path.write_text(yaml.safe_dump(tree))
    return path


def limits(*said: Tree) -> tuple[str, Tree]:
    version = "eventratelimit.admission.k8s.io/v1alpha1"
    return "EventRateLimit", {"apiVersion": version, "kind": "Configuration", "limits": list(said)}


def test_their_configurations_are_read(tmp_path: Path) -> None:
    version = "podtolerationrestriction.admission.k8s.io/v1alpha1"
    made = read_admission_config(
        configured(
            tmp_path,
            ("PodNodeSelector", {"podNodeSelectorPluginConfig": {"clusterDefaultNodeSelector": "a=b", "x": ""}}),
            (
                "PodTolerationRestriction",
                {"apiVersion": version, "kind": "Configuration", "default": [KEY], "whitelist": [KEY, ONE]},
            ),
            limits({"type": "Server", "qps": 5, "burst": 7}, {"type": "User", "qps": 1, "burst": 1, "cacheSize": 9}),
        )
    )
    assert made.node_selectors == {"clusterDefaultNodeSelector": {"a": "b"}, "x": {}}
    assert made.tolerations == ClusterTolerations((KEY,), (KEY, ONE))
    assert made.event_limits == (EventLimit("Server", 5, 7), EventLimit("User", 1, 1, 9))


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (limits(), "must not be empty"),
        (limits({"type": "Pod", "qps": 1, "burst": 1}), "a type is one of Server, Namespace, User, SourceAndObject"),
        (limits({"type": "Server", "qps": 0, "burst": 1}), "must be positive"),
        (("PodNodeSelector", {"podNodeSelectorPluginConfig": {"x": "a"}}), "invalid selector: a"),
        (("AlwaysPullImages", {}), "takes no configuration here"),
    ],
)
def test_configurations_that_make_no_sense(tmp_path: Path, plugin: tuple[str, Tree], text: str) -> None:
    with pytest.raises(AdmissionConfigError, match=text):
        read_admission_config(configured(tmp_path, plugin))


@asynccontextmanager
async def opened(config: AdmissionConfig) -> AsyncIterator[Registry]:
    clock = VirtualClock()
    registry = build_registry(
        MemoryStore(clock=clock), builtin(), clock, random=Random(7), plugins=OPTIONAL, admission=config
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_registry(registry))
        await fill_registry(registry, advertise_address="192.0.2.1", port=6443)
        account = {"metadata": {"name": "default"}}
        await registry.create(registry.kind("", "v1", "serviceaccounts"), "default", account, Call())
        yield registry
        running.cancel()


async def test_all_of_them_together_in_a_registry() -> None:
    config = AdmissionConfig(
        node_selectors={"clusterDefaultNodeSelector": {"pool": "shared"}},
        tolerations=ClusterTolerations((KEY,)),
        event_limits=(EventLimit("Server", 1, 1),),
    )
    async with opened(config) as registry:
        asked = {"example.com/gpu": "1"}
        wanted = container(imagePullPolicy="IfNotPresent", resources={"requests": asked, "limits": asked})
        pods, call = registry.kind("", "v1", "pods"), Call(Identity("ann"))
        made = await registry.create(pods, "default", pod(containers=[wanted]), call)
        spec = made.tree()["spec"]
        assert spec["nodeSelector"] == {"pool": "shared"}
        assert spec["containers"][0]["imagePullPolicy"] == "Always"
        assert {"k", "example.com/gpu"} <= {each["key"] for each in spec["tolerations"]}
        kind = registry.kind("", "v1", "events")
        about = {"involvedObject": {"namespace": "default", "name": "p"}}
        await registry.create(kind, "default", {"metadata": {"name": "a"}, **about}, Call(Identity("ann")))
        with pytest.raises(TooManyRequests):
            await registry.create(kind, "default", {"metadata": {"name": "b"}, **about}, Call(Identity("ann")))


async def test_a_namespace_is_made_when_it_is_first_used() -> None:
    async with opened(AdmissionConfig(event_limits=(EventLimit("Server", 9, 9),))) as registry:
        maps, ann = registry.kind("", "v1", "configmaps"), Identity("ann")
        with pytest.raises(NotFound):
            await registry.create(maps, "new", {"metadata": {"name": "a"}}, Call(ann, dry_run=True))
        await registry.create(maps, "new", {"metadata": {"name": "a"}}, Call(ann))
        made = registry.find("", "v1", "namespaces", "", "new")
        assert made is not None
        assert made["status"] == {"phase": "Active"}
        async with asyncio.TaskGroup() as tasks:
            for name in "bcd":
                tasks.create_task(registry.create(maps, "other", {"metadata": {"name": name}}, Call(ann)))
        assert [each["metadata"]["name"] for each in registry.every("", "v1", "configmaps", "other")] == [
            "b",
            "c",
            "d",
        ]


async def test_nothing_is_written_without_its_namespace() -> None:
    gone = NamespaceExists(Lookup(namespaces=[]))
    tree = {"metadata": {"name": "c"}}
    for operation in ("CREATE", "UPDATE", "DELETE"):
        with pytest.raises(NotFound, match='namespaces "default" not found'):
            await put_before(gone, "configmaps", tree, operation=operation)  # type: ignore[arg-type]
    await put_before(gone, "nodes", tree)
    await put_before(NamespaceExists(namespace()), "configmaps", tree)


def test_limits_of_events_must_be_said() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="EventRateLimit needs a configuration"):
        build_registry(MemoryStore(clock=clock), builtin(), clock, plugins=["EventRateLimit"])
