"""The rules of the apiextensions group: names, versions, schemas and conversion of a custom kind.

Left to others: whether a schema is structural (`custom_schema.py`). Source: the Kubernetes documentation of
CustomResourceDefinitions; messages as the original words them.
"""

from collections.abc import Mapping
from typing import Any

from bireme.api.structural.paths import BadPath, compile_path, simple_path
from bireme.api.validation.custom_schema import check_schema
from bireme.api.validation.field import IMMUTABLE, Problems, Rules, Tree, check_one_of
from bireme.api.validation.names import dns_label, dns_label_1035, dns_subdomain

APPROVED = "api-approved.kubernetes.io"
MOST_SELECTABLE = 8
LONGEST_WARNING = 256
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("binary", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_REVIEWS = ("v1", "v1beta1")


def check_definition(problems: Problems, tree: Tree) -> None:
    """A CustomResourceDefinition."""
    spec, metadata = tree.get("spec") or {}, tree.get("metadata") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    if metadata.get("name") != f"{names.get('plural') or ''}.{group}":
        problems.invalid("metadata.name", metadata.get("name"), 'must be spec.names.plural+"."+spec.group')
    if not group:
        problems.required("spec.group")
    elif dns_subdomain(group):
        problems.invalid_each("spec.group", group, dns_subdomain(group))
    elif "." not in group:
        problems.invalid("spec.group", group, "should be a domain with at least one dot")
    _check_approval(problems, metadata, group)
    check_one_of(problems, spec, "scope", "spec", ("Cluster", "Namespaced"), needed=True)
    _check_names(problems, names)
    if spec.get("preserveUnknownFields"):
        text = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        )
        problems.invalid("spec.preserveUnknownFields", True, text)
    _check_versions(problems, spec.get("versions") or ())
    _check_conversion(problems, spec.get("conversion") or {})


def _check_approval(problems: Problems, metadata: Tree, group: str) -> None:
    """Groups of Kubernetes' own are for what was approved there."""
    if not (group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))):
        return
    said = (metadata.get("annotations") or {}).get(APPROVED) or ""
    place = f"metadata.annotations[{APPROVED}]"
    if not said:
        text = (
            f'protected groups must have approval annotation "{APPROVED}", '
            "see https://github.com/kubernetes/enhancements/pull/1111"
        )
        problems.required(place, text)
    elif not said.startswith("unapproved") and "://" not in said:
        text = (
            'protected groups must have approval annotation with either a URL or a reason starting with "unapproved"'
            ", see https://github.com/kubernetes/enhancements/pull/1111"
        )
        problems.invalid(place, said, text)


def _check_names(problems: Problems, names: Tree) -> None:
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
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        problems.invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
    for field in ("shortNames", "categories"):
        for index, word in enumerate(names.get(field) or ()):
            problems.invalid_each(f"spec.names.{field}[{index}]", word, dns_label_1035(word))


def _check_versions(problems: Problems, versions: tuple[Tree, ...] | list[Tree]) -> None:
    if not versions:
        problems.required("spec.versions", "must have at least one version")
        return
    seen: set[str] = set()
    names = [version.get("name") for version in versions]
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        problems.invalid_each(f"{path}.name", name, dns_label(name))
        if name in seen:
            problems.invalid("spec.versions", names, "must contain unique version names")
        seen.add(name)
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            problems.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
        else:
            check_schema(problems, schema, f"{path}.schema.openAPIV3Schema")
        _check_deprecation(problems, version, path)
        _check_columns(problems, version, path)
        _check_scale(problems, (version.get("subresources") or {}).get("scale"), f"{path}.subresources.scale")
        _check_selectable(problems, version, schema or {}, f"{path}.selectableFields")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        problems.invalid("spec.versions", names, "must have exactly one version marked as storage version")


def _check_deprecation(problems: Problems, version: Tree, path: str) -> None:
    said = version.get("deprecationWarning")
    if said is None:
        return
    place = f"{path}.deprecationWarning"
    if not version.get("deprecated"):
        problems.invalid(place, said, "can only be set for deprecated versions")
    if not said:
        problems.invalid(place, said, "must not be empty")
    elif len(said) > LONGEST_WARNING:
        problems.invalid(place, said, f"must be <= {LONGEST_WARNING} characters")
    elif not said.isprintable():
        problems.invalid(place, said, "must only contain printable UTF-8 characters; non-printable character found")


def _check_columns(problems: Problems, version: Tree, path: str) -> None:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        place = f"{path}.additionalPrinterColumns[{index}]"
        for field in ("name", "type", "jsonPath"):
            if not column.get(field):
                problems.required(f"{place}.{field}")
        check_one_of(problems, column, "type", place, _COLUMN_TYPES)
        check_one_of(problems, column, "format", place, _COLUMN_FORMATS)
        if column.get("jsonPath"):
            fault = _path_fault(column["jsonPath"])
            if fault:
                problems.invalid(f"{place}.jsonPath", column["jsonPath"], fault)


def _path_fault(text: str) -> str:
    if not text.startswith((".", "[", "{", "$")):
        return "must be a json path in the form .some.path"
    try:
        compile_path(text)
    except BadPath as error:
        return f"is an invalid path: {error}"
    return ""


def _check_scale(problems: Problems, scale: Any, path: str) -> None:
    if not scale:
        return
    for field, roots, needed in (
        ("specReplicasPath", (".spec",), True),
        ("statusReplicasPath", (".status",), True),
        ("labelSelectorPath", (".spec", ".status"), False),
    ):
        value = scale.get(field) or ""
        if not value:
            if needed:
                problems.required(f"{path}.{field}")
            continue
        simple = simple_path(value)
        if simple is None:
            problems.invalid(f"{path}.{field}", value, "should be a simple json path without array notation")
        elif f".{simple[0]}" not in roots or len(simple) < 2:
            text = f"a json path under {roots[0]}" if len(roots) == 1 else "a json path under either .spec or .status"
            problems.invalid(f"{path}.{field}", value, f"should be {text}")


def _check_selectable(problems: Problems, version: Tree, schema: Tree, path: str) -> None:
    fields = version.get("selectableFields") or ()
    if len(fields) > MOST_SELECTABLE:
        problems.too_many(path, len(fields), MOST_SELECTABLE)
        return
    seen: set[str] = set()
    for index, said in enumerate(fields):
        place, text = f"{path}[{index}].jsonPath", said.get("jsonPath") or ""
        if not text:
            problems.required(place)
            continue
        names = simple_path(text)
        if names is None or any("." in name for name in names):
            problems.invalid(place, text, "is an invalid path: must be a simple path of fields")
        elif names[0] == "metadata":
            problems.invalid(place, text, "must not point to fields in metadata")
        elif not _is_selectable(schema, names):
            fault = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            problems.invalid(place, text, fault)
        if text in seen:
            problems.duplicate(place, text)
        seen.add(text)


def _is_selectable(schema: Tree, names: tuple[str, ...]) -> bool:
    for name in names:
        found = (schema.get("properties") or {}).get(name)
        if not isinstance(found, dict):
            return False
        schema = found
    return schema.get("type") in ("string", "boolean", "integer")


def _check_conversion(problems: Problems, conversion: Tree) -> None:
    check_one_of(problems, conversion, "strategy", "spec.conversion", ("None", "Webhook"), needed=True)
    webhook = conversion.get("webhook")
    if conversion.get("strategy") != "Webhook":
        if webhook:
            text = "should not be set when strategy is not set to Webhook"
            problems.forbidden("spec.conversion.webhook", text)
        return
    if not webhook:
        problems.required("spec.conversion.webhook", "required when strategy is set to Webhook")
        return
    path, config = "spec.conversion.webhook.clientConfig", webhook.get("clientConfig")
    if not config:
        problems.required(path, "required when strategy is set to Webhook")
    elif bool(config.get("url")) == bool(config.get("service")):
        problems.required(path, "exactly one of url or service is required")
    elif config.get("url") and not config["url"].startswith("https://"):
        problems.invalid(f"{path}.url", config["url"], "'https' is the only allowed URL scheme")
    elif config.get("service"):
        for field in ("name", "namespace"):
            if not config["service"].get(field):
                problems.required(f"{path}.service.{field}", f"service {field} is required")
    versions = webhook.get("conversionReviewVersions") or []
    place = "spec.conversion.webhook.conversionReviewVersions"
    if not versions:
        problems.required(place)
    elif not set(versions) & set(_REVIEWS):
        problems.invalid(place, versions, "must include at least one of v1, v1beta1")
    elif len(set(versions)) != len(versions):
        problems.invalid(place, versions, "must not contain duplicates")


def check_definition_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A CustomResourceDefinition keeps what its objects are stored under, and the versions they are stored in."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("group", "scope"):
        if spec.get(field) != before.get(field):
            problems.invalid(f"spec.{field}", spec.get(field), IMMUTABLE)
    for field in ("plural", "kind"):
        now, was = (spec.get("names") or {}).get(field), (before.get("names") or {}).get(field)
        if now != was:
            problems.invalid(f"spec.names.{field}", now, IMMUTABLE)
    names = {version.get("name") for version in spec.get("versions") or ()}
    for index, stored in enumerate((new.get("status") or {}).get("storedVersions") or ()):
        if stored not in names:
            fault = (
                f"missing from spec.versions; {stored} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {stored} and removes "
                f"{stored} from status.storedVersions"
            )
            problems.invalid(f"status.storedVersions[{index}]", stored, fault)


RULES: Mapping[str, Rules] = {
    "CustomResourceDefinition": Rules(check_definition, check_definition_update),
}
