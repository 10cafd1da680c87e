"""The headers of custom objects: what selects them, read as their definition says."""

from dataclasses import replace
from typing import Any

import msgspec
import orjson

from bireme.api.scheme import Resource
from bireme.api.structural.paths import at_path
from bireme.registry.headers import HeaderReader
from bireme.registry.record import Record

Tree = dict[str, Any]


class CustomHeaders(HeaderReader):
    """Reads the header of a custom resource's objects; values at selectable paths may be anything."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(replace(resource, fields=()))
        self.field_names = resource.fields
        self._selectable = tuple(tuple(name.split(".")) for name in resource.fields)
        self._unset = ("",) * len(resource.fields)

    def read(self, key: str, value: bytes, revision: int) -> Record:
        record = super().read(key, value, revision)
        if self._selectable:
            try:
                tree = orjson.loads(value)
            except (orjson.JSONDecodeError, msgspec.MsgspecError):
                return record
            record.fields = tuple(_text(at_path(tree, path)) for path in self._selectable)
        return record


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
