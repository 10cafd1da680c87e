"""The user's kubeconfig: our cluster, user and context merged in under a lock, and taken out again.

Other entries are kept as they are. The file is replaced whole (write, sync, rename), has mode 0600, and
belongs to the user who typed sudo.
"""

import base64
import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bireme.cli.clusters import find, name_option, root_option
from bireme.cli.errors import CliError
from bireme.config import Config

SECTIONS = ("clusters", "users", "contexts")
MARK = "bireme.dev/cluster"


def caller() -> pwd.struct_passwd:
    """The user who asked: under sudo the one who typed it."""
    uid = os.environ.get("SUDO_UID")
    return pwd.getpwuid(int(uid)) if uid and os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def default_path() -> Path:
    """Where kubectl would look: the first of $KUBECONFIG, else ~/.kube/config of the caller."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if listed:
        return Path(listed[0])
    home = "" if os.environ.get("SUDO_UID") else os.environ.get("HOME", "")
    return Path(home or caller().pw_dir) / ".kube" / "config"


def entry(config: Config) -> dict[str, Any]:
    """A kubeconfig that holds this cluster alone."""

    def inline(name: str) -> str:
        return base64.b64encode((config.pki / name).read_bytes()).decode()

    mark = {"name": MARK, "extension": str(config.data)}
    cluster = {
        "server": config.api_url,
        "certificate-authority-data": inline("ca.crt"),
        "extensions": [mark],
    }
    user = {"client-certificate-data": inline("admin.crt"), "client-key-data": inline("admin.key")}
    context = {"cluster": config.cluster, "user": config.cluster}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": config.cluster, "cluster": cluster}],
        "users": [{"name": config.cluster, "user": user}],
        "contexts": [{"name": config.cluster, "context": context}],
        "current-context": config.cluster,
    }


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock beside the file, the one that two `up`s at once would fight for."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_name(path.name + ".bireme-lock")
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise CliError("BIR-070", f"{path} is no YAML: {error}", remedy=f"mend {path}, or set KUBECONFIG") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise CliError("BIR-070", f"{path} is no kubeconfig", remedy=f"mend {path}, or set KUBECONFIG")
    return tree


def _write(path: Path, tree: dict[str, Any]) -> None:
    import yaml

    owner = caller()
    fresh = path.with_name(path.name + ".bireme-new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.dump(tree, file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
        file.flush()
        os.fsync(file.fileno())
    if os.geteuid() == 0:
        os.chown(fresh, owner.pw_uid, owner.pw_gid)
        if path.parent.stat().st_uid == 0 and owner.pw_uid != 0 and path.parent.name == ".kube":
            os.chown(path.parent, owner.pw_uid, owner.pw_gid)
    os.replace(fresh, path)


def _ours(config: Config, item: dict[str, Any]) -> bool:
    """A cluster entry that an earlier `up` of this same cluster made."""
    marks = (item.get("cluster") or {}).get("extensions") or ()
    return any(mark.get("name") == MARK and mark.get("extension") == str(config.data) for mark in marks)


def merge(config: Config, path: Path) -> str:
    """Put this cluster in and make it current; gives back the context that was current before.

    Raises CliError if an entry of that name belongs to another cluster.
    """
    with locked(path):
        tree = _read(path)
        for item in tree.get("clusters") or ():
            if item.get("name") == config.cluster and not _ours(config, item):
                raise CliError(
                    "BIR-070",
                    f'{path} holds another cluster named "{config.cluster}"',
                    remedy="bireme up --name OTHER, or kubectl config delete-cluster " + config.cluster,
                )
        mine = entry(config)
        for section in SECTIONS:
            kept = [item for item in tree.get(section) or () if item.get("name") != config.cluster]
            tree[section] = [*kept, *mine[section]]
        before = str(tree.get("current-context") or "")
        tree.update({"apiVersion": "v1", "kind": "Config", "current-context": config.cluster})
        if path.exists():
            backup = path.with_name(path.name + ".bireme-backup")
            if not backup.exists():
                _write(backup, _read(path))
        _write(path, tree)
    return before if before != config.cluster else ""


def remove(config: Config, path: Path) -> bool:
    """Take this cluster out; true if it was there. A file that holds nothing else goes too."""
    if not path.exists():
        return False
    with locked(path):
        tree = _read(path)
        if not any(item.get("name") == config.cluster and _ours(config, item) for item in tree.get("clusters") or ()):
            return False
        for section in SECTIONS:
            tree[section] = [item for item in tree.get(section) or () if item.get("name") != config.cluster]
        if tree.get("current-context") == config.cluster:
            others = [item["name"] for item in tree["contexts"]]
            tree["current-context"] = others[0] if others else ""
        if any(tree.get(section) for section in SECTIONS):
            _write(path, tree)
        else:
            path.unlink()
        path.with_name(path.name + ".bireme-backup").unlink(missing_ok=True)
    return True


def is_merged(config: Config, path: Path) -> bool:
    """This cluster's entry stands in the file."""
    return any(
        item.get("name") == config.cluster and _ours(config, item) for item in _read(path).get("clusters") or ()
    )


@click.command()
@name_option
@root_option
@click.option("--print", "action", flag_value="print", default=True, help="Write it to standard output (default).")
@click.option("--merge", "action", flag_value="merge", help="Put it into your kubeconfig and make it current.")
@click.option("--remove", "action", flag_value="remove", help="Take it out of your kubeconfig.")
def kubeconfig(name: str, root: Path, action: str) -> None:
    """Print, merge or remove the cluster's kubeconfig."""
    config = find(name, root)
    if action == "merge":
        merge(config, default_path())
        click.echo(f'merged into {default_path()}, context "{config.cluster}" is now current')
    elif action == "remove":
        gone = remove(config, default_path())
        click.echo("removed" if gone else "it was not there")
    else:
        import yaml

        click.echo(yaml.dump(entry(config), Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))
