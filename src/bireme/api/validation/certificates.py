"""The rules of the certificates group. What is inside a request or a certificate is for signers to read."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

from bireme.api.validation.field import IMMUTABLE, Problems, Rules, Tree, check_unchanged
from bireme.api.validation.names import dns_subdomain

SHORTEST_S = 600
POD_SHORTEST_S, POD_LONGEST_S = 3600, 91 * 24 * 3600
LARGEST_BUNDLE = 1 << 20
USAGES = frozenset(
    (
        "signing",
        "digital signature",
        "content commitment",
        "key encipherment",
        "key agreement",
        "data encipherment",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
        "any",
        "server auth",
        "client auth",
        "code signing",
        "email protection",
        "s/mime",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "timestamping",
        "ocsp signing",
        "microsoft sgc",
        "netscape sgc",
    )
)
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")
_PATH = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?")


def check_signer_name(problems: Problems, name: str, path: str) -> None:
    """`example.com/signer`: a domain of several parts and a path."""
    if not name:
        problems.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash:
        problems.invalid(
            path, name, 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        )
        return
    problems.invalid_each(path, domain, dns_subdomain(domain))
    if "." not in domain:
        problems.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    if not rest or not _PATH.fullmatch(rest):
        problems.invalid(path, rest, "a valid path segment of letters, digits, '-', '_' and '.' is needed")


def check_signing_request(problems: Problems, tree: Tree) -> None:
    """A CertificateSigningRequest."""
    spec = tree.get("spec") or {}
    text = _decoded(spec.get("request") or "")
    if text is None or _kinds(text) != ["CERTIFICATE REQUEST"]:
        problems.invalid("spec.request", spec.get("request") or "", "PEM block type must be CERTIFICATE REQUEST")
    usages = spec.get("usages") or []
    if not usages:
        problems.required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            problems.unsupported(f"spec.usages[{index}]", usage, sorted(USAGES))
        elif usage in usages[:index]:
            problems.duplicate(f"spec.usages[{index}]", usage)
    if spec.get("signerName") == "kubernetes.io/legacy-unknown":
        fault = "the legacy signerName is not allowed via this API version"
        problems.invalid("spec.signerName", spec["signerName"], fault)
    else:
        check_signer_name(problems, spec.get("signerName") or "", "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST_S:
        problems.invalid(
            "spec.expirationSeconds", seconds, "may not specify a duration less than 600 seconds (10 minutes)"
        )
    check_signing_status(problems, tree)


def check_signing_status(problems: Problems, tree: Tree) -> None:
    """What was decided on a request, and the certificate."""
    status = tree.get("status") or {}
    seen: set[str] = set()
    for index, condition in enumerate(status.get("conditions") or ()):
        path, kind = f"status.conditions[{index}]", condition.get("type") or ""
        if not kind:
            problems.required(f"{path}.type")
        elif kind in seen:
            problems.duplicate(f"{path}.type", kind)
        if kind in ("Approved", "Denied") and {"Approved", "Denied"} - {kind} <= seen:
            problems.invalid(f"{path}.type", kind, "Approved and Denied conditions are mutually exclusive")
        seen.add(kind)
        _check_condition_status(problems, condition, kind, path)
    certificate = status.get("certificate") or ""
    if certificate:
        text = _decoded(certificate)
        kinds = _kinds(text) if text is not None else []
        if not kinds or set(kinds) != {"CERTIFICATE"}:
            problems.invalid("status.certificate", "<certificate data>", "must contain at least one PEM CERTIFICATE")


def _check_condition_status(problems: Problems, condition: Tree, kind: str, path: str) -> None:
    said = condition.get("status") or ""
    if not said:
        problems.required(f"{path}.status")
    elif kind in ("Approved", "Denied", "Failed"):
        if said != "True":
            problems.unsupported(f"{path}.status", said, ("True",))
    elif said not in ("True", "False", "Unknown"):
        problems.unsupported(f"{path}.status", said, ("True", "False", "Unknown"))


def check_signing_update(problems: Problems, new: Tree, old: Tree) -> None:
    """What was decided stays decided, and a certificate is written once."""
    check_unchanged(problems, new.get("spec"), old.get("spec"), "spec")
    before, after = (tree.get("status") or {} for tree in (old, new))
    for kind in ("Approved", "Denied", "Failed"):
        was, now = _of_type(before, kind), _of_type(after, kind)
        if was is not None and now is None:
            problems.forbidden("status.conditions", f"updates may not remove a condition of type {json_text(kind)}")
    if before.get("certificate") and before["certificate"] != after.get("certificate"):
        problems.forbidden("status.certificate", "updates may not modify a certificate that is already set")


def json_text(text: str) -> str:
    """A text in quotes."""
    return f'"{text}"'


def _of_type(status: Tree, kind: str) -> Tree | None:
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), None)


def check_trust_bundle(problems: Problems, tree: Tree) -> None:
    """A ClusterTrustBundle: certificates in PEM; one of a signer bears its name as a prefix."""
    spec, name = tree.get("spec") or {}, (tree.get("metadata") or {}).get("name") or ""
    signer = spec.get("signerName") or ""
    if signer:
        prefix = signer.replace("/", ":") + ":"
        check_signer_name(problems, signer, "spec.signerName")
        if not name.startswith(prefix):
            fault = f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            problems.invalid("metadata.name", name, fault)
        else:
            problems.invalid_each("metadata.name", name, dns_subdomain(name.removeprefix(prefix)))
    elif ":" in name:
        fault = 'ClusterTrustBundle without signer name must not have ":" in its name'
        problems.invalid("metadata.name", name, fault)
    else:
        problems.invalid_each("metadata.name", name, dns_subdomain(name))
    bundle = spec.get("trustBundle") or ""
    if len(bundle) > LARGEST_BUNDLE:
        problems.too_long("spec.trustBundle", LARGEST_BUNDLE)
        return
    blocks = _blocks(bundle.encode())
    if not blocks:
        problems.invalid("spec.trustBundle", "<value omitted>", "at least one trust anchor must be provided")
    for index, (kind, body) in enumerate(blocks):
        if kind != "CERTIFICATE":
            fault = f"entry {index} has bad block type: {kind}"
            problems.invalid("spec.trustBundle", "<value omitted>", fault)
        elif not body.startswith(b"\x30"):
            fault = f"entry {index} does not parse as X.509"
            problems.invalid("spec.trustBundle", "<value omitted>", fault)
    bodies = [body for _, body in blocks]
    if len(set(bodies)) < len(bodies):
        problems.invalid("spec.trustBundle", "<value omitted>", "duplicate trust anchor")


def check_trust_bundle_update(problems: Problems, new: Tree, old: Tree) -> None:
    """The signer of a bundle stays."""
    was, now = ((tree.get("spec") or {}).get("signerName") or "" for tree in (old, new))
    if was != now:
        problems.invalid("spec.signerName", now, IMMUTABLE)


_POD_FIELDS = ("signerName", "podName", "podUID", "serviceAccountName", "serviceAccountUID", "nodeName", "nodeUID")


def check_pod_request(problems: Problems, tree: Tree) -> None:
    """A PodCertificateRequest."""
    spec = tree.get("spec") or {}
    check_signer_name(problems, spec.get("signerName") or "", "spec.signerName")
    for field in _POD_FIELDS[1:]:
        if not spec.get(field):
            problems.required(f"spec.{field}")
    seconds = spec.get("maxExpirationSeconds")
    if seconds is None:
        problems.required("spec.maxExpirationSeconds")
    elif seconds < POD_SHORTEST_S or seconds > POD_LONGEST_S:
        problems.invalid(
            "spec.maxExpirationSeconds", seconds, f"must be in the range [{POD_SHORTEST_S}, {POD_LONGEST_S}]"
        )
    if not spec.get("stubPKCS10Request") and not (spec.get("pkixPublicKey") and spec.get("proofOfPossession")):
        problems.required("spec.stubPKCS10Request")
    kinds = [one.get("type") for one in (tree.get("status") or {}).get("conditions") or ()]
    for index, kind in enumerate(kinds):
        if kind not in ("Issued", "Denied", "Failed"):
            problems.unsupported(f"status.conditions[{index}].type", kind, ("Issued", "Denied", "Failed"))
    if len({"Issued", "Denied", "Failed"}.intersection(kinds)) > 1:
        problems.invalid("status.conditions", kinds, "only one of Issued, Denied and Failed may be set")


def check_pod_request_update(problems: Problems, new: Tree, old: Tree) -> None:
    """What is asked stays, and so does what was decided."""
    check_unchanged(problems, new.get("spec"), old.get("spec"), "spec")
    before, after = (tree.get("status") or {} for tree in (old, new))
    decided = any(one.get("type") in ("Issued", "Denied", "Failed") for one in before.get("conditions") or ())
    if decided and before != after:
        problems.invalid("status", "<status>", IMMUTABLE)


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _kinds(text: bytes) -> list[str]:
    return [kind for kind, _ in _blocks(text)]


def _blocks(text: bytes) -> list[tuple[str, bytes]]:
    """The PEM blocks of a text: their types and what is in them."""
    return list(_read(_BLOCK.findall(text)))


def _read(found: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, bytes]]:
    for kind, body in found:
        try:
            yield kind.decode(), base64.b64decode(b"".join(body.split()), validate=True)
        except (binascii.Error, ValueError):
            yield kind.decode(), b""


RULES: Mapping[str, Rules] = {
    "CertificateSigningRequest": Rules(check_signing_request, check_signing_update),
    "CertificateSigningRequest/status": Rules(check_signing_status, check_signing_update),
    "CertificateSigningRequest/approval": Rules(check_signing_status, check_signing_update),
    "ClusterTrustBundle": Rules(check_trust_bundle, check_trust_bundle_update),
    "PodCertificateRequest": Rules(check_pod_request, check_pod_request_update),
    "PodCertificateRequest/status": Rules(check_pod_request, check_pod_request_update),
}
