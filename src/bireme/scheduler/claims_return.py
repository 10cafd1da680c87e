"""What was written on claims for pods that went nowhere, and is taken back."""

import asyncio
from collections.abc import Callable

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError
from bireme.client.informer import Key
from bireme.scheduler.claims_writing import ClaimWriter

log = structlog.get_logger(__name__)

RETRY_S = 5.0


class ClaimsReturn:
    """Takes back what it is told, until that is done.

    `is_held` says of a pod, by its uid, that it is on its way again: its name stays on its claims.
    """

    def __init__(self, writer: ClaimWriter, clock: Clock, *, is_held: Callable[[str], bool]) -> None:
        self._writer, self._clock, self._is_held = writer, clock, is_held
        self._regretted: dict[tuple[Key, str], bool] = {}
        self._stirred = asyncio.Event()

    def regret(self, key: Key, uid: str, *, special: bool = False) -> None:
        """The pod is to be taken off the claim, or a special one deleted: once, however often that is said."""
        self._regretted[key, uid] = special
        self._stirred.set()

    async def run(self) -> None:
        """Take the names of pods that went nowhere off their claims, until cancelled."""
        while True:
            while not self._regretted:
                self._stirred.clear()
                await self._stirred.wait()
            key, uid = next(iter(self._regretted))
            special = self._regretted.pop((key, uid))
            try:
                if special:
                    await self._writer.drop(key, uid)
                elif not self._is_held(uid):
                    await self._writer.take_off(key, uid)
            except ApiError as error:
                log.warning("claim not given back yet", claim=str(key), error=str(error), retry_s=RETRY_S)
                await self._clock.sleep(RETRY_S)
                self.regret(key, uid, special=special)
