"""Parts of a control plane as one API runs them: the controllers, the scheduler, a store to forget."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from bireme.aio.clock import Clock
from bireme.aio.uids import new_uid
from bireme.assembly.api import Api
from bireme.assembly.controlling import queue_figures
from bireme.assembly.scheduling import figures
from bireme.client.events import EventRecorder
from bireme.controllers.all import controllers
from bireme.controllers.all import run as run_all
from bireme.controllers.controller import Context
from bireme.controllers.informers import Informers
from bireme.controllers.settings import Settings, Sign
from bireme.http.certificates import Authority
from bireme.ledger.ledger import Ledger
from bireme.scheduler.caches import Caches
from bireme.scheduler.configuration import Settings as SchedulerSettings
from bireme.scheduler.rules import Rules
from bireme.scheduler.scheduler import Scheduler
from bireme.store.interface import Store
from bireme.store.memory import MemoryStore

EVENTS = 10_000
"""As many as a burst of pods has: they are sent one after the other, behind the bindings."""


def memory_store(clock: Clock) -> Store:
    """A store that is gone with this process, for simulations."""
    return MemoryStore(clock=clock)


def signs(authority: Authority, clock: Clock) -> Sign:
    """Signing by this authority, as controllers do it."""

    def sign(request: bytes, lifetime: timedelta, usages: Sequence[str]) -> bytes:
        return authority.sign_asked(request, now=clock.now(), lifetime=lifetime, usages=usages)

    return sign


async def run_controllers(api: Api, settings: Settings, *, clock: Clock) -> None:
    """Every controller, until cancelled."""
    client = api.client("system:kube-controller-manager")
    settings = replace(settings, sign_legacy=api.tokens.issue_legacy)
    context = Context(client, Informers(client, clock=clock), clock, settings)
    wanted = controllers(context)
    source = partial(queue_figures, wanted)
    api.server.metrics.add(source)
    try:
        await run_all(context, wanted)
    finally:
        api.server.metrics.remove(source)


async def run_scheduler(
    api: Api,
    ledger: Ledger,
    *,
    clock: Clock,
    settings: SchedulerSettings | None = None,
    ask_for_room: Callable[[], None] = lambda: None,
) -> None:
    """The scheduler, which books in `ledger`, until cancelled. `ask_for_room` takes back offers."""
    client = api.client("system:kube-scheduler")
    caches = Caches.of(client, clock=clock)
    events = EventRecorder(client, "default-scheduler", clock=clock, limit=EVENTS)
    settings = settings or SchedulerSettings()
    rules = Rules(
        client,
        columns=ledger.columns,
        pods=caches.pods,
        nodes=caches.nodes,
        clock=clock,
        uid=new_uid,
        bind_timeout_s=settings.bind_timeout_s,
        binding_timeout_s=settings.binding_timeout_s,
        extenders=settings.extenders,
    )
    scheduler = Scheduler(
        client,
        caches=caches,
        ledger=ledger,
        events=events,
        clock=clock,
        settings=settings,
        rules=rules.all,
        ask_for_room=ask_for_room,
    )
    rules.serve(scheduler)
    source = partial(figures, scheduler)

    async def place() -> None:
        await rules.wait_synced()
        await scheduler.run()

    api.server.metrics.add(source)
    try:
        async with asyncio.TaskGroup() as tasks:
            for name, service in (
                ("caches", caches.run),
                ("events", events.run),
                ("rules", rules.run),
                ("placing", place),
            ):
                tasks.create_task(service(), name=f"scheduler: {name}")
    finally:
        api.server.metrics.remove(source)
