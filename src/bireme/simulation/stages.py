"""The life of a hollow pod as data: which stage comes after which, and after how long.

Plain functions over a table. What a pod does in a run stands in its script (`scripts.py`); how that looks in its
status, in `claims.py`. The idea of stages is kwok's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from bireme.kubelet.actual import Ending
from bireme.simulation.scripts import Script

RESTART_S = 10.0
LONGEST_RESTART_S = 300.0
KILLED = 137
SHORTEST_UNREADY_S = 0.01
"""What comes and goes in no time at all would never be through."""


class Stage(Enum):
    """How far a pod has come."""

    CREATING = "creating"
    UNPULLED = "without its image"
    RUNNING = "running"
    READY = "ready"
    UNREADY = "not ready for a while"
    ENDED = "ended"
    KILLED = "killed, since it was not well"


class Next(NamedTuple):
    """What follows a stage, and after how long (None: not at all) from its begin, or from that of the run."""

    stage: Stage
    after_s: Callable[[Script], float | None]
    of_run: bool = False


_END = Next(Stage.ENDED, lambda script: script.end_s, of_run=True)
_KILL = Next(Stage.KILLED, lambda script: script.unhealthy_s, of_run=True)

STAGES: Mapping[Stage, tuple[Next, ...]] = {
    Stage.CREATING: (
        Next(Stage.UNPULLED, lambda script: script.pull_s if script.pull_fails else None),
        Next(Stage.RUNNING, lambda script: None if script.pull_fails else script.pull_s + script.start_s),
    ),
    Stage.RUNNING: (Next(Stage.READY, lambda script: script.ready_s), _END, _KILL),
    Stage.READY: (Next(Stage.UNREADY, lambda script: script.unready_every_s), _END, _KILL),
    Stage.UNREADY: (Next(Stage.READY, lambda script: max(script.unready_for_s, SHORTEST_UNREADY_S)), _END, _KILL),
}
ENDS = (Stage.ENDED, Stage.KILLED)


@dataclass(frozen=True, slots=True)
class Life:
    """One pod on its way. `begun_at` is the start of the containers that run now, `attempt` counts those before.

    `pulls` counts the tries to get its image that failed, `exit_code` is that of the last end.
    """

    stage: Stage
    since: datetime
    address: str = ""
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    pulls: int = 0
    exit_code: int = 0
    refused: Ending | None = None


def advance(life: Life, script: Callable[[Life], Script], now: datetime, *, policy: str) -> tuple[Life, float | None]:
    """The life at `now`, through every stage that is due, and the seconds to the next one (None: no more).

    `script` gives what the life's run is to be like; `policy` is the pod's restart policy.
    """
    while True:
        told = script(life)
        following = _following(life, told, policy)
        if following is None:
            return life, None
        due, stage = following
        left = (due - now).total_seconds()
        if left > 0:
            return life, left
        life = _entered(life, stage, due, told)


def restarts(policy: str, exit_code: int) -> bool:
    """Whether containers that ended so are started again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _following(life: Life, script: Script, policy: str) -> tuple[datetime, Stage] | None:
    if life.refused is not None:
        return None
    if life.stage in ENDS:
        again = restarts(policy, life.exit_code)
        return (life.since + _back_off(life.attempt), Stage.RUNNING) if again else None
    if life.stage is Stage.UNPULLED:
        return life.since + _back_off(life.pulls - 1), Stage.CREATING
    ways = []
    for way in STAGES[life.stage]:
        seconds = way.after_s(script)
        start = life.begun_at if way.of_run and life.begun_at else life.since
        if seconds is not None:
            ways.append((start + timedelta(seconds=seconds), way.stage))
    return min(ways, key=lambda way: way[0], default=None)


def _back_off(before: int) -> timedelta:
    return timedelta(seconds=min(RESTART_S * 2.0 ** min(max(before, 0), 10), LONGEST_RESTART_S))


def _entered(life: Life, stage: Stage, at: datetime, script: Script) -> Life:
    if stage is Stage.UNPULLED:
        return replace(life, stage=stage, since=at, pulls=life.pulls + 1)
    if stage is Stage.RUNNING:
        again = life.stage in ENDS
        return replace(life, stage=stage, since=at, begun_at=at, attempt=life.attempt + again)
    if stage in ENDS:
        code = KILLED if stage is Stage.KILLED else script.exit_code
        return replace(life, stage=stage, since=at, ended_at=at, exit_code=code)
    return replace(life, stage=stage, since=at)


def stopped(life: Life, now: datetime, exit_code: int = 0) -> Life:
    """The life of a pod that was told to stop and has done so."""
    if life.stage in ENDS:
        return life
    return replace(life, stage=Stage.ENDED, since=now, ended_at=now, exit_code=exit_code)
