"""Looking for traces of a cluster on this machine without its own records: what `down --check` reports."""

import json
import subprocess
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from bireme.cli import kubeconfig as kubeconfigs
from bireme.config import DEFAULT_RUN, Config, user_root
from bireme.runtime.host_changes import Change, cgroup_folders, is_left, mounts_under, undo


def presumed(name: str, root: Path) -> Config:
    """The cluster's settings, or what they would be: a purge removes the file, and it may be damaged."""
    data = root.absolute() / name
    with suppress(OSError, ValueError):
        config = Config.load(data / "config.json")
        if config.cluster == name and config.data.resolve() == data.resolve():
            return config
    if root.absolute() == user_root():
        return Config(cluster=name, data=data, run=data / "run", simulated_nodes=1)
    return Config(cluster=name, data=data, run=DEFAULT_RUN / name)


def traces(name: str, root: Path) -> list[str]:
    """Every trace of the cluster that this machine still shows, in words."""
    config = presumed(name, root)
    if config.is_simulated:
        return [
            *(f"process {line}" for line in processes(config)),
            *(f"folder {folder}" for folder in (config.data,) if folder.exists()),
            *_kubeconfig(config),
        ]
    return [
        *_links(config),
        *(f"nft table {config.nft_table}" for _ in _tables(config)),
        *(f"network namespace {space}" for space in namespaces(config)),
        *(f"mount {point}" for folder in (config.data, config.run) for point in mounts_under(str(folder))),
        *(f"cgroup {folder}" for folder in cgroup_folders(config.cgroup)),
        *(f"process {line}" for line in processes(config)),
        *(f"folder {folder}" for folder in (config.data, config.run) if folder.exists()),
        *_kubeconfig(config),
    ]


def sweep(config: Config) -> None:
    """End and remove what a crash may have left unrecorded: shims, their namespaces and mounts."""
    for line in processes(config):
        pid = line.split()[0]
        start = Path(f"/proc/{pid}/stat")
        with suppress(OSError, IndexError):
            undo(Change("process", pid, start.read_text().rpartition(")")[2].split()[19]))
    if config.is_simulated:
        return
    for space in namespaces(config):
        undo(Change("netns", space))
    for folder in (config.run, config.data):
        undo(Change("mount", str(folder)))
    undo(Change("cgroup", config.cgroup))


def _links(config: Config) -> list[str]:
    found = [f"link {config.bridge}"] if is_left(Change("link", config.bridge)) else []
    output = subprocess.run(["ip", "-4", "route", "show"], check=False, capture_output=True, text=True).stdout
    pods = ip_network(config.pod_range)
    for line in output.splitlines():
        with suppress(ValueError, IndexError):
            if ip_network(line.split()[0], strict=False).subnet_of(pods):  # type: ignore[arg-type]
                found.append(f"route {line.strip()}")
    return found


def _tables(config: Config) -> list[str]:
    output = subprocess.run(["nft", "list", "tables"], check=False, capture_output=True, text=True).stdout
    return [line for line in output.splitlines() if line.split()[-1:] == [config.nft_table]]


def namespaces(config: Config) -> list[str]:
    """Network namespaces that hold an address of the pods' range."""
    pods = ip_network(config.pod_range)
    found = []
    for path in sorted(Path("/run/netns").glob("*")) if Path("/run/netns").is_dir() else ():
        command = ["ip", "-n", path.name, "-j", "-4", "address", "show"]
        output = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        with suppress(ValueError):
            links = json.loads(output or "[]")
            addresses = [info["local"] for link in links for info in link.get("addr_info", ()) if "local" in info]
            if any(ip_address(address) in pods for address in addresses):
                found.append(path.name)
    return found


def processes(config: Config) -> list[str]:
    """`PID command` of processes whose command line names the cluster's folders, and of those in its cgroup."""
    found = []
    marks = [f"{config.data}/".encode(), f"{config.run}/".encode()]
    inside = contained(config)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes()
            if int(path.parent.name) in inside or any(mark in words for mark in marks):
                found.append(f"{path.parent.name} {words.replace(bytes(1), b' ').decode(errors='replace').strip()}")
    return found


def contained(config: Config) -> set[int]:
    """The processes of containers: they say nothing of us, and outlive a shim that is killed."""
    found: set[int] = set()
    if config.is_simulated:
        return found
    for folder in cgroup_folders(config.cgroup):
        with suppress(OSError):
            found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
    return found


def _kubeconfig(config: Config) -> list[str]:
    path = kubeconfigs.default_path()
    return [f'kubeconfig entry "{config.cluster}" in {path}'] if kubeconfigs.is_merged(config, path) else []
