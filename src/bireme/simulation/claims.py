"""How a hollow pod's life looks: what an engine and probes would have reported, and lives read back from a status.

The words and looks of a status are the kubelet's own (`kubelet/status.py`); here it is only claimed what is under it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from bireme.api.kinds import core
from bireme.kubelet.actual import (
    ContainerView,
    Ending,
    Observed,
    PodActual,
    SandboxView,
    Trouble,
    ephemeral_containers,
    is_sidecar,
    moment_of,
)
from bireme.kubelet.actual import Stage as Engine
from bireme.simulation.stages import ENDS, Life, Stage

FIRST_WORD, LATER_WORD = "ErrImagePull", "ImagePullBackOff"


@dataclass(frozen=True, slots=True)
class Claim:
    """The engine's word, the agent's own, and why containers wait."""

    actual: PodActual = field(default_factory=PodActual)
    observed: Observed = field(default_factory=Observed)
    waiting: Mapping[str, Trouble] = field(default_factory=dict)


def claimed(pod: core.Pod, life: Life, *, leaving: bool = False) -> Claim:
    """What would be reported of such a pod."""
    if life.refused is not None:
        return Claim(observed=Observed(ending=life.refused))
    if life.stage in (Stage.CREATING, Stage.UNPULLED):
        return Claim(waiting=_unpulled(pod, life) if life.pulls else {})
    sandbox_id = f"{pod.metadata.uid}-sandbox"
    sandbox = SandboxView(sandbox_id, 0, life.stage not in ENDS, life.since, (life.address,))
    views = [_view(container, pod, life, sandbox_id) for container in pod.spec.containers]
    views += [_view(container, pod, life, sandbox_id) for container in ephemeral_containers(pod)]
    for container in pod.spec.init_containers:
        view = _view(container, pod, life, sandbox_id)
        if not is_sidecar(container):
            view = replace(view, stage=Engine.EXITED, finished_at=life.begun_at, exit_code=0)
        views.append(view)
    ids = frozenset(view.id for view in views if view.stage is Engine.RUNNING)
    ready = ids if life.stage is Stage.READY else frozenset()
    observed = Observed(started=ids, ready=ready, ending=Ending() if leaving else None)
    return Claim(PodActual((sandbox,), tuple(views)), observed)


def _unpulled(pod: core.Pod, life: Life) -> dict[str, Trouble]:
    """Why its containers wait: the pull failed just now, or the next one is not due yet."""
    word = FIRST_WORD if life.stage is Stage.UNPULLED and life.pulls == 1 else LATER_WORD
    said = "failed to pull and unpack image" if word == FIRST_WORD else "Back-off pulling image"
    return {each.name: Trouble(word, f'{said} "{each.image}"', life.since) for each in pod.spec.containers}


def _view(container: core.Container, pod: core.Pod, life: Life, sandbox_id: str) -> ContainerView:
    ended = life.stage in ENDS
    return ContainerView(
        id=f"{pod.metadata.uid}-{container.name}-{life.attempt}",
        name=container.name,
        sandbox_id=sandbox_id,
        attempt=life.attempt,
        stage=Engine.EXITED if ended else Engine.RUNNING,
        created_at=life.begun_at or life.since,
        started_at=life.begun_at,
        finished_at=life.ended_at if ended else None,
        exit_code=life.exit_code if ended else 0,
        image_ref=container.image,
    )


def taken_up(pod: core.Pod, now: datetime) -> Life | None:
    """The life of a pod that was begun by an earlier process, as its status tells; None if it had not started."""
    status = next(iter(pod.status.container_statuses), None)
    state = status.state if status is not None else None
    if status is None or state is None:
        return None
    shown = state.running or state.terminated
    begun = moment_of(shown.started_at) if shown is not None else None
    if begun is None:
        return None
    life = Life(Stage.RUNNING, begun, pod.status.pod_ip, begun_at=begun, attempt=status.restart_count or 0)
    if state.terminated is not None:
        ended = moment_of(state.terminated.finished_at) or begun
        return replace(
            life, stage=Stage.ENDED, since=ended, ended_at=ended, exit_code=state.terminated.exit_code or 0
        )
    return replace(life, stage=Stage.READY, since=now) if status.ready else life
