"""Stories of `bireme why`: a cluster, a pod, and what is printed.

`REWRITE_STORIES=1 pytest` writes the answers anew, for review.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from bireme.api.kinds import core, meta
from bireme.cli.why_target import Heading
from bireme.cli.why_text import as_text, span
from bireme.ledger.ledger import Ledger
from bireme.scheduler.report import Report, report
from bireme.scheduler.trial import Trial
from bireme.scheduler.world import World

HOSTNAME = "kubernetes.io/hostname"
STORIES = sorted((Path(__file__).parent / "why").glob("*.txt"))
LINE = "=====\n"


def node(name: str, about: dict[str, Any]) -> core.Node:
    taints = []
    for text in about.get("taints", ()):
        words, _, effect = text.rpartition(":")
        key, _, value = words.partition("=")
        taints.append(core.Taint(key=key, value=value, effect=effect))
    return core.Node(
        metadata=meta.ObjectMeta(name=name, labels={HOSTNAME: name, **about.get("labels", {})}),
        spec=core.NodeSpec(taints=taints, unschedulable=about.get("unschedulable")),
        status=core.NodeStatus(allocatable={"cpu": about.get("cpu", "4"), "memory": "8Gi", "pods": "110"}),
    )


def pod(name: str, about: dict[str, Any]) -> core.Pod:
    requests = {key: about[key] for key in ("cpu", "memory") if key in about}
    port = about.get("port")
    affinity = None
    if away := about.get("away_from"):
        selector = meta.LabelSelector(match_labels={"app": away})
        term = core.PodAffinityTerm(label_selector=selector, topology_key=HOSTNAME)
        far = core.PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
        affinity = core.Affinity(pod_anti_affinity=far)
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", uid=name, labels=about.get("labels", {})),
        spec=core.PodSpec(
            containers=[
                core.Container(
                    name="c",
                    image="i",
                    resources=core.ResourceRequirements(requests=requests),
                    ports=[core.ContainerPort(container_port=80, host_port=port)] if port else [],
                )
            ],
            affinity=affinity,
            node_selector=about.get("nodeSelector", {}),
            priority=about.get("priority", 0),
            topology_spread_constraints=[
                core.TopologySpreadConstraint(
                    topology_key=key,
                    max_skew=skew,
                    when_unsatisfiable="DoNotSchedule",
                    label_selector=meta.LabelSelector(match_labels=about["labels"]),
                )
                for key, skew in about.get("spread", {}).items()
            ],
        ),
    )


def told(story: dict[str, Any]) -> Report:
    world, many = World(Ledger()), story.get("many", {"count": 0})
    nodes = story.get("nodes", {}) | {f"n{number:02}": many for number in range(many["count"])}
    for name, about in nodes.items():
        world.set_node(node(name, about))
    for name, about in story.get("pods", {}).items():
        world.place(pod(name, about), about["node"])
    trial = Trial(world, pod("new", story["pod"]), owns_world=True)
    return report(trial, node=story["pod"].get("node", ""))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    given, line, expected = path.read_text().partition(LINE)
    story = yaml.safe_load(given)
    text = as_text(told(story), Heading("Running" if "node" in story["pod"] else "Pending", 14)) + "\n"
    if os.environ.get("REWRITE_STORIES"):
        path.write_text(given + line + text)
    else:
        assert text == expected


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (7199, "119m"), (200_000, "2d")]
)
def test_a_length_of_time(seconds: float, text: str) -> None:
    assert span(seconds) == text
