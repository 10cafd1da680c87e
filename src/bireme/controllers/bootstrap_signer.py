"""Sign what new nodes are told of the cluster with every bootstrap token that is meant for it.

`cluster-info` in kube-public holds a kubeconfig that anybody may be let read; who has a token can tell by the
signature of that token's id whether it is this cluster's. Source: the Kubernetes documentation on bootstrap tokens.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from bireme.api.bootstrap_tokens import NAMESPACE, has_expired, signature, signing_key, texts
from bireme.api.kinds import core
from bireme.api.times import parse_time
from bireme.client.informer import Key
from bireme.controllers.changes import Update
from bireme.controllers.controller import ALL, Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.token_cleaner import ONLY_TOKENS

PUBLIC = "kube-public"
NAME = "cluster-info"
ONLY_OURS = f"metadata.name={NAME}"
KUBECONFIG, SIGNATURE = "kubeconfig", "jws-kubeconfig-"


def the_one(cache: Informers, old: object, new: object) -> Iterable[Key]:
    """All is looked at at once."""
    return (ALL,)


class BootstrapSigner(Controller):
    """Keep the signatures of cluster-info those of the tokens that there are.

    Reads the Secrets of bootstrap tokens; writes the ConfigMap cluster-info, where somebody has made it.
    """

    name = "bootstrap-signer-controller"
    watches = (
        Watch(core.Secret, namespace=NAMESPACE, fields=ONLY_TOKENS, keys=the_one),
        Watch(core.ConfigMap, namespace=PUBLIC, fields=ONLY_OURS, keys=the_one),
    )
    workers = 1

    async def reconcile(self, key: Key) -> timedelta | None:
        there = self.cache.of(core.ConfigMap, namespace=PUBLIC, fields=ONLY_OURS).get(Key(PUBLIC, NAME))
        if there is None or there.metadata.deletion_timestamp:
            return None
        tokens = list(self.cache.of(core.Secret, namespace=NAMESPACE, fields=ONLY_TOKENS).items())
        now = self.clock.now()
        data = signed(there.data, tokens, now=now)
        if data != there.data:
            await self.carry_out((Update(msgspec.structs.replace(there, data=data)),))
        return next_end(tokens, now=now)


def signed(data: Mapping[str, str], tokens: Iterable[core.Secret], *, now: datetime) -> dict[str, str]:
    """The data of cluster-info with one signature for each token to sign with, and no others."""
    made = {name: value for name, value in data.items() if not name.startswith(SIGNATURE)}
    if KUBECONFIG not in made:
        return made
    for secret in tokens:
        key = (
            None
            if secret.metadata.deletion_timestamp
            else signing_key(secret.metadata.name, texts(secret.data), now=now)
        )
        if key is not None:
            made[SIGNATURE + key[0]] = signature(made[KUBECONFIG], *key)
    return made


def next_end(tokens: Iterable[core.Secret], *, now: datetime) -> timedelta | None:
    """When the next token will be over."""
    ends = [texts(secret.data).get("expiration", "") for secret in tokens]
    return min((parse_time(end) - now for end in ends if end and not has_expired(end, now=now)), default=None)
