"""The kinds of networking, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object
from bireme.api.model import IntOrString, Model


class HTTPIngressPath(Model):
    backend: IngressBackend = field(default_factory=lambda: IngressBackend())
    path: str = ""
    path_type: str = ""


class HTTPIngressRuleValue(Model):
    paths: list[HTTPIngressPath] = []


class IPAddress(Object):
    __gvk__ = ("networking.k8s.io", "v1", "IPAddress")
    spec: IPAddressSpec = field(default_factory=lambda: IPAddressSpec())


class IPAddressSpec(Model):
    parent_ref: ParentReference = field(default_factory=lambda: ParentReference())


class IPBlock(Model):
    cidr: str = ""
    except_: list[str] = []


class Ingress(Object):
    __gvk__ = ("networking.k8s.io", "v1", "Ingress")
    spec: IngressSpec = field(default_factory=lambda: IngressSpec())
    status: IngressStatus = field(default_factory=lambda: IngressStatus())


class IngressBackend(Model):
    resource: core.TypedLocalObjectReference | None = None
    service: IngressServiceBackend | None = None


class IngressClass(Object):
    __gvk__ = ("networking.k8s.io", "v1", "IngressClass")
    spec: IngressClassSpec = field(default_factory=lambda: IngressClassSpec())


class IngressClassParametersReference(Model):
    api_group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    scope: str = ""


class IngressClassSpec(Model):
    controller: str = ""
    parameters: IngressClassParametersReference | None = None


class IngressLoadBalancerIngress(Model):
    hostname: str = ""
    ip: str = ""
    ports: list[IngressPortStatus] = []


class IngressLoadBalancerStatus(Model):
    ingress: list[IngressLoadBalancerIngress] = []


class IngressPortStatus(Model):
    error: str = ""
    port: int | None = None
    protocol: str = ""


class IngressRule(Model):
    host: str = ""
    http: HTTPIngressRuleValue | None = None


class IngressServiceBackend(Model):
    name: str = ""
    port: ServiceBackendPort | None = None


class IngressSpec(Model):
    default_backend: IngressBackend | None = None
    ingress_class_name: str = ""
    rules: list[IngressRule] = []
    tls: list[IngressTLS] = []


class IngressStatus(Model):
    load_balancer: IngressLoadBalancerStatus | None = None


class IngressTLS(Model):
    hosts: list[str] = []
    secret_name: str = ""


class NetworkPolicy(Object):
    __gvk__ = ("networking.k8s.io", "v1", "NetworkPolicy")
    spec: NetworkPolicySpec = field(default_factory=lambda: NetworkPolicySpec())


class NetworkPolicyEgressRule(Model):
    ports: list[NetworkPolicyPort] = []
    to: list[NetworkPolicyPeer] = []


class NetworkPolicyIngressRule(Model):
    from_: list[NetworkPolicyPeer] = []
    ports: list[NetworkPolicyPort] = []


class NetworkPolicyPeer(Model):
    ip_block: IPBlock | None = None
    namespace_selector: meta.LabelSelector | None = None
    pod_selector: meta.LabelSelector | None = None


class NetworkPolicyPort(Model):
    end_port: int | None = None
    port: IntOrString | None = None
    protocol: str = ""


class NetworkPolicySpec(Model):
    egress: list[NetworkPolicyEgressRule] = []
    ingress: list[NetworkPolicyIngressRule] = []
    pod_selector: meta.LabelSelector | None = None
    policy_types: list[str] = []


class ParentReference(Model):
    group: str = ""
    name: str = ""
    namespace: str = ""
    resource: str = ""


class ServiceBackendPort(Model):
    name: str = ""
    number: int | None = None


class ServiceCIDR(Object):
    __gvk__ = ("networking.k8s.io", "v1", "ServiceCIDR")
    spec: ServiceCIDRSpec = field(default_factory=lambda: ServiceCIDRSpec())
    status: ServiceCIDRStatus = field(default_factory=lambda: ServiceCIDRStatus())


class ServiceCIDRSpec(Model):
    cidrs: list[str] = []


class ServiceCIDRStatus(Model):
    conditions: list[meta.Condition] = []
