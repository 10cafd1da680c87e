from datetime import UTC, datetime, timedelta

import pytest

from bireme.api.kinds import meta
from bireme.api.kinds.certificates import (
    CertificateSigningRequest,
    CertificateSigningRequestCondition,
    CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
)
from bireme.controllers.signing_requests import SIGNERS, Clearing, clearing, is_to_be_signed, lifetime
from bireme.http.signing import Asked

NODE = ("system:nodes",)
DAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "refused"),
    [
        pytest.param("client-kubelet", Asked("system:node:a", NODE), {"client auth"}, False, id="a node's client"),
        pytest.param("client-kubelet", Asked("system:node:a", NODE), {"server auth"}, True, id="no server there"),
        pytest.param("client-kubelet", Asked("system:node:a", ()), {"client auth"}, True, id="not of the nodes"),
        pytest.param(
            "client-kubelet",
            Asked("system:node:a", ("system:nodes", "system:masters")),
            {"client auth"},
            True,
            id="of the nodes and more",
        ),
        pytest.param("client-kubelet", Asked("admin", NODE), {"client auth"}, True, id="no node's name"),
        pytest.param(
            "client-kubelet", Asked("system:node:a", NODE, ("b",)), {"client auth"}, True, id="with another name"
        ),
        pytest.param("serving", Asked("system:node:a", NODE, ("a",)), {"server auth"}, False, id="a node's server"),
        pytest.param("serving", Asked("system:node:a", NODE), {"server auth"}, True, id="a server without a name"),
        pytest.param("serving", Asked("system:node:a", NODE, ("a",)), {"client auth"}, True, id="no client there"),
        pytest.param("client", Asked("ada", ("dev",)), {"client auth"}, False, id="a person"),
        pytest.param("client", Asked("ada", ("system:masters",)), {"client auth"}, True, id="who would rule"),
        pytest.param("client", Asked("ada", ()), {"client auth", "server auth"}, True, id="a person who would serve"),
        pytest.param("client", Asked("ada", ()), {"client auth", "cert sign"}, True, id="a person who would sign"),
    ],
)
def test_what_signers_sign(signer, asked, usages, refused):
    name = {
        "client-kubelet": "kubernetes.io/kube-apiserver-client-kubelet",
        "serving": "kubernetes.io/kubelet-serving",
        "client": "kubernetes.io/kube-apiserver-client",
    }[signer]
    assert bool(SIGNERS[name](asked, frozenset(usages))) is refused


def request(*conditions: str, certificate: str = "", at: str = "2026-05-01T00:00:00Z", **spec):
    return CertificateSigningRequest(
        metadata=meta.ObjectMeta(name="r", creation_timestamp="2026-05-01T00:00:00Z"),
        spec=CertificateSigningRequestSpec(signer_name="kubernetes.io/kube-apiserver-client", **spec),
        status=CertificateSigningRequestStatus(
            certificate=certificate,
            conditions=[CertificateSigningRequestCondition(type=kind, last_update_time=at) for kind in conditions],
        ),
    )


def test_only_what_is_approved_is_signed():
    assert is_to_be_signed(request("Approved"))
    for other in (request(), request("Denied"), request("Approved", "Failed"), request("Approved", certificate="c")):
        assert not is_to_be_signed(other)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, timedelta(days=365)),
        (600, timedelta(minutes=10)),
        (60, timedelta(minutes=10)),
        (1 << 30, timedelta(days=365)),
    ],
)
def test_lifetimes(seconds, expected):
    assert lifetime(request(expiration_seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("tree", "hours", "expected"),
    [
        pytest.param(request(), 23, Clearing(now=False, again=timedelta(hours=1)), id="pending for not quite a day"),
        pytest.param(request(), 24, Clearing(now=True), id="pending for a day"),
        pytest.param(request("Approved", certificate="c"), 1, Clearing(now=True), id="issued an hour ago"),
        pytest.param(request("Denied"), 0, Clearing(now=False, again=timedelta(hours=1)), id="denied just now"),
    ],
)
def test_requests_are_cleared_away(tree, hours, expected):
    assert clearing(tree, now=DAY + timedelta(hours=hours)) == expected
