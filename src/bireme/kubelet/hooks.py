"""postStart and preStop: what a container asks to have done when it starts and before it stops.

Source: Kubernetes, "Container Lifecycle Hooks".
"""

import asyncio

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.kubelet import reach
from bireme.kubelet.probes import http_target, port_number
from bireme.runtime.interface import Runtime, RuntimeFault

LONGEST_S = 3600.0


class HookFailed(Exception):
    """The hook did not do its work; the text says why."""


async def run_hook(
    handler: core.LifecycleHandler,
    container: core.Container,
    container_id: str,
    address: str,
    *,
    runtime: Runtime,
    clock: Clock,
    timeout_s: float = LONGEST_S,
) -> None:
    """Do what `handler` says, within `timeout_s`. Raises HookFailed."""
    try:
        async with asyncio.timeout(timeout_s):
            await _run(handler, container, container_id, address, runtime, clock, timeout_s)
    except TimeoutError as error:
        raise HookFailed(f"hook took longer than {timeout_s:.0f}s") from error
    except (RuntimeFault, ValueError) as error:
        raise HookFailed(str(error)) from error


async def _run(
    handler: core.LifecycleHandler,
    container: core.Container,
    container_id: str,
    address: str,
    runtime: Runtime,
    clock: Clock,
    timeout_s: float,
) -> None:
    if handler.sleep is not None:
        await clock.sleep(min(float(handler.sleep.seconds or 0), timeout_s))
    elif handler.exec is not None:
        result = await runtime.exec_sync(container_id, handler.exec.command, timeout_s=timeout_s)
        if result.exit_code:
            words = (result.stderr or result.stdout)[:1024].decode(errors="replace")
            raise HookFailed(f"command exited with {result.exit_code}: {words}")
    elif handler.http_get is not None:
        answer = await reach.http_get(http_target(handler.http_get, container, address))
        if not answer.well:
            raise HookFailed(answer.message)
    elif handler.tcp_socket is not None:
        answer = await reach.tcp_connect(address, port_number(handler.tcp_socket.port, container))
        if not answer.well:
            raise HookFailed(answer.message)
