"""Why an app's instances wait: what each offer that was not used had too little of, from what /v2/queue says.

Works on what any Marathon answers to `GET /v2/queue?embed=lastUnusedOffers`; nothing is asked here.
Source: Marathon 1.11's REST API.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bireme.marathon.model import Tree
from bireme.marathon.placement import Reason

SCALARS: Mapping[str, tuple[str, str]] = {
    Reason.CPUS.value: ("cpus", "cpus"),
    Reason.MEMORY.value: ("mem", "mem"),
    Reason.DISK.value: ("disk", "disk"),
    Reason.GPUS.value: ("gpus", "gpus"),
}
"""By reason, the field of an app and the resource of an offer."""


@dataclass(frozen=True, slots=True)
class Unused:
    """One host's last offer, and what it lacked in figures."""

    host: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The hosts whose last offers were refused for one reason."""

    reason: str
    offers: tuple[Unused, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An app that waits. `attempts` counts the offers looked at since it waits, by the reason that refused them."""

    app: str
    count: int
    instances: int
    since: str
    delay_s: int
    processed: int
    unused: int
    attempts: tuple[tuple[str, int], ...]
    refused: tuple[Refused, ...]
    advice: tuple[str, ...]


def waiting(item: Tree) -> Waiting:
    """What an entry of the queue says."""
    app, summary = item.get("app") or item.get("pod") or {}, item.get("processedOffersSummary", {})
    groups: dict[str, dict[str, Unused]] = {}
    last = {each["offer"].get("hostname", ""): each for each in item.get("lastUnusedOffers") or ()}
    for host, each in sorted(last.items()):
        for reason in each["reason"]:
            groups.setdefault(reason, {})[host] = Unused(host, detail(reason, app, each["offer"]))
    refused = tuple(Refused(reason, tuple(found.values())) for reason, found in groups.items())
    attempts = ((each["reason"], int(each["declined"])) for each in summary.get("rejectSummaryLaunchAttempt") or ())
    delay = item.get("delay", {})
    return Waiting(
        app=str(app.get("id", "")),
        count=int(item.get("count", 0)),
        instances=int(app.get("instances", 0)),
        since=str(item.get("since", "")),
        delay_s=0 if delay.get("overdue") else int(delay.get("timeLeftSeconds", 0)),
        processed=int(summary.get("processedOffersCount", 0)),
        unused=int(summary.get("unusedOffersCount", 0)),
        attempts=tuple((reason, count) for reason, count in attempts if count),
        refused=tuple(sorted(refused, key=lambda each: (-len(each.offers), each.reason))),
        advice=tuple(advice(app, [each["offer"] for each in last.values() if len(each["reason"]) == 1], refused)),
    )


def detail(reason: str, app: Tree, offer: Tree) -> str:
    """In figures, why the offer does not suit the app."""
    if reason in SCALARS:
        field, name = SCALARS[reason]
        return f"{field}: wants {_number(app.get(field, 0))}, offered {_offered(offer, name, app)}"
    match reason:
        case Reason.CONSTRAINT.value:
            attributes = {each["name"]: _value(each) for each in offer.get("attributes") or ()}
            return "; ".join(
                f"constraint {' '.join(map(str, each))}: here {_place(each[0], offer, attributes)}"
                for each in app.get("constraints") or ()
            )
        case Reason.ROLE.value:
            roles = sorted({str(each.get("role", "*")) for each in offer.get("resources") or ()})
            return f"takes resources of {_words(_roles(app))}, offered {_words(roles)}"
        case Reason.PORTS.value:
            ports = "; ".join(_value(each) for each in offer.get("resources") or () if each["name"] == "ports")
            return f"wants {_ports(app)}, offered {ports or 'none'}"
    return ""


def advice(app: Tree, offers: Sequence[Tree], refused: Sequence[Refused]) -> Iterable[str]:
    """The least cut of a resource with which one of the hosts would have had enough of it."""
    for group in refused:
        if group.reason not in SCALARS:
            continue
        field, name = SCALARS[group.reason]
        hosts = {each.host for each in group.offers}
        most = max(
            (
                (_amount(offer, name, app), offer.get("hostname", ""))
                for offer in offers
                if offer.get("hostname", "") in hosts
            ),
            default=(0.0, ""),
        )
        if most[0] > 0:
            yield f"ask for {_number(most[0])} {field} instead of {_number(app.get(field, 0))}: {most[1]} has as much"


def _roles(app: Tree) -> list[str]:
    return [str(role) for role in app.get("acceptedResourceRoles") or ("*", app.get("role", "*"))]


def _amount(offer: Tree, name: str, app: Tree) -> float:
    roles = _roles(app)
    return sum(
        float(each.get("scalar", 0.0))
        for each in offer.get("resources") or ()
        if each["name"] == name and each.get("role", "*") in roles
    )


def _offered(offer: Tree, name: str, app: Tree) -> str:
    return _number(_amount(offer, name, app))


def _place(field: str, offer: Tree, attributes: Mapping[str, str]) -> str:
    if field in ("hostname", "@hostname"):
        return str(offer.get("hostname", ""))
    return attributes.get(field, "nothing of that name")


def _ports(app: Tree) -> str:
    definitions = [*(app.get("portDefinitions") or ()), *((app.get("container") or {}).get("portMappings") or ())]
    asked = [int(each.get("hostPort", each.get("port", 0)) or 0) for each in definitions]
    fixed = [str(port) for port in asked if port]
    if app.get("requirePorts") or (app.get("container") or {}).get("portMappings"):
        return f"port {', '.join(fixed)}" if fixed else f"{len(asked)} ports"
    return f"{len(asked)} port" + ("" if len(asked) == 1 else "s")


def _value(tree: Tree) -> str:
    if "ranges" in tree:
        return ", ".join(f"{each['begin']}-{each['end']}" for each in tree["ranges"])
    if "set" in tree:
        return ", ".join(map(str, tree["set"]))
    return _number(tree["scalar"]) if "scalar" in tree else str(tree.get("text", ""))


def _number(value: object) -> str:
    return f"{float(str(value)):g}"


def _words(words: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(words))
