"""A large state without the hours that it takes to come about: written into the store beside a core that is stopped.

One node, one Deployment and its pod come to be in the ordinary way, through a core, a scheduler and a hollow
node. What the store then holds of them is copied under other names, uids and addresses: so every object is as
long as a real one and says what a real one says. Sets of `EACH` pods have a ReplicaSet and a Deployment of
their own.
"""

import asyncio
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from density import NAMESPACE, Log, deployment, populated
from fleet import own_core

from bireme.aio.clock import RealClock
from bireme.config import Config
from bireme.simulation.several import on_each
from bireme.store.sqlite import SqliteStore

EACH = 100
AT_ONCE = 1024
POD_ADDRESSES = int(IPv4Address("10.128.0.0"))
NODE_ADDRESSES = int(IPv4Address("198.18.0.0"))
POD, SET, DEPLOYMENT = "core/pods", "apps/replicasets", "apps/deployments"
NODE, LEASE = "core/nodes", "coordination.k8s.io/leases"


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as the store holds it, and the words in it that are its own."""

    key: str
    value: bytes

    def copy(self, words: Mapping[str, str]) -> tuple[str, bytes]:
        """Key and value of another, with these words in the place of the first one's."""
        pattern = re.compile("|".join(sorted(map(re.escape, words), key=len, reverse=True)))

        def other(found: re.Match[str]) -> str:
            return words[found[0]]

        return pattern.sub(other, self.key), pattern.sub(other, self.value.decode()).encode()


async def first(folder: Path) -> Config:
    """A core in `folder` that has one node and one pod, and has stopped."""
    with own_core(folder) as cluster:
        async with populated(cluster, 1) as fleet:
            log = Log(wanted=1)
            fleet.pods.cache.on_change(log.heard)
            await fleet.client.create(deployment("fill-0", 1))
            await log.done.wait()
            await asyncio.sleep(2.0)
        assert cluster.config is not None
        return cluster.config


async def write(config: Config, *, nodes: int, pods: int) -> None:
    """Fill the store of a core that is stopped."""
    store = SqliteStore(config.store / "state.db", clock=RealClock())
    try:
        kept = {kind: one_of(store, kind) for kind in (POD, SET, DEPLOYMENT, NODE, LEASE)}

        async def put(item: tuple[str, bytes]) -> None:
            await store.put(*item, expect=None)

        await on_each(copies(kept, nodes, pods), put, workers=AT_ONCE)
    finally:
        await store.close()


def one_of(store: SqliteStore, kind: str) -> Kept:
    """What there is of a kind; of leases, the one of the node."""
    places = {LEASE: "kube-node-lease/"}
    found = next(iter(store.range(f"/registry/{kind}/{places.get(kind, '')}")))
    return Kept(found.key, bytes(found.value))


def said(kept: Kept, name: str) -> str:
    """The first value of a field of that name."""
    found = re.search(rf'"{name}":"([^"]*)"', kept.value.decode())
    assert found is not None, (kept.key, name)
    return found[1]


def copies(kept: Mapping[str, Kept], nodes: int, pods: int) -> Iterator[tuple[str, bytes]]:
    """All objects: nodes with their leases, then set by set."""
    node, pod = kept[NODE], kept[POD]
    node_name, node_ip = node.key.rpartition("/")[2], address_of(node)
    for number in range(1, nodes):
        network = POD_ADDRESSES + 256 * number
        words = {
            node_name: f"density-{number}",
            uid_of(node): str(uuid.uuid4()),
            uid_of(kept[LEASE]): str(uuid.uuid4()),
            node_ip: str(IPv4Address(NODE_ADDRESSES + number + 1)),
            said(node, "podCIDR"): f"{IPv4Address(network)}/24",
        }
        yield node.copy(words)
        yield kept[LEASE].copy(words)
    names = {kind: kept[kind].key.rpartition("/")[2] for kind in (DEPLOYMENT, SET, POD)}
    uids = {kind: uid_of(kept[kind]) for kind in (DEPLOYMENT, SET, POD)}
    for number in range(1, -(-pods // EACH) + 1):
        family = {
            names[SET]: f"set-{number}-{names[SET].rpartition('-')[2]}",
            names[DEPLOYMENT]: f"set-{number}",
            uids[SET]: str(uuid.uuid4()),
            uids[DEPLOYMENT]: str(uuid.uuid4()),
        }
        many = (
            Kept(kept[SET].key, counted(kept[SET].value)),
            Kept(kept[DEPLOYMENT].key, counted(kept[DEPLOYMENT].value)),
        )
        yield from (one.copy(family) for one in many)
        for place in range((number - 1) * EACH, min(number * EACH, pods)):
            where, beside = place % nodes, place // nodes
            words = {
                names[POD]: f"{family[names[SET]]}-{place:06}",
                uids[POD]: str(uuid.uuid4()),
                node_name: f"density-{where}",
                said(pod, "podIP"): str(IPv4Address(POD_ADDRESSES + 256 * where + 2 + beside)),
                said(pod, "hostIP"): str(IPv4Address(NODE_ADDRESSES + where + 1)),
                **family,
            }
            yield pod.copy(words)


def uid_of(kept: Kept) -> str:
    """The object's own uid, which its metadata has after what it says of owners."""
    head = re.sub(r'"ownerReferences":\[.*?\]', "", kept.value.decode())
    found = re.search(r'"uid":"([^"]*)"', head)
    assert found is not None
    return found[1]


def address_of(node: Kept) -> str:
    """The node's internal address."""
    return said(node, "address")


def counted(value: bytes) -> bytes:
    """The same set with `EACH` replicas, all there."""
    return re.sub(rb'"((?:\w*[rR]eplicas))":1\b', rb'"\1":%d' % EACH, value)


def namespace() -> str:
    """Where all of it is."""
    return NAMESPACE
