"""Approve what nodes may have unseen, sign what was approved, clear away what is over.

Decisions stand in `signing_requests.py`. The authority's key stays with whoever runs the controllers: `Settings.sign`
makes certificates. Source: the Kubernetes documentation on certificate signing requests.
"""

import base64
import binascii
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import structlog

from bireme.api.kinds.authorization import ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec
from bireme.api.kinds.certificates import CertificateSigningRequest, CertificateSigningRequestCondition
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.controllers.changes import Delete, Update
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.signing_requests import (
    KUBELET_CLIENT,
    SIGNERS,
    clearing,
    is_to_be_signed,
    is_undecided,
    lifetime,
    permission,
    why_not_node_client,
)

if TYPE_CHECKING:
    from bireme.http.signing import Asked

log = structlog.get_logger(__name__)

GROUP = "certificates.k8s.io"
APPROVED = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


class CertificateController(Controller):
    """Take each CertificateSigningRequest as far as it goes.

    Reads CertificateSigningRequests; approves those of nodes, writes certificates and failures; deletes old ones.
    """

    name = "certificate-controller"
    watches = (Watch(CertificateSigningRequest),)
    workers = 2

    async def reconcile(self, key: Key) -> timedelta | None:
        request = self.cache.get(CertificateSigningRequest, key)
        if request is None:
            return None
        if is_undecided(request) and request.spec.signer_name == KUBELET_CLIENT:
            await self._approve(request)
        elif is_to_be_signed(request):
            await self._sign(request)
        plan = clearing(request, now=self.clock.now())
        if plan.now:
            await self.carry_out((Delete(request),))
        return plan.again

    async def _approve(self, request: CertificateSigningRequest) -> None:
        asked = _asked(request)
        if asked is None or why_not_node_client(asked, frozenset(request.spec.usages)):
            return
        part = permission(asked, request)
        if not await self._may(request, part):
            log.info("a node's certificate waits for approval", request=request.metadata.name)
            return
        await self._add(request, "Approved", "AutoApproved", APPROVED[part], subresource="approval")

    async def _may(self, request: CertificateSigningRequest, part: str) -> bool:
        spec = request.spec
        wanted = ResourceAttributes(
            group=GROUP, version="*", resource="certificatesigningrequests", subresource=part, verb="create"
        )
        review = SubjectAccessReview(
            spec=SubjectAccessReviewSpec(
                user=spec.username, uid=spec.uid, groups=spec.groups, extra=spec.extra, resource_attributes=wanted
            )
        )
        return bool((await self.client.create(review)).status.allowed)

    async def _sign(self, request: CertificateSigningRequest) -> None:
        if self.settings.sign is None:
            return
        asked, usages = _asked(request), frozenset(request.spec.usages)
        why_not = "the request cannot be read" if asked is None else SIGNERS[request.spec.signer_name](asked, usages)
        if why_not:
            await self._add(request, "Failed", "SignerValidationFailure", why_not, subresource="status")
            return
        pem = self.settings.sign(base64.b64decode(request.spec.request), lifetime(request), sorted(usages))
        status = msgspec.structs.replace(request.status, certificate=base64.b64encode(pem).decode())
        await self.carry_out((Update(msgspec.structs.replace(request, status=status), "status"),))

    async def _add(
        self, request: CertificateSigningRequest, kind: str, reason: str, message: str, *, subresource: str
    ) -> None:
        now = rfc3339(self.clock.now())
        condition = CertificateSigningRequestCondition(
            type=kind,
            status="True",
            reason=reason,
            message=message,
            last_update_time=now,
            last_transition_time=now,
        )
        status = msgspec.structs.replace(request.status, conditions=[*request.status.conditions, condition])
        await self.carry_out((Update(msgspec.structs.replace(request, status=status), subresource),))


def _asked(request: CertificateSigningRequest) -> "Asked | None":
    from bireme.http.signing import asked_by

    try:
        return asked_by(base64.b64decode(request.spec.request))
    except (ValueError, binascii.Error):
        return None
