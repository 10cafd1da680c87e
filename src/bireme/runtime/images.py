"""The two images that come with the cluster, so that it needs no registry: `pause` and `busybox`.

`pause` holds a pod's namespaces: a program of a few instructions that ends on SIGTERM and leaves no zombies
(with SIGCHLD ignored the kernel reaps whatever is handed to process 1). `busybox` is the machine's own static
busybox with a link for each of its applets. Both are OCI image layouts in a tar, byte for byte the same each time.
Sources: OCI image specification 1.0; System V ABI (ELF-64); Linux system call tables of x86-64 and arm64.
"""

import hashlib
import io
import json
import struct
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAUSE = "bireme.local/pause:1"
BUSYBOX = "bireme.local/busybox:1"
BUSYBOX_NAMES = (BUSYBOX, "docker.io/library/busybox:latest")

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_LOAD_AT = 0x400000
_HEADERS = 64 + 56
_MACHINES = {"amd64": 62, "arm64": 183}
_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SA_RESTORER = 0x04000000
_SIG_IGN = 1


def pause_program(architecture: str) -> bytes:
    """A static ELF executable that sleeps until SIGTERM or SIGINT. `architecture` is amd64 or arm64."""
    make = {"amd64": _amd64, "arm64": _arm64}[architecture]
    # Where the data lies depends on the code's length, which does not depend on where the data lies.
    length = len(make(0, 0)[0])
    data_at = _HEADERS + length
    code, handler = make(_HEADERS, data_at)
    start = _LOAD_AT + handler
    data = struct.pack("<4Q", _SIG_IGN, 0, 0, 0) + struct.pack("<4Q", start, _SA_RESTORER, start, 0)
    size = data_at + len(data)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9),
        *(2, _MACHINES[architecture], 1, _LOAD_AT + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_AT, _LOAD_AT, size, size, 0x10000)
    return header + segment + code + data


def _amd64(at: int, data_at: int) -> tuple[bytes, int]:
    """The instructions for file offset `at`, and the offset of the signal handler."""
    code = bytearray()
    for signal, action in ((_SIGCHLD, data_at), (_SIGTERM, data_at + 32), (_SIGINT, data_at + 32)):
        code += b"\xb8" + struct.pack("<I", 13)  # mov eax, rt_sigaction
        code += b"\xbf" + struct.pack("<I", signal)  # mov edi, signal
        end = at + len(code) + 7
        code += b"\x48\x8d\x35" + struct.pack("<i", action - end)  # lea rsi, [rip + action]
        code += b"\x31\xd2" + b"\x41\xba" + struct.pack("<I", 8) + b"\x0f\x05"  # xor edx, edx; mov r10d, 8; syscall
    code += b"\xb8" + struct.pack("<I", 34) + b"\x0f\x05" + b"\xeb\xf7"  # mov eax, pause; syscall; jmp back
    handler = at + len(code)
    code += b"\xb8" + struct.pack("<I", 231) + b"\x31\xff" + b"\x0f\x05"  # exit_group(0)
    return bytes(code), handler


def _arm64(at: int, data_at: int) -> tuple[bytes, int]:
    def move(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def address(register: int, target: int, here: int) -> int:
        distance = (target - here) & 0x1FFFFF
        return 0x10000000 | (distance & 3) << 29 | (distance >> 2) << 5 | register

    call = 0xD4000001
    words: list[int] = []
    for signal, action in ((_SIGCHLD, data_at), (_SIGTERM, data_at + 32), (_SIGINT, data_at + 32)):
        words += [move(8, 134), move(0, signal), address(1, action, at + 4 * (len(words) + 2))]
        words += [move(2, 0), move(3, 8), call]
    # ppoll without descriptors or timeout: arm64 has no pause.
    words += [move(8, 73), move(0, 0), move(1, 0), move(2, 0), move(3, 0), call, 0x14000000 | (-6 & 0x3FFFFFF)]
    handler = at + 4 * len(words)
    words += [move(8, 94), move(0, 0), call]
    return struct.pack(f"<{len(words)}I", *words), handler


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of an image's only layer: a file, a link when `link` is set, a folder when `folder`."""

    path: str
    content: bytes = b""
    mode: int = 0o755
    link: str = ""
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """What an image runs unless told otherwise."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def archive(names: Sequence[str], entries: Iterable[Entry], config: Config, *, architecture: str) -> bytes:
    """An OCI image layout as a tar: one image of one layer, under each of `names`."""
    layer = _tar(entries)
    blobs: dict[str, bytes] = {}

    def keep(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layer_at = keep(layer, "application/vnd.oci.image.layer.v1.tar")
    settings = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Env": list(config.environment),
        "Labels": dict(config.labels),
        "WorkingDir": "/",
    }
    image = {
        "architecture": architecture,
        "os": "linux",
        "config": {name: value for name, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer_at["digest"]]},
    }
    config_at = keep(_json(image), "application/vnd.oci.image.config.v1+json")
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config_at, "layers": [layer_at]}
    manifest_at = keep(_json(manifest), manifest_type)
    platform = {"architecture": architecture, "os": "linux"}
    index = {
        "schemaVersion": 2,
        "manifests": [
            {**manifest_at, "platform": platform, "annotations": {"io.containerd.image.name": name}} for name in names
        ],
    }
    files = [Entry("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644), Entry("index.json", _json(index), 0o644)]
    files += [Entry(f"blobs/sha256/{digest}", data, 0o644) for digest, data in sorted(blobs.items())]
    return _tar(files)


def pause_archive(architecture: str) -> bytes:
    """The pause image."""
    entries = [Entry("pause", pause_program(architecture))]
    return archive([PAUSE], entries, Config(entrypoint=["/pause"]), architecture=architecture)


def busybox_archive(busybox: Path, *, architecture: str) -> bytes:
    """The demo image, from the static busybox at `busybox`. Raises OSError when that can't be read or run."""
    listed = subprocess.run([busybox, "--list-full"], capture_output=True, text=True, check=True, timeout=10)
    entries = busybox_entries(busybox.read_bytes(), listed.stdout.split())
    environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    config = Config(command=["sh"], environment=environment)
    return archive(BUSYBOX_NAMES, entries, config, architecture=architecture)


def busybox_entries(program: bytes, applets: Iterable[str]) -> list[Entry]:
    """The files of the demo image: the program, a link for each applet path ("usr/bin/wget"), and a small /etc."""
    folders = ["bin", "etc", "home", "root", "sbin", "usr", "usr/bin", "usr/sbin", "var", "var/www"]
    files = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        "etc/group": "root:x:0:\nnobody:x:65534:\n",
        # Without this the static resolver asks DNS first and never looks into /etc/hosts.
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }
    entries = [Entry(folder, folder=True) for folder in folders]
    entries.append(Entry("tmp", mode=0o1777, folder=True))
    entries += [Entry(path, text.encode(), 0o644) for path, text in files.items()]
    entries.append(Entry("bin/busybox", program))
    links = {path for path in applets if path.startswith(("bin/", "sbin/", "usr/"))} - {"bin/busybox"}
    entries += [Entry(path, link="/bin/busybox") for path in sorted(links)]
    return entries


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _tar(entries: Iterable[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.mode = entry.mode
            if entry.folder:
                info.type = tarfile.DIRTYPE
            elif entry.link:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            else:
                info.size = len(entry.content)
            tar.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()
