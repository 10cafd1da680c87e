"""ClusterTrustBundles in projected volumes: one by name, or all of a signer that a label selector chooses.

The certificates of several bundles are put together, each once, in an order that stays the same while they do.
Source: Kubernetes, "Projected Volumes: clusterTrustBundle projected volumes".
"""

import base64
import binascii
import re
from collections.abc import Iterable

from bireme.api.kinds import certificates, core
from bireme.api.selectors import LabelSelector
from bireme.client.client import Client
from bireme.kubelet.payload import VolumeProblem

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----\s(.*?)-----END CERTIFICATE-----", re.DOTALL)
_LINE = 64


async def trust_bundle(client: Client, source: core.ClusterTrustBundleProjection) -> bytes | None:
    """The certificates that `source` asks for, in PEM; None where there are none and that is allowed.

    Raises VolumeProblem where there must be some, ApiError where the server can't be asked.
    """
    found = await _chosen(client, source)
    if not found:
        if source.optional:
            return None
        raise VolumeProblem(_missing(source))
    return joined(bundle.spec.trust_bundle for bundle in found)


async def _chosen(client: Client, source: core.ClusterTrustBundleProjection) -> list[certificates.ClusterTrustBundle]:
    kind = certificates.ClusterTrustBundle
    if source.name:
        return (await client.list(kind, fields=f"metadata.name={source.name}")).items
    if source.label_selector is None:
        return []  # unset chooses nothing; set but empty chooses all
    page = await client.list(kind, fields=f"spec.signerName={source.signer_name}")
    selector = LabelSelector.from_struct(source.label_selector)
    return [bundle for bundle in page.items if selector.matches(bundle.metadata.labels)]


def joined(bundles: Iterable[str]) -> bytes:
    """The certificates of all bundles, each once, sorted, without what stands between the blocks."""
    blocks = {_body(block) for bundle in bundles for block in _BLOCK.findall(bundle)}
    return "".join(map(_block, sorted(blocks))).encode()


def _body(block: str) -> bytes:
    try:
        return base64.b64decode("".join(block.split()), validate=True)
    except binascii.Error as error:
        raise VolumeProblem("a trust bundle holds a certificate that is not base64") from error


def _block(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])


def _missing(source: core.ClusterTrustBundleProjection) -> str:
    if source.name:
        return f'clustertrustbundle "{source.name}" not found'
    return f'combination of signerName "{source.signer_name}" and labelSelector matched zero ClusterTrustBundles'
