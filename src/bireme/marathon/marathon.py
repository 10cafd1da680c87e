"""Marathon, put together: state, decisions, the framework, checks, virtual addresses and the door on 8080."""

import asyncio
import uuid
from collections.abc import Callable
from random import Random
from typing import Protocol

import structlog

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.aio.waiting import wait_any
from bireme.api.errors import ApiError
from bireme.client.client import Client
from bireme.http.interface import Answer, Identity, Request
from bireme.marathon.api import Api
from bireme.marathon.core import Core
from bireme.marathon.engine import Engine
from bireme.marathon.framework import Framework
from bireme.marathon.health import HealthChecks
from bireme.marathon.probes import NetworkProber, Prober
from bireme.marathon.settings import Settings
from bireme.marathon.transport import MasterTransport
from bireme.marathon.vips import Vips, wanted

log = structlog.get_logger(__name__)

RETRY_S = 0.5
SETTLE_S = 0.01


class Authenticator(Protocol):
    """Who asks (`http/credentials.py`)."""

    def authenticate(self, request: Request) -> Identity | None: ...


class Marathon:
    """The whole of it: `run` works until cancelled, `handle` is the door."""

    def __init__(
        self,
        client: Client,
        transport: MasterTransport,
        *,
        clock: Clock,
        random: Random,
        authenticator: Authenticator | None = None,
        settings: Settings | None = None,
        prober: Prober | None = None,
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid1,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self._client, self._transport, self._authenticator = client, transport, authenticator
        self._random, self._new_uuid, self._prober = random, new_uuid, prober
        self._begin()

    def _begin(self) -> None:
        """Parts that know nothing yet."""
        clock, random, new_uuid = self.clock, self._random, self._new_uuid
        self.core = Core(self._client, self.settings, clock, random=random, new_uuid=new_uuid)
        self.engine = Engine(self.core)
        self.framework = Framework(self.core, self._transport)
        self._vips = Vips(self._client, clock)
        self._checks: HealthChecks | None = None
        self._api = Api(self.core, self.framework, self._authenticator)

    async def handle(self, request: Request) -> Answer:
        """Answer one request to /v2 and what is beside it."""
        return await self._api.handle(request)

    async def run(self) -> None:
        """Find the state again, then keep apps up until cancelled. May be called again after it failed."""
        if self._checks is not None:
            self.core.bus.close()
            self._begin()
        prober = self._prober or NetworkProber()
        self._checks = HealthChecks(self.core, prober)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.core.keeper.run(), name="marathon: keeper")
                await self._load()
                group.create_task(self._checks.run(), name="marathon: checks")
                group.create_task(supervise("marathon: vips", self._vips.run, self.clock), name="marathon: vips")
                group.create_task(self.framework.run(), name="marathon: framework")
                group.create_task(self._decide(), name="marathon: decisions")
        finally:
            if isinstance(prober, NetworkProber):
                await prober.close()

    async def _load(self) -> None:
        while True:
            try:
                await self.core.load()
                return
            except ApiError as error:
                log.info("marathon waits for the API", error=str(error))
                await self.clock.sleep(RETRY_S)

    async def _decide(self) -> None:
        """Look at everything whenever something happened, and now and then."""
        core = self.core
        while True:
            core.wake.clear()
            self.engine.tick()
            if self._checks is not None:
                self._checks.look()
            instances = {path: core.of_app(path) for path in core.apps_with_instances()}
            self._vips.look(wanted(core.root.apps.values(), instances, framework=self.settings.framework_name))
            await self.framework.work()
            await self.clock.sleep(SETTLE_S)
            pause_s = min(self.settings.tick_interval, core.queue.next_due(core.now()))
            await wait_any(core.wake.wait(), self.clock.sleep(max(SETTLE_S, pause_s)))
