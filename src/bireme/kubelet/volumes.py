"""A pod's volumes on this machine: made before its containers, refreshed while they run, removed after them.

Every folder lies below `root/pods/UID`. What goes into a file is worked out in `payload.py`; paths that a pod
chooses inside a volume are opened by `beneath.py`.
Source: Kubernetes, "Volumes", "Projected Volumes"; reliability: C3, C4.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.api.quantity import value
from bireme.client.client import Client
from bireme.kubelet import beneath
from bireme.kubelet.environment import Facts, expand
from bireme.kubelet.objects import Objects, Tokens
from bireme.kubelet.payload import (
    DEFAULT_MODE,
    File,
    VolumeProblem,
    config_map_files,
    downward_files,
    safe_path,
    secret_files,
    write_atomically,
)
from bireme.kubelet.pod_certificates import PodCertificates, certificate_files
from bireme.kubelet.trust_bundles import trust_bundle
from bireme.runtime.interface import Mount, Propagation

P = ParamSpec("P")
T = TypeVar("T")

_PROPAGATION = {choice.value: choice for choice in Propagation}
_GROUP_BITS = 0o2060


@dataclass(frozen=True, slots=True)
class PodFolders:
    """Where a pod's things lie."""

    root: Path

    @property
    def hosts(self) -> Path:
        return self.root / "etc-hosts"

    def volume(self, name: str) -> Path:
        return self.root / "volumes" / name

    def sub_path(self, volume: str, container: str, number: int) -> Path:
        return self.root / "volume-subpaths" / volume / container / str(number)

    def termination_log(self, container: str, attempt: int) -> Path:
        return self.root / "containers" / container / f"{attempt}.termination"


def pod_folders(root: Path, pod_uid: str) -> PodFolders:
    return PodFolders(root / "pods" / pod_uid)


class Volumes:
    """The volumes of all pods of one node. With `privileged` False nothing is mounted or given away."""

    def __init__(
        self,
        root: Path,
        client: Client,
        objects: Objects,
        tokens: Tokens,
        certificates: PodCertificates,
        *,
        clock: Clock,
        privileged: bool,
    ) -> None:
        self._root = root
        self._client, self._objects = client, objects
        self._tokens, self._certificates = tokens, certificates
        self._clock = clock
        self._privileged = privileged

    async def prepare(self, pod: core.Pod, facts: Facts) -> dict[str, Path]:
        """Make, or bring up to date, every volume of the pod; where each lies. Raises VolumeProblem, ApiError."""
        paths: dict[str, Path] = {}
        for volume in pod.spec.volumes:
            try:
                paths[volume.name] = await self._prepare(pod, volume, facts)
            except VolumeProblem as problem:
                raise VolumeProblem(f'volume "{volume.name}" : {problem}') from problem
        return paths

    async def _prepare(self, pod: core.Pod, volume: core.Volume, facts: Facts) -> Path:
        if volume.host_path is not None:
            return await self._aside(host_path, volume.host_path)
        folder = pod_folders(self._root, pod.metadata.uid).volume(volume.name)
        group = pod.spec.security_context.fs_group if pod.spec.security_context else None
        if volume.empty_dir is not None:
            self._empty(folder, volume.empty_dir, group)
            return folder
        if volume.persistent_volume_claim is not None:
            return await self._claimed(pod, volume.persistent_volume_claim)
        files = await self._files(pod, volume, facts)
        self._make(folder, in_memory=volume.config_map is None and volume.downward_api is None)
        stamp = self._clock.now().strftime("%Y_%m_%d_%H_%M_%S.%f")
        await self._aside(
            write_atomically,
            folder,
            _readable(files, group),
            stamp=stamp,
            own=lambda path, owner: self._own(path, group, owner),
        )
        return folder

    async def _aside(self, work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Work on files in a thread; on hollow nodes, where all is small and the clock may be virtual, at once."""
        return await asyncio.to_thread(work, *args, **named) if self._privileged else work(*args, **named)

    def _make(self, folder: Path, *, in_memory: bool, mode: int = 0o755, size: int = 0) -> bool:
        """Make a volume's folder; False if it was there."""
        mount = in_memory and self._privileged
        if folder.exists() and not (mount and not os.path.ismount(folder)):
            return False
        folder.mkdir(parents=True, mode=0o750, exist_ok=True)
        if mount:
            beneath.mount_tmpfs(folder, mode=mode, size=size)
        os.chmod(folder, mode)
        return True

    def _own(self, path: str, group: int | None, owner: int | None = None) -> None:
        if self._privileged and (group is not None or owner is not None):
            os.chown(path, -1 if owner is None else owner, -1 if group is None else group)

    def _empty(self, folder: Path, source: core.EmptyDirVolumeSource, group: int | None) -> None:
        size = value(source.size_limit) if source.size_limit else 0
        if self._make(folder, in_memory=source.medium == "Memory", mode=0o777, size=size) and group is not None:
            self._own(str(folder), group)
            os.chmod(folder, 0o777 | stat.S_ISGID)

    async def _claimed(self, pod: core.Pod, source: core.PersistentVolumeClaimVolumeSource) -> Path:
        claim = await self._objects.get(core.PersistentVolumeClaim, pod.metadata.namespace, source.claim_name)
        if claim is None or not claim.spec.volume_name:
            raise VolumeProblem(f'persistentvolumeclaim "{source.claim_name}" is not bound')
        volume = await self._objects.get(core.PersistentVolume, "", claim.spec.volume_name)
        if volume is not None and volume.spec.host_path is not None:
            return await self._aside(host_path, volume.spec.host_path)
        if volume is not None and volume.spec.local is not None:
            local = core.HostPathVolumeSource(path=volume.spec.local.path, type="Directory")
            return await self._aside(host_path, local)
        raise VolumeProblem(f'volume of persistentvolumeclaim "{source.claim_name}" is of a kind not known here')

    async def _files(self, pod: core.Pod, volume: core.Volume, facts: Facts) -> list[File]:
        if volume.config_map is not None:
            wanted = volume.config_map
            found = await self._objects.get(core.ConfigMap, pod.metadata.namespace, wanted.name)
            mode = _mode(wanted.default_mode)
            return config_map_files(wanted.name, found, wanted.items, mode, optional=bool(wanted.optional))
        if volume.secret is not None:
            asked = volume.secret
            secret = await self._objects.get(core.Secret, pod.metadata.namespace, asked.secret_name)
            mode = _mode(asked.default_mode)
            return secret_files(asked.secret_name, secret, asked.items, mode, optional=bool(asked.optional))
        if volume.downward_api is not None:
            return downward_files(pod, volume.downward_api.items, _mode(volume.downward_api.default_mode), facts)
        if volume.projected is not None:
            mode = _mode(volume.projected.default_mode)
            files: dict[str, File] = {}
            for number, source in enumerate(volume.projected.sources):
                for file in await self._projected(pod, source, mode, facts, place=f"{volume.name}/{number}"):
                    files[file.path] = file
            return list(files.values())
        raise VolumeProblem("its kind is not known here")

    async def _projected(
        self, pod: core.Pod, source: core.VolumeProjection, mode: int, facts: Facts, *, place: str
    ) -> list[File]:
        namespace = pod.metadata.namespace
        if source.config_map is not None:
            wanted = source.config_map
            found = await self._objects.get(core.ConfigMap, namespace, wanted.name)
            return config_map_files(wanted.name, found, wanted.items, mode, optional=bool(wanted.optional))
        if source.secret is not None:
            asked = source.secret
            secret = await self._objects.get(core.Secret, namespace, asked.name)
            return secret_files(asked.name, secret, asked.items, mode, optional=bool(asked.optional))
        if source.downward_api is not None:
            return downward_files(pod, source.downward_api.items, mode, facts)
        if source.service_account_token is not None:
            token = await self._tokens.get(pod, source.service_account_token)
            place = safe_path(source.service_account_token.path)
            return [File(place, token.encode(), _secret_mode(pod, mode), _only_user(pod))]
        if source.cluster_trust_bundle is not None:
            bundle = await trust_bundle(self._client, source.cluster_trust_bundle)
            return [] if bundle is None else [File(safe_path(source.cluster_trust_bundle.path), bundle, mode)]
        if source.pod_certificate is not None:
            issued = await self._certificates.get(pod, place, source.pod_certificate)
            private = _secret_mode(pod, mode)
            return certificate_files(issued, source.pod_certificate, private, mode, owner=_only_user(pod))
        raise VolumeProblem("a projected source is of a kind not known here")

    def mounts(
        self, pod: core.Pod, container: core.Container, paths: Mapping[str, Path], variables: Mapping[str, str]
    ) -> list[Mount]:
        """What of the volumes a container sees, and where. Raises VolumeProblem."""
        mounts = []
        for number, mount in enumerate(container.volume_mounts):
            source = paths.get(mount.name)
            if source is None:
                raise VolumeProblem(f'volume "{mount.name}" is not there')
            inner = expand(mount.sub_path_expr, variables) if mount.sub_path_expr else mount.sub_path
            if inner:
                target = pod_folders(self._root, pod.metadata.uid).sub_path(mount.name, container.name, number)
                source = self._sub_path(source, inner, target)
            mounts.append(
                Mount(
                    container_path=mount.mount_path,
                    host_path=str(source),
                    read_only=bool(mount.read_only),
                    propagation=_PROPAGATION.get(mount.mount_propagation, Propagation.PRIVATE),
                )
            )
        return mounts

    def _sub_path(self, root: Path, inner: str, target: Path) -> Path:
        """A place of our own that stands for a path inside a volume, so that it can't be changed under us."""
        if inner.startswith("/") or ".." in Path(inner).parts:
            raise VolumeProblem(f"subPath {inner!r} leads out of the volume")
        if not self._privileged:
            return root / inner
        try:
            if not os.path.lexists(root / inner):
                beneath.make_folders(root, inner, mode=stat.S_IMODE(root.stat().st_mode))
            with beneath.opened(root, inner) as place:
                target.parent.mkdir(parents=True, exist_ok=True)
                for point in beneath.mounts_under(target):
                    beneath.unmount(point)
                if beneath.is_folder(place):
                    target.mkdir(exist_ok=True)
                else:
                    target.touch()
                beneath.bind(place, target)
        except OSError as error:
            raise VolumeProblem(f"failed to prepare subPath {inner!r}: {error.strerror}") from error
        return target

    async def remove(self, pod_uid: str) -> None:
        """Unmount and delete all that was made for a pod. Raises OSError if something won't go."""
        self._tokens.forget(pod_uid)
        self._certificates.forget(pod_uid)
        await self._aside(self._remove, pod_uid)

    def _remove(self, pod_uid: str) -> None:
        root = pod_folders(self._root, pod_uid).root
        if self._privileged:
            beneath.remove_tree(root)
        elif root.exists():
            shutil.rmtree(root)

    def known(self) -> list[str]:
        """The uids of pods that have something here."""
        folder = self._root / "pods"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def host_path(source: core.HostPathVolumeSource) -> Path:
    """The path of the host that a volume names, once it is of the kind asked for. Raises VolumeProblem."""
    path = Path(source.path)
    if ".." in path.parts:
        raise VolumeProblem("hostPath must not contain '..'")
    kind = source.type
    try:
        if kind == "DirectoryOrCreate" and not path.exists():
            path.mkdir(parents=True, mode=0o755)
        if kind == "FileOrCreate" and not path.exists():
            path.touch(mode=0o644)
        tests = {
            "Directory": path.is_dir,
            "DirectoryOrCreate": path.is_dir,
            "File": path.is_file,
            "FileOrCreate": path.is_file,
            "Socket": path.is_socket,
            "CharDevice": path.is_char_device,
            "BlockDevice": path.is_block_device,
        }
        if kind in tests and not tests[kind]():
            raise VolumeProblem(f"hostPath type check failed: {path} is not a {kind}")
        if not kind and not path.exists():
            path.mkdir(parents=True, mode=0o755)
    except OSError as error:
        raise VolumeProblem(f"hostPath {path}: {error.strerror}") from error
    return path


def _mode(default: int | None) -> int:
    return DEFAULT_MODE if default is None else default


def _secret_mode(pod: core.Pod, mode: int) -> int:
    """Tokens and keys are for one user where the pod runs as one, or for its group; else as the volume says."""
    context = pod.spec.security_context
    shared = context is not None and context.fs_group is not None
    return 0o600 if shared or _only_user(pod) is not None else mode


def _only_user(pod: core.Pod) -> int | None:
    """The uid that all containers of a pod run as; None where they differ, or the image decides."""
    of_pod = pod.spec.security_context.run_as_user if pod.spec.security_context else None
    users = set()
    for each in (*pod.spec.init_containers, *pod.spec.containers):
        own = each.security_context.run_as_user if each.security_context else None
        users.add(of_pod if own is None else own)
    return users.pop() if len(users) == 1 else None


def _readable(files: list[File], group: int | None) -> list[File]:
    """With a group that owns the volume, files are readable for it."""
    if group is None:
        return files
    return [replace(file, mode=file.mode | 0o440) for file in files]
