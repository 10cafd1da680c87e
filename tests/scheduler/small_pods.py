"""Pods with little about them, for decisions that need no API."""

from bireme.api.kinds import core, meta

ROOM = {"cpu": 4000, "memory": 8 << 30, "pods": 10}
HOST = "kubernetes.io/hostname"


def pod(
    name: str, *, cpu: int = 1000, priority: int = 0, app: str = "a", apart: str = "", near: str = ""
) -> core.Pod:
    container = core.Container(name="c", resources=core.ResourceRequirements(requests={"cpu": f"{cpu}m"}))
    made = core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", uid=name, labels={"app": app}),
        spec=core.PodSpec(containers=[container], priority=priority),
    )

    def term(value: str) -> list[core.PodAffinityTerm]:
        selector = meta.LabelSelector(match_labels={"app": value})
        return [core.PodAffinityTerm(label_selector=selector, topology_key=HOST)] if value else []

    if apart or near:
        made.spec.affinity = core.Affinity(
            pod_anti_affinity=core.PodAntiAffinity(required_during_scheduling_ignored_during_execution=term(apart)),
            pod_affinity=core.PodAffinity(required_during_scheduling_ignored_during_execution=term(near)),
        )
    return made
