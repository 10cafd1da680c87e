"""Defaults of the apiregistration group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill, section


def default_api_service(tree: Tree) -> None:
    """An APIService: a service behind it listens at 443."""
    service = section(tree, "spec").get("service")
    if service:
        fill(service, {"port": 443})


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"APIService": default_api_service}
