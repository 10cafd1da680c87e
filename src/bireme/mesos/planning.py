"""Which of many agents goes to whose turn, where turns were found together (`turns.py`).

The turns come first: each goes to one of the next few agents that it may have. So no turn is passed over while
somebody near has what it may take, and each choice is what it would be by itself.
"""

from collections.abc import Callable, Iterable

from bireme.mesos.eligibility import AgentView

_NEAR = 64  # agents that a turn is tried with


def take_turns(
    numbers: Iterable[int],
    agents: list[AgentView],
    among: list[int],
    *,
    is_content: Callable[[int, AgentView], bool],
) -> list[AgentView]:
    """The agents that these turns of seats go to, one after the other, as far as there are any.

    `among` says of each agent the seats that it may go to if they are content with it. Agents come from the end of
    the list; those taken are taken from both lists.
    """
    taken: list[AgentView] = []
    for number in numbers:
        bit = 1 << number
        if among and among[-1] & bit and (agents[-1].kind.content & bit or is_content(number, agents[-1])):
            among.pop()
            taken.append(agents.pop())
            continue
        at = _near(number, agents, among, is_content)
        if at is None:
            break
        del among[at]
        taken.append(agents.pop(at))
    return taken


def _near(
    number: int, agents: list[AgentView], among: list[int], is_content: Callable[[int, AgentView], bool]
) -> int | None:
    """The place, not far from the end, of an agent that a seat may have."""
    bit = 1 << number
    for at in range(len(agents) - 1, max(-1, len(agents) - 1 - _NEAR), -1):
        if among[at] & bit:
            if is_content(number, agents[at]):
                return at
            among[at] &= ~bit
    return None
