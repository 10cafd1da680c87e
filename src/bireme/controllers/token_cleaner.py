"""Delete bootstrap tokens once their time is over.

Source: the Kubernetes documentation on bootstrap tokens; who may still use one is the authenticator's affair.
"""

from datetime import datetime, timedelta

from bireme.api.bootstrap_tokens import NAMESPACE, SECRET_TYPE, has_expired, texts
from bireme.api.kinds import core
from bireme.api.times import parse_time
from bireme.client.informer import Key
from bireme.controllers.changes import Delete
from bireme.controllers.controller import Controller, Watch

ONLY_TOKENS = f"type={SECRET_TYPE}"


class TokenCleaner(Controller):
    """Delete the Secrets of bootstrap tokens that have expired, and look again when others will have.

    Reads and deletes Secrets of that type in kube-system.
    """

    name = "token-cleaner-controller"
    watches = (Watch(core.Secret, namespace=NAMESPACE, fields=ONLY_TOKENS),)
    workers = 1

    async def reconcile(self, key: Key) -> timedelta | None:
        secret = self.cache.of(core.Secret, namespace=NAMESPACE, fields=ONLY_TOKENS).get(key)
        if secret is None or secret.metadata.deletion_timestamp:
            return None
        left = time_left(secret, now=self.clock.now())
        if left == timedelta():
            await self.carry_out((Delete(secret),))
            return None
        return left


def time_left(secret: core.Secret, *, now: datetime) -> timedelta | None:
    """How long the token is good for: nothing where it is over, None for ever."""
    expiration = texts(secret.data).get("expiration", "")
    if has_expired(expiration, now=now):
        return timedelta()
    return parse_time(expiration) - now if expiration else None
