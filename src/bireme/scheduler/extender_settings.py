"""Extenders as a KubeSchedulerConfiguration names them.

Source: the Kubernetes documentation (kube-scheduler-config.v1).
"""

import base64
import ssl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import field

from bireme.api.cel.coercion import parse_duration
from bireme.api.cel.errors import CelError
from bireme.http.certificates import Pair, client_context
from bireme.scheduler.configuration_error import ConfigurationError

TIMEOUT = "5s"


class ManagedResource(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An extended resource of which the extender keeps account; `ignored_by_scheduler`: it alone does."""

    name: str
    ignored_by_scheduler: bool = False


class TlsSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How the extender is known, and how it knows the scheduler; data is PEM in base64 and goes before files."""

    insecure: bool = False
    server_name: str = ""
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    cert_data: str = ""
    key_data: str = ""
    ca_data: str = ""


class Extender(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One extender. A verb that is not stated is not asked for."""

    url_prefix: str
    filter_verb: str = ""
    preempt_verb: str = ""
    prioritize_verb: str = ""
    weight: int = 0
    bind_verb: str = ""
    enable_https: bool = field(default=False, name="enableHTTPS")
    tls_config: TlsSettings | None = None
    http_timeout: str = TIMEOUT
    node_cache_capable: bool = False
    managed_resources: tuple[ManagedResource, ...] = ()
    ignorable: bool = False

    @property
    def timeout_s(self) -> float:
        """How long an answer may take."""
        return parse_duration(self.http_timeout).total_seconds() or parse_duration(TIMEOUT).total_seconds()

    @property
    def server_name(self) -> str:
        """What the certificate must bear in place of the URL's host."""
        return self.tls_config.server_name if self.tls_config is not None else ""

    def tls(self) -> ssl.SSLContext:
        """How it is spoken to where the URL says https. Raises ConfigurationError."""
        said = self.tls_config or TlsSettings()
        try:
            authority = _pem(said.ca_data, said.ca_file)
            certificate, key = _pem(said.cert_data, said.cert_file), _pem(said.key_data, said.key_file)
            context = client_context(authority or None, Pair(certificate, key) if certificate else None)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"tlsConfig: {error}") from error
        if said.insecure or (self.enable_https and not authority):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def checked(extenders: Sequence[Extender]) -> tuple[Extender, ...]:
    """The extenders, as far as they can be used. Raises ConfigurationError."""
    names = Counter(resource.name for each in extenders for resource in each.managed_resources)
    for number, each in enumerate(extenders):
        place = f"extenders[{number}]"
        if not each.url_prefix.startswith(("http://", "https://")):
            raise ConfigurationError(f"{place}.urlPrefix: {each.url_prefix!r} is no address of http or https")
        if each.prioritize_verb and each.weight <= 0:
            raise ConfigurationError(f"{place}.weight: {each.weight}: must have a positive weight applied to it")
        for resource in each.managed_resources:
            if "/" not in resource.name or resource.name.split("/", 1)[0].endswith("kubernetes.io"):
                raise ConfigurationError(
                    f"{place}.managedResources: {resource.name!r} is an invalid extended resource name"
                )
            if names[resource.name] > 1:
                raise ConfigurationError(
                    f"{place}.managedResources: {resource.name!r}: duplicate extender managed resource name"
                )
        try:
            seconds = each.timeout_s
        except CelError as error:
            raise ConfigurationError(f"{place}.httpTimeout: {error}") from error
        if seconds < 0:
            raise ConfigurationError(f"{place}.httpTimeout: {each.http_timeout!r} is below 0")
        try:
            each.tls()
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}.{error}") from error
    if sum(bool(each.bind_verb) for each in extenders) > 1:
        raise ConfigurationError("extenders: only one extender can implement bind")
    return tuple(extenders)


def ignored_resources(extenders: Sequence[Extender]) -> frozenset[str]:
    """The resources of which the scheduler keeps no account."""
    return frozenset(
        resource.name for each in extenders for resource in each.managed_resources if resource.ignored_by_scheduler
    )


def _pem(data: str, file: str) -> bytes:
    return base64.b64decode(data, validate=True) if data else Path(file).read_bytes() if file else b""
