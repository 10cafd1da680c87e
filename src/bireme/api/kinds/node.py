"""The kinds of node, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.model import Model, Quantity


class Overhead(Model):
    pod_fixed: dict[str, Quantity] = {}


class RuntimeClass(Object):
    __gvk__ = ("node.k8s.io", "v1", "RuntimeClass")
    handler: str = ""
    overhead: Overhead | None = None
    scheduling: Scheduling | None = None


class Scheduling(Model):
    node_selector: dict[str, str] = {}
    tolerations: list[core.Toleration] = []
