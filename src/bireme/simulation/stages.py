"""The life of a hollow pod as data: which stage comes after which, how long it takes, how it ends.

Plain functions. A pod's script says its times; it is chosen by the first rule that fits the pod, and annotations of
the pod itself go before it. The words and the looks of a status are the kubelet's (`kubelet/status.py`): here it is
only claimed what a container engine would report. The idea of stages is kwok's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from bireme.api.kinds import core
from bireme.kubelet.actual import (
    ContainerView,
    Ending,
    Observed,
    PodActual,
    SandboxView,
    ephemeral_containers,
    is_sidecar,
    moment_of,
)
from bireme.kubelet.actual import Stage as Engine

PREFIX = "hollow.bireme.dev/"
RESTART_S = 10.0
LONGEST_RESTART_S = 300.0


@dataclass(frozen=True, slots=True)
class Script:
    """How a pod behaves, in seconds.

    It starts after `start_s`, is ready `ready_s` later (None: never) and ends `end_s` after its start (None: only
    when it is deleted) with `exit_code`. It takes `stop_s` to stop, or as long as it is given.
    """

    start_s: float = 0.02
    ready_s: float | None = 0.0
    end_s: float | None = None
    exit_code: int = 0
    stop_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Which pods behave by `script`: those whose controller is of kind `owner`, with these labels."""

    script: Script
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def fits(self, pod: core.Pod) -> bool:
        """Whether the rule is for this pod."""
        owners = {owner.kind for owner in pod.metadata.owner_references if owner.controller}
        labels = pod.metadata.labels
        return (not self.owner or self.owner in owners) and all(
            labels.get(key) == value for key, value in self.labels.items()
        )


DEFAULT_RULES = (Rule(Script(end_s=0.1), owner="Job"), Rule(Script()))
FIELDS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "start-seconds": ("start_s", float),
    "ready-seconds": ("ready_s", lambda text: None if text == "never" else float(text)),
    "end-seconds": ("end_s", lambda text: None if text == "never" else float(text)),
    "exit-code": ("exit_code", int),
    "stop-seconds": ("stop_s", float),
}


def script_of(pod: core.Pod, rules: Sequence[Rule] = DEFAULT_RULES) -> Script:
    """The script of a pod: of the first rule that fits, as its annotations change it. A bad annotation counts not."""
    script = next((rule.script for rule in rules if rule.fits(pod)), Script())
    for name, text in pod.metadata.annotations.items():
        known = FIELDS.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if known is not None:
            try:
                script = replace(script, **{known[0]: known[1](text)})  # type: ignore[arg-type]
            except ValueError:
                continue
    return script


class Stage(Enum):
    """How far a pod has come."""

    CREATING = "creating"
    RUNNING = "running"
    READY = "ready"
    ENDED = "ended"


class Next(NamedTuple):
    """What follows a stage: after how long (None: nothing), and what then."""

    after_s: Callable[[Script], float | None]
    stage: Stage


STAGES: Mapping[Stage, tuple[Next, ...]] = {
    Stage.CREATING: (Next(lambda script: script.start_s, Stage.RUNNING),),
    Stage.RUNNING: (
        Next(lambda script: script.ready_s, Stage.READY),
        Next(lambda script: script.end_s, Stage.ENDED),
    ),
    Stage.READY: (Next(lambda script: script.end_s, Stage.ENDED),),
}


@dataclass(frozen=True, slots=True)
class Life:
    """One pod on its way. `begun_at` is the start of the containers that run now, `attempt` counts those before."""

    stage: Stage
    since: datetime
    address: str = ""
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    refused: Ending | None = None


def advance(life: Life, script: Script, now: datetime, *, restarts: bool) -> tuple[Life, float | None]:
    """The life at `now`, through every stage that is due, and the seconds to the next one (None: no more).

    `restarts` says that what ended is started again.
    """
    while True:
        following = _following(life, script, restarts=restarts)
        if following is None:
            return life, None
        due, stage = following
        left = (due - now).total_seconds()
        if left > 0:
            return life, left
        life = _entered(life, stage, due)


def _following(life: Life, script: Script, *, restarts: bool) -> tuple[datetime, Stage] | None:
    if life.refused is not None:
        return None
    if life.stage is Stage.ENDED:
        wait = min(RESTART_S * 2.0 ** min(life.attempt, 10), LONGEST_RESTART_S)
        return (life.since + timedelta(seconds=wait), Stage.RUNNING) if restarts else None
    ways = []
    for way in STAGES[life.stage]:
        seconds = way.after_s(script)
        start = life.begun_at if way.stage is Stage.ENDED and life.begun_at else life.since
        if seconds is not None:
            ways.append((start + timedelta(seconds=seconds), way.stage))
    return min(ways, key=lambda way: way[0], default=None)


def _entered(life: Life, stage: Stage, at: datetime) -> Life:
    if stage is Stage.RUNNING:
        again = life.stage is Stage.ENDED
        return replace(life, stage=stage, since=at, begun_at=at, attempt=life.attempt + again)
    if stage is Stage.ENDED:
        return replace(life, stage=stage, since=at, ended_at=at)
    return replace(life, stage=stage, since=at)


def taken_up(pod: core.Pod) -> Life | None:
    """The life of a pod that was begun by an earlier process, as its status tells; None if it had not started."""
    status = next(iter(pod.status.container_statuses), None)
    state = status.state if status is not None else None
    if status is None or state is None or (state.running is None and state.terminated is None):
        return None
    shown = state.running or state.terminated
    begun = moment_of(shown.started_at) if shown is not None else None
    if begun is None:
        return None
    life = Life(Stage.RUNNING, begun, pod.status.pod_ip, begun_at=begun, attempt=status.restart_count or 0)
    if state.terminated is not None:
        ended = moment_of(state.terminated.finished_at) or begun
        return replace(life, stage=Stage.ENDED, since=ended, ended_at=ended)
    return replace(life, stage=Stage.READY) if status.ready else life


def stopped(life: Life, now: datetime) -> Life:
    """The life of a pod that was told to stop and has done so."""
    return life if life.stage is Stage.ENDED else replace(life, stage=Stage.ENDED, since=now, ended_at=now)


def claimed(pod: core.Pod, life: Life, script: Script, *, leaving: bool = False) -> tuple[PodActual, Observed]:
    """What an engine and the probes would report of such a pod."""
    if life.refused is not None:
        return PodActual(), Observed(ending=life.refused)
    if life.stage is Stage.CREATING:
        return PodActual(), Observed()
    sandbox_id = f"{pod.metadata.uid}-sandbox"
    sandbox = SandboxView(sandbox_id, 0, life.stage is not Stage.ENDED, life.since, (life.address,))
    views = [_view(container, pod, life, sandbox_id, script) for container in pod.spec.containers]
    views += [_view(container, pod, life, sandbox_id, script) for container in ephemeral_containers(pod)]
    for container in pod.spec.init_containers:
        view = _view(container, pod, life, sandbox_id, script)
        if not is_sidecar(container):
            view = replace(view, stage=Engine.EXITED, finished_at=life.begun_at, exit_code=0)
        views.append(view)
    ids = frozenset(view.id for view in views if view.stage is Engine.RUNNING)
    ready = ids if life.stage is Stage.READY else frozenset()
    observed = Observed(started=ids, ready=ready, ending=Ending() if leaving else None)
    return PodActual((sandbox,), tuple(views)), observed


def _view(container: core.Container, pod: core.Pod, life: Life, sandbox_id: str, script: Script) -> ContainerView:
    ended = life.stage is Stage.ENDED
    return ContainerView(
        id=f"{pod.metadata.uid}-{container.name}-{life.attempt}",
        name=container.name,
        sandbox_id=sandbox_id,
        attempt=life.attempt,
        stage=Engine.EXITED if ended else Engine.RUNNING,
        created_at=life.begun_at or life.since,
        started_at=life.begun_at,
        finished_at=life.ended_at if ended else None,
        exit_code=script.exit_code if ended else 0,
        image_ref=container.image,
    )
