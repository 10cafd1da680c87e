"""`bireme up`: from nothing to a cluster that runs containers, one line a phase."""

import ipaddress
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from bireme.aio.clock import RealClock
from bireme.api.times import parse_time
from bireme.cli import kubeconfig as kubeconfigs
from bireme.cli import machine
from bireme.cli.access_options import FILE, access_options, several
from bireme.cli.clusters import Door, check_name, find, is_running, name_option, parts, root_option
from bireme.cli.down import wait_gone
from bireme.cli.errors import CliError
from bireme.cli.progress import Progress, style_for
from bireme.cli.simulated import check_hollow, check_may, nodes_detail, sim_options
from bireme.config import DEFAULT_RUN, Config, check_ranges, default_node_ip, default_node_name
from bireme.runtime.host_changes import HostChanges, process_start

WAIT_S = 60.0
POLL_S = 0.05
ORPHAN_S = 15.0
PORT = click.IntRange(1, 65535)


def _settings(name: str, root: Path, flags: dict[str, Any]) -> Config:
    check_name(name)
    data = root.absolute() / name
    chosen = {key: value for key, value in flags.items() if value is not None}
    if (data / "config.json").exists():
        config = find(name, root)
        if flags["simulated_nodes"] and not config.is_simulated:
            raise CliError("BIR-011", f'the cluster "{name}" runs containers', remedy="--name another")
    else:
        run = data / "run" if chosen.get("simulated_nodes") else DEFAULT_RUN / name
        config = Config(cluster=name, data=data, run=run, node_name=default_node_name(), node_ip=default_node_ip())
    import msgspec

    config = msgspec.structs.replace(config, **chosen)
    try:
        _check_flags(config)
        check_ranges(config)
    except ValueError as error:
        raise CliError("BIR-050", str(error), remedy="bireme up --help") from error
    return config


def _check_flags(config: Config) -> None:
    """Raises ValueError unless addresses are addresses, the node's name a name, and every port another one."""
    for address in (config.host, config.node_ip):
        ipaddress.ip_address(address)
    if not re.fullmatch(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", config.node_name
    ):
        raise ValueError(f"{config.node_name!r} is no node name: a-z, 0-9, '-' and '.', as in a DNS name")
    check_hollow(config)
    ports = [config.api_port, config.mesos_port, config.agent_port, config.marathon_port, config.kubelet_port]
    if twice := sorted({port for port in ports if ports.count(port) > 1}):
        raise ValueError(f"port {twice[0]} is wanted by two doors")
    if config.admission_config or config.admission_plugins:
        from bireme.assembly.admission import admission_config

        admission_config(config)
    if config.scheduler_config_file or config.scheduler_plugin_files:
        from bireme.assembly.scheduling import scheduler_settings

        scheduler_settings(config)


def make_certificates(config: Config) -> str:
    """The CA and the leaves, those that are not there yet; says what there is."""
    from bireme.assembly.certificates import ensure

    return ensure(config, now=RealClock().now())


def make_credentials(config: Config) -> None:
    """The users of the Mesos and Marathon doors, made once, in a file that only root reads."""
    if config.credentials.exists():
        return
    users = [
        {"name": name, "groups": groups, "password": secrets.token_urlsafe(24), "token": secrets.token_urlsafe(32)}
        for name, groups in (("admin", ["system:masters"]), ("marathon", ["bireme:frameworks"]))
    ]
    descriptor = os.open(config.credentials, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"users": users}, file, indent=2)


def end_orphans(config: Config) -> list[str]:
    """End the parts that a killed supervisor left, which hold the ports; containerd and containers stay."""
    left = {name: part for name, part in parts(config).items() if name != "containerd" and part["alive"]}
    for part in left.values():
        with suppress(ProcessLookupError):
            os.kill(part["pid"], signal.SIGTERM)
    for part in left.values():
        wait_gone(part["pid"], part["started"], ORPHAN_S)
    return list(left)


def start_supervisor(config: Config) -> None:
    """Start the supervisor as a process of its own."""
    for folder in (config.run, config.logs):
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    config.parts.unlink(missing_ok=True)
    with (config.logs / "supervisor.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bireme.cli.main", "supervise", str(config.data / "config.json")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    changes = HostChanges(config.changes)
    changes.record("process", str(process.pid), before=process_start(process.pid))
    for folder in (config.data, config.run):
        changes.record("directory", str(folder))


def wait_for(what: str, config: Config, ready: Callable[[], str | None], log: str, *, seconds: float = WAIT_S) -> str:
    """Poll until `ready` gives a detail; OSError and ValueError mean not yet. Raises CliError after `seconds`."""
    deadline = time.monotonic() + seconds
    reason = ""
    while time.monotonic() < deadline:
        try:
            detail = ready()
        except (OSError, ValueError) as error:
            detail, reason = None, str(error)
        if detail is not None:
            return detail
        time.sleep(POLL_S)
    path = config.logs / f"{log}.log"
    raise CliError("BIR-040", f"{what} did not come up in {seconds:.0f}s {reason}".rstrip(), remedy=f"tail {path}")


def node_detail(config: Config, api: Door, since: datetime) -> str | None:
    """ "NAME Ready" once the node is, and has renewed its lease `since` then: Ready may be an older word."""
    lease = api.json(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{config.node_name}")
    if parse_time(lease["spec"]["renewTime"]) < since:
        return None
    node = api.json(f"/api/v1/nodes/{config.node_name}")
    conditions = {item["type"]: item["status"] for item in node.get("status", {}).get("conditions", ())}
    return f"{config.node_name} Ready" if conditions.get("Ready") == "True" else None


def answers(door: Door, path: str, detail: str) -> Callable[[], str | None]:
    """A check that a GET of `path` succeeds."""
    return lambda: detail if door.get(path)[0] == 200 else None


@contextmanager
def nothing_left_behind(config: Config) -> Iterator[None]:
    """If the machine will not do, the folders made to find that out go again."""
    fresh = [folder for folder in (config.data, config.data.parent) if not folder.exists()]
    try:
        yield
    except (CliError, OSError):
        for folder in fresh:
            with suppress(OSError):
                folder.rmdir()
        raise


def bring_up(config: Config, progress: Progress) -> None:
    """All phases, in the order in which a person wants to hear of them."""
    since = RealClock().now()
    api, mesos, marathon = (Door(config, url) for url in (config.api_url, config.mesos_url, config.marathon_url))
    with progress.phase("Store and API server") as phase:
        phase.detail = wait_for("the API server", config, answers(api, "/readyz", config.api_url), "core")
    with progress.phase("Mesos master") as phase:
        phase.detail = wait_for("the Mesos master", config, answers(mesos, "/health", config.mesos_url), "core")
    with progress.phase("Marathon") as phase:
        phase.detail = wait_for("Marathon", config, answers(marathon, "/ping", config.marathon_url), "core")
    if config.is_simulated:
        with progress.phase("Nodes") as phase:
            seconds = WAIT_S + config.simulated_nodes / 50
            phase.detail = wait_for("the nodes", config, lambda: nodes_detail(api), "core", seconds=seconds)
        return
    with progress.phase("Container runtime") as phase:
        phase.detail = wait_for(
            "containerd",
            config,
            lambda: "containerd of its own" if config.containerd_socket.exists() else None,
            "containerd",
        )
    with progress.phase("Node, network, DNS") as phase:
        phase.detail = wait_for("the node", config, lambda: node_detail(config, api, since), "node")


def show_end(config: Config, style: str, seconds: float) -> None:
    if style == "json":
        click.echo(
            json.dumps({"ready": True, "seconds": round(seconds, 2), "context": config.cluster, **urls(config)})
        )
    elif style != "quiet":
        group = "-d @examples/two-decks/marathon.json"
        lines = [
            f'Ready in {seconds:.1f}s.  kubectl context "{config.cluster}"',
            f"  API      {config.api_url}",
            f"  Mesos    {config.mesos_url}",
            f"  Marathon {config.marathon_url}",
            "  Try      kubectl apply -f examples/two-decks/kubernetes.yaml",
            f"           eval $(bireme env); curl -X POST $MARATHON_URL/v2/groups {group}",
            "  Stop     bireme down        Remove every trace:  bireme down --purge",
        ]
        if config.is_simulated:
            lines[-3:-1] = ["  Try      kubectl create deployment hello --image=nginx --replicas=3"]
        if shutil.which("bireme") is None:
            lines.insert(4, f"  First    export PATH={Path(sys.executable).parent}:$PATH")
        click.echo("\n".join(lines))


def urls(config: Config) -> dict[str, str]:
    return {"api": config.api_url, "mesos": config.mesos_url, "marathon": config.marathon_url}


@click.command()
@name_option
@sim_options
@root_option
@click.option("--node-name", help="This machine's name as a node.  [default: the host's name]")
@click.option("--node-ip", help="This machine's address as a node.  [default: the one of its default route]")
@click.option("--host", help="The address that the APIs listen on.  [default: 127.0.0.1]")
@click.option("--api-port", type=PORT, help="[default: 6443]")
@click.option("--mesos-port", type=PORT, help="[default: 5050]")
@click.option("--agent-port", type=PORT, help="[default: 5051]")
@click.option("--marathon-port", type=PORT, help="[default: 8080]")
@click.option("--kubelet-port", type=PORT, help="[default: 10250]")
@click.option("--pod-range", help="Addresses of pods; a /24 of it for each node.  [default: 10.244.0.0/16]")
@click.option("--service-range", help="Addresses of Services.  [default: 10.96.0.0/16]")
@click.option("--dns-address", help="Where DNS answers, in the range of Services.  [default: 10.96.0.10]")
@click.option(
    "--insecure-loopback/--no-insecure-loopback",
    default=None,
    help="Open the Mesos and Marathon doors without credentials on loopback, for old tests.",
)
@access_options
@click.option(
    "--scheduler-config", "scheduler_config_file", type=FILE, help="Profiles: a KubeSchedulerConfiguration."
)
@click.option(
    "--scheduler-plugin",
    "scheduler_plugin_files",
    type=FILE,
    multiple=True,
    callback=several,
    help="A Python file with scores of your own; may be repeated.",
)
@click.option("--no-kubeconfig", is_flag=True, help="Leave ~/.kube/config alone.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def up(name: str, root: Path, no_kubeconfig: bool, quiet: bool, as_json: bool, **flags: Any) -> None:
    """Bring the cluster on this machine up, or find it running."""
    began = time.monotonic()
    style = style_for(quiet=quiet, as_json=as_json)
    progress = Progress(style)
    check_may(name, root, simulated=bool(flags["simulated_nodes"]))
    config = _settings(name, root, flags)
    if is_running(config):
        if find(name, root) != config:
            raise CliError(
                "BIR-011", f'the cluster "{name}" runs with other settings', remedy="bireme down, then bireme up …"
            )
        if style == "json":
            click.echo(json.dumps({"ready": True, "running": True, "context": config.cluster, **urls(config)}))
        elif style != "quiet":
            click.echo(f'The cluster "{config.cluster}" runs already: bireme status')
        return
    if style in ("tty", "plain"):
        what = "simulated nodes (no root needed)" if config.is_simulated else f"node {config.node_name}"
        click.echo(f'Bireme · cluster "{config.cluster}" · {what}')
    with progress.phase("Machine") as phase, nothing_left_behind(config):
        machine.check_room(config)
        if not config.is_simulated and (missing := machine.missing_packages()):
            machine.install_packages(missing)
            phase.detail = "installed " + ", ".join(missing)
        if orphans := end_orphans(config):
            phase.detail = f"took over from a supervisor that was killed: {', '.join(orphans)} ended"
        machine.check_ports(config)
        if not config.is_simulated:
            machine.check_ranges(config)
        config.save()
    with progress.phase("Certificates") as phase:
        phase.detail = make_certificates(config)
        make_credentials(config)
        own = config.data / "admin.kubeconfig"
        kubeconfigs.remove(config, own)
        kubeconfigs.merge(config, own)
    start_supervisor(config)
    bring_up(config, progress)
    if not no_kubeconfig:
        with progress.phase("kubeconfig") as phase:
            before = kubeconfigs.merge(config, kubeconfigs.default_path())
            phase.detail = f'merged, context "{config.cluster}" is now current' + (
                f' (was "{before}")' if before else ""
            )
    show_end(config, style, time.monotonic() - began)
