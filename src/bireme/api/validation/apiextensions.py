"""The rules of the apiextensions group: names and versions of a custom kind; its schema's come with custom kinds."""

from collections.abc import Mapping

from bireme.api.validation.field import IMMUTABLE, Problems, Rules, Tree, check_one_of
from bireme.api.validation.names import dns_label, dns_label_1035, dns_subdomain


def check_definition(problems: Problems, tree: Tree) -> None:
    """A CustomResourceDefinition."""
    spec = tree.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    plural = names.get("plural") or ""
    if (tree.get("metadata") or {}).get("name") != f"{plural}.{group}":
        fault = 'must be spec.names.plural+"."+spec.group'
        problems.invalid("metadata.name", (tree.get("metadata") or {}).get("name"), fault)
    if not group:
        problems.required("spec.group")
    elif dns_subdomain(group):
        problems.invalid_each("spec.group", group, dns_subdomain(group))
    elif "." not in group:
        problems.invalid("spec.group", group, "should be a domain with at least one dot")
    check_one_of(problems, spec, "scope", "spec", ("Cluster", "Namespaced"), needed=True)
    for field in ("plural", "singular"):
        value = names.get(field) or ""
        if not value:
            problems.required(f"spec.names.{field}")
        else:
            problems.invalid_each(f"spec.names.{field}", value, dns_label_1035(value))
    for field in ("kind", "listKind"):
        value = names.get(field) or ""
        if not value:
            problems.required(f"spec.names.{field}")
        else:
            problems.invalid_each(f"spec.names.{field}", value, dns_label_1035(value.lower()))
    for index, short in enumerate(names.get("shortNames") or ()):
        problems.invalid_each(f"spec.names.shortNames[{index}]", short, dns_label_1035(short))
    _check_versions(problems, spec.get("versions") or ())


def _check_versions(problems: Problems, versions: tuple[Tree, ...] | list[Tree]) -> None:
    seen: set[str] = set()
    names = [version.get("name") for version in versions]
    for index, version in enumerate(versions):
        name = version.get("name") or ""
        problems.invalid_each(f"spec.versions[{index}].name", name, dns_label(name))
        if name in seen:
            problems.invalid("spec.versions", names, "must contain unique version names")
        seen.add(name)
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            problems.required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        fault = "must have exactly one version marked as storage version"
        problems.invalid("spec.versions", names, fault)


def check_definition_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A CustomResourceDefinition keeps what its objects are stored under."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("group", "scope"):
        if spec.get(field) != before.get(field):
            problems.invalid(f"spec.{field}", spec.get(field), IMMUTABLE)
    for field in ("plural", "kind"):
        now, was = (spec.get("names") or {}).get(field), (before.get("names") or {}).get(field)
        if now != was:
            problems.invalid(f"spec.names.{field}", now, IMMUTABLE)


RULES: Mapping[str, Rules] = {"CustomResourceDefinition": Rules(check_definition, check_definition_update)}
