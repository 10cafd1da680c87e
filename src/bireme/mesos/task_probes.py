"""A Mesos health check as the probes of a container.

The start-up probe covers delay and grace period, the liveness probe ends the task after so many failures in a row,
the readiness probe tells each change. Source: Mesos 1.11's HTTP API.
"""

import math

from bireme.api.kinds import core
from bireme.mesos.messages import Message
from bireme.mesos.task_command import Placement, in_host_root, is_host_root, on_host_network


def set_probes(container: core.Container, info: Message, placement: Placement) -> None:
    """Give a container the probes of its task's health check, if it has one."""
    check = info.get("health_check")
    if not check:
        return
    interval = max(1, round(check.get("interval_seconds", 10.0)))
    failures = max(1, check.get("consecutive_failures", 3))
    grace = math.ceil(check.get("grace_period_seconds", 10.0) / interval)
    delay = round(check.get("delay_seconds", 15.0))

    def probe(threshold: int, initial: int = 0) -> core.Probe:
        return _probe(check, info, placement, interval=interval, threshold=threshold, initial=initial)

    container.startup_probe = probe(failures + grace, delay)
    container.liveness_probe = probe(failures)
    container.readiness_probe = probe(1)


def _probe(
    check: Message, info: Message, placement: Placement, *, interval: int, threshold: int, initial: int
) -> core.Probe:
    found = core.Probe(
        period_seconds=interval,
        failure_threshold=threshold,
        initial_delay_seconds=initial or None,
        timeout_seconds=max(1, round(check.get("timeout_seconds", 20.0) or 3600)),
    )
    host = "127.0.0.1" if on_host_network(info, None) else ""
    match check.get("type") or _check_type(check):
        case "COMMAND":
            found.exec = core.ExecAction(command=_check_command(check["command"], info, placement))
        case "HTTP":
            http = check["http"]
            scheme = http.get("scheme", "http").upper()
            path = http.get("path", "") or "/"
            found.http_get = core.HTTPGetAction(host=host, port=http["port"], path=path, scheme=scheme)
        case "TCP":
            found.tcp_socket = core.TCPSocketAction(host=host, port=check["tcp"]["port"])
    return found


def _check_type(check: Message) -> str:
    return next((kind for kind in ("COMMAND", "HTTP", "TCP") if kind.lower() in check), "")


def _check_command(command: Message, info: Message, placement: Placement) -> list[str]:
    if is_host_root(info):
        return in_host_root(command, placement)
    if command.get("shell", True):
        return ["/bin/sh", "-c", command.get("value", "")]
    return [command.get("value", ""), *command.get("arguments", [])[1:]]
