"""URIs of a command, fetched into the sandbox before the task starts.

An init container of the built-in image does it, with no more of the host than the task itself has: the sandbox,
and each plain file that is wanted, read-only. Its failure is the task's: CONTAINER_LAUNCH_FAILED.
Source: Mesos 1.11's HTTP API.
"""

import shlex
from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from bireme.api.kinds import core
from bireme.mesos.messages import Message
from bireme.mesos.task_command import Placement, escaped

NAME = "fetch"
_DOWNLOADED = ("http", "https", "ftp")
_EXTRACT = {
    (".tar",): "tar -xf",
    (".tgz", ".tar.gz"): "tar -xzf",
    (".tbz2", ".tar.bz2"): "tar -xjf",
    (".txz", ".tar.xz"): "tar -xJf",
    (".zip",): "unzip -o -q",
    (".gz",): "gunzip -f -k",
}


def uris_of(infos: Iterable[Message]) -> list[Message]:
    """All URIs that tasks want."""
    return [uri for info in infos for uri in info.get("command", {}).get("uris", [])]


def problem(uri: Message) -> str | None:
    """Why a URI cannot be fetched here."""
    try:
        scheme, name = urlsplit(uri["value"]).scheme, file_name(uri)
    except ValueError:
        return f"URI '{uri['value']}' is malformed"
    if scheme not in (*_DOWNLOADED, "file", ""):
        return f"URI '{uri['value']}' has a scheme that is not fetched here"
    if scheme == "" and not uri["value"].startswith("/"):
        return f"URI '{uri['value']}' is not an absolute path"
    parts = name.split("/")
    if name.startswith("/") or "\0" in uri["value"] + name or any(part in ("", ".", "..") for part in parts):
        return f"URI '{uri['value']}' does not name a file of the sandbox"
    return None


def file_name(uri: Message) -> str:
    """What the file is called in the sandbox."""
    return str(uri.get("output_file") or unquote(urlsplit(uri["value"]).path).rpartition("/")[2])


def _source(uri: Message) -> str:
    """The path of a plain file; "" for what is downloaded."""
    parts = urlsplit(uri["value"])
    return "" if parts.scheme in _DOWNLOADED else unquote(parts.path)


def init_container(
    uris: Sequence[Message], placement: Placement, *, image: str, host_root: bool, sandbox: str
) -> tuple[core.Container, list[core.Volume]]:
    """The container that fetches, and the volumes it needs."""
    folder = f"/host{placement.sandbox}" if host_root else sandbox
    volumes: list[core.Volume] = []
    mounts: list[core.VolumeMount] = []
    lines = ["set -e", f"mkdir -p {shlex.quote(folder)}", f"cd {shlex.quote(folder)}"]
    for place, uri in enumerate(uris):
        source = _source(uri)
        if source:
            name, at = f"fetch-{place}", f"/fetch/{place}"
            volumes.append(core.Volume(name=name, host_path=core.HostPathVolumeSource(path=source, type="File")))
            mounts.append(core.VolumeMount(name=name, mount_path=at, read_only=True))
            source = at
        lines += _steps(uri, source)
    script = escaped("\n".join(lines))
    container = core.Container(name=NAME, image=image, image_pull_policy="IfNotPresent")
    container.command = ["/bin/sh", "-c", script]
    container.volume_mounts = mounts
    return container, volumes


def _steps(uri: Message, source: str) -> list[str]:
    """The shell lines that bring one file into the current folder."""
    name = file_name(uri)
    target = shlex.quote(f"./{name}")
    lines = [f"mkdir -p {shlex.quote('./' + name.rpartition('/')[0])}"] if "/" in name else []
    lines.append(f"cp {source} {target}" if source else f"wget -q -O {target} {shlex.quote(uri['value'])}")
    if uri.get("executable"):
        return [*lines, f"chmod 0755 {target}"]
    extract = next((words for ends, words in _EXTRACT.items() if name.endswith(ends)), None)
    if extract and uri.get("extract", True):
        lines.append(f"{extract} {target}")
    return lines
