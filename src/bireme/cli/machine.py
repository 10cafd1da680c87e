"""What the machine must have before a cluster starts: root, programs, free ports, room, free ranges."""

import ipaddress
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from bireme.cli.errors import CliError
from bireme.config import Config

PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/bin/busybox": "busybox-static",
}
MINIMUM_FREE = 256 * 2**20


def missing_packages() -> list[str]:
    """The Debian packages of the programs that are not here."""
    return [package for program, package in PACKAGES.items() if not _is_there(program)]


def _is_there(program: str) -> bool:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=path) is not None


def install_packages(packages: list[str]) -> None:
    """Install with apt. Raises CliError with the line to type where apt is missing or fails."""
    line = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise CliError(
            "BIR-021", f"missing: {', '.join(packages)}", remedy="install them with this system's packages"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise CliError("BIR-021", f"apt could not install {', '.join(packages)}: {' '.join(last)}", remedy=line)


def check_ports(config: Config) -> None:
    """Raises CliError for the first port that another process holds."""
    ports = {
        "API": (config.host, config.api_port, "--api-port"),
        "Mesos master": (config.host, config.mesos_port, "--mesos-port"),
        "Mesos agent": (config.host, config.agent_port, "--agent-port"),
        "Marathon": (config.host, config.marathon_port, "--marathon-port"),
        "kubelet": (config.host, config.kubelet_port, "--kubelet-port"),
    }
    if config.is_simulated:
        for what in ("Mesos agent", "kubelet"):
            del ports[what]
    for what, (host, port, flag) in ports.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise CliError(
                    "BIR-010",
                    f"port {port} ({what}) is held by {_holder(port)}",
                    remedy=f"bireme up {flag} {port + 1000}",
                ) from error


def _holder(port: int) -> str:
    """The name and id of who listens there, as well as /proc tells."""
    import psutil

    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"


def check_room(config: Config) -> None:
    """Raises CliError unless the data folder can be written and has room."""
    try:
        config.data.mkdir(parents=True, exist_ok=True)
        probe = config.data / ".probe"
        try:
            probe.write_bytes(b"0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise CliError(
            "BIR-012", f"cannot write to {config.data}: {error.strerror}", remedy="bireme up --root /another/folder"
        ) from error
    free = shutil.disk_usage(config.data).free
    if free < MINIMUM_FREE:
        raise CliError(
            "BIR-012",
            f"only {free // 2**20} MiB are free at {config.data}; {MINIMUM_FREE // 2**20} MiB are needed",
            remedy="make room, or bireme up --root /another/folder",
        )


def check_ranges(config: Config) -> None:
    """Raises CliError if a route of this machine, not one of ours, overlaps the pods' or services' range."""
    ours = [ipaddress.ip_network(text) for text in (config.pod_range, config.service_range)]
    output = subprocess.run(["ip", "-4", "route", "show"], check=False, capture_output=True, text=True).stdout
    for line in output.splitlines():
        words = line.split()
        if not words or words[0] == "default" or config.bridge in words:
            continue
        try:
            network = ipaddress.ip_network(words[0], strict=False)
        except ValueError:
            continue
        for mine in ours:
            if network.overlaps(mine):
                raise CliError(
                    "BIR-030", f"{mine} overlaps this machine's route to {network}", remedy="remove that route"
                )
