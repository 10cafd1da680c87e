"""What frameworks refused of agents, and until when: offer filters.

A refusal holds against as much or less of the same agent, in the same role, until its time. An agent that nobody
takes is asked about again and again with the same amounts, so which refusals hold against these is kept as a set
of seats (`seats.py`); each end of a refusal is found in a table by its time, and costs one look.
Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from bireme.mesos.amounts import Amounts
from bireme.mesos.messages import Message
from bireme.mesos.seats import Seats, mask, members

DEFAULT_REFUSE_S = 5.0
LONGEST_REFUSE_S = 365 * 86400.0
_TICKS = 16  # of a second: how finely the table of ends is divided
_SLACK = 4096  # lines in that table that may be out of date before it is written anew


@dataclass(slots=True, eq=False)
class _Refused:
    """Who refused these amounts of one agent: until when, by seat, and the same seats as a set."""

    agent_id: str
    amounts: Amounts
    until: dict[int, float] = field(default_factory=dict)
    seats: int = 0


@dataclass(slots=True, eq=False)
class _OfAgent:
    """Everything refused of one agent. `holding` are the seats whose refusals hold against `asked`."""

    refused: list[_Refused] = field(default_factory=list)
    asked: Amounts | None = None
    holding: int = 0

    def against(self, amounts: Amounts) -> int:
        if self.asked is not amounts and self.asked != amounts:
            self.holding = 0
            for each in self.refused:
                if each.amounts.contains(amounts):
                    self.holding |= each.seats
        self.asked = amounts
        return self.holding

    def of(self, agent_id: str, amounts: Amounts) -> _Refused:
        for each in self.refused:
            if each.amounts is amounts or each.amounts == amounts:
                return each
        self.refused = [each for each in self.refused if each.seats]
        self.refused.append(_Refused(agent_id, amounts))
        return self.refused[-1]


class Filters:
    """Refusals that still hold, by agent. `expire` brings them up to the time; the rest is as of then.

    `noted` is the length of the table of their ends.
    """

    def __init__(self, seats: Seats | None = None) -> None:
        self._seats = seats or Seats()
        self._of_agent: dict[str, _OfAgent] = {}
        self._counts: dict[int, int] = {}
        self._live = 0
        self._ends: dict[int, list[tuple[_Refused, int]]] = {}
        self._ticks: list[int] = []
        self.noted = 0

    def __bool__(self) -> bool:
        """Whether any refusal may hold."""
        return bool(self._live)

    def refuse(self, framework_id: str, role: str, agent_id: str, amounts: Amounts, *, until: float) -> None:
        """Offer no part of `amounts` on that agent before `until`."""
        number = self._seats.number(role, framework_id)
        of_agent = self._of_agent.setdefault(agent_id, _OfAgent())
        refused = of_agent.of(agent_id, amounts)
        known = refused.until.get(number)
        if known is None:
            refused.seats |= 1 << number
            self._counts[number] = self._counts.get(number, 0) + 1
            self._live += 1
            of_agent.asked = None
        elif until <= known:
            return
        refused.until[number] = until
        self._note(refused, number, until)
        if self.noted > 2 * self._live + _SLACK:
            self._note_all()

    def expire(self, now: float) -> Iterable[str]:
        """Let go of the refusals whose time has come; the agents that they were about."""
        found: dict[str, None] = {}
        tick = int(now * _TICKS)
        later: list[tuple[_Refused, int, float]] = []
        while self._ticks and self._ticks[0] <= tick:
            due = self._ends.pop(heappop(self._ticks))
            self.noted -= len(due)
            for refused, number in due:
                until = refused.until.get(number)
                if until is None:
                    continue
                if until <= now:
                    self._let_go(refused, number)
                    found[refused.agent_id] = None
                elif int(until * _TICKS) <= tick:
                    later.append((refused, number, until))
        for refused, number, until in later:
            self._note(refused, number, until)
        return found

    def against(self, agent_id: str, amounts: Amounts) -> int:
        """The seats that refused `amounts` or more of that agent."""
        of_agent = self._of_agent.get(agent_id)
        return 0 if of_agent is None else of_agent.against(amounts)

    def against_each(self, agent_ids: Iterable[str], amounts: Amounts) -> list[int]:
        """The same for many agents that have as much free."""
        of_agents = map(self._of_agent.get, agent_ids)
        return [
            0 if each is None else each.holding if each.asked is amounts else each.against(amounts)
            for each in of_agents
        ]

    def clear(self, framework_id: str, roles: Iterable[str] | None = None) -> Iterable[str]:
        """Forget what a framework refused, in these roles or in all; the agents that it was about."""
        numbers = self._seats.of_framework(framework_id)
        chosen = numbers.values() if roles is None else [numbers[role] for role in roles if role in numbers]
        bits = mask(number for number in chosen if number in self._counts)
        found: dict[str, None] = {}
        for agent_id, of_agent in self._of_agent.items() if bits else ():
            for refused in of_agent.refused:
                for number in members(refused.seats & bits):
                    self._let_go(refused, number)
                    found[agent_id] = None
        return found

    def forget_agent(self, agent_id: str) -> None:
        """Forget what was refused of an agent that left."""
        of_agent = self._of_agent.pop(agent_id, None)
        for refused in of_agent.refused if of_agent is not None else ():
            for number in list(refused.until):
                self._let_go(refused, number)

    def active(self) -> Mapping[str, int]:
        """How many refusals hold, by role."""
        found: dict[str, int] = {}
        for number, count in self._counts.items():
            role = self._seats.seat(number)[0]
            found[role] = found.get(role, 0) + count
        return found

    def _let_go(self, refused: _Refused, number: int) -> None:
        del refused.until[number]
        refused.seats &= ~(1 << number)
        self._live -= 1
        self._counts[number] -= 1
        if not self._counts[number]:
            del self._counts[number]
        of_agent = self._of_agent.get(refused.agent_id)
        if of_agent is not None:
            of_agent.asked = None

    def _note(self, refused: _Refused, number: int, until: float) -> None:
        tick = int(until * _TICKS)
        due = self._ends.get(tick)
        if due is None:
            due = self._ends[tick] = []
            heappush(self._ticks, tick)
        due.append((refused, number))
        self.noted += 1

    def _note_all(self) -> None:
        """Write the table of ends anew: most of it was about refusals that are cleared or were renewed."""
        self._ends, self._ticks, self.noted = {}, [], 0
        for of_agent in self._of_agent.values():
            for refused in of_agent.refused:
                for number, until in refused.until.items():
                    self._note(refused, number, until)


def refuse_seconds(filters: Message | None) -> float:
    """How long a refusal holds: 5 s unless said, a year at most; 0 for not at all."""
    seconds = DEFAULT_REFUSE_S if filters is None else float(filters.get("refuse_seconds", DEFAULT_REFUSE_S))
    if seconds != seconds or seconds < 0:
        return DEFAULT_REFUSE_S
    return min(seconds, LONGEST_REFUSE_S)
