"""Who is let in, by a cluster's settings: the authenticators in their order, and the authorities that are trusted."""

from pathlib import Path

from bireme.aio.clock import Clock
from bireme.apiserver.authentication import Authenticator
from bireme.apiserver.authenticators.configuration import AuthenticationConfigError, issuer_of_flags
from bireme.apiserver.authenticators.front_proxy import FrontProxy
from bireme.apiserver.authenticators.oidc import Issuer, OidcTokens
from bireme.apiserver.authenticators.prover import ForUs, Prover
from bireme.apiserver.authenticators.reloading import ReloadedIssuers
from bireme.apiserver.authenticators.static_tokens import StaticTokens
from bireme.apiserver.authenticators.token_webhook import TokenWebhook
from bireme.apiserver.authenticators.usual import usual_provers
from bireme.apiserver.webhook_kubeconfig import read_kubeconfig
from bireme.config import Config
from bireme.http.certificates import common_name_of
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry

EARLIER_KEYS = "sa-*.pub"
"""Public keys in the cluster's pki folder whose tokens are still good."""


def authenticator(config: Config, registry: Registry, tokens: ServiceAccountTokens, *, clock: Clock) -> Authenticator:
    """The authenticator of a cluster. Raises the errors of the files it is told of."""
    provers: list[Prover] = []
    if config.token_file is not None:
        provers.append(ForUs(StaticTokens.load(config.token_file), tokens.issuer))
    provers += usual_provers(registry, tokens)
    if config.oidc_issuer_url:
        provers.append(ForUs(OidcTokens(issuer_of(config), clock), tokens.issuer))
    elif config.authentication_config is not None:
        reloaded = ReloadedIssuers(config.authentication_config, clock)
        registry.tasks["authentication configuration"] = reloaded.run
        provers.append(ForUs(reloaded, tokens.issuer))
    if config.token_webhook_config is not None:
        url, session = read_kubeconfig(config.token_webhook_config)
        provers.append(TokenWebhook(url, session, clock.monotonic, own=tokens.issuer))
    return Authenticator(provers, front_proxy(config))


def issuer_of(config: Config) -> Issuer:
    """The identity provider of the flags. AuthenticationConfigError where a file names some too."""
    if config.authentication_config is not None:
        raise AuthenticationConfigError("identity providers are named by flags or in a file, not both")
    return issuer_of_flags(
        config.oidc_issuer_url,
        config.oidc_client_id,
        username_claim=config.oidc_username_claim,
        username_prefix=config.oidc_username_prefix,
        groups_claim=config.oidc_groups_claim,
        groups_prefix=config.oidc_groups_prefix,
        required_claims=config.oidc_required_claims,
        ca_file=config.oidc_ca_file,
    )


def front_proxy_authority(config: Config) -> Path | None:
    """The file of the authority that signs for gateways: that of the settings, or the cluster's own if it has one."""
    own = config.pki / "front-proxy-ca.crt"
    return config.requestheader_ca_file or (own if own.exists() else None)


def front_proxy(config: Config) -> FrontProxy | None:
    """The gateways that are believed. AuthenticationConfigError where their authority bears the name of ours."""
    path = front_proxy_authority(config)
    if path is None:
        return None
    name = common_name_of(path.read_bytes())
    if not name or name == common_name_of((config.pki / "ca.crt").read_bytes()):
        raise AuthenticationConfigError(f"{path}: the authority of gateways needs a name of its own, not {name!r}")
    return FrontProxy(name, config.requestheader_allowed_names)


def trusted(config: Config) -> bytes:
    """The certificates, in PEM, of every authority that signs for clients."""
    path = front_proxy_authority(config)
    return (config.pki / "ca.crt").read_bytes() + (b"\n" + path.read_bytes() if path else b"")


def earlier_keys(config: Config) -> list[bytes]:
    """The public keys that signed before the one that signs now."""
    return [path.read_bytes() for path in sorted(config.pki.glob(EARLIER_KEYS))]
