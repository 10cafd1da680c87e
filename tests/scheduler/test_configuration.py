"""What a KubeSchedulerConfiguration turns into, and what is refused of it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bireme.api.codec import yaml
from bireme.scheduler.configuration import ConfigurationError, Settings, default_settings, read_settings, settings_of
from bireme.scheduler.plugins import PluginError, in_file, scorers
from bireme.scheduler.profile import WEIGHTS, Fit, Score, Scorer, Spreading, Strategy

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
FILTERS = {
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "NodeDeclaredFeatures",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
    "GangScheduling",
}
MINE = Scorer("Mine", score=lambda pod, nodes: np.zeros(1), filter=lambda pod, nodes: np.ones(1, dtype=bool))


def read(text: str, *known: Scorer) -> Settings:
    return settings_of(yaml.parse((HEAD + text).encode()), known)


def test_an_empty_file_is_the_default() -> None:
    assert read("") == default_settings()


def test_profiles_have_names_weights_and_arguments() -> None:
    settings = read(
        """
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: ImageLocality}, {name: NodeAffinity}]
      enabled: [{name: NodeResourcesFit, weight: 5}, {name: NodeAffinity}]
    postFilter:
      disabled: [{name: DefaultPreemption}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy:
        type: MostAllocated
        resources: [{name: cpu, weight: 3}, {name: example.com/gpu}]
  - name: NodeResourcesBalancedAllocation
    args: {resources: [{name: example.com/gpu, weight: 1}]}
  - name: PodTopologySpread
    args:
      defaultingType: List
      defaultConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: ScheduleAnyway}]
  - name: InterPodAffinity
    args: {hardPodAffinityWeight: 7}
  - name: VolumeBinding
    args: {bindTimeoutSeconds: 30}
"""
    )
    first, packing = settings.profiles
    assert first.weights == WEIGHTS
    assert packing.weight(Score.FIT) == 5
    assert packing.weight(Score.NODE_AFFINITY) == 1
    assert packing.weight(Score.IMAGES) == 0
    assert packing.weight(Score.SPREAD) == 2
    assert packing.fit == Fit(Strategy.MOST, (("cpu", 3), ("example.com/gpu", 1)))
    assert packing.balanced == ("example.com/gpu",)
    assert packing.spreading == (Spreading("rack", 1),)
    assert not packing.system_spreading
    assert packing.hard_affinity_weight == 7
    assert settings.preempting == {"default-scheduler"}
    assert (settings.backoff.initial_s, settings.backoff.limit_s) == (2.0, 20.0)
    assert settings.bind_timeout_s == 600.0


def test_scores_can_be_chosen_from_nothing() -> None:
    settings = read(
        "profiles: [{plugins: {score: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit, weight: 1}]}}}]"
    )
    assert settings.profiles[0].weights == {Score.FIT: 1}


@pytest.mark.parametrize(
    ("plugins", "off"),
    [
        pytest.param("{}", set(), id="all are on"),
        pytest.param("{filter: {disabled: [{name: NodePorts}]}}", {"NodePorts"}, id="one filter"),
        pytest.param("{multiPoint: {disabled: [{name: NodePorts}]}}", {"NodePorts"}, id="everywhere"),
        pytest.param(
            "{multiPoint: {disabled: [{name: NodePorts}]}, filter: {enabled: [{name: NodePorts}]},"
            " preFilter: {enabled: [{name: NodePorts}]}}",
            set(),
            id="one point goes before all",
        ),
        pytest.param(
            "{filter: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}]},"
            " permit: {disabled: [{name: '*'}]}}",
            FILTERS - {"NodeResourcesFit"},
            id="all but one",
        ),
        pytest.param(
            "{multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}, {name: DefaultBinder}]}}",
            FILTERS,
            id="from nothing",
        ),
    ],
)
def test_filters_can_be_switched_off(plugins: str, off: set[str]) -> None:
    settings = read(f"profiles: [{{plugins: {plugins}}}]")
    assert settings.profiles[0].off == off


def test_a_filter_that_is_off_still_scores() -> None:
    profile = read("profiles: [{plugins: {filter: {disabled: [{name: TaintToleration}]}}}]").profiles[0]
    assert profile.weight(Score.TAINTS) == 3


def test_without_scores_every_node_is_as_good() -> None:
    """The example of the documentation."""
    text = "profiles: [{plugins: {preScore: {disabled: [{name: '*'}]}, score: {disabled: [{name: '*'}]}}}]"
    assert read(text).profiles[0].weights == {}


def test_weights_of_one_point_go_before_those_of_all() -> None:
    profile = read(
        "profiles: [{plugins: {multiPoint: {enabled: [{name: NodeResourcesFit, weight: 3}, {name: ImageLocality,"
        " weight: 4}]}, score: {enabled: [{name: NodeResourcesFit, weight: 5}]}}}]"
    ).profiles[0]
    assert profile.weight(Score.FIT) == 5
    assert profile.weight(Score.IMAGES) == 4
    assert profile.weight(Score.TAINTS) == 3


def test_extenders_are_read() -> None:
    settings = read(
        """
extenders:
- urlPrefix: https://127.0.0.1:8888/scheduler
  filterVerb: filter
  prioritizeVerb: score
  bindVerb: bind
  preemptVerb: preempt
  weight: 5
  enableHTTPS: true
  tlsConfig: {insecure: true, serverName: extender}
  httpTimeout: 1m30s
  nodeCacheCapable: true
  ignorable: true
  managedResources: [{name: example.com/gpu, ignoredByScheduler: true}, {name: example.com/licence}]
"""
    )
    (extender,) = settings.extenders
    assert (extender.timeout_s, extender.server_name, extender.weight) == (90.0, "extender", 5)
    (profile,) = settings.profiles
    assert [profile.counts(name) for name in ("example.com/gpu", "example.com/licence", "cpu")] == [False, True, True]


def test_devices_have_their_time_to_be_ready() -> None:
    args = "{bindingTimeout: 2m, filterTimeout: 5s}"
    assert (
        read(f"profiles: [{{pluginConfig: [{{name: DynamicResources, args: {args}}}]}}]").binding_timeout_s == 120.0
    )
    for wrong in ("0s", "soon"):
        with pytest.raises(ConfigurationError, match="bindingTimeout"):
            read(f"profiles: [{{pluginConfig: [{{name: DynamicResources, args: {{bindingTimeout: {wrong}}}}}]}}]")


def test_preemption_has_candidates() -> None:
    args = "{minCandidateNodesPercentage: 50, minCandidateNodesAbsolute: 3}"
    (profile,) = read(f"profiles: [{{pluginConfig: [{{name: DefaultPreemption, args: {args}}}]}}]").profiles
    assert profile.candidates.among(10) == 5
    zero = "{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}"
    with pytest.raises(ConfigurationError, match="must be > 0"):
        read(f"profiles: [{{pluginConfig: [{{name: DefaultPreemption, args: {zero}}}]}}]")


def test_resources_can_be_ignored() -> None:
    args = "{ignoredResources: [example.com/a], ignoredResourceGroups: [example.org]}"
    (profile,) = read(f"profiles: [{{pluginConfig: [{{name: NodeResourcesFit, args: {args}}}]}}]").profiles
    counted = [profile.counts(name) for name in ("example.com/a", "example.com/b", "example.org/a")]
    assert counted == [False, True, False]


def test_profiles_enforce_affinity_and_hard_spreading() -> None:
    (profile,) = read(
        """
profiles:
- pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [blue]}]}]
  - name: InterPodAffinity
    args: {ignorePreferredTermsOfExistingPods: true}
  - name: PodTopologySpread
    args:
      defaultingType: List
      defaultConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]
"""
    ).profiles
    required = profile.added_affinity.required_during_scheduling_ignored_during_execution
    assert required is not None
    assert required.node_selector_terms[0].match_expressions[0].values == ["blue"]
    assert profile.ignores_preferences
    assert profile.spreading == (Spreading("rack", 2, hard=True),)


def test_gates_hold_pods_in_any_case() -> None:
    settings = read("profiles: [{plugins: {preEnqueue: {disabled: [{name: SchedulingGates}]}}}]")
    assert settings.warnings == (
        "profile default-scheduler: SchedulingGates stays on: a pod with gates cannot be bound",
    )


def test_a_shape_scores_by_its_points() -> None:
    shape = "[{utilization: 0, score: 0}, {utilization: 100, score: 10}]"
    args = f"{{scoringStrategy: {{type: RequestedToCapacityRatio, requestedToCapacityRatio: {{shape: {shape}}}}}}}"
    settings = read(f"profiles: [{{pluginConfig: [{{name: NodeResourcesFit, args: {args}}}]}}]")
    assert settings.profiles[0].fit == Fit(Strategy.SHAPE, shape=((0, 0), (100, 10)))


def test_plugins_of_users_are_on_where_they_are_named() -> None:
    assert read("", MINE).profiles[0].scorers == ()
    (profile,) = read("profiles: [{plugins: {score: {enabled: [{name: Mine, weight: 4}]}}}]", MINE).profiles
    assert [(each.name, each.weight) for each in profile.scorers] == [("Mine", 4.0)]
    (profile,) = read("profiles: [{plugins: {filter: {enabled: [{name: Mine}]}}}]", MINE).profiles
    assert profile.scorers[0].score is None
    assert profile.scorers[0].filter is not None
    (profile,) = read("profiles: [{plugins: {multiPoint: {enabled: [{name: Mine}]}}}]", MINE).profiles
    assert profile.scorers == (MINE,)
    assert default_settings([MINE]).profiles[0].scorers == (MINE,)


def test_what_has_no_meaning_here_is_told_of() -> None:
    settings = read("parallelism: 8\npercentageOfNodesToScore: 50\nleaderElection: {leaderElect: false}\n")
    assert [text.split()[0] for text in settings.warnings] == [
        "parallelism",
        "percentageOfNodesToScore",
        "leaderElection",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("paralelism: 8", "unknown field `paralelism`", id="a misspelt field"),
        pytest.param("profiles: [{plugins: {score: {enabled: [{name: X}]}}}]", "'X' does not exist", id="plugin"),
        pytest.param("profiles: [{plugins: {scores: {}}}]", "unknown field `scores`", id="extension point"),
        pytest.param(
            "profiles: [{pluginConfig: [{name: VolumeBinding, args: {shape: [{utilization: 0, score: 0}]}}]}]",
            "unknown field `shape`",
            id="an argument of a feature that is off by default",
        ),
        pytest.param("profiles: [{schedulerName: a}, {schedulerName: a}]", "'a' stands twice", id="a name twice"),
        pytest.param("profiles: [{schedulerName: a}, {}]", "schedulerName is required", id="a name missing"),
        pytest.param(
            "profiles: [{plugins: {multiPoint: {disabled: [{name: '*'}]}}}]",
            "only one queue sort plugin required for profile with scheduler name 'default-scheduler', but got 0",
            id="nothing sorts the queue",
        ),
        pytest.param(
            "profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]",
            "at least one bind plugin is needed for profile with scheduler name 'default-scheduler'",
            id="nothing binds",
        ),
        pytest.param(
            "profiles: [{plugins: {filter: {enabled: [{name: ImageLocality}]}}}]",
            "profiles[0].plugins.filter: plugin 'ImageLocality' does not extend Filter plugin",
            id="a point that the plugin has not",
        ),
        pytest.param(
            "profiles: [{plugins: {preScore: {enabled: [{name: DefaultBinder}]}}}]",
            "'DefaultBinder' does not extend PreScore plugin",
            id="a point of two words",
        ),
        pytest.param(
            "profiles: [{plugins: {score: {enabled: [{name: Mine}, {name: Mine}]}}}]",
            "profiles[0].plugins.score: plugin 'Mine' already registered",
            id="a plugin twice",
        ),
        pytest.param(
            "profiles: [{plugins: {preFilter: {disabled: [{name: NodePorts}]}}}]",
            "preFilter: NodePorts cannot be switched off there alone, but together with filter",
            id="half a filter",
        ),
        pytest.param(
            "profiles: [{plugins: {preScore: {disabled: [{name: '*'}]}}}]",
            "cannot be switched off there alone, but together with score",
            id="half a score",
        ),
        pytest.param(
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]}]",
            "Invalid enum value 'Best'",
            id="strategy",
        ),
        pytest.param(
            "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
            "from 0 to 100",
            id="hard weight",
        ),
        pytest.param(
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {kind: OtherArgs}}]}]",
            "is not NodeResourcesFitArgs",
            id="arguments of another",
        ),
        pytest.param(
            "profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {}}}]}]",
            "addedAffinity: must specify at least one of its terms",
            id="affinity to nothing",
        ),
        pytest.param(
            "profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {"
            "preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, preference: {}}]}}}]}]",
            "weight: Invalid value: 101: must be in the range 1-100",
            id="affinity of no weight",
        ),
        pytest.param(
            "profiles: [{pluginConfig: [{name: NodeResourcesBalancedAllocation, args: "
            "{resources: [{name: cpu, weight: 2}]}}]}]",
            "the weight of a resource can only be 1",
            id="a balanced resource's weight",
        ),
        pytest.param("percentageOfNodesToScore: 101", "101: not in valid range [0-100]", id="a share above all"),
        pytest.param("parallelism: 0", "should be an integer value greater than zero", id="nobody at work"),
        pytest.param("podInitialBackoffSeconds: 20", "podMaxBackoffSeconds", id="back-off"),
        pytest.param("extenders: [{urlPrefix: x}]", "extenders[0].urlPrefix: 'x' is no address", id="no address"),
        pytest.param(
            "extenders: [{urlPrefix: http://x, prioritizeVerb: p}]",
            "extenders[0].weight: 0: must have a positive weight applied to it",
            id="an extender's weight",
        ),
        pytest.param(
            "extenders: [{urlPrefix: http://x, bindVerb: b}, {urlPrefix: http://y, bindVerb: b}]",
            "only one extender can implement bind",
            id="two that bind",
        ),
        pytest.param(
            "extenders: [{urlPrefix: http://x, managedResources: [{name: cpu}]}]",
            "'cpu' is an invalid extended resource name",
            id="a resource that is not extended",
        ),
        pytest.param(
            "extenders: [{urlPrefix: http://x, managedResources: [{name: a.b/c}, {name: a.b/c}]}]",
            "'a.b/c': duplicate extender managed resource name",
            id="a resource twice",
        ),
        pytest.param("extenders: [{urlPrefix: http://x, httpTimeout: soon}]", "invalid duration", id="a duration"),
        pytest.param(
            "extenders: [{urlPrefix: https://x, tlsConfig: {caFile: /nowhere}}]",
            "extenders[0].tlsConfig",
            id="a file",
        ),
    ],
)
def test_what_is_wrong_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read(text, MINE)


def test_another_kind_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("kind: Policy\n")
    with pytest.raises(ConfigurationError, match="expected apiVersion"):
        read_settings(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_settings(tmp_path / "none")


FILE = """
import numpy as np
from bireme.scheduler.profile import Scorer

green = Scorer("Green", weight=2, score=lambda pod, nodes: np.ones(3))
"""


def test_scorers_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "green.py"
    path.write_text(FILE)
    assert [(each.name, each.weight) for each in in_file(path)] == [("Green", 2)]
    with pytest.raises(PluginError, match="two plug-ins are called Green"):
        scorers([path, path])


@pytest.mark.parametrize("text", ["", "1/0", "from nowhere import x"])
def test_a_file_without_scorers_is_refused(tmp_path: Path, text: Any) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(PluginError):
        in_file(path)
