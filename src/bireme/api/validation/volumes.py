"""The rules of a pod's volumes: one source each, and what that source needs."""

from collections.abc import Callable, Mapping

from bireme.api import quantity
from bireme.api.validation.amounts import check_amount
from bireme.api.validation.containers import PULL_POLICIES, check_field_ref, check_reference, check_resource_ref
from bireme.api.validation.field import Problems, Tree, check_one_of
from bireme.api.validation.names import config_key, dns_label, qualified_name
from bireme.api.validation.paths import check_file_path, check_no_backsteps

_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_MODE_FAULT = "must be a number between 0 and 0777 (octal), both inclusive"
_VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_TOKEN_LIFE_MIN_S = 600
_CERTIFICATE_LIFE_S = (3600, 7862400)
_KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")


def check_volumes(problems: Problems, volumes: list[Tree], path: str) -> dict[str, Tree]:
    """The volumes of a pod; gives them back by name."""
    by_name: dict[str, Tree] = {}
    for index, volume in enumerate(volumes):
        name = volume.get("name")
        if not name:
            problems.required(f"{path}[{index}].name")
        else:
            faults = dns_label(name)
            if faults:
                problems.invalid_each(f"{path}[{index}].name", name, faults)
            if name in by_name:
                problems.duplicate(f"{path}[{index}].name", name)
            by_name[name] = volume
        _check_source(problems, volume, f"{path}[{index}]")
    return by_name


def _check_source(problems: Problems, volume: Tree, path: str) -> None:
    kinds = [kind for kind, source in volume.items() if kind != "name" and source is not None]
    if not kinds:
        problems.required(path, "must specify a volume type")
        return
    for kind in kinds[1:]:
        problems.forbidden(f"{path}.{kind}", "may not specify more than 1 volume type")
    check = _SOURCES.get(kinds[0])
    if check is not None:
        check(problems, volume[kinds[0]], f"{path}.{kinds[0]}")


def check_host_path(problems: Problems, source: Tree, path: str) -> None:
    """A path on the node: given, without steps back, of a known type."""
    if not source.get("path"):
        problems.required(f"{path}.path")
    else:
        check_no_backsteps(problems, source["path"], f"{path}.path")
    check_one_of(problems, source, "type", path, _HOST_PATH_TYPES)


def _check_empty_dir(problems: Problems, source: Tree, path: str) -> None:
    if source.get("sizeLimit") is not None:
        check_amount(problems, source["sizeLimit"], f"{path}.sizeLimit")
    medium = source.get("medium")
    if medium and medium not in ("Memory", "HugePages") and not medium.startswith("HugePages-"):
        problems.unsupported(f"{path}.medium", medium, ("", "HugePages", "Memory"))


def _check_mode(problems: Problems, source: Tree, field: str, path: str) -> None:
    mode = source.get(field)
    if mode is not None and not 0 <= mode <= 0o777:
        problems.invalid(f"{path}.{field}", mode, _MODE_FAULT)


def _check_items(problems: Problems, source: Tree, path: str) -> None:
    _check_mode(problems, source, "defaultMode", path)
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        if not item.get("key"):
            problems.required(f"{at}.key")
        else:
            problems.invalid_each(f"{at}.key", item["key"], config_key(item["key"]))
        _check_item_path(problems, item, at)


def _check_item_path(problems: Problems, item: Tree, path: str) -> None:
    if not item.get("path"):
        problems.required(f"{path}.path")
    else:
        check_file_path(problems, item["path"], f"{path}.path")
    _check_mode(problems, item, "mode", path)


def _check_secret(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("secretName"):
        problems.required(f"{path}.secretName")
    _check_items(problems, source, path)


def _check_config_map(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("name"):
        problems.required(f"{path}.name")
    _check_items(problems, source, path)


def _check_downward(problems: Problems, source: Tree, path: str) -> None:
    _check_mode(problems, source, "defaultMode", path)
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        _check_item_path(problems, item, at)
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None and resource is not None:
            problems.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        if field is not None:
            check_field_ref(problems, field, f"{at}.fieldRef", _VOLUME_FIELDS)
        elif resource is not None:
            check_resource_ref(problems, resource, f"{at}.resourceFieldRef", container_needed=True)
        else:
            problems.required(at, "one of fieldRef and resourceFieldRef is required")


def _check_projected(problems: Problems, source: Tree, path: str) -> None:
    _check_mode(problems, source, "defaultMode", path)
    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        kinds = [kind for kind, found in part.items() if found is not None]
        if not kinds:
            problems.required(at, "must specify a volume type")
        for kind in kinds[1:]:
            problems.forbidden(f"{at}.{kind}", "may not specify more than 1 volume type")
        for kind in kinds[:1]:
            check = _PROJECTIONS.get(kind)
            if check is not None:
                check(problems, part[kind], f"{at}.{kind}")


def _check_token(problems: Problems, source: Tree, path: str) -> None:
    life = source.get("expirationSeconds")
    if life is not None and life < _TOKEN_LIFE_MIN_S:
        problems.invalid(f"{path}.expirationSeconds", life, "may not specify a duration less than 10 minutes")
    elif life is not None and life > 1 << 32:
        problems.invalid(f"{path}.expirationSeconds", life, "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        problems.required(f"{path}.path")
    else:
        check_file_path(problems, source["path"], f"{path}.path")


def _check_trust_bundle(problems: Problems, source: Tree, path: str) -> None:
    name, signer = source.get("name"), source.get("signerName")
    if name and signer:
        problems.invalid(path, name, "only one of name and signerName may be used")
    elif not name and not signer:
        problems.required(path, "either name or signerName must be specified")
    if name and source.get("labelSelector") is not None:
        problems.forbidden(f"{path}.labelSelector", "labelSelector must be unset if name is specified")
    if not source.get("path"):
        problems.required(f"{path}.path")
    else:
        check_file_path(problems, source["path"], f"{path}.path")


def _check_pod_certificate(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("signerName"):
        problems.required(f"{path}.signerName")
    key_type = source.get("keyType")
    if not key_type:
        problems.required(f"{path}.keyType")
    elif key_type not in _KEY_TYPES:
        problems.unsupported(f"{path}.keyType", key_type, _KEY_TYPES)
    life = source.get("maxExpirationSeconds")
    if life is not None and life < _CERTIFICATE_LIFE_S[0]:
        problems.invalid(f"{path}.maxExpirationSeconds", life, "if provided, maxExpirationSeconds must be >= 3600")
    elif life is not None and life > _CERTIFICATE_LIFE_S[1]:
        problems.invalid(f"{path}.maxExpirationSeconds", life, "if provided, maxExpirationSeconds must be <= 7862400")
    paths = [name for name in ("credentialBundlePath", "keyPath", "certificateChainPath") if source.get(name)]
    if not paths:
        problems.required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath")
    for name in paths:
        check_file_path(problems, source[name], f"{path}.{name}")
    for key in source.get("userAnnotations") or ():
        at = f"{path}.userAnnotations"
        problems.invalid_each(at, key, qualified_name(key.lower()))
        if "/" not in key:
            problems.invalid(at, key, "must be a domain-prefixed key")


def _check_projected_items(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("name"):
        problems.required(f"{path}.name")
    _check_items(problems, source, path)


def _check_claim(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("claimName"):
        problems.required(f"{path}.claimName")


def check_nfs(problems: Problems, source: Tree, path: str) -> None:
    """A share of an NFS server."""
    if not source.get("server"):
        problems.required(f"{path}.server")
    if not source.get("path"):
        problems.required(f"{path}.path")
    elif not source["path"].startswith("/"):
        problems.invalid(f"{path}.path", source["path"], "must be an absolute path")


def _check_driver(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("driver"):
        problems.required(f"{path}.driver")
    if source.get("nodePublishSecretRef") is not None:
        check_reference(problems, source["nodePublishSecretRef"], f"{path}.nodePublishSecretRef")


def _check_image(problems: Problems, source: Tree, path: str) -> None:
    if not source.get("reference"):
        problems.required(f"{path}.reference")
    check_one_of(problems, source, "pullPolicy", path, PULL_POLICIES)


def _check_ephemeral(problems: Problems, source: Tree, path: str) -> None:
    template = source.get("volumeClaimTemplate")
    if template is None:
        problems.required(f"{path}.volumeClaimTemplate")
        return
    check_claim_spec(problems, template.get("spec") or {}, f"{path}.volumeClaimTemplate.spec")


ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def check_claim_spec(problems: Problems, spec: Tree, path: str) -> None:
    """What a claim asks for: modes and an amount of storage."""
    check_access_modes(problems, spec, path, detail="at least 1 access mode is required")
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        problems.required(f"{path}.resources[storage]")
    elif quantity.is_quantity(storage) and quantity.nanos(storage) <= 0:
        problems.invalid(f"{path}.resources[storage]", str(storage), "must be greater than zero")
    else:
        check_amount(problems, storage, f"{path}.resources[storage]")
    check_one_of(problems, spec, "volumeMode", path, ("Block", "Filesystem"))
    if spec.get("storageClassName"):
        check_reference(problems, spec, path, "storageClassName")


def check_access_modes(problems: Problems, spec: Tree, path: str, *, detail: str = "") -> None:
    """At least one known access mode, and no other beside ReadWriteOncePod."""
    modes = spec.get("accessModes") or ()
    if not modes:
        problems.required(f"{path}.accessModes", detail)
    for mode in modes:
        if mode not in ACCESS_MODES:
            problems.unsupported(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        problems.forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")


_Check = Callable[[Problems, Tree, str], None]

_PROJECTIONS: Mapping[str, _Check] = {
    "clusterTrustBundle": _check_trust_bundle,
    "configMap": _check_projected_items,
    "downwardAPI": _check_downward,
    "podCertificate": _check_pod_certificate,
    "secret": _check_projected_items,
    "serviceAccountToken": _check_token,
}
_SOURCES: Mapping[str, _Check] = {
    "configMap": _check_config_map,
    "csi": _check_driver,
    "downwardAPI": _check_downward,
    "emptyDir": _check_empty_dir,
    "ephemeral": _check_ephemeral,
    "hostPath": check_host_path,
    "image": _check_image,
    "nfs": check_nfs,
    "persistentVolumeClaim": _check_claim,
    "projected": _check_projected,
    "secret": _check_secret,
}
