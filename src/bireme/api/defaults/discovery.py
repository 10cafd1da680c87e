"""Defaults of the discovery group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill, fill_text


def default_endpoint_slice(tree: Tree) -> None:
    """An EndpointSlice: its ports have a name, if an empty one, and a protocol."""
    for port in tree.get("ports") or ():
        fill(port, {"name": ""})
        fill_text(port, "protocol", "TCP")


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"EndpointSlice": default_endpoint_slice}
