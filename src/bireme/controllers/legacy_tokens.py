"""Fill Secrets that ask for a service account's token, and delete those whose account is gone.

Such tokens never run out; a Secret asks for one by its type and an annotation that names the account. `Settings.
sign_legacy` signs them, as the key stays with whoever runs the controllers.
Source: the Kubernetes documentation on service account token Secrets.
"""

import base64
from collections.abc import Iterable
from datetime import timedelta

import msgspec

from bireme.api.errors import NotFound
from bireme.api.kinds import core
from bireme.client.informer import Key, key_of
from bireme.controllers.changes import Change, Delete, Update
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.informers import Informers

TYPE = "kubernetes.io/service-account-token"
ONLY_TOKENS = f"type={TYPE}"
ACCOUNT, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
TOKEN, CA, NAMESPACE = "token", "ca.crt", "namespace"


def account_of(secret: core.Secret) -> str:
    """The account whose token the Secret asks for; "" where it does not say."""
    return secret.metadata.annotations.get(ACCOUNT, "")


def its_secrets(cache: Informers, old: core.ServiceAccount | None, new: core.ServiceAccount | None) -> Iterable[Key]:
    """The Secrets that ask for tokens of the account."""
    for account in (old, new):
        if account is not None:
            place = account.metadata.namespace
            for secret in cache.of(core.Secret, fields=ONLY_TOKENS).items():
                if secret.metadata.namespace == place and account_of(secret) == account.metadata.name:
                    yield key_of(secret)


def is_filled(secret: core.Secret, account: core.ServiceAccount, root_ca: str) -> bool:
    """Whether the Secret holds all it should."""
    return (
        bool(secret.data.get(TOKEN))
        and secret.data.get(CA, "") == _coded(root_ca)
        and secret.data.get(NAMESPACE) == _coded(secret.metadata.namespace)
        and secret.metadata.annotations.get(ACCOUNT_UID) == account.metadata.uid
    )


class LegacyTokenController(Controller):
    """Keep each such Secret filled while its account is there.

    Reads Secrets of that type and ServiceAccounts; writes the Secrets' data and deletes them.
    """

    name = "legacy-serviceaccount-token-controller"
    watches = (
        Watch(core.Secret, fields=ONLY_TOKENS),
        Watch(core.ServiceAccount, keys=its_secrets),
    )
    workers = 1

    async def reconcile(self, key: Key) -> timedelta | None:
        secret = self.cache.of(core.Secret, fields=ONLY_TOKENS).get(key)
        if secret is None or secret.metadata.deletion_timestamp or self.settings.sign_legacy is None:
            return None
        name = account_of(secret)
        if name:
            await self.carry_out(await self._plan(secret, name))
        return None

    async def _plan(self, secret: core.Secret, name: str) -> list[Change]:
        try:  # asked of the server: a Secret may be younger than what is cached of its account
            account = await self.client.get(core.ServiceAccount, name, namespace=secret.metadata.namespace)
        except NotFound:
            return [Delete(secret)]
        said = secret.metadata.annotations.get(ACCOUNT_UID, "")
        if said and said != account.metadata.uid:
            return [Delete(secret)]
        if is_filled(secret, account, self.settings.root_ca):
            return []
        return [Update(self._filled(secret, account))]

    def _filled(self, secret: core.Secret, account: core.ServiceAccount) -> core.Secret:
        sign, metadata = self.settings.sign_legacy, secret.metadata
        assert sign is not None
        token = secret.data.get(TOKEN) or _coded(
            sign(metadata.namespace, account.metadata.name, account.metadata.uid, metadata.name)
        )
        data = {TOKEN: token, NAMESPACE: _coded(metadata.namespace)}
        if self.settings.root_ca:
            data[CA] = _coded(self.settings.root_ca)
        annotations = {**metadata.annotations, ACCOUNT_UID: account.metadata.uid}
        return msgspec.structs.replace(
            secret,
            metadata=msgspec.structs.replace(metadata, annotations=annotations),
            data={**secret.data, **data},
        )


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
