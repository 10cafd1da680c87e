"""Pods and states of pods, written shortly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bireme.api.kinds import core
from bireme.kubelet.actual import ContainerView, PodActual, SandboxView, Stage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def container(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "app:1", **more}


def pod(*containers: dict[str, Any], init: list[dict[str, Any]] | None = None, **spec: Any) -> core.Pod:
    meta = spec.pop("metadata", {})
    status = spec.pop("status", {})
    tree = {
        "metadata": {"name": "p", "namespace": "default", "uid": "u-1", **meta},
        "spec": {"containers": list(containers) or [container()], "initContainers": init or [], **spec},
        "status": status,
    }
    return msgspec.convert(tree, core.Pod)


def sandbox(*, ready: bool = True, attempt: int = 0, addresses: tuple[str, ...] = ("10.0.0.2",)) -> SandboxView:
    return SandboxView(f"s{attempt}", attempt, ready, at(-60), addresses)


def view(
    name: str = "c",
    stage: Stage = Stage.RUNNING,
    *,
    attempt: int = 0,
    code: int = 0,
    ended: float = -1,
    box: str = "s0",
    reason: str = "",
) -> ContainerView:
    over = stage is Stage.EXITED
    return ContainerView(
        id=f"{name}-{attempt}",
        name=name,
        sandbox_id=box,
        attempt=attempt,
        stage=stage,
        created_at=at(-50 + attempt),
        started_at=None if stage is Stage.CREATED else at(-50 + attempt),
        finished_at=at(ended) if over else None,
        exit_code=code,
        reason=reason or (("Error" if code else "Completed") if over else ""),
    )


def actual(*views: ContainerView, box: SandboxView | None = None) -> PodActual:
    return PodActual((box or sandbox(),), tuple(sorted(views, key=lambda v: v.attempt, reverse=True)))
