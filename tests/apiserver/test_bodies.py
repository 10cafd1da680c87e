import pytest

from bireme.api.errors import BadRequest, Invalid
from bireme.apiserver.bodies import read_call, read_patch, read_timeout
from bireme.http.interface import Identity, Peer, Query, Request
from bireme.registry.options import Call


def request(query: str, body: bytes = b"{}") -> Request:
    return Request("PATCH", "/", Query.parse(query), {}, body, Peer(), "/")


def test_force_is_for_apply_alone() -> None:
    with pytest.raises(Invalid, match="may not be specified for non-apply patch"):
        read_patch(b"{}", request("force=true").query, Call())


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        pytest.param("dryRun=some", 'dryRun: Unsupported value: "some"', id="half a dry run"),
        pytest.param("fieldValidation=strict", 'fieldValidation: Unsupported value: "strict"', id="in lower case"),
        pytest.param(f"fieldManager={'x' * 129}", "fieldManager: Too long", id="a long name"),
    ],
)
def test_options_of_writes(query: str, fault: str) -> None:
    with pytest.raises(Invalid, match=fault):
        read_call(request(query), Identity("a"))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        pytest.param("", 60.0, id="the most"),
        pytest.param("5", 5.0, id="plain seconds"),
        pytest.param("1m30s", 60.0, id="never more than the most"),
        pytest.param("1.5s", 1.5, id="a fraction"),
        pytest.param("250ms", 0.25, id="milliseconds"),
        pytest.param("0s", 60.0, id="none is no limit of its own"),
    ],
)
def test_timeouts(said: str, seconds: float) -> None:
    assert read_timeout(Query.parse(f"timeout={said}"), most=60.0) == seconds


def test_a_timeout_that_is_none() -> None:
    with pytest.raises(BadRequest, match="invalid duration"):
        read_timeout(Query.parse("timeout=soon"), most=60.0)
