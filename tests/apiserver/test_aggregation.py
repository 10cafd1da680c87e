"""Requests for servers behind this one: what is asked of whom, and what is passed on."""

import pytest

from bireme.api.errors import NotFound
from bireme.apiserver.aggregation import attempt_of_path, check_path
from bireme.apiserver.front_proxy import passed_on, upgrading
from bireme.apiserver.remote_documents import discovered
from bireme.http.interface import Identity, Peer, Query, Request
from bireme.registry.access import Attempt
from bireme.registry.api_services import remote_of

BASE = "/apis/wardle.example.com/v1"
REMOTE = {
    "metadata": {"name": "v1.wardle.example.com"},
    "spec": {"group": "wardle.example.com", "version": "v1", "service": {"namespace": "a", "name": "b"}},
}


@pytest.mark.parametrize(
    ("method", "path", "watching", "expected"),
    [
        pytest.param("GET", BASE, False, ("get", "", "", "", ""), id="its discovery is no resource"),
        pytest.param("GET", f"{BASE}/flunders", False, ("list", "flunders", "", "", ""), id="a list of all"),
        pytest.param("GET", f"{BASE}/flunders", True, ("watch", "flunders", "", "", ""), id="a watch"),
        pytest.param(
            "GET", f"{BASE}/watch/namespaces/n/flunders", False, ("watch", "flunders", "", "", "n"), id="an old watch"
        ),
        pytest.param(
            "DELETE", f"{BASE}/namespaces/n/flunders", False, ("deletecollection", "flunders", "", "", "n"), id="all"
        ),
        pytest.param(
            "PATCH",
            f"{BASE}/namespaces/n/flunders/f/status",
            False,
            ("patch", "flunders", "status", "f", "n"),
            id="a part of one",
        ),
        pytest.param("POST", f"{BASE}/namespaces/n", False, ("create", "namespaces", "", "n", ""), id="a namespace"),
    ],
)
def test_what_is_attempted(method: str, path: str, watching: bool, expected: tuple[str, ...]) -> None:
    attempt = attempt_of_path(method, path, watching=watching)
    found = (attempt.verb, attempt.resource, attempt.subresource, attempt.name, attempt.namespace)
    assert found == expected
    if attempt.resource:
        assert (attempt.group, attempt.version) == ("wardle.example.com", "v1")
    else:
        assert attempt == Attempt("get", path=BASE)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param("namespaces/a/flunders/../../b/flunders", id="up and down again"),
        pytest.param("namespaces/a/flunders/%2e%2e/%2E%2E/b/flunders", id="the same, encoded"),
        pytest.param("namespaces/a%2Fflunders", id="an encoded slash"),
        pytest.param("namespaces//flunders", id="nothing between slashes"),
        pytest.param("namespaces/a/flunders/..\\x", id="the other slash"),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(rest: str) -> None:
    with pytest.raises(NotFound):
        check_path(f"{BASE}/{rest}")


def test_other_paths_pass() -> None:
    check_path(f"{BASE}/namespaces/a/flunders/f..g/status/?x=../y%2F")


def asked(**headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", f"{BASE}/flunders", Query(), named, b"", Peer("10.0.0.9", tls=True), f"{BASE}/flunders")


def test_who_asks_stands_in_headers_and_what_proved_it_stays_here() -> None:
    user = Identity("ann", ("red", "blue"), "u-1", {"example.com/Team": ("x", "y")})
    request = asked(
        authorization="Bearer secret",
        cookie="c",
        x_remote_user="eve",
        x_remote_extra_scopes="all",
        impersonate_user="eve",
        connection="x-private",
        x_private="p",
        accept="application/json",
    )
    headers = passed_on(request, user)
    assert headers["x-remote-user"] == "ann"
    assert headers["x-remote-group"] == ["red", "blue"]
    assert headers["x-remote-uid"] == "u-1"
    assert headers["x-remote-extra-example.com%2Fteam"] == ["x", "y"]
    assert headers["accept"] == "application/json"
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("10.0.0.9", "https")
    left = {"authorization", "cookie", "x-remote-extra-scopes", "impersonate-user", "connection", "x-private"}
    assert not left & set(headers)


def test_a_token_among_the_protocols_of_a_websocket_stays_here() -> None:
    said = "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"
    headers = upgrading(asked(upgrade="websocket", sec_websocket_protocol=said), Identity("ann"))
    assert headers["sec-websocket-protocol"] == "v5.channel.k8s.io"
    assert (headers["connection"], headers["upgrade"]) == ("Upgrade", "websocket")


def test_older_discovery_is_told_in_the_newer_form() -> None:
    remote = remote_of(REMOTE)
    assert remote is not None
    rows = [
        {"name": "flunders/status", "kind": "Flunder", "verbs": ["patch"]},
        {"name": "flunders", "singularName": "flunder", "namespaced": True, "kind": "Flunder", "verbs": ["get"]},
        {"name": "ghosts/status", "kind": "Ghost"},
        "nonsense",
    ]
    kind = {"group": "wardle.example.com", "version": "v1", "kind": "Flunder"}
    assert discovered(remote, {"resources": rows}) == [
        {
            "resource": "flunders",
            "responseKind": kind,
            "scope": "Namespaced",
            "singularResource": "flunder",
            "verbs": ["get"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["patch"]}],
        }
    ]
    assert discovered(remote, {"resources": "nonsense"}) == []
