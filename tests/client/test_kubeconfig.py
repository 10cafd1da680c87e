"""Which server, whose credentials: kubeconfigs as kubectl reads them."""

import base64
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bireme.client.kubeconfig import KubeconfigError, read_access


def config(user: dict[str, Any], *, name: str = "c", current: str = "c", **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example", **cluster}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
    }


def written(path: Path, tree: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize(
    ("user", "header"),
    [
        pytest.param({"token": "t"}, "Bearer t", id="a token"),
        pytest.param({"tokenFile": "token"}, "Bearer filed", id="a file with a token"),
        pytest.param(
            {"username": "u", "password": "p"}, "Basic " + base64.b64encode(b"u:p").decode(), id="a password"
        ),
        pytest.param({}, None, id="nobody"),
        pytest.param(
            {
                "exec": {
                    "command": sys.executable,
                    "args": ["-c", "import os; print('{\"status\": {\"token\": \"' + os.environ['WHO'] + '\"}}')"],
                    "env": [{"name": "WHO", "value": "asked"}],
                }
            },
            "Bearer asked",
            id="a command",
        ),
    ],
)
def test_who_asks(user: dict[str, Any], header: str | None, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("filed\n")
    access = read_access([written(tmp_path / "config", config(user))])
    assert access.headers.get("authorization") == header
    assert (access.server, access.namespace) == ("https://c.example", "ns-c")


def test_what_comes_first_wins(tmp_path: Path) -> None:
    first = written(tmp_path / "one", config({"token": "1"}, name="a", current="a"))
    second = written(tmp_path / "two", config({"token": "2"}, name="b", current="b"))
    assert read_access([tmp_path / "none", first, second]).context == "a"
    assert read_access([first, second], "b").headers == {"authorization": "Bearer 2"}


def test_a_server_may_be_trusted_blindly(tmp_path: Path) -> None:
    path = written(tmp_path / "config", config({}, **{"insecure-skip-tls-verify": True}))
    assert read_access([path]).tls.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("tree", "context", "said"),
    [
        pytest.param(config({}), "other", 'no context "other"', id="no such context"),
        pytest.param(config({}, current=""), "", "no current context", id="no current context"),
        pytest.param(config({"client-certificate": "gone"}), "", "cannot be used", id="a file that is gone"),
        pytest.param(config({"exec": {"command": "false"}}), "", "cannot be used", id="a command that fails"),
        pytest.param({"users": "x", "current-context": "c"}, "", 'no context "c"', id="odd"),
    ],
)
def test_what_cannot_be_used(tree: dict[str, Any], context: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=said):
        read_access([written(tmp_path / "config", tree)], context)


@pytest.mark.parametrize("named", ["exec", "auth-provider"])
def test_commands_are_refused_by_who_asks_for_long(named: str, tmp_path: Path) -> None:
    path = written(tmp_path / "config", config({named: {"command": "none"}}))
    with pytest.raises(KubeconfigError, match=rf"credentials of a command \({named}\)"):
        read_access([path], may_run=False)


def test_the_name_that_a_certificate_must_bear(tmp_path: Path) -> None:
    path = written(tmp_path / "config", config({}, **{"tls-server-name": "inner"}))
    assert read_access([path]).server_name == "inner"


def test_no_file_and_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="there is no kubeconfig at"):
        read_access([tmp_path / "none"])
    (tmp_path / "bad").write_text("{")
    with pytest.raises(KubeconfigError, match="cannot be read"):
        read_access([tmp_path / "bad"])
