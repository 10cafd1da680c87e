"""The kinds of scheduling, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from bireme.api.kinds.meta import Object


class PriorityClass(Object):
    __gvk__ = ("scheduling.k8s.io", "v1", "PriorityClass")
    description: str = ""
    global_default: bool | None = None
    preemption_policy: str = ""
    value: int | None = None
