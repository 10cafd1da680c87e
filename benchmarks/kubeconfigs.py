"""Any cluster by its kubeconfig: where it is, whom to trust, and who asks. No helpers of clouds (`exec`)."""

import base64
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Target:
    """An API server, and how to enter."""

    url: str
    tls: ssl.SSLContext
    headers: dict[str, str] = field(default_factory=dict)


def target(file: Path, *, context: str = "") -> Target:
    """What the context, else the current one, of a kubeconfig says. KeyError where it names what is not there."""
    tree = yaml.safe_load(file.read_text())
    chosen = named(tree, "contexts", context or tree["current-context"])["context"]
    cluster = named(tree, "clusters", chosen["cluster"])["cluster"]
    user = named(tree, "users", chosen["user"])["user"]
    authority = data(file, cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    certificate, key = data(file, user, "client-certificate"), data(file, user, "client-key")
    if certificate and key:
        with tempfile.NamedTemporaryFile(suffix=".pem") as pair:
            pair.write(certificate + b"\n" + key)
            pair.flush()
            tls.load_cert_chain(pair.name)
    token = user.get("token") or data(file, user, "tokenFile", suffix="").decode().strip()
    return Target(cluster["server"].rstrip("/"), tls, {"authorization": f"Bearer {token}"} if token else {})


def named(tree: Any, section: str, name: str) -> Any:
    """The entry of that name."""
    for entry in tree.get(section) or ():
        if entry["name"] == name:
            return entry
    raise KeyError(f"no {name!r} among the {section}")


def data(file: Path, entry: Any, name: str, *, suffix: str = "-data") -> bytes:
    """What stands in the entry itself, or in the file that it names beside the kubeconfig."""
    if suffix and (inline := entry.get(name + suffix)):
        return base64.b64decode(inline)
    path = entry.get(name)
    return (file.parent / path).read_bytes() if path else b""
