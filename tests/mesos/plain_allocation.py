"""Allocation as plainly as it can be said: every choice looks at everything. What the allocator must agree with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bireme.mesos.allocator import FrameworkView
from bireme.mesos.amounts import Amounts
from bireme.mesos.eligibility import MINIMUM, AgentView, is_large_enough
from bireme.mesos.quota import Quota

Seat = tuple[str, str]
Path = tuple[str, ...]


@dataclass
class PlainAllocator:
    """What agents have free and frameworks hold, refuse and want."""

    total: dict[str, int]
    weights: dict[str, float] = field(default_factory=dict)
    agents: dict[str, AgentView] = field(default_factory=dict)
    frameworks: dict[str, FrameworkView] = field(default_factory=dict)
    held: dict[Seat, dict[str, int]] = field(default_factory=dict)
    times: dict[Path, int] = field(default_factory=dict)
    refused: list[tuple[Seat, str, Amounts, float]] = field(default_factory=list)
    quotas: dict[str, Quota] = field(default_factory=dict)

    def charge(self, seat: Seat, amounts: Mapping[str, int], *, sign: int = 1, turns: int = 0) -> None:
        held = self.held.setdefault(seat, {})
        for name, amount in amounts.items():
            held[name] = held.get(name, 0) + sign * amount
        for path in _above(seat):
            self.times[path] = self.times.get(path, 0) + turns

    def set_framework(self, view: FrameworkView) -> None:
        self.frameworks[view.framework_id] = view
        for role in view.roles:
            self.held.setdefault((role, view.framework_id), {})

    def drop_framework(self, framework_id: str) -> None:
        self.frameworks.pop(framework_id, None)
        self.held = {seat: held for seat, held in self.held.items() if seat[1] != framework_id}
        self.refused = [each for each in self.refused if each[0][1] != framework_id]
        live = {path for seat in self.held for path in _above(seat)}
        self.times = {path: times for path, times in self.times.items() if path in live}

    def eligible(self, agent: AgentView, now: float, *, lacking: bool = False) -> dict[Seat, Amounts]:
        """Who may have what of an agent: by fair share, or because guarantees lack it."""
        offered = {
            (role, view.framework_id): (view, self.lacked(role, agent) if lacking else self.shared(role, agent))
            for view in self.frameworks.values()
            for role in view.roles
        }
        return {
            seat: amounts
            for seat, (view, amounts) in offered.items()
            if amounts.scalars
            and self._may_have(view, seat[0], replace(agent, free=amounts))
            and not any(
                who == seat and where == agent.agent_id and until > now and what.contains(amounts)
                for who, where, what, until in self.refused
            )
        }

    def choice(self, agent: AgentView, now: float, *, lacking: bool = False) -> tuple[Seat, Amounts] | None:
        """Whose turn it is, and for what."""
        eligible = self.eligible(agent, now, lacking=lacking)
        seat = self._first((), set(eligible))
        return None if seat is None else (seat, eligible[seat])

    def lacks(self, role: str, name: str) -> int:
        quota = self.quotas.get(role, Quota())
        return max(0, quota.guarantees.get(name, 0) - self.consumed(role, name))

    def consumed(self, role: str, name: str) -> int:
        """What a role at the top holds of a resource, with all below it."""
        return sum(held.get(name, 0) for (each, _), held in self.held.items() if each.split("/")[0] == role)

    def spare(self, name: str) -> int:
        """What is free of a resource beyond what all guarantees lack."""
        free = sum(agent.free.scalar(name) for agent in self.agents.values())
        return free - sum(self.lacks(role, name) for role in self.quotas)

    def may_grow(self, role: str, name: str) -> float:
        """How much more a role may hold of a resource, by its limit."""
        limits = self.quotas.get(role, Quota()).limits
        return max(0, limits[name] - self.consumed(role, name)) if name in limits else float("inf")

    def headroom(self, name: str) -> float:
        wanted = any(self.lacks(role, name) for role in self.quotas)
        return max(0, self.spare(name)) if wanted else float("inf")

    def shared(self, role: str, agent: AgentView) -> Amounts:
        top = role.split("/")[0]
        given = {
            name: int(min(amount, self.may_grow(top, name), self.headroom(name)))
            for name, amount in agent.free.scalars.items()
        }
        return Amounts({name: amount for name, amount in given.items() if amount}, agent.free.ranges)

    def lacked(self, role: str, agent: AgentView) -> Amounts:
        top = role.split("/")[0]
        if not any(self.lacks(top, name) for name in agent.free.scalars):
            return Amounts()
        given = {}
        for name, amount in agent.free.scalars.items():
            due = min(amount, self.lacks(top, name))
            given[name] = due + int(min(amount - due, self.may_grow(top, name) - due, self.headroom(name)))
        return Amounts({name: amount for name, amount in given.items() if amount}, agent.free.ranges)

    def share(self, path: Path) -> float:
        used: dict[str, int] = {}
        for seat, held in self.held.items():
            if path in _above(seat):
                for name, amount in held.items():
                    used[name] = used.get(name, 0) + amount
        weight = 1.0 if "" in path else self.weights.get("/".join(path), 1.0)
        inverse = {name: 1.0 / amount for name, amount in self.total.items() if amount > 0}
        return max((amount * inverse[name] for name, amount in used.items() if name in inverse), default=0.0) / weight

    @staticmethod
    def _may_have(view: FrameworkView, role: str, agent: AgentView) -> bool:
        holds = view.constraints.get(role)
        return (
            (not agent.free.scalar("gpus") or "GPU_RESOURCES" in view.capabilities)
            and (not agent.remote or "REGION_AWARE" in view.capabilities)
            and is_large_enough(agent.free, view.minimum.get(role, MINIMUM))
            and (holds is None or holds(agent))
        )

    def _first(self, path: Path, eligible: set[Seat]) -> Seat | None:
        below = {above[: len(path) + 1] for seat in self.held for above in _above(seat) if above[: len(path)] == path}
        for child in sorted(below - {path}, key=lambda each: (self.share(each), self.times.get(each, 0), each[-1])):
            seat = next((seat for seat in self.held if _above(seat)[-1] == child), None)
            if seat is None:
                seat = self._first(child, eligible)
            if seat in eligible:
                return seat
        return None


def _above(seat: Seat) -> list[Path]:
    """The way from the root to a framework in a role: segments, the virtual child, the framework."""
    whole = (*seat[0].split("/"), "", seat[1])
    return [whole[:length] for length in range(1, len(whole) + 1)]
