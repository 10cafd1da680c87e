"""What an operator sets of the admission plugins: an AdmissionConfiguration file.

Each plugin's part stands in the file, or in one of its own that is named from there. A plugin that takes no
configuration here is refused, rather than passed over. Source: the Kubernetes documentation on admission control.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.registry.admission.event_rate_limit import KEYS, USUAL_KEYS, EventLimit
from bireme.registry.admission.pod_node_selector import labels_of
from bireme.registry.admission.pod_toleration_restriction import UNRESTRICTED, ClusterTolerations
from bireme.registry.admission.webhook_logins import Logins, logins_of
from bireme.registry.limited_resources import Limited, Scope
from bireme.registry.pod_security.policy import LEVELS, MODES, NOBODY, PREFIX, PRIVILEGED, Exempt, Policy, policy_of

Tree = dict[str, Any]
SERVER = "apiserver.config.k8s.io"
PODS = "pod-security.admission.config.k8s.io"
VERSIONS = ("v1", "v1beta1", "v1alpha1")
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


class AdmissionConfigError(ValueError):
    """A file that configures admission can't be used."""


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """What webhooks are shown, by plugin; what is limited to quotas; pods' standards where a namespace names none.

    And for plugins that are off by default: nodes by namespace, tolerations of the cluster, limits of events.
    """

    logins: Mapping[str, Logins] = field(default_factory=dict)
    limited: tuple[Limited, ...] = ()
    pod_security: Policy = PRIVILEGED
    exempt: Exempt = NOBODY
    node_selectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tolerations: ClusterTolerations = UNRESTRICTED
    event_limits: tuple[EventLimit, ...] = ()


def read_admission_config(path: Path) -> AdmissionConfig:
    """The configuration of a file. Raises AdmissionConfigError."""
    tree = _read(path, ("AdmissionConfiguration", SERVER, VERSIONS))
    made = AdmissionConfig()
    for plugin in tree.get("plugins") or ():
        name = str(plugin.get("name"))
        reader = _READERS.get(name)
        if reader is None:
            raise AdmissionConfigError(f"{path}: the plugin {name} takes no configuration here")
        kind = _KINDS[name]
        own, where = plugin.get("configuration"), path
        if own is None and plugin.get("path"):
            where = path.parent / str(plugin["path"])
            own = _read(where, kind)
        if own is not None:
            _check(where, own, kind)
            try:
                made = reader(made, name, own, where.parent)
            except (OSError, KeyError, TypeError, AttributeError, ValueError, ApiError) as error:
                raise AdmissionConfigError(f"{where}: {name}: {type(error).__name__}: {error}") from error
    return made


def _read(path: Path, kind: tuple[str, str, Collection[str]]) -> Tree:
    try:
        tree = yaml.parse(path.read_bytes())
    except (OSError, ValueError, ApiError) as error:
        raise AdmissionConfigError(f"cannot read {path}: {error}") from error
    _check(path, tree, kind)
    made: Tree = tree
    return made


def _check(path: Path, tree: Any, wanted: tuple[str, str, Collection[str]]) -> None:
    kind, group, versions = wanted
    if not kind and isinstance(tree, dict):
        return
    if not isinstance(tree, dict) or tree.get("kind") != kind:
        raise AdmissionConfigError(f"{path} holds no {kind}")
    if tree.get("apiVersion") not in {f"{group}/{version}" for version in versions}:
        raise AdmissionConfigError(f"{path}: {tree.get('apiVersion')!r} is not known for {kind}")


def _webhooks(made: AdmissionConfig, name: str, tree: Tree, folder: Path) -> AdmissionConfig:
    file = folder / str(tree["kubeConfigFile"])
    logins = logins_of(yaml.parse(file.read_bytes()), file.parent)
    return replace(made, logins={**made.logins, name: logins})


def _quotas(made: AdmissionConfig, name: str, tree: Tree, folder: Path) -> AdmissionConfig:
    return replace(made, limited=tuple(_limited(one) for one in tree.get("limitedResources") or ()))


def _limited(tree: Tree) -> Limited:
    title, group = str(tree["resource"]), str(tree.get("apiGroup") or "")
    scopes = [
        Scope(str(one["scopeName"]), str(one["operator"]), tuple(map(str, one.get("values") or ())))
        for one in tree.get("matchScopes") or ()
    ]
    unknown = [scope.operator for scope in scopes if scope.operator not in OPERATORS]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no operator")
    contains = tuple(map(str, tree.get("matchContains") or ()))
    return Limited(f"{title}.{group}" if group else title, contains, tuple(scopes))


def _pod_security(made: AdmissionConfig, name: str, tree: Tree, folder: Path) -> AdmissionConfig:
    said = tree.get("defaults") or {}
    known = {name for mode in MODES for name in (mode, f"{mode}-version")}
    if unknown := sorted(set(said) - known):
        raise ValueError(f"defaults: {unknown[0]} is not known")
    policy = policy_of({PREFIX + name: str(value) for name, value in said.items()})
    if policy.faults:
        raise ValueError(f"defaults: a level is one of {', '.join(LEVELS)}, a version latest or v1.x")
    spared = tree.get("exemptions") or {}
    users, classes, namespaces = (
        frozenset(map(str, spared.get(name) or ())) for name in ("usernames", "runtimeClasses", "namespaces")
    )
    return replace(made, pod_security=policy, exempt=Exempt(users, classes, namespaces))


def _node_selectors(made: AdmissionConfig, name: str, tree: Tree, folder: Path) -> AdmissionConfig:
    said = tree["podNodeSelectorPluginConfig"] or {}
    return replace(made, node_selectors={place: labels_of(str(text or "")) for place, text in said.items()})


def _tolerations(made: AdmissionConfig, name: str, tree: Tree, folder: Path) -> AdmissionConfig:
    default, allowed = ([dict(one) for one in tree.get(part) or ()] for part in ("default", "whitelist"))
    return replace(made, tolerations=ClusterTolerations(tuple(default), tuple(allowed)))


def _event_limits(made: AdmissionConfig, name: str, tree: Tree, folder: Path) -> AdmissionConfig:
    limits = tuple(_event_limit(one) for one in tree.get("limits") or ())
    if not limits:
        raise ValueError("limits: must not be empty")
    return replace(made, event_limits=limits)


def _event_limit(tree: Tree) -> EventLimit:
    kind = tree["type"]
    if kind not in KEYS:
        raise ValueError(f"limits: a type is one of {', '.join(KEYS)}")
    qps, burst, keys = int(tree["qps"]), int(tree["burst"]), int(tree.get("cacheSize") or USUAL_KEYS)
    if qps <= 0 or burst <= 0 or keys < 0:
        raise ValueError("limits: qps and burst must be positive, cacheSize must not be negative")
    return EventLimit(kind, qps, burst, keys)


Reader = Callable[[AdmissionConfig, str, Tree, Path], AdmissionConfig]
_WEBHOOKS = ("WebhookAdmissionConfiguration", SERVER, VERSIONS)
_READERS: Mapping[str, Reader] = {
    "MutatingAdmissionWebhook": _webhooks,
    "ValidatingAdmissionWebhook": _webhooks,
    "ResourceQuota": _quotas,
    "PodSecurity": _pod_security,
    "PodNodeSelector": _node_selectors,
    "PodTolerationRestriction": _tolerations,
    "EventRateLimit": _event_limits,
}
_KINDS: Mapping[str, tuple[str, str, Collection[str]]] = {
    "MutatingAdmissionWebhook": _WEBHOOKS,
    "ValidatingAdmissionWebhook": _WEBHOOKS,
    "ResourceQuota": ("ResourceQuotaConfiguration", SERVER, VERSIONS),
    "PodSecurity": ("PodSecurityConfiguration", PODS, VERSIONS),
    "PodNodeSelector": ("", "", ()),  # has neither kind nor version
    "PodTolerationRestriction": ("Configuration", "podtolerationrestriction.admission.k8s.io", ("v1alpha1",)),
    "EventRateLimit": ("Configuration", "eventratelimit.admission.k8s.io", ("v1alpha1",)),
}
