"""The kinds of resource, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from typing import Any

from msgspec import field

from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model, Quantity


class AllocatedDeviceStatus(Model):
    conditions: list[meta.Condition] = []
    data: Any = None
    device: str = ""
    driver: str = ""
    network_data: NetworkDeviceData | None = None
    pool: str = ""
    share_id: str = field(default="", name="shareID")


class AllocationResult(Model):
    allocation_timestamp: str = ""
    devices: DeviceAllocationResult | None = None
    node_selector: core.NodeSelector | None = None


class CELDeviceSelector(Model):
    expression: str = ""


class CapacityRequestPolicy(Model):
    default: Quantity = ""
    valid_range: CapacityRequestPolicyRange | None = None
    valid_values: list[Quantity] = []


class CapacityRequestPolicyRange(Model):
    max: Quantity = ""
    min: Quantity = ""
    step: Quantity = ""


class CapacityRequirements(Model):
    requests: dict[str, Quantity] = {}


class Counter(Model):
    value: Quantity = ""


class CounterSet(Model):
    counters: dict[str, Counter] = {}
    name: str = ""


class Device(Model):
    all_nodes: bool | None = None
    allow_multiple_allocations: bool | None = None
    attributes: dict[str, DeviceAttribute] = {}
    binding_conditions: list[str] = []
    binding_failure_conditions: list[str] = []
    binds_to_node: bool | None = None
    capacity: dict[str, DeviceCapacity] = {}
    consumes_counters: list[DeviceCounterConsumption] = []
    name: str = ""
    node_allocatable_resources: dict[str, NodeAllocatableResource] = {}
    node_name: str = ""
    node_selector: core.NodeSelector | None = None
    taints: list[DeviceTaint] = []


class DeviceAllocationConfiguration(Model):
    opaque: OpaqueDeviceConfiguration | None = None
    requests: list[str] = []
    source: str = ""


class DeviceAllocationResult(Model):
    config: list[DeviceAllocationConfiguration] = []
    results: list[DeviceRequestAllocationResult] = []


class DeviceAttribute(Model):
    bool_: bool | None = None
    bools: list[bool] = []
    int_: int | None = None
    ints: list[int] = []
    string: str = ""
    strings: list[str] = []
    version: str = ""
    versions: list[str] = []


class DeviceCapacity(Model):
    request_policy: CapacityRequestPolicy | None = None
    value: Quantity = ""


class DeviceClaim(Model):
    config: list[DeviceClaimConfiguration] = []
    constraints: list[DeviceConstraint] = []
    requests: list[DeviceRequest] = []


class DeviceClaimConfiguration(Model):
    opaque: OpaqueDeviceConfiguration | None = None
    requests: list[str] = []


class DeviceClass(Object):
    __gvk__ = ("resource.k8s.io", "v1", "DeviceClass")
    spec: DeviceClassSpec = field(default_factory=lambda: DeviceClassSpec())


class DeviceClassConfiguration(Model):
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceClassSpec(Model):
    config: list[DeviceClassConfiguration] = []
    extended_resource_name: str = ""
    selectors: list[DeviceSelector] = []


class DeviceConstraint(Model):
    distinct_attribute: str = ""
    match_attribute: str = ""
    requests: list[str] = []


class DeviceCounterConsumption(Model):
    compatibility_groups: list[str] = []
    counter_set: str = ""
    counters: dict[str, Counter] = {}


class DeviceDerivedAttribute(Model):
    expression: str = ""
    name: str = ""


class DeviceRequest(Model):
    exactly: ExactDeviceRequest | None = None
    first_available: list[DeviceSubRequest] = []
    name: str = ""


class DeviceRequestAllocationResult(Model):
    admin_access: bool | None = None
    binding_conditions: list[str] = []
    binding_failure_conditions: list[str] = []
    consumed_capacity: dict[str, Quantity] = {}
    device: str = ""
    driver: str = ""
    pool: str = ""
    request: str = ""
    share_id: str = field(default="", name="shareID")
    skip_node_operations: list[str] = []
    tolerations: list[DeviceToleration] = []


class DeviceSelector(Model):
    cel: CELDeviceSelector | None = None


class DeviceSubRequest(Model):
    allocation_mode: str = ""
    capacity: CapacityRequirements | None = None
    count: int | None = None
    derived_attributes: list[DeviceDerivedAttribute] = []
    device_class_name: str = ""
    name: str = ""
    selectors: list[DeviceSelector] = []
    tolerations: list[DeviceToleration] = []


class DeviceTaint(Model):
    effect: str = ""
    key: str = ""
    time_added: str = ""
    value: str = ""


class DeviceTaintRule(Object):
    __gvk__ = ("resource.k8s.io", "v1", "DeviceTaintRule")
    spec: DeviceTaintRuleSpec = field(default_factory=lambda: DeviceTaintRuleSpec())
    status: DeviceTaintRuleStatus = field(default_factory=lambda: DeviceTaintRuleStatus())


class DeviceTaintRuleSpec(Model):
    device_selector: DeviceTaintSelector | None = None
    taint: DeviceTaint = field(default_factory=lambda: DeviceTaint())


class DeviceTaintRuleStatus(Model):
    conditions: list[meta.Condition] = []


class DeviceTaintSelector(Model):
    device: str = ""
    driver: str = ""
    pool: str = ""


class DeviceToleration(Model):
    effect: str = ""
    key: str = ""
    operator: str = ""
    toleration_seconds: int | None = None
    value: str = ""


class ExactDeviceRequest(Model):
    admin_access: bool | None = None
    allocation_mode: str = ""
    capacity: CapacityRequirements | None = None
    count: int | None = None
    derived_attributes: list[DeviceDerivedAttribute] = []
    device_class_name: str = ""
    selectors: list[DeviceSelector] = []
    tolerations: list[DeviceToleration] = []


class NetworkDeviceData(Model):
    hardware_address: str = ""
    interface_name: str = ""
    ips: list[str] = []


class NodeAllocatableMapping(Model):
    capacity_key: str = ""
    capacity_multiplier: Quantity = ""
    device_multiplier: Quantity = ""


class NodeAllocatableOverhead(Model):
    per_container: Quantity = ""
    per_pod: Quantity = ""


class NodeAllocatableResource(Model):
    mapping: NodeAllocatableMapping | None = None
    overhead: NodeAllocatableOverhead | None = None


class OpaqueDeviceConfiguration(Model):
    driver: str = ""
    parameters: Any = None


class ResourceClaim(Object):
    __gvk__ = ("resource.k8s.io", "v1", "ResourceClaim")
    spec: ResourceClaimSpec = field(default_factory=lambda: ResourceClaimSpec())
    status: ResourceClaimStatus = field(default_factory=lambda: ResourceClaimStatus())


class ResourceClaimConsumerReference(Model):
    api_group: str = ""
    name: str = ""
    resource: str = ""
    uid: str = ""


class ResourceClaimSpec(Model):
    devices: DeviceClaim | None = None


class ResourceClaimStatus(Model):
    allocation: AllocationResult | None = None
    devices: list[AllocatedDeviceStatus] = []
    reserved_for: list[ResourceClaimConsumerReference] = []


class ResourceClaimTemplate(Object):
    __gvk__ = ("resource.k8s.io", "v1", "ResourceClaimTemplate")
    spec: ResourceClaimTemplateSpec = field(default_factory=lambda: ResourceClaimTemplateSpec())


class ResourceClaimTemplateSpec(Model):
    metadata: meta.ObjectMeta = field(default_factory=lambda: meta.ObjectMeta())
    spec: ResourceClaimSpec = field(default_factory=lambda: ResourceClaimSpec())


class ResourcePool(Model):
    generation: int | None = None
    name: str = ""
    resource_slice_count: int | None = None


class ResourceSlice(Object):
    __gvk__ = ("resource.k8s.io", "v1", "ResourceSlice")
    spec: ResourceSliceSpec = field(default_factory=lambda: ResourceSliceSpec())


class ResourceSliceSpec(Model):
    all_nodes: bool | None = None
    devices: list[Device] = []
    driver: str = ""
    node_name: str = ""
    node_selector: core.NodeSelector | None = None
    partition_type_attribute: str = ""
    per_device_node_selection: bool | None = None
    pool: ResourcePool = field(default_factory=lambda: ResourcePool())
    shared_counters: list[CounterSet] = []
    skip_node_operations: list[str] = []
