"""What a cluster tells the machines that are to join it, and whom it tells."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
import yaml

from bireme.aio.clock import VirtualClock
from bireme.api.errors import Forbidden
from bireme.api.kinds import core
from bireme.assembly.api import Api, serve_api
from bireme.assembly.cluster_info import make_cluster_info
from bireme.store.memory import MemoryStore


@asynccontextmanager
async def served() -> AsyncIterator[Api]:
    clock = VirtualClock()
    async with serve_api(MemoryStore(clock=clock), clock=clock, random=Random(7)) as api:
        yield api


async def test_it_says_where_the_api_is_and_who_signs_for_it() -> None:
    async with served() as api:
        await make_cluster_info(api.admin(), server="https://192.0.2.1:6443", authority=b"PEM")
        joining = api.client("system:bootstrap:abcdef", groups=("system:bootstrappers", "system:authenticated"))
        said = await joining.get(core.ConfigMap, "cluster-info", namespace="kube-public")
        kubeconfig = yaml.safe_load(said.data["kubeconfig"])
        (cluster,) = kubeconfig["clusters"]
        assert cluster["cluster"] == {
            "server": "https://192.0.2.1:6443",
            "certificate-authority-data": base64.b64encode(b"PEM").decode(),
        }
        assert kubeconfig["users"] == []
        with pytest.raises(Forbidden):
            await joining.get(core.ConfigMap, "other", namespace="kube-public")
        with pytest.raises(Forbidden):
            await joining.update(said)


async def test_it_follows_the_cluster_and_keeps_what_others_wrote() -> None:
    async with served() as api:
        admin = api.admin()
        await make_cluster_info(admin, server="https://192.0.2.1:6443", authority=b"PEM")
        first = await admin.get(core.ConfigMap, "cluster-info", namespace="kube-public")
        await make_cluster_info(admin, server="https://192.0.2.1:6443", authority=b"PEM")
        same = await admin.get(core.ConfigMap, "cluster-info", namespace="kube-public")
        assert same.metadata.resource_version == first.metadata.resource_version
        await admin.update(msgspec.structs.replace(same, data={**same.data, "mine": "x"}))
        await make_cluster_info(admin, server="https://192.0.2.2:6443", authority=b"PEM")
        moved = (await admin.get(core.ConfigMap, "cluster-info", namespace="kube-public")).data
        assert moved["mine"] == "x"
        assert "192.0.2.2" in moved["kubeconfig"]
