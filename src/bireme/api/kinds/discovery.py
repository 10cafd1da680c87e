"""The kinds of discovery, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class Endpoint(Model):
    addresses: list[str] = []
    conditions: EndpointConditions | None = None
    deprecated_topology: dict[str, str] = {}
    hints: EndpointHints | None = None
    hostname: str = ""
    node_name: str = ""
    target_ref: core.ObjectReference | None = None
    zone: str = ""


class EndpointConditions(Model):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class EndpointHints(Model):
    for_nodes: list[ForNode] = []
    for_zones: list[ForZone] = []


class EndpointPort(Model):
    app_protocol: str = ""
    name: str = ""
    port: int | None = None
    protocol: str = ""


class EndpointSlice(Object):
    __gvk__ = ("discovery.k8s.io", "v1", "EndpointSlice")
    address_type: str = ""
    endpoints: list[Endpoint] = []
    ports: list[EndpointPort] = []


class ForNode(Model):
    name: str = ""


class ForZone(Model):
    name: str = ""
