"""`cluster-info` in kube-public: where the API is and who signs for it, for machines that are to join.

It names no user and holds no secret. A machine that has a bootstrap token can tell by the signature of that token
(`controllers/bootstrap_signer.py`) whether it is this cluster's. Unlike in a cluster of kubeadm's, it is shown to
whoever has credentials of any kind, and to nobody else. Source: the Kubernetes documentation on bootstrap tokens.
"""

import base64
from collections.abc import Mapping

import msgspec
import orjson

from bireme.api.errors import AlreadyExists, NotFound
from bireme.api.kinds import core, meta
from bireme.client.client import Client

NAMESPACE, NAME, KEY = "kube-public", "cluster-info", "kubeconfig"


async def make_cluster_info(client: Client, *, server: str, authority: bytes) -> None:
    """Have it say where the server is now; what else stands in it stays."""
    said = {KEY: kubeconfig(server, authority)}
    try:
        there = await client.get(core.ConfigMap, NAME, namespace=NAMESPACE)
    except NotFound:
        await _create(client, said)
        return
    if there.data.get(KEY) != said[KEY]:
        await client.update(msgspec.structs.replace(there, data={**there.data, **said}))


async def _create(client: Client, data: Mapping[str, str]) -> None:
    try:
        await client.create(core.ConfigMap(metadata=meta.ObjectMeta(name=NAME, namespace=NAMESPACE), data=dict(data)))
    except AlreadyExists:
        return  # somebody was quicker, and the next start looks again


def kubeconfig(server: str, authority: bytes) -> str:
    """A kubeconfig with a cluster and nothing else, as JSON, which is YAML too."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": cluster}],
        "contexts": [],
        "current-context": "",
        "preferences": {},
        "users": [],
    }
    return orjson.dumps(tree, option=orjson.OPT_INDENT_2).decode() + "\n"
