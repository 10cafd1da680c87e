"""Defaults of the certificates group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill

POD_CERTIFICATE_S = 24 * 3600


def default_pod_certificate_request(tree: Tree) -> None:
    """A PodCertificateRequest: a day."""
    fill(tree.setdefault("spec", {}), {"maxExpirationSeconds": POD_CERTIFICATE_S})


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"PodCertificateRequest": default_pod_certificate_request}
