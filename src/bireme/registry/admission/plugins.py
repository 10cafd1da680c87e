"""The plugins that are on by default, in the order of the original."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Protocol

from bireme.aio.clock import Clock
from bireme.registry.admission.always_pull_images import AlwaysPullImages
from bireme.registry.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from bireme.registry.admission.chain import Judges, Objects, Plugin
from bireme.registry.admission.claim_resize import PersistentVolumeClaimResize
from bireme.registry.admission.configuration import AdmissionConfig
from bireme.registry.admission.default_ingress_class import DefaultIngressClass
from bireme.registry.admission.default_storage_class import DefaultStorageClass
from bireme.registry.admission.default_toleration_seconds import DefaultTolerationSeconds
from bireme.registry.admission.deny_external_ips import DenyServiceExternalIPs
from bireme.registry.admission.event_rate_limit import EventRateLimit
from bireme.registry.admission.extended_resource_toleration import ExtendedResourceToleration
from bireme.registry.admission.hard_anti_affinity import LimitPodHardAntiAffinityTopology
from bireme.registry.admission.limit_ranger import LimitRanger
from bireme.registry.admission.namespace_auto_provision import NamespaceAutoProvision
from bireme.registry.admission.namespace_exists import NamespaceExists
from bireme.registry.admission.namespace_lifecycle import NamespaceLifecycle
from bireme.registry.admission.node_restriction import NodeRestriction
from bireme.registry.admission.owner_references import OwnerReferencesPermissionEnforcement
from bireme.registry.admission.pod_node_selector import PodNodeSelector
from bireme.registry.admission.pod_resize import PodResizeValidator
from bireme.registry.admission.pod_security import PodSecurity
from bireme.registry.admission.pod_toleration_restriction import PodTolerationRestriction
from bireme.registry.admission.pod_topology_labels import PodTopologyLabels
from bireme.registry.admission.priority import Priority
from bireme.registry.admission.runtime_class import RuntimeClass
from bireme.registry.admission.service_account import ServiceAccount
from bireme.registry.admission.storage_object_in_use import StorageObjectInUseProtection
from bireme.registry.admission.taint_nodes import TaintNodesByCondition
from bireme.registry.kinds import Kind, Kinds
from bireme.registry.options import Call

Tree = dict[str, Any]
OPTIONAL = (
    "AlwaysPullImages",
    "DenyServiceExternalIPs",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "LimitPodHardAntiAffinityTopology",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "OwnerReferencesPermissionEnforcement",
    "PodNodeSelector",
    "PodTolerationRestriction",
)


class Surroundings(Objects, Judges, Protocol):
    """What plugins look things up in: a registry."""

    kinds: Kinds
    clock: Clock

    def kind(self, group: str, version: str, plural: str) -> Kind:
        """The kind that is served there."""
        ...

    async def create(self, kind: Kind, namespace: str, tree: Tree, call: Call) -> object:
        """Store a new object."""
        ...


def default_plugins(
    objects: Surroundings, *, more: Collection[str] = (), config: AdmissionConfig | None = None
) -> list[Plugin]:
    """New plugins that look up what they need in `objects`; `more` names those that are off by default."""
    config = config or AdmissionConfig()
    ordered: tuple[tuple[str, Callable[[], Plugin]], ...] = (
        ("NamespaceAutoProvision", lambda: NamespaceAutoProvision(objects, partial(_make_namespace, objects))),
        ("NamespaceLifecycle", lambda: NamespaceLifecycle(objects)),
        ("NamespaceExists", lambda: NamespaceExists(objects)),
        ("LimitPodHardAntiAffinityTopology", LimitPodHardAntiAffinityTopology),
        ("LimitRanger", lambda: LimitRanger(objects)),
        ("ServiceAccount", lambda: ServiceAccount(objects)),
        ("NodeRestriction", lambda: NodeRestriction(objects, objects)),
        ("TaintNodesByCondition", TaintNodesByCondition),
        ("AlwaysPullImages", AlwaysPullImages),
        ("PodSecurity", lambda: PodSecurity(objects, config.pod_security, config.exempt)),
        ("PodNodeSelector", lambda: PodNodeSelector(objects, config.node_selectors)),
        ("Priority", lambda: Priority(objects)),
        ("DefaultTolerationSeconds", DefaultTolerationSeconds),
        ("PodTolerationRestriction", lambda: PodTolerationRestriction(objects, config.tolerations)),
        ("EventRateLimit", lambda: EventRateLimit(config.event_limits, objects.clock.monotonic)),
        ("ExtendedResourceToleration", ExtendedResourceToleration),
        ("DefaultStorageClass", lambda: DefaultStorageClass(objects)),
        ("StorageObjectInUseProtection", StorageObjectInUseProtection),
        (
            "OwnerReferencesPermissionEnforcement",
            lambda: OwnerReferencesPermissionEnforcement(objects, objects.kinds),
        ),
        ("PersistentVolumeClaimResize", lambda: PersistentVolumeClaimResize(objects)),
        ("RuntimeClass", lambda: RuntimeClass(objects)),
        ("CertificateApproval", lambda: CertificateApproval(objects)),
        ("CertificateSigning", lambda: CertificateSigning(objects)),
        ("ClusterTrustBundleAttest", lambda: ClusterTrustBundleAttest(objects)),
        ("CertificateSubjectRestriction", CertificateSubjectRestriction),
        ("DefaultIngressClass", lambda: DefaultIngressClass(objects)),
        ("DenyServiceExternalIPs", DenyServiceExternalIPs),
        ("PodTopologyLabels", lambda: PodTopologyLabels(objects)),
        ("PodResizeValidator", lambda: PodResizeValidator(objects)),
    )
    unknown = set(more).difference(OPTIONAL)
    if unknown:
        raise ValueError(f"no admission plugin that may be turned on: {', '.join(sorted(unknown))}")
    if "EventRateLimit" in more and not config.event_limits:
        raise ValueError("EventRateLimit needs a configuration that says its limits")
    return [make() for name, make in ordered if name not in OPTIONAL or name in more]


async def _make_namespace(objects: Surroundings, name: str) -> None:
    kind, call = objects.kind("", "v1", "namespaces"), Call(field_manager="kube-apiserver")
    await objects.create(kind, "", {"metadata": {"name": name}}, call)
