"""The rows of custom kinds: the columns that their definition lists. Source: the Kubernetes documentation."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bireme.api.structural.paths import BadPath, Find, compile_path
from bireme.apiserver.columns.column import AGE, NAME, Cells, Column, Printer, Tree, age_of, name_of, since
from bireme.registry.custom import Custom


def custom_printer(custom: Custom) -> Printer:
    """The columns of a version of a custom kind: its name and age where it lists none."""
    if not custom.columns:
        return Printer((NAME, AGE), lambda tree, now: [name_of(tree), age_of(tree, now)])
    cells = [(_path(said["jsonPath"]), said["type"]) for said in custom.columns]
    columns = tuple(
        Column(
            said["name"],
            said["type"],
            said.get("format") or "",
            said.get("description") or f"Custom resource definition column (in JSONPath format): {said['jsonPath']}",
            said.get("priority") or 0,
        )
        for said in custom.columns
    )

    def row(tree: Tree, now: datetime) -> Cells:
        return [name_of(tree), *(_cell(find(tree), kind, now) for find, kind in cells)]

    return Printer((NAME, *columns), row)


def _path(text: str) -> Find:
    try:
        return compile_path(text)
    except BadPath:
        return lambda _: []


def _cell(found: list[Any], kind: str, now: datetime) -> Any:
    """What is found as the column's type; what is of another type is left out."""
    if not found or found[0] is None:
        return None
    if len(found) > 1 and kind == "string":
        return ",".join(_text(value) for value in found)
    return _CELLS.get(kind, _of_text)(found[0], now)


def _of_text(value: Any, now: datetime) -> Any:
    return _text(value)


def _of_integer(value: Any, now: datetime) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value)


def _of_number(value: Any, now: datetime) -> Any:
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def _of_boolean(value: Any, now: datetime) -> Any:
    return value if isinstance(value, bool) else None


def _of_date(value: Any, now: datetime) -> Any:
    return since(value, now) if isinstance(value, str) else "<unknown>"


_CELLS: dict[str, Callable[[Any, datetime], Any]] = {
    "integer": _of_integer,
    "number": _of_number,
    "boolean": _of_boolean,
    "date": _of_date,
}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else str(value)
