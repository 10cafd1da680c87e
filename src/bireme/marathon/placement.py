"""Does this offer suit this instance? Roles, constraints, resources, ports; and if not, why not.

The reasons are those that /v2/queue counts, in the order of its funnel. Source: Marathon 1.11's REST API.
"""

import bisect
import decimal
import enum
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import re2

from bireme.marathon.model import App, Port, Tree

_TINY = 1e-6


class Reason(enum.Enum):
    """Why an offer was refused."""

    ROLE = "UnfulfilledRole"
    CONSTRAINT = "UnfulfilledConstraint"
    RESERVATION = "NoCorrespondingReservationFound"
    MAINTENANCE = "AgentMaintenance"
    DRAINING = "AgentDraining"
    CPUS = "InsufficientCpus"
    MEMORY = "InsufficientMemory"
    DISK = "InsufficientDisk"
    GPUS = "InsufficientGpus"
    PORTS = "InsufficientPorts"
    SCARCE = "DeclinedScarceResources"


_SCALARS = (
    ("cpus", Reason.CPUS),
    ("mem", Reason.MEMORY),
    ("disk", Reason.DISK),
    ("gpus", Reason.GPUS),
)


@dataclass(frozen=True, slots=True)
class Site:
    """A place, as constraints see it; `attributes` are Mesos attributes."""

    hostname: str
    region: str = ""
    zone: str = ""
    attributes: Sequence[Tree] = ()


def value_at(site: Site, name: str) -> str | None:
    """What a constraint's field is at a site; None where it has no such attribute."""
    if name in ("hostname", "@hostname"):
        return site.hostname
    if name in ("@region", "@zone"):
        return (site.region if name == "@region" else site.zone) or None
    return next((_text(each) for each in site.attributes if each.get("name") == name), None)


def _text(attribute: Tree) -> str:
    match attribute.get("type"):
        case "SCALAR":
            return scalar(attribute["scalar"]["value"])
        case "RANGES":
            parts = attribute["ranges"].get("range", ())
            return "[" + ",".join(f"{each['begin']}-{each['end']}" for each in parts) + "]"
        case "SET":
            return "{" + ",".join(sorted(attribute["set"].get("item", ()))) + "}"
    return str(attribute.get("text", {}).get("value", ""))


def scalar(value: float) -> str:
    """A number to three decimals, half to even, without zeros at the end."""
    exact = decimal.Decimal(str(value)).quantize(decimal.Decimal("0.001"), rounding=decimal.ROUND_HALF_EVEN)
    return f"{exact.normalize():f}"


def meets(constraint: Sequence[str], site: Site, placed: Collection[Site]) -> bool:
    """Whether an instance at `site` would keep the constraint, with others of the app at `placed`, oldest first."""
    name, operator, *rest = constraint
    wanted = rest[0] if rest else None
    value = value_at(site, name)
    if value is None:
        return operator == "UNLIKE"
    match operator:
        case "LIKE":
            return re2.fullmatch(wanted or "", value) is not None
        case "UNLIKE":
            return re2.fullmatch(wanted or "", value) is None
        case "IS":
            return value == _comparable(wanted or "") or value == wanted
    taken = [value_at(each, name) for each in placed]
    match operator:
        case "UNIQUE":
            return value not in taken
        case "CLUSTER":
            return value == (wanted if wanted is not None else taken[0] if taken else value)
        case "MAX_PER":
            return taken.count(value) < int(wanted or 0)
        case "GROUP_BY":
            return _evens(value, Counter(taken), int(wanted) if wanted else 0)
    return False


def _comparable(text: str) -> str:
    try:
        return scalar(float(text))
    except (ValueError, decimal.InvalidOperation):
        return text


def _evens(value: str, counts: Mapping[str | None, int], groups: int) -> bool:
    """A new value while fewer than `groups` are used (0 for no end); else one of those that have fewest."""
    if value not in counts:
        return not groups or len(counts) < groups
    return len(counts) >= groups and counts[value] == min(counts.values())


@dataclass(slots=True)
class _Part:
    """One resource of an offer and what is left of it."""

    template: Tree
    reserved: str
    amount: float = 0.0
    ranges: list[tuple[int, int]] = field(default_factory=list)


class Offer:
    """One offer, and what is left of it while instances are put on it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.id = str(tree["id"]["value"])
        self.agent_id = str(tree["agent_id"]["value"])
        self.hostname = str(tree.get("hostname", ""))
        self.address = str(tree.get("url", {}).get("address", {}).get("ip", ""))
        self.role = str(tree.get("allocation_info", {}).get("role", "*"))
        domain = tree.get("domain", {}).get("fault_domain", {})
        region, zone = (str(domain.get(name, {}).get("name", "")) for name in ("region", "zone"))
        self.site = Site(self.hostname, region, zone, list(tree.get("attributes", ())))
        self.unavailable = "unavailability" in tree
        self._parts: dict[str, list[_Part]] = {}
        for resource in tree.get("resources", ()):
            self._add(resource)

    def _add(self, resource: Tree) -> None:
        if "revocable" in resource or "disk" in resource:
            return
        reservations = resource.get("reservations")
        reserved = reservations[-1].get("role", "*") if reservations else resource.get("role", "*")
        template = {name: of for name, of in resource.items() if name not in ("scalar", "ranges", "set")}
        part = _Part(template, str(reserved), float(resource.get("scalar", {}).get("value", 0)))
        part.ranges = sorted(
            (int(each["begin"]), int(each["end"])) for each in resource.get("ranges", {}).get("range", ())
        )
        found = self._parts.setdefault(str(resource["name"]), [])
        # what is reserved goes first, so that the free part stays for others
        found.insert(len(found) if part.reserved == "*" else 0, part)

    def _usable(self, name: str, accepted: Collection[str]) -> list[_Part]:
        return [part for part in self._parts.get(name, ()) if part.reserved in accepted]

    def has(self, name: str, amount: float, accepted: Collection[str]) -> bool:
        """Whether so much of a scalar is left."""
        return sum(part.amount for part in self._usable(name, accepted)) >= amount - _TINY

    def take(self, name: str, amount: float, accepted: Collection[str]) -> list[Tree]:
        """So much of a scalar, which is then no longer left."""
        taken: list[Tree] = []
        for part in self._usable(name, accepted):
            used = min(part.amount, amount)
            if used > _TINY:
                part.amount = round(part.amount - used, 6)
                amount -= used
                taken.append({**part.template, "scalar": {"value": round(used, 6)}})
        return taken

    def ports(self, accepted: Collection[str]) -> list[tuple[int, int]]:
        """The ports left, as ranges."""
        return sorted(each for part in self._usable("ports", accepted) for each in part.ranges)

    def take_ports(self, ports: Iterable[int], accepted: Collection[str]) -> list[Tree]:
        """These ports, which are then no longer left."""
        taken: list[Tree] = []
        left = sorted(ports)
        for part in self._usable("ports", accepted):
            here = [port for port in left if any(low <= port <= high for low, high in part.ranges)]
            if here:
                part.ranges = _without(part.ranges, here)
                left = [port for port in left if port not in here]
                taken.append({**part.template, "ranges": {"range": [{"begin": port, "end": port} for port in here]}})
        return taken


def _without(ranges: Iterable[tuple[int, int]], ports: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        for port in ports:
            if low <= port <= high:
                if low < port:
                    found.append((low, port - 1))
                low = port + 1
        if low <= high:
            found.append((low, high))
    return found


@dataclass(frozen=True, slots=True)
class Match:
    """What an instance takes from an offer: one host port for each of the app's ports, None where it needs none."""

    host_ports: tuple[int | None, ...]
    resources: tuple[Tree, ...]


def accepted_roles(app: App) -> frozenset[str]:
    """Reserved for whom, or `*`, resources may be."""
    given = app.tree.get("acceptedResourceRoles")
    return frozenset(given) if given else frozenset(("*", app.role))


def match(app: App, offer: Offer, placed: Collection[Site], random: Random) -> Match | Reason:
    """What an instance of `app` takes from the offer, taken from what is left of it; or why it can't go there."""
    if offer.role != app.role:
        return Reason.ROLE
    if not all(meets(each, offer.site, placed) for each in app.constraints):
        return Reason.CONSTRAINT
    if offer.unavailable:
        return Reason.MAINTENANCE
    accepted = accepted_roles(app)
    for name, reason in _SCALARS:
        if not offer.has(name, app.number(name), accepted):
            return reason
    ports = choose_ports(app.ports, offer.ports(accepted), random)
    if ports is None:
        return Reason.PORTS
    resources = [part for name, _ in _SCALARS for part in offer.take(name, app.number(name), accepted)]
    resources += offer.take_ports([port for port in ports if port], accepted)
    return Match(tuple(ports), tuple(resources))


def choose_ports(wanted: Sequence[Port], free: Sequence[tuple[int, int]], random: Random) -> list[int | None] | None:
    """A host port for each port that wants one: the number it asks for, or any; None if there are too few."""
    fixed = sorted({each.host_port for each in wanted if each.host_port})
    if any(not any(low <= port <= high for low, high in free) for port in fixed):
        return None
    rest = _without(free, fixed)
    dynamic = sum(each.host_port == 0 for each in wanted)
    numbers = _sample(rest, dynamic, random)
    if len(numbers) < dynamic:
        return None
    return [numbers.pop() if each.host_port == 0 else each.host_port for each in wanted]


def _sample(ranges: Sequence[tuple[int, int]], number: int, random: Random) -> list[int]:
    """So many different ports at random, or all there are."""
    ends: list[int] = []
    total = 0
    for low, high in ranges:
        total += high - low + 1
        ends.append(total)
    found: list[int] = []
    for place in random.sample(range(total), min(number, total)):
        index = bisect.bisect_right(ends, place)
        found.append(ranges[index][1] - (ends[index] - 1 - place))
    return found
