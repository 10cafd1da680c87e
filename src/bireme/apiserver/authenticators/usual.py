"""Who is let into every cluster, whatever else it is told to accept."""

from bireme.apiserver.authentication import Authenticator
from bireme.apiserver.authenticators.bootstrap_tokens import BootstrapTokens
from bireme.apiserver.authenticators.prover import ForUs, Prover, ServiceAccounts
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry


def usual_provers(registry: Registry, tokens: ServiceAccountTokens | None) -> list[Prover]:
    """What proves an identity in every cluster: the tokens of service accounts, and bootstrap tokens."""
    if tokens is None:
        return []
    return [ServiceAccounts(tokens), ForUs(BootstrapTokens(registry, registry.clock), tokens.issuer)]


def usual_authenticator(registry: Registry, tokens: ServiceAccountTokens | None) -> Authenticator:
    """The authenticator of a cluster that is told of no others."""
    return Authenticator(usual_provers(registry, tokens))
