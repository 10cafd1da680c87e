"""Identity providers as an operator names them: one by flags, or several in an AuthenticationConfiguration file.

Claims are taken as they are, or checked against one value, or go through expressions (`claim_expressions.py`).
Source: the Kubernetes documentation on authentication.
"""

import ssl
from pathlib import Path
from typing import Any

from bireme.api.cel.errors import CelError
from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.apiserver.authenticators.claim_expressions import expressions_of
from bireme.apiserver.authenticators.oidc import Issuer
from bireme.http.certificates import client_context

Tree = dict[str, Any]
VERSIONS = frozenset(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))


class AuthenticationConfigError(Exception):
    """An identity provider is not named as it must be."""


def issuer_of_flags(
    url: str,
    client_id: str,
    *,
    username_claim: str = "sub",
    username_prefix: str = "",
    groups_claim: str = "",
    groups_prefix: str = "",
    required_claims: tuple[str, ...] = (),
    ca_file: Path | None = None,
) -> Issuer:
    """The provider of the flags. Names begin with the issuer, unless they are addresses or a prefix is said."""
    _check_url(url, "the issuer")
    if not client_id:
        raise AuthenticationConfigError("an issuer needs a client id too")
    if not username_prefix and username_claim != "email":
        username_prefix = f"{url}#"
    required: dict[str, str] = {}
    for pair in required_claims:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise AuthenticationConfigError(f"{pair!r} is no claim=value")
        required[name] = value
    return Issuer(
        url,
        (client_id,),
        username_claim,
        "" if username_prefix == "-" else username_prefix,
        groups_claim,
        groups_prefix,
        required,
        tls=client_context(ca_file.read_bytes()) if ca_file else None,
    )


def read_issuers(path: Path) -> list[Issuer]:
    """The providers of a file. AuthenticationConfigError for what cannot be used."""
    try:
        tree = yaml.parse(path.read_bytes())
    except (OSError, ValueError, ApiError) as error:
        raise AuthenticationConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(tree, dict) or tree.get("kind") != "AuthenticationConfiguration":
        raise AuthenticationConfigError(f"{path} holds no AuthenticationConfiguration")
    if tree.get("apiVersion") not in VERSIONS:
        raise AuthenticationConfigError(f"{path}: {tree.get('apiVersion')!r} is not known")
    if (tree.get("anonymous") or {}).get("enabled") and not (tree["anonymous"].get("conditions")):
        raise AuthenticationConfigError(f"{path}: strangers are let in to the health paths alone")
    issuers = [_issuer(one, f"{path}: jwt[{index}]") for index, one in enumerate(tree.get("jwt") or ())]
    urls = [issuer.url for issuer in issuers]
    if len(set(urls)) < len(urls):
        raise AuthenticationConfigError(f"{path}: an issuer is named twice")
    return issuers


def _issuer(tree: Tree, where: str) -> Issuer:
    issuer, mappings = tree.get("issuer") or {}, tree.get("claimMappings") or {}
    username, groups = mappings.get("username") or {}, mappings.get("groups") or {}
    url, discovery = str(issuer.get("url") or ""), str(issuer.get("discoveryURL") or "")
    _check_url(url, where)
    if discovery:
        _check_url(discovery, where)
    if not issuer.get("audiences"):
        raise AuthenticationConfigError(f"{where}: the issuer has no audiences")
    rules = [rule for rule in tree.get("claimValidationRules") or () if "expression" not in rule]
    try:
        expressions = expressions_of(tree)
    except (CelError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuthenticationConfigError(f"{where}: {error}") from error
    named = expressions.username is not None or (username.get("claim") and "prefix" in username)
    if not named or (groups.get("claim") and "prefix" not in groups):
        raise AuthenticationConfigError(f"{where}: claims of username and groups need a claim and a prefix")
    return Issuer(
        url,
        tuple(issuer["audiences"]),
        str(username.get("claim") or ""),
        str(username.get("prefix") or ""),
        str(groups.get("claim") or ""),
        str(groups.get("prefix") or ""),
        {str(rule["claim"]): str(rule.get("requiredValue") or "") for rule in rules},
        discovery,
        _tls(issuer.get("certificateAuthority"), where),
        str((mappings.get("uid") or {}).get("claim") or ""),
        expressions,
    )


def _tls(authority: Any, where: str) -> ssl.SSLContext | None:
    if not authority:
        return None
    try:
        return client_context(str(authority).encode())
    except ssl.SSLError as error:
        raise AuthenticationConfigError(f"{where}: the certificate authority cannot be read") from error


def _check_url(url: str, where: str) -> None:
    if not url.startswith("https://") or "#" in url or "?" in url or "@" in url:
        raise AuthenticationConfigError(f"{where}: {url!r} is no https URL without query, fragment or user")
