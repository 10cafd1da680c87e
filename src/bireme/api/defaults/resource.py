"""Defaults of the resource group: how many devices a request means."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill, fill_text, section


def default_claim(tree: Tree) -> None:
    """A ResourceClaim."""
    _default_requests(section(tree, "spec"))


def default_claim_template(tree: Tree) -> None:
    """A ResourceClaimTemplate."""
    _default_requests(section(section(tree, "spec"), "spec"))


def _default_requests(spec: Tree) -> None:
    for request in (spec.get("devices") or {}).get("requests") or ():
        exact = [request["exactly"]] if request.get("exactly") else []
        for each in (*exact, *(request.get("firstAvailable") or ())):
            fill_text(each, "allocationMode", "ExactCount")
            if each["allocationMode"] == "ExactCount":
                fill(each, {"count": 1})


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "ResourceClaim": default_claim,
    "ResourceClaimTemplate": default_claim_template,
}
