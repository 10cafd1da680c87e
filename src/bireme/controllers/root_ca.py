"""Keep the cluster's CA certificate in a ConfigMap of each namespace, for pods to verify the API server."""

from datetime import timedelta

import msgspec

from bireme.api.errors import AlreadyExists
from bireme.api.kinds import core, meta
from bireme.client.informer import Key, key_of
from bireme.controllers.changes import Create, Update
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.service_account import is_alive, its_namespace

NAME = "kube-root-ca.crt"
ONLY_OURS = f"metadata.name={NAME}"
FILE = "ca.crt"
DESCRIPTION = "kubernetes.io/description"
TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCaController(Controller):
    """Keep the CA certificate in a ConfigMap of each namespace.

    Reads Namespaces and ConfigMaps of that name; creates and corrects them. Keys are namespaces.
    """

    name = "root-ca-certificate-publisher-controller"
    watches = Watch(core.Namespace), Watch(core.ConfigMap, keys=its_namespace, fields=ONLY_OURS)

    async def reconcile(self, key: Key) -> timedelta | None:
        if not self.settings.root_ca or not is_alive(self.cache.get(core.Namespace, Key("", key.name))):
            return None
        wanted = core.ConfigMap(
            metadata=meta.ObjectMeta(name=NAME, namespace=key.name, annotations={DESCRIPTION: TEXT}),
            data={FILE: self.settings.root_ca},
        )
        there = self.cache.of(core.ConfigMap, fields=ONLY_OURS).get(key_of(wanted))
        if there is None:
            try:
                await self.carry_out((Create(wanted),))
            except AlreadyExists:
                pass
        elif there.data != wanted.data:
            await self.carry_out((Update(msgspec.structs.replace(there, data=wanted.data, binary_data={})),))
        return None
