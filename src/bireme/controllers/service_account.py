"""Keep a ServiceAccount `default` in each namespace."""

from collections.abc import Iterable
from datetime import timedelta

from bireme.api.errors import AlreadyExists
from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object
from bireme.client.informer import Key, key_of
from bireme.controllers.changes import Create
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.informers import Informers

DEFAULT = "default"


def its_namespace(cache: Informers, old: Object | None, new: Object | None) -> Iterable[Key]:
    """The namespace of an object that came, changed or went."""
    obj = new or old
    return (Key("", obj.metadata.namespace),) if obj is not None else ()


def is_alive(namespace: core.Namespace | None) -> bool:
    """The namespace is there to stay."""
    return (
        namespace is not None
        and not namespace.metadata.deletion_timestamp
        and namespace.status.phase != "Terminating"
    )


class ServiceAccountController(Controller):
    """Keep a ServiceAccount `default` in each namespace.

    Reads Namespaces and ServiceAccounts of that name; creates ServiceAccounts. Keys are namespaces.
    """

    name = "serviceaccount-controller"
    watches = (
        Watch(core.Namespace),
        Watch(core.ServiceAccount, keys=its_namespace),
    )

    async def reconcile(self, key: Key) -> timedelta | None:
        namespace = self.cache.get(core.Namespace, Key("", key.name))
        account = core.ServiceAccount(metadata=meta.ObjectMeta(name=DEFAULT, namespace=key.name))
        if not is_alive(namespace) or self.cache.get(core.ServiceAccount, key_of(account)) is not None:
            return None
        try:
            await self.carry_out((Create(account),))
        except AlreadyExists:
            pass
        return None
