"""The kinds of events, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class Event(Object):
    __gvk__ = ("events.k8s.io", "v1", "Event")
    action: str = ""
    deprecated_count: int | None = None
    deprecated_first_timestamp: str = ""
    deprecated_last_timestamp: str = ""
    deprecated_source: core.EventSource | None = None
    event_time: str = ""
    note: str = ""
    reason: str = ""
    regarding: core.ObjectReference | None = None
    related: core.ObjectReference | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    type: str = ""


class EventSeries(Model):
    count: int | None = None
    last_observed_time: str = ""
