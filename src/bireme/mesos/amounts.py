"""Resources as the master counts them: exact scalars in thousandths, and ranges of whole numbers.

Mesos keeps scalars to three decimals; here they are integers of thousandths (cpus in millicores, mem and disk in
thousandths of a MB), so sums never drift. Only plain resources are counted: unreserved, not revocable, not
shared, no volumes. Their sums on a node are the ledger's affair, in its own units (`to_node`, `from_node`).
Source: Mesos 1.11's HTTP API.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bireme.api import resources as resource_vectors
from bireme.mesos.messages import Message

Range = tuple[int, int]
Ranges = tuple[Range, ...]

UNIT = 1000
MIB = 1024 * 1024
_NODE_NAMES = {"cpus": "cpu", "mem": "memory", "disk": "ephemeral-storage", "gpus": "nvidia.com/gpu"}
SCALARS = ("cpus", "gpus", "mem", "disk")


class Unusable(ValueError):
    """A resource that is malformed, or of a sort that no offer holds."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Scalars in thousandths and ranges, both ends included, sorted and apart. Nothing in it is zero or empty."""

    scalars: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, Ranges] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges)

    def scalar(self, name: str) -> int:
        return self.scalars.get(name, 0)

    def __add__(self, other: "Amounts") -> "Amounts":
        scalars = dict(self.scalars)
        for name, amount in other.scalars.items():
            scalars[name] = scalars.get(name, 0) + amount
        ranges = {name: union(self.ranges.get(name, ()), other.ranges.get(name, ())) for name in _both(self, other)}
        return _clean(scalars, ranges)

    def __sub__(self, other: "Amounts") -> "Amounts":
        scalars = {name: amount - other.scalar(name) for name, amount in self.scalars.items()}
        ranges = {name: difference(held, other.ranges.get(name, ())) for name, held in self.ranges.items()}
        return _clean(scalars, ranges)

    def contains(self, other: "Amounts") -> bool:
        """Whether `other` can be taken from this."""
        if self == other:  # most often so, when an offer that was refused is free again
            return True
        return all(amount <= self.scalar(name) for name, amount in other.scalars.items()) and all(
            not difference(wanted, self.ranges.get(name, ())) for name, wanted in other.ranges.items()
        )

    def __str__(self) -> str:
        parts = [f"{name}:{plain(amount)}" for name, amount in sorted(self.scalars.items())]
        return "; ".join(parts + [f"{name}:{ranges_text(held)}" for name, held in sorted(self.ranges.items())])


NOTHING = Amounts()


def _both(left: Amounts, right: Amounts) -> list[str]:
    return list(dict.fromkeys((*left.ranges, *right.ranges)))


def _clean(scalars: Mapping[str, int], ranges: Mapping[str, Ranges]) -> Amounts:
    return Amounts(
        {name: amount for name, amount in scalars.items() if amount > 0},
        {name: held for name, held in ranges.items() if held},
    )


def plain(amount: int) -> float | int:
    """Thousandths as the number that people read."""
    return amount // UNIT if amount % UNIT == 0 else amount / UNIT


def ranges_text(held: Ranges) -> str:
    """`[31000-31005, 31010-31010]`."""
    return "[" + ", ".join(f"{begin}-{end}" for begin, end in held) + "]"


def union(left: Iterable[Range], right: Iterable[Range] = ()) -> Ranges:
    """All numbers of both, in the fewest ranges."""
    merged: list[Range] = []
    for begin, end in sorted((*left, *right)):
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def difference(held: Iterable[Range], taken: Iterable[Range]) -> Ranges:
    """The numbers of `held` that are not in `taken`."""
    cuts = union(taken)
    rest: list[Range] = []
    for begin, end in union(held):
        for low, high in cuts:
            if high < begin or low > end:
                continue
            if low > begin:
                rest.append((begin, low - 1))
            begin = high + 1
            if begin > end:
                break
        if begin <= end:
            rest.append((begin, end))
    return tuple(rest)


def numbers(held: Ranges, *, limit: int) -> list[int]:
    """The first `limit` numbers of the ranges."""
    found: list[int] = []
    for begin, end in held:
        found += range(begin, min(end, begin + limit - len(found) - 1) + 1)
        if len(found) >= limit:
            break
    return found


def total(parts: Iterable[Amounts]) -> Amounts:
    """The sum of all."""
    scalars: dict[str, int] = {}
    ranges: dict[str, list[Range]] = {}
    for part in parts:
        for name, amount in part.scalars.items():
            scalars[name] = scalars.get(name, 0) + amount
        for name, held in part.ranges.items():
            ranges.setdefault(name, []).extend(held)
    return _clean(scalars, {name: union(held) for name, held in ranges.items()})


def thousandths(value: float) -> int:
    """A scalar as counted here, rounded half away from zero."""
    return math.floor(value * UNIT + 0.5)


def read(resources: Iterable[Message]) -> Amounts:
    """The sum of Resource messages. Raises Unusable."""
    scalars: dict[str, int] = {}
    ranges: dict[str, Ranges] = {}
    for resource in resources:
        name, kind = resource["name"], resource.get("type")
        _refuse_special(resource)
        if kind == "SCALAR" and "scalar" in resource:
            scalars[name] = scalars.get(name, 0) + _scalar(name, resource["scalar"]["value"])
        elif kind == "RANGES" and "ranges" in resource:
            fresh = _ranges(name, resource["ranges"].get("range", ()))
            if difference(fresh, difference(fresh, ranges.get(name, ()))):
                raise Unusable(f"Resource '{name}' has overlapping ranges")
            ranges[name] = union(ranges.get(name, ()), fresh)
        else:
            raise Unusable(f"Resource '{name}' has no value of its type")
    return _clean(scalars, ranges)


def _refuse_special(resource: Message) -> None:
    name = resource["name"]
    if not name:
        raise Unusable("Empty resource name")
    if resource.get("role", "*") != "*" or resource.get("reservations") or "reservation" in resource:
        raise Unusable(f"Resource '{name}' is reserved; no reservation is held here")
    for word in ("revocable", "shared", "disk", "provider_id"):
        if word in resource:
            raise Unusable(f"Resource '{name}' with '{word}' is not offered here")


def _scalar(name: str, value: float) -> int:
    if not math.isfinite(value) or value < 0 or value > 1e15:
        raise Unusable(f"Invalid scalar resource '{name}': value must be a non-negative number")
    if name == "gpus" and value != int(value):
        raise Unusable("The 'gpus' resource must be an unsigned integer")
    return thousandths(value)


def _ranges(name: str, parts: Iterable[Message]) -> Ranges:
    pairs = [(part["begin"], part["end"]) for part in parts]
    for begin, end in pairs:
        if begin > end:
            raise Unusable(f"Invalid ranges resource '{name}': begin is above end")
    held = union(pairs)
    if sum(end - begin + 1 for begin, end in held) != sum(end - begin + 1 for begin, end in pairs):
        raise Unusable(f"Resource '{name}' has overlapping ranges")
    return held


def write(amounts: Amounts, *, role: str = "") -> list[Message]:
    """Resource messages; allocated to `role` if one is given."""
    extra: dict[str, Any] = {"allocation_info": {"role": role}} if role else {}
    found: list[Message] = [
        {"name": name, "type": "SCALAR", "scalar": {"value": amount / UNIT}, **extra}
        for name, amount in amounts.scalars.items()
    ]
    for name, held in amounts.ranges.items():
        ranges = [{"begin": begin, "end": end} for begin, end in held]
        found.append({"name": name, "type": "RANGES", "ranges": {"range": ranges}, **extra})
    return found


def to_node(amounts: Amounts) -> dict[str, int]:
    """The scalars in the ledger's units: millicores and bytes, rounded up."""
    found: dict[str, int] = {}
    for name, amount in amounts.scalars.items():
        if name == "cpus":
            found["cpu"] = amount
        elif name in ("mem", "disk"):
            found[_NODE_NAMES[name]] = -(-amount * MIB // UNIT)
        else:
            found[_NODE_NAMES.get(name, name)] = -(-amount // UNIT)
    return found


def from_node(vector: Mapping[str, int], *, ports: Ranges = ()) -> Amounts:
    """What can be offered of a node's vector: whole MB of memory and disk, rounded down."""
    scalars = {
        "cpus": vector.get("cpu", 0),
        "gpus": vector.get("nvidia.com/gpu", 0) * UNIT,
        "mem": vector.get("memory", 0) // MIB * UNIT,
        "disk": vector.get("ephemeral-storage", 0) // MIB * UNIT,
    }
    return _clean(scalars, {"ports": ports})


def read_node(requests: Mapping[str, str | int | float]) -> Amounts:
    """What a container's requests stand for."""
    vector = resource_vectors.read(requests)
    scalars = {
        "cpus": vector.get("cpu", 0),
        "gpus": vector.get("nvidia.com/gpu", 0) * UNIT,
        "mem": vector.get("memory", 0) * UNIT // MIB,
        "disk": vector.get("ephemeral-storage", 0) * UNIT // MIB,
    }
    return _clean(scalars, {})
