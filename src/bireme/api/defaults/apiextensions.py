"""Defaults of the apiextensions group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill, fill_text, section


def default_definition(tree: Tree) -> None:
    """A CustomResourceDefinition: the names that follow from its kind, and no conversion."""
    spec = section(tree, "spec")
    names = section(spec, "names")
    kind = names.get("kind") or ""
    if kind:
        fill_text(names, "singular", kind.lower())
        fill_text(names, "listKind", f"{kind}List")
    conversion = section(spec, "conversion")
    fill_text(conversion, "strategy", "None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service:
        fill(service, {"port": 443})


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"CustomResourceDefinition": default_definition}
