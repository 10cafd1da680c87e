"""What the API has words of its own for, in scenarios: amounts of resources, parts of a deployment, a PodSpec."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from bireme.api import quantity as quantities
from bireme.api import resources
from bireme.api.codec.json import decode
from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.simulation.reading import Element

LARGEST = 2**53
"""Sums over a cluster's nodes and hours stay exact below it, and within what the account of nodes can hold."""
_PART = re.compile(r"\d{1,9}|\d{1,3}%")
_POD_SPEC = frozenset(field.encode_name for field in msgspec.structs.fields(core.PodSpec))


def cores(element: Element) -> float:
    """Millicores, from a quantity."""
    return _amount(element, "cpu")


def bytes_of(element: Element) -> float:
    """Bytes, from a quantity."""
    return _amount(element, "memory")


def quantity(element: Element) -> str:
    """A quantity, as the API writes it."""
    _amount(element, "cpu")
    return quantities.canonical(element.word())


def count_or_share(element: Element) -> str:
    """A number of pods, or a part of them: 2 or 25%."""
    if not _PART.fullmatch(element.word()):
        raise element.error(f"{element.word()!r} is neither a number of pods nor a part of them, as 25%")
    return element.word()


def pod_spec(element: Element) -> Mapping[str, Any]:
    """Fields of a PodSpec, in the words of the API."""
    for name, inner in element.fields().items():
        if name not in _POD_SPEC:
            raise inner.error("a PodSpec has no such field")
    tree: Mapping[str, Any] = element.plain()
    try:
        decode(core.Pod, orjson.dumps({"spec": tree}))
    except (ApiError, TypeError) as error:
        raise element.error(str(error)) from error
    return tree


def _amount(element: Element, name: str) -> float:
    try:
        found = resources.amount(name, element.word())
    except ValueError as error:
        raise element.error(f"{element.word()!r} is no quantity, as 500m, 2 or 4Gi") from error
    if not 0 <= found <= LARGEST:
        raise element.error("less than nothing" if found < 0 else "too much")
    return float(found)
