"""Certificates for pods: a key made here, a PodCertificateRequest to its signer, the chain when it is there.

Keys live in memory alone and never leave this machine; after a restart new ones are asked for. A certificate is
renewed from the moment that its signer named (`beginRefreshAt`), and the old one is shown until the new one is
there. Source: Kubernetes, "Projected Volumes: podCertificate projected volumes"; KEP 4317.
"""

import asyncio
import base64
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bireme.aio.clock import Clock
from bireme.api.errors import NotFound
from bireme.api.kinds import certificates, core, meta
from bireme.api.times import parse_time
from bireme.client.client import Client
from bireme.kubelet.payload import File, VolumeProblem, safe_path

WAIT_S = 10.0
ASK_EVERY_S = 0.25
ASK_AGAIN_AFTER_S = 10.0
_CHAIN = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Issued:
    """A private key (PKCS#8) and its certificates, leaf first, both in PEM."""

    key: bytes
    chain: bytes
    refresh_at: datetime
    ends: datetime


@dataclass(slots=True)
class _Wish:
    """One projection of one pod: what it has, and the request that is out."""

    issued: Issued | None = None
    key: bytes = b""
    request: str = ""
    not_before: datetime | None = None


class PodCertificates:
    """The certificates of all pods of the node `node`; with `threads` keys are made in one."""

    def __init__(self, client: Client, *, clock: Clock, node: str, threads: bool = True) -> None:
        self._client, self._clock, self._node = client, clock, node
        self._threads = threads
        self._held: dict[str, dict[str, _Wish]] = {}

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._held.pop(pod_uid, None)

    async def get(self, pod: core.Pod, place: str, source: core.PodCertificateProjection) -> Issued:
        """The certificate of the projection at `place` (volume and number) of `pod`.

        Waits for a first one, `WAIT_S` at most. Raises VolumeProblem when none came, or was refused; ApiError.
        """
        wish = self._held.setdefault(pod.metadata.uid, {}).setdefault(place, _Wish())
        now = self._clock.now()
        if wish.issued is not None and now < wish.issued.refresh_at:
            return wish.issued
        fallback = wish.issued if wish.issued is not None and now < wish.issued.ends else None
        try:
            await self._renew(pod, wish, source, wait_s=0.0 if fallback else WAIT_S)
        except VolumeProblem:
            if fallback is None:
                raise
        if wish.issued is None:
            raise VolumeProblem(f'waiting for the signer "{source.signer_name}" to issue a certificate')
        return wish.issued

    async def _renew(
        self, pod: core.Pod, wish: _Wish, source: core.PodCertificateProjection, *, wait_s: float
    ) -> None:
        if not wish.request:
            if wish.not_before is not None and self._clock.now() < wish.not_before:
                return
            await self._ask(pod, wish, source)
        deadline = self._clock.monotonic() + wait_s
        while not await self._look(pod.metadata.namespace, wish):
            if self._clock.monotonic() >= deadline:
                return
            await self._clock.sleep(ASK_EVERY_S)

    async def _ask(self, pod: core.Pod, wish: _Wish, source: core.PodCertificateProjection) -> None:
        key, request = await self._new_key(source.key_type)
        account = pod.spec.service_account_name or "default"
        found = await self._client.get(core.ServiceAccount, account, namespace=pod.metadata.namespace)
        node = await self._client.get(core.Node, self._node)
        wanted = certificates.PodCertificateRequest(
            metadata=meta.ObjectMeta(
                generate_name=f"req-{pod.metadata.name}-"[:58], namespace=pod.metadata.namespace
            ),
            spec=certificates.PodCertificateRequestSpec(
                signer_name=source.signer_name,
                pod_name=pod.metadata.name,
                pod_uid=pod.metadata.uid,
                service_account_name=account,
                service_account_uid=found.metadata.uid,
                node_name=self._node,
                node_uid=node.metadata.uid,
                max_expiration_seconds=source.max_expiration_seconds,
                stub_pkcs10_request=base64.b64encode(request).decode(),
                unverified_user_annotations=dict(source.user_annotations),
            ),
        )
        wanted.metadata.owner_references = [
            meta.OwnerReference(api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid)
        ]
        made = await self._client.create(wanted)
        wish.key, wish.request = key, made.metadata.name

    async def _new_key(self, key_type: str) -> tuple[bytes, bytes]:
        from bireme.http.pod_keys import new_key_and_request

        try:
            if self._threads:  # an RSA key takes a second
                return await asyncio.to_thread(new_key_and_request, key_type)
            return new_key_and_request(key_type)
        except KeyError as error:
            raise VolumeProblem(f'keys of type "{key_type}" are not known here') from error

    async def _look(self, namespace: str, wish: _Wish) -> bool:
        """Whether the request that is out has been answered; takes what was issued."""
        try:
            found = await self._client.get(certificates.PodCertificateRequest, wish.request, namespace=namespace)
        except NotFound:
            self._give_up(wish)
            raise VolumeProblem("the certificate request was removed before it was answered") from None
        refused = refusal_of(found.status.conditions)
        if refused is not None:
            self._give_up(wish)
            raise VolumeProblem(f"the certificate request {found.metadata.name} was {refused}")
        if not found.status.certificate_chain:
            return False
        wish.issued, wish.request, wish.key = issued_of(found.status, wish.key), "", b""
        return True

    def _give_up(self, wish: _Wish) -> None:
        wish.request, wish.key = "", b""
        wish.not_before = self._clock.now() + timedelta(seconds=ASK_AGAIN_AFTER_S)


def refusal_of(conditions: list[meta.Condition]) -> str | None:
    """`denied (Reason): message` where a signer said no; None where it has not."""
    for condition in conditions:
        if condition.type in ("Denied", "Failed") and condition.status == "True":
            return f"{condition.type.lower()} ({condition.reason}): {condition.message}"
    return None


def issued_of(status: Any, key: bytes) -> Issued:
    """What a signer issued for `key`. Raises VolumeProblem where it holds no certificate."""
    blocks = _CHAIN.findall(status.certificate_chain)
    if not blocks:
        raise VolumeProblem("the signer's answer holds no certificate")
    ends = parse_time(status.not_after)
    refresh = parse_time(status.begin_refresh_at) if status.begin_refresh_at else ends
    return Issued(key, "".join(f"{block}\n" for block in blocks).encode(), min(refresh, ends), ends)


def certificate_files(
    issued: Issued, source: core.PodCertificateProjection, secret_mode: int, mode: int, *, owner: int | None = None
) -> list[File]:
    """The files that a projection asks for: key and chain in one, or each by itself."""
    wanted = (
        (source.credential_bundle_path, issued.key + issued.chain, secret_mode, owner),
        (source.key_path, issued.key, secret_mode, owner),
        (source.certificate_chain_path, issued.chain, mode, None),
    )
    return [File(safe_path(path), data, own, user) for path, data, own, user in wanted if path]
