"""ServiceAccount: every pod runs as an account of its namespace and finds that account's token in its files.

The kubelet fetches the token; what is added here is the projected volume that asks for it.
"""

import functools
import random
from collections.abc import Sequence
from typing import Any

from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind
from bireme.registry.mountable_secrets import first_fault, is_enforced, secrets_of

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_S = 3607
VOLUME_PREFIX = "kube-api-access-"
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

Tree = dict[str, Any]


class ServiceAccount(Plugin):
    """See the module."""

    name = "ServiceAccount"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return kind.is_a("Pod") and (operation, subresource) in (("CREATE", ""), ("UPDATE", "ephemeralcontainers"))

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "serviceaccounts"),)

    async def admit(self, attributes: Attributes) -> None:
        tree = attributes.tree
        if tree is None or attributes.operation != "CREATE" or _is_mirror(tree):
            return
        spec = tree.setdefault("spec", {})
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._account(attributes, name)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]
        if _wants_token(spec, account):
            self._mount_token(spec, account["metadata"]["uid"])

    async def validate(self, attributes: Attributes) -> None:
        tree = attributes.tree
        if tree is None:
            return
        spec = tree.get("spec") or {}
        if _is_mirror(tree):
            if attributes.operation == "CREATE" and (fault := _mirror_fault(spec)):
                raise refused(attributes, fault)
            return
        account = self._account(attributes, spec.get("serviceAccountName") or "default")
        if is_enforced(account) and (fault := first_fault(spec, account)):
            raise refused(attributes, fault)

    def _account(self, attributes: Attributes, name: str) -> Tree:
        account = self._objects.find("", "v1", "serviceaccounts", attributes.namespace, name)
        if account is None:
            raise refused(
                attributes,
                f'error looking up service account {attributes.namespace}/{name}: serviceaccount "{name}" not found',
            )
        return account

    def _mount_token(self, spec: Tree, uid: str) -> None:
        containers = [*spec.get("initContainers", ()), *spec.get("containers", ())]
        bare = [container for container in containers if not _has_mount(container)]
        if not bare:
            return
        taken = [str(volume.get("name")) for volume in spec.get("volumes") or ()]
        # A volume that is there already may come from a webhook, or from the time before one added a container.
        name = next((each for each in taken if each.startswith(VOLUME_PREFIX)), "")
        if not name:
            name = _usual_name(uid)
            spec.setdefault("volumes", []).append(_token_volume(name))
        for container in bare:
            mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
            container.setdefault("volumeMounts", []).append(mount)


@functools.lru_cache(maxsize=4096)
def _usual_name(uid: str) -> str:
    """The name goes by the account, so that the pods of one template stay alike to the byte."""
    return _volume_name(random.Random(uid))


def _volume_name(chance: random.Random) -> str:
    return VOLUME_PREFIX + "".join(chance.choices(SUFFIX_ALPHABET, k=5))


def _is_mirror(tree: Tree) -> bool:
    return "kubernetes.io/config.mirror" in (tree["metadata"].get("annotations") or {})


def _mirror_fault(spec: Tree) -> str:
    """Why a mirror pod is refused: the files of its node may not ask for what is kept here."""
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        return "a mirror pod may not reference service accounts"
    if any(secrets_of(spec)):
        return "a mirror pod may not reference secrets"
    for volume in spec.get("volumes") or ():
        if any("serviceAccountToken" in source for source in (volume.get("projected") or {}).get("sources") or ()):
            return "a mirror pod may not use ServiceAccountToken volume projections"
    return ""


def _wants_token(spec: Tree, account: Tree) -> bool:
    said = spec.get("automountServiceAccountToken")
    if said is None:
        said = account.get("automountServiceAccountToken")
    return said is not False


def _has_mount(container: Tree) -> bool:
    return any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ())


def _token_volume(name: str) -> Tree:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_S, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [namespace]}},
            ],
            "defaultMode": 0o644,
        },
    }
