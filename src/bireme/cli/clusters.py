"""Which cluster a command means, whether it runs, and a light HTTPS client to ask it."""

import http.client
import json
import os
import ssl
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from bireme.cli.errors import CliError
from bireme.config import DEFAULT_ROOT, Config, check_cluster_name, user_root
from bireme.runtime.host_changes import Change, is_left, process_start

name_option = click.option("--name", default="bireme", show_default=True, is_eager=True, help="The cluster's name.")


def root_of(name: str, *, simulated: bool = False) -> Path:
    """Where a cluster of that name is looked for when nobody says: with the machine's, or with the user's own.

    A simulated one is the user's; under sudo the user's are left alone.
    """
    if simulated:
        return user_root()
    mine = "SUDO_UID" not in os.environ and (user_root() / name / "config.json").exists()
    others = os.geteuid() != 0 and not (DEFAULT_ROOT / name / "config.json").exists()
    return user_root() if mine or others else DEFAULT_ROOT


def _chosen_root(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    asked = context.params
    return value or root_of(asked.get("name") or "bireme", simulated=bool(asked.get("simulated_nodes")))


root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="BIREME_ROOT",
    callback=_chosen_root,
    help=f"The folder that holds the clusters.  [default: {DEFAULT_ROOT}; of simulated ones ~/.local/share/bireme]",
)


def find(name: str, root: Path) -> Config:
    """The settings of cluster `name`. Raises CliError when there is none or they are damaged."""
    check_name(name)
    path = root.absolute() / name / "config.json"
    try:
        config = Config.load(path)
    except FileNotFoundError as error:
        raise CliError("BIR-011", f'there is no cluster "{name}" here', remedy="bireme up") from error
    except PermissionError as error:
        raise CliError("BIR-020", f"{path} may be read by root only", remedy="sudo bireme …") from error
    except ValueError as error:
        raise CliError("BIR-050", str(error), remedy=f"mend or remove {path}") from error
    if config.cluster != name or config.data.resolve() != path.parent.resolve():
        # A purge takes away what the settings name: they had better be those of this folder.
        raise CliError(
            "BIR-050",
            f'{path} is of the cluster "{config.cluster}" in {config.data}',
            remedy=f"move {path} back there",
        )
    return config


def check_name(name: str) -> None:
    """Raises CliError unless a cluster may be called that; a name is a folder, and must not lead elsewhere."""
    try:
        check_cluster_name(name)
    except ValueError as error:
        raise CliError("BIR-050", str(error), remedy="--name bireme") from error


def parts(config: Config) -> dict[str, dict[str, Any]]:
    """The parts as the supervisor wrote them and containerd, with `alive` added; empty when none were started."""
    recorded: dict[str, dict[str, Any]] = {}
    with suppress(FileNotFoundError, ValueError):
        recorded = json.loads(config.parts.read_text())
    with suppress(FileNotFoundError, ValueError):
        pid = int((config.containerd_state / "containerd.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if str(config.containerd_root).encode() in command:
            recorded["containerd"] = {"pid": pid, "started": process_start(pid), "restarts": 0}
    for part in recorded.values():
        part["alive"] = lives(part["pid"], part["started"])
    return recorded


def lives(pid: int, started: str) -> bool:
    """That very process runs: neither a later one of its id, nor one that ended and was not yet collected."""
    return is_left(Change("process", str(pid), started))


def is_running(config: Config) -> bool:
    """The supervisor lives."""
    return bool(parts(config).get("supervisor", {}).get("alive"))


class Door:
    """Asks one API of the cluster, with the admin's certificate or password. Errors are OSError or ValueError."""

    def __init__(self, config: Config, url: str, *, timeout_s: float = 5.0) -> None:
        parsed = urlsplit(url)
        self._host, self._port = parsed.hostname or "", parsed.port or 0
        self._timeout = timeout_s
        self._tls = _tls(config) if parsed.scheme == "https" else None
        self._headers = {} if self._tls else _basic(config)

    def get(self, path: str, *, accept: str = "application/json") -> tuple[int, bytes]:
        """Status and body of a GET."""
        if self._tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("GET", path, headers={"accept": accept, **self._headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """The body of a successful GET. Raises OSError for any other answer."""
        status, body = self.get(path)
        if status != 200:
            raise OSError(f"{path} answered {status}")
        return json.loads(body)


def _tls(config: Config) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(config.pki / "ca.crt"))
    context.load_cert_chain(config.pki / "admin.crt", config.pki / "admin.key")
    return context


def admin_login(config: Config) -> tuple[str, str]:
    """User name and password for the Mesos and Marathon doors."""
    users = json.loads(config.credentials.read_text())["users"]
    admin = next(user for user in users if user["name"] == "admin")
    return admin["name"], admin["password"]


def _basic(config: Config) -> dict[str, str]:
    name, password = admin_login(config)
    return {"authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def is_simulated(name: str, root: Path) -> bool:
    """Whether the cluster is, or was, one of hollow nodes, which changes nothing that only root may."""
    try:
        return find(name, root).is_simulated
    except CliError:
        return root.absolute() == user_root()


def need_root(action: str, *, otherwise: str = "") -> None:
    """Raises CliError unless this is root; `otherwise` is what needs none."""
    if os.geteuid() != 0:
        import sys

        line = f"sudo {Path(sys.argv[0]).absolute()} {' '.join(sys.argv[1:])}"
        raise CliError("BIR-020", f"{action} needs root", remedy=line + (f", or {otherwise}" if otherwise else ""))
