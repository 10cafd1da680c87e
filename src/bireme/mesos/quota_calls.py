"""Quotas in the words of operators: UPDATE_QUOTA and the older SET_QUOTA and REMOVE_QUOTA, and how quotas are shown.

A list of configurations is checked as a whole and then holds as a whole; roles that it doesn't name keep theirs.
Source: Mesos 1.11's HTTP API.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from bireme.api.errors import ApiError
from bireme.mesos import amounts, validation
from bireme.mesos.amounts import UNIT, Amounts, Unusable
from bireme.mesos.answers import Refused
from bireme.mesos.drf import Vector
from bireme.mesos.master import Master
from bireme.mesos.messages import Message
from bireme.mesos.quota import Quota

_UPDATE, _SET, _REMOVE = (f"Failed to validate {word} quota request: " for word in ("update", "set", "remove"))


async def update(master: Master, body: Message) -> None:
    """UPDATE_QUOTA. Raises Refused."""
    wanted = {config["role"]: _read(config) for config in body.get("quota_configs", [])}
    if len(wanted) < len(body.get("quota_configs", [])):
        raise Refused(400, f"{_UPDATE}Two configurations of one role")

    def check() -> None:
        problem = _held_problem(master, wanted) or _capacity_problem(master, wanted)
        if problem and not body.get("force", False):
            raise Refused(400, _UPDATE + problem)

    await _keep(master, wanted, check)


async def set_guarantee(master: Master, request: Message) -> None:
    """SET_QUOTA, and POST to `/quota`: a limit of as much as is guaranteed. Raises Refused."""
    role = request.get("role", "")
    _check_role(role, _SET)
    try:
        guarantee = amounts.read(request.get("guarantee", []))
    except Unusable as error:
        raise Refused(400, _SET + str(error)) from error
    if guarantee.ranges or not guarantee.scalars:
        raise Refused(400, f"{_SET}A quota needs scalar resources, and nothing else")
    wanted = {role: Quota(guarantee.scalars, guarantee.scalars)}

    def check() -> None:
        if role in master.quotas:
            raise Refused(400, f"{_SET}Quota already set for role '{role}'")
        problem = _capacity_problem(master, wanted)
        if problem and not request.get("force", False):
            raise Refused(409, f"Heuristic capacity check for set quota request failed: {problem}")

    await _keep(master, wanted, check)


async def remove(master: Master, role: str) -> None:
    """REMOVE_QUOTA, and DELETE of `/quota/ROLE`. Raises Refused."""

    def check() -> None:
        if role not in master.quotas:
            raise Refused(400, f"{_REMOVE}Role '{role}' has no quota set")

    await _keep(master, {role: Quota()}, check)


def status(quotas: Mapping[str, Quota]) -> Message:
    """The QuotaStatus message."""
    return {
        "configs": [
            {"role": role} | _scalars("guarantees", quota.guarantees) | _scalars("limits", quota.limits)
            for role, quota in sorted(quotas.items())
        ],
        "infos": [
            {"role": role, "guarantee": amounts.write(Amounts(quota.guarantees))}
            for role, quota in sorted(quotas.items())
            if quota.guarantees
        ],
    }


async def _keep(master: Master, wanted: Mapping[str, Quota], check: Callable[[], None]) -> None:
    try:
        await master.set_quotas(wanted, check=check)
    except ApiError as error:
        raise Refused(503, f"Failed to keep the quota: {error}") from error


def _read(config: Message) -> Quota:
    _check_role(config["role"], _UPDATE)
    quota = Quota(_amounts(config.get("guarantees", {})), _amounts(config.get("limits", {})))
    for name, limit in quota.limits.items():
        if quota.guarantees.get(name, 0) > limit:
            raise Refused(400, f"{_UPDATE}Guarantee of '{name}' for role '{config['role']}' is above its limit")
    return quota


def _check_role(role: str, what: str) -> None:
    problem = validation.role(role)
    if role == "*":
        problem = "Setting quota for the default '*' role is not supported"
    elif "/" in role and not problem:
        problem = f"Setting quota on nested role '{role}' is not supported"
    if problem:
        raise Refused(400, what + problem)


def _amounts(scalars: Mapping[str, Message]) -> dict[str, int]:
    found = {}
    for name, scalar in scalars.items():
        value = scalar.get("value", 0.0)
        if not math.isfinite(value) or not 0 <= value <= 1e15:
            raise Refused(400, f"{_UPDATE}Invalid amount of '{name}'")
        found[name] = amounts.thousandths(value)
        if abs(found[name] - value * UNIT) > 1e-6 * max(1.0, value):
            raise Refused(400, f"{_UPDATE}'{name}' has more than three decimals")
    return found


def _held_problem(master: Master, wanted: Mapping[str, Quota]) -> str | None:
    for role, quota in wanted.items():
        used = master.roster.used_below(role)
        for name, limit in quota.limits.items():
            if used.get(name, 0) > limit:
                return f"Role '{role}' already consumes more '{name}' than its limit"
    return None


def _capacity_problem(master: Master, wanted: Mapping[str, Quota]) -> str | None:
    sums = _sum(quota.guarantees for quota in ({**master.quotas, **wanted}).values())
    for name, amount in sums.items():
        if amount > master.capacity.get(name, 0):
            return f"All guarantees of '{name}' together are above what the cluster has"
    return None


def _sum(vectors: Iterable[Vector]) -> dict[str, int]:
    found: dict[str, int] = {}
    for vector in vectors:
        for name, amount in vector.items():
            found[name] = found.get(name, 0) + amount
    return found


def _scalars(word: str, vector: Vector) -> Message:
    return {word: {name: {"value": amount / UNIT} for name, amount in vector.items()}} if vector else {}
