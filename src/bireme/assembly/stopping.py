"""Stopping a machine's containers: the way down of the node, without the node's own weight.

A process of its own does this once the node process has ended, so little is imported here.
"""

import asyncio
from pathlib import Path

from bireme.aio.clock import RealClock
from bireme.config import Config
from bireme.runtime import shims
from bireme.runtime.containerd import Containerd, ContainerdSettings, clear
from bireme.runtime.cri import CriRuntime


def engine_settings(config: Config) -> ContainerdSettings:
    """Where this cluster's own containerd keeps its things."""
    return ContainerdSettings(
        root=config.containerd_root,
        state=config.containerd_state,
        socket=config.containerd_socket,
        cni_config=config.data / "cni" / "conf",
        log=config.logs / "containerd.log",
    )


def stop_containers(settings: Path) -> None:
    """Stop every pod of this machine's own containerd, then containerd itself."""
    asyncio.run(_stop_containers(Config.load(settings)))


async def _stop_containers(config: Config) -> None:
    settings = engine_settings(config)
    containerd, tasks = Containerd(settings, clock=RealClock()), shims.known_tasks(settings.tasks)
    if containerd.pid is None:
        if not tasks:
            return
        await containerd.start()  # it died just now, and only it can end what it had started
    runtime = CriRuntime(str(config.containerd_socket))
    try:
        await containerd.wait_ready(runtime)
        await clear(runtime, clock=RealClock())
    finally:
        await runtime.close()
        await containerd.stop()
        address = str(config.containerd_socket)
        shims.end_lost(address, shims.lost(address))
        shims.sweep(address, tasks)
