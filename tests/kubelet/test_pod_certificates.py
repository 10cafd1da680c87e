"""Pods that are shown trust bundles and certificates of their own: a signer in the test, hollow containers."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from kubelet_pods import container

from bireme.api.errors import Invalid
from bireme.api.kinds import certificates, core, meta
from bireme.api.times import rfc3339
from bireme.http.certificates import Authority
from bireme.kubelet.trust_bundles import joined
from bireme.kubelet.volumes import pod_folders

SIGNER = "example.com/mtls"


def bundle(name: str, text: str, *, signer: str = "", **labels: str) -> certificates.ClusterTrustBundle:
    return certificates.ClusterTrustBundle(
        metadata=meta.ObjectMeta(name=name, labels=labels),
        spec=certificates.ClusterTrustBundleSpec(signer_name=signer, trust_bundle=text),
    )


@pytest.fixture
def authority(tmp_path):
    return Authority.create(tmp_path / "pki", now=datetime(2026, 1, 1, tzinfo=UTC))


def projected(source: dict) -> list[dict]:
    return [{"name": "v", "projected": {"sources": [source]}}]


def shown(world, pod, path: str) -> bytes | None:
    file = pod_folders(world.settings.root, pod.metadata.uid).volume("v") / path
    return file.read_bytes() if file.exists() else None


def test_bundles_are_joined_without_repeats_or_what_stands_between(authority):
    text = authority.certificate.decode()
    assert joined(["# a note\n" + text, text + text]) == joined([text])
    assert len(x509.load_pem_x509_certificates(joined([text, text]))) == 1


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        pytest.param({"name": "one"}, True, id="AU-020 by name"),
        pytest.param({"signerName": SIGNER, "labelSelector": {}}, True, id="AU-022 an empty selector takes all"),
        pytest.param(
            {"signerName": SIGNER, "labelSelector": {"matchLabels": {"use": "yes"}}}, True, id="AU-023 by label"
        ),
        pytest.param(
            {"signerName": SIGNER, "labelSelector": {"matchLabels": {"use": "none"}}, "optional": True},
            False,
            id="AU-024 nothing matches, and need not",
        ),
        pytest.param({"signerName": SIGNER, "optional": True}, False, id="AU-025 no selector takes nothing"),
    ],
)
async def test_trust_bundles_are_shown(opened, authority, source, seen):
    async with opened() as world:
        text = authority.certificate.decode()
        await world.client.create(bundle("one", text))
        await world.client.create(bundle("example.com:mtls:a", text, signer=SIGNER, use="yes"))
        made = await world.make(container(), volumes=projected({"clusterTrustBundle": {**source, "path": "ca.pem"}}))
        await world.pass_time(5)
        assert (await world.client.get(core.Pod, "p", namespace="default")).status.phase == "Running"
        assert shown(world, made, "ca.pem") == (joined([text]) if seen else None)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"signerName": SIGNER, "labelSelector": {}}, id="AU-026 no bundle of the signer"),
        pytest.param({"name": "absent"}, id="AU-027 no bundle of the name"),
    ],
)
async def test_a_pod_waits_for_the_bundle_that_it_needs(opened, authority, source):
    async with opened() as world:
        made = await world.make(container(), volumes=projected({"clusterTrustBundle": {**source, "path": "ca.pem"}}))
        await world.pass_time(30)
        assert (await world.client.get(core.Pod, "p", namespace="default")).status.phase == "Pending"
        signer = source.get("signerName", "")
        name = "example.com:mtls:b" if signer else "absent"
        await world.client.create(bundle(name, authority.certificate.decode(), signer=signer))
        await world.pass_time(60)
        assert (await world.client.get(core.Pod, "p", namespace="default")).status.phase == "Running"
        assert shown(world, made, "ca.pem")


class Signer:
    """Issues what is asked, for a time of its own."""

    def __init__(self, world, authority, *, days: int = 1) -> None:
        self.world, self.authority, self.days = world, authority, days
        self.seen: list[certificates.PodCertificateRequest] = []

    async def sign(self) -> None:
        client, now = self.world.client, self.world.clock.now()
        for request in (await client.list(certificates.PodCertificateRequest)).items:
            if request.status.certificate_chain:
                continue
            self.seen.append(request)
            pem = x509.load_der_x509_csr(base64.b64decode(request.spec.stub_pkcs10_request))
            chain = self.authority.sign_request(
                pem.public_bytes(Encoding.PEM), now=now, common_name=request.spec.pod_name, days=self.days
            )
            leaf = x509.load_pem_x509_certificate(chain)
            request.status = certificates.PodCertificateRequestStatus(
                certificate_chain=chain.decode(),
                not_before=rfc3339(leaf.not_valid_before_utc),
                not_after=rfc3339(leaf.not_valid_after_utc),
                begin_refresh_at=rfc3339(now + timedelta(minutes=10)),
                conditions=[
                    meta.Condition(
                        type="Issued", status="True", reason="Signed", last_transition_time=rfc3339(now), message=""
                    )
                ],
            )
            await client.update(request, subresource="status")


@pytest.fixture
def opened(world):
    return world


async def make_account(world) -> None:
    await world.client.create(core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default")))


async def test_au_003_a_certificate_is_asked_for_shown_and_renewed(opened, authority):
    async with opened() as world:
        await make_account(world)
        signer = Signer(world, authority)
        source = {"signerName": SIGNER, "keyType": "ECDSAP256", "credentialBundlePath": "tls.pem"}
        made = await world.make(
            container(), volumes=projected({"podCertificate": {**source, "userAnnotations": {"a.io/path": "x"}}})
        )
        await signer.sign()
        await world.pass_time(15)
        (asked,) = signer.seen
        assert asked.spec.max_expiration_seconds == 86400
        assert asked.spec.unverified_user_annotations == {"a.io/path": "x"}, "AU-008"
        assert (asked.spec.pod_uid, asked.spec.node_name) == (made.metadata.uid, "n1")
        first = shown(world, made, "tls.pem")
        assert first is not None
        assert first.startswith(b"-----BEGIN PRIVATE KEY-----")
        assert x509.load_pem_x509_certificates(first[first.index(b"-----BEGIN CERT") :])
        await world.pass_time(11 * 60)
        await signer.sign()
        await world.pass_time(90)
        assert len(signer.seen) == 2
        assert shown(world, made, "tls.pem") != first


async def test_au_004_a_shorter_life_is_passed_on_and_files_may_lie_apart(opened, authority):
    async with opened() as world:
        await make_account(world)
        signer = Signer(world, authority)
        source = {"signerName": SIGNER, "keyType": "ECDSAP384", "keyPath": "key", "certificateChainPath": "chain"}
        made = await world.make(
            container(), volumes=projected({"podCertificate": {**source, "maxExpirationSeconds": 3600}})
        )
        await signer.sign()
        await world.pass_time(15)
        assert [one.spec.max_expiration_seconds for one in signer.seen] == [3600]
        key, chain = shown(world, made, "key"), shown(world, made, "chain")
        assert key is not None
        assert chain is not None
        held = load_pem_private_key(key, password=None).public_key()
        assert x509.load_pem_x509_certificate(chain).public_key() == held


@pytest.mark.parametrize(
    "seconds", [pytest.param(3599, id="AU-006 under an hour"), pytest.param(7862401, id="AU-005 over 91 days")]
)
async def test_lives_out_of_bounds_are_refused(opened, seconds):
    async with opened() as world:
        source = {"signerName": SIGNER, "keyType": "ECDSAP256", "keyPath": "key", "maxExpirationSeconds": seconds}
        with pytest.raises(Invalid, match="maxExpirationSeconds"):
            await world.make(container(), volumes=projected({"podCertificate": source}))


async def test_a_refusal_is_told_and_asked_again_later(opened):
    async with opened() as world:
        await make_account(world)
        source = {"signerName": SIGNER, "keyType": "ECDSAP256", "credentialBundlePath": "tls.pem"}
        await world.make(container(), volumes=projected({"podCertificate": source}))
        (request,) = (await world.client.list(certificates.PodCertificateRequest)).items
        request.status = certificates.PodCertificateRequestStatus(
            conditions=[
                meta.Condition(
                    type="Denied",
                    status="True",
                    reason="No",
                    message="not you",
                    last_transition_time=rfc3339(world.clock.now()),
                )
            ]
        )
        await world.client.update(request, subresource="status")
        await world.pass_time(60)
        assert len((await world.client.list(certificates.PodCertificateRequest)).items) > 1
        events = (await world.client.list(core.Event)).items
        assert any("denied (No): not you" in event.message for event in events)
