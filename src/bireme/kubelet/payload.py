"""The files of config map, secret, downward API and projected volumes, and how they are put in place.

What goes in is worked out by plain functions. `write_atomically` shows a whole new set at once: files lie in
a folder with a name of its own, `..data` links to it, each visible name links through `..data`; swapping that one
link swaps all, so that no reader sees half an update.
Source: Kubernetes, "ConfigMaps: mounted ConfigMaps are updated automatically"; the layout that programs rely on.
"""

import base64
import binascii
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bireme.api.kinds import core
from bireme.kubelet.environment import EnvironmentProblem, Facts, field_value, resource_value

DATA = "..data"
DEFAULT_MODE = 0o644


class VolumeProblem(Exception):
    """A volume can't be made as asked."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume; `path` is relative and goes nowhere but down. `owner` is a uid (None: root's)."""

    path: str
    data: bytes
    mode: int = DEFAULT_MODE
    owner: int | None = None


def config_map_files(
    name: str, config_map: core.ConfigMap | None, items: Sequence[core.KeyToPath], mode: int, *, optional: bool
) -> list[File]:
    """The files of a config map, all keys or those of `items`."""
    if config_map is None:
        return _absent(f'configmap "{name}" not found', optional=optional)
    content = {key: text.encode() for key, text in config_map.data.items()}
    content |= {key: _decoded(key, text) for key, text in config_map.binary_data.items()}
    return _chosen(f"configmap {name}", content, items, mode, optional=optional)


def secret_files(
    name: str, secret: core.Secret | None, items: Sequence[core.KeyToPath], mode: int, *, optional: bool
) -> list[File]:
    """The files of a secret, all keys or those of `items`."""
    if secret is None:
        return _absent(f'secret "{name}" not found', optional=optional)
    content = {key: _decoded(key, text) for key, text in secret.data.items()}
    return _chosen(f"secret {name}", content, items, mode, optional=optional)


def downward_files(pod: core.Pod, items: Iterable[core.DownwardAPIVolumeFile], mode: int, facts: Facts) -> list[File]:
    """The files that tell a pod of itself."""
    files = []
    try:
        for item in items:
            if item.field_ref is not None:
                text = field_value(pod, item.field_ref.field_path, facts)
            elif item.resource_field_ref is not None:
                container = core.Container(name="")
                text = resource_value(pod, container, item.resource_field_ref, facts)
            else:
                raise VolumeProblem(f"downward API file {item.path} has no source")
            files.append(File(safe_path(item.path), text.encode(), item.mode if item.mode is not None else mode))
    except EnvironmentProblem as problem:
        raise VolumeProblem(str(problem)) from problem
    return files


def safe_path(path: str) -> str:
    """`path`, once it is sure to stay beneath its folder. Raises VolumeProblem."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith("..") or "\0" in path:
        raise VolumeProblem(f"path {path!r} leads out of the volume")
    return str(PurePosixPath(path))


def _absent(problem: str, *, optional: bool) -> list[File]:
    if optional:
        return []
    raise VolumeProblem(problem)


def _decoded(key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise VolumeProblem(f"key {key} is not base64") from error


def _chosen(
    what: str, content: Mapping[str, bytes], items: Sequence[core.KeyToPath], mode: int, *, optional: bool
) -> list[File]:
    if not items:
        return [File(safe_path(key), data, mode) for key, data in sorted(content.items())]
    files = []
    for item in items:
        if item.key in content:
            own = item.mode if item.mode is not None else mode
            files.append(File(safe_path(item.path), content[item.key], own))
        elif not optional:
            raise VolumeProblem(f"{what} references non-existent key: {item.key}")
    return files


def write_atomically(
    folder: Path,
    files: Sequence[File],
    *,
    stamp: str,
    own: Callable[[str, int | None], None] = lambda path, owner: None,
) -> bool:
    """Show `files` in `folder`; False if they are there already. `stamp` names the new set.

    `own` is called with each new path and its owner before it is shown, to give it to him.
    """
    if _holds(folder, files):
        return False
    fresh = f"..{stamp}"
    base = folder / fresh
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(mode=0o755)
    os.chmod(base, 0o755)
    for file in files:
        path = base / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        os.chmod(path, file.mode)
        own(str(path), file.owner)
    own(str(base), None)
    _swap(folder, fresh)
    _relink(folder, {PurePosixPath(file.path).parts[0] for file in files})
    return True


def _holds(folder: Path, files: Sequence[File]) -> bool:
    current = folder / DATA
    if not current.exists():
        return False
    wanted = {file.path: file for file in files}
    there = {str(path.relative_to(current)) for path in current.rglob("*") if path.is_file()}
    return there == set(wanted) and all(_same(current / name, file) for name, file in wanted.items())


def _same(path: Path, file: File) -> bool:
    mode = stat.S_IMODE(path.stat().st_mode)
    return path.read_bytes() == file.data and mode & file.mode == file.mode


def _swap(folder: Path, fresh: str) -> None:
    """Point ..data at the new set in one step, then drop the old one."""
    link, temporary = folder / DATA, folder / "..data_tmp"
    old = os.readlink(link) if link.is_symlink() else ""
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh)
    os.replace(temporary, link)
    if old and old != fresh:
        shutil.rmtree(folder / old, ignore_errors=True)


def _relink(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.is_symlink() and not path.name.startswith("..") and path.name not in names:
            path.unlink()
    for name in names:
        path = folder / name
        if not path.is_symlink():
            path.symlink_to(f"{DATA}/{name}")
