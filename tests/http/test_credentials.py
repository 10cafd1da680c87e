"""Who gets in, and who does not."""

import base64
from pathlib import Path

import pytest

from bireme.http.credentials import Credentials, CredentialsError
from bireme.http.interface import Identity, Peer, Request

TEXT = b"""{"users": [
  {"name": "admin", "groups": ["system:masters"], "password": "p:w", "token": "t1"},
  {"name": "robot", "token": "t2"}
]}"""
ADMIN = Identity("admin", ("system:masters",))


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("header", "who"),
    [
        pytest.param(basic("admin:p:w"), "admin", id="a password, with a colon in it"),
        pytest.param("bearer t2", "robot", id="a bearer token"),
        pytest.param("token=t1", None, id="a scheme of another kind"),
        pytest.param("token t1", "admin", id="a DC/OS token"),
        pytest.param("token token=t1", "admin", id="a DC/OS token, named"),
        pytest.param(basic("admin:wrong"), None, id="a wrong password"),
        pytest.param(basic("nobody:p:w"), None, id="an unknown user"),
        pytest.param(basic("robot:"), None, id="a user without a password"),
        pytest.param(basic("robot"), None, id="no password at all"),
        pytest.param("Basic !!!", None, id="no base64"),
        pytest.param("Basic /w==", None, id="no text"),
        pytest.param("Bearer ", None, id="an empty token"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_who_a_header_stands_for(header: str, who: str | None) -> None:
    identity = Credentials.parse(TEXT).authenticate(Request("GET", "/", headers={"authorization": header}))
    assert (identity.name if identity else None) == who


def test_groups_come_along() -> None:
    request = Request("GET", "/", headers={"authorization": "Bearer t1"})
    assert Credentials.parse(TEXT).authenticate(request) == ADMIN


def test_a_peer_in_this_process_needs_no_header() -> None:
    assert Credentials.parse(TEXT).authenticate(Request("GET", "/", peer=Peer(identity=ADMIN))) == ADMIN


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(TEXT)
    path.chmod(0o640)
    with pytest.raises(CredentialsError, match="open to others"):
        Credentials.load(path)
    path.chmod(0o600)
    assert Credentials.load(path).statistics() == {"users": 2, "tokens": 2}


@pytest.mark.parametrize("text", [b"", b"{}", b'{"users": [{"name": ""}]}', b'{"users": [{"name": "a:b"}]}'])
def test_malformed_files_are_refused(text: bytes) -> None:
    with pytest.raises(CredentialsError):
        Credentials.parse(text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError):
        Credentials.load(tmp_path / "none")
