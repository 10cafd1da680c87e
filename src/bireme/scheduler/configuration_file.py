"""The fields of a KubeSchedulerConfiguration as they stand in a file; `configuration.py` says what they mean."""

from typing import Any, Literal

import msgspec

from bireme.api.kinds import core
from bireme.scheduler.extender_settings import Extender


class _Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class Plugin(_Strict, frozen=True):
    """A plugin that is switched on or off. A weight of 0 is none given."""

    name: str
    weight: int = 0


class PluginSet(_Strict, frozen=True):
    """What one extension point has beside, or without, the defaults."""

    enabled: tuple[Plugin, ...] = ()
    disabled: tuple[Plugin, ...] = ()


class Plugins(_Strict, frozen=True):
    """Every extension point."""

    multi_point: PluginSet = PluginSet()
    pre_enqueue: PluginSet = PluginSet()
    queue_sort: PluginSet = PluginSet()
    pre_filter: PluginSet = PluginSet()
    filter: PluginSet = PluginSet()
    post_filter: PluginSet = PluginSet()
    pre_score: PluginSet = PluginSet()
    score: PluginSet = PluginSet()
    reserve: PluginSet = PluginSet()
    permit: PluginSet = PluginSet()
    pre_bind: PluginSet = PluginSet()
    bind: PluginSet = PluginSet()
    post_bind: PluginSet = PluginSet()


class Entry(_Strict, frozen=True):
    """The arguments of one plugin."""

    name: str
    args: dict[str, Any] = {}


class FileProfile(_Strict, frozen=True):
    """One profile."""

    scheduler_name: str = ""
    percentage_of_nodes_to_score: int | None = None
    plugins: Plugins = Plugins()
    plugin_config: tuple[Entry, ...] = ()


class File(_Strict, frozen=True):
    """The whole file."""

    api_version: str
    kind: str
    parallelism: int | None = None
    percentage_of_nodes_to_score: int | None = None
    leader_election: dict[str, Any] | None = None
    client_connection: dict[str, Any] | None = None
    enable_profiling: bool | None = None
    enable_contention_profiling: bool | None = None
    delay_cache_until_active: bool | None = None
    pod_initial_backoff_seconds: int = 1
    pod_max_backoff_seconds: int = 10
    profiles: tuple[FileProfile, ...] = ()
    extenders: tuple[Extender, ...] = ()


class Weighted(_Strict, frozen=True):
    """A resource that counts so much."""

    name: str
    weight: int = 0


class Point(_Strict, frozen=True):
    """Of a shape: at this utilization in percent, a score from 0 to 10."""

    utilization: int
    score: int


class Shape(_Strict, frozen=True):
    """See `Point`."""

    shape: tuple[Point, ...] = ()


class ScoringStrategy(_Strict, frozen=True):
    """How NodeResourcesFit scores."""

    type: Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] = "LeastAllocated"
    resources: tuple[Weighted, ...] = ()
    requested_to_capacity_ratio: Shape | None = None


class FitArgs(_Strict, frozen=True):
    """NodeResourcesFitArgs."""

    ignored_resources: tuple[str, ...] = ()
    ignored_resource_groups: tuple[str, ...] = ()
    scoring_strategy: ScoringStrategy = ScoringStrategy()


class BalanceArgs(_Strict, frozen=True):
    """NodeResourcesBalancedAllocationArgs."""

    resources: tuple[Weighted, ...] = ()


class DefaultConstraint(_Strict, frozen=True):
    """A constraint for pods that state none."""

    max_skew: int
    topology_key: str
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"]


class SpreadArgs(_Strict, frozen=True):
    """PodTopologySpreadArgs."""

    default_constraints: tuple[DefaultConstraint, ...] = ()
    defaulting_type: Literal["System", "List"] = "System"


class AffinityArgs(_Strict, frozen=True):
    """InterPodAffinityArgs."""

    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False


class NodeAffinityArgs(_Strict, frozen=True):
    """NodeAffinityArgs."""

    added_affinity: core.NodeAffinity | None = None


class VolumeArgs(_Strict, frozen=True):
    """VolumeBindingArgs."""

    bind_timeout_seconds: int = 600


class DevicesArgs(_Strict, frozen=True):
    """DynamicResourcesArgs. A look at devices is bounded in steps here, so `filter_timeout` bounds nothing."""

    filter_timeout: str = "10s"
    binding_timeout: str = "600s"


class PreemptionArgs(_Strict, frozen=True):
    """DefaultPreemptionArgs: where amounts alone decide, every node is looked at whatever these say."""

    min_candidate_nodes_percentage: int = 10
    min_candidate_nodes_absolute: int = 100


class Arguments(msgspec.Struct, frozen=True):
    """The arguments that plugins take."""

    fit: FitArgs | None = msgspec.field(default=None, name="NodeResourcesFit")
    balance: BalanceArgs | None = msgspec.field(default=None, name="NodeResourcesBalancedAllocation")
    spread: SpreadArgs | None = msgspec.field(default=None, name="PodTopologySpread")
    affinity: AffinityArgs | None = msgspec.field(default=None, name="InterPodAffinity")
    volumes: VolumeArgs | None = msgspec.field(default=None, name="VolumeBinding")
    devices: DevicesArgs | None = msgspec.field(default=None, name="DynamicResources")
    node_affinity: NodeAffinityArgs | None = msgspec.field(default=None, name="NodeAffinity")
    preemption: PreemptionArgs | None = msgspec.field(default=None, name="DefaultPreemption")
