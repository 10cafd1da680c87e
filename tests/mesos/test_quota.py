"""Quotas: guarantees come first and are held back for, limits are kept."""

from random import Random

from bireme.mesos.allocator import Allocator, FrameworkView, Grant
from bireme.mesos.amounts import Amounts
from bireme.mesos.eligibility import AgentView
from bireme.mesos.quota import Quota

PORTS = {"ports": ((31000, 31999),)}


def allocator_of(agents: int, *frameworks: tuple[str, str], cpus: int = 4000, mem: int = 8_000_000) -> Allocator:
    """Agents of one size, and frameworks in roles."""
    made = Allocator(random=Random(1))
    made.order.set_total({"cpus": agents * cpus, "mem": agents * mem})
    for name, role in frameworks:
        made.set_framework(FrameworkView(name, (role,)))
    for number in range(agents):
        made.set_agent(AgentView(f"S{number}", Amounts({"cpus": cpus, "mem": mem}, PORTS)))
    return made


def allocate(made: Allocator) -> list[Grant]:
    """All there is to grant, each charged; what is left of agents the allocator has seen to."""
    found = []
    while made.waiting:
        made.begin(now=0)
        while grants := made.grants():
            for grant in grants:
                made.charge(grant.framework_id, grant.role, grant.amounts.scalars, turns=1)
            found += grants
    return found


def cpus_of(grants: list[Grant], role: str) -> int:
    return sum(grant.amounts.scalar("cpus") for grant in grants if grant.role == role)


def test_a_role_whose_guarantee_is_not_met_goes_before_a_poorer_one() -> None:
    made = allocator_of(2, ("rich", "g"), ("poor", "x"))
    made.charge("rich", "g", {"cpus": 4000, "mem": 8_000_000})
    made.set_quota("g", Quota({"cpus": 12_000}))
    first = allocate(made)[0]
    assert (first.role, first.amounts.scalar("cpus")) == ("g", 4000)


def test_in_the_first_stage_a_role_gets_what_it_lacks_and_no_more_than_headroom_allows() -> None:
    made = allocator_of(1, ("a", "g"), ("b", "x"))
    made.set_quota("g", Quota({"cpus": 1000, "mem": 1_000_000}))
    made.set_quota("h", Quota({"cpus": 2000}))
    first, *others = allocate(made)
    assert (first.role, first.amounts.scalars) == ("g", {"cpus": 2000, "mem": 8_000_000})
    assert first.amounts.ranges == PORTS
    assert others == []  # two CPUs are held back for `h`, in which there is no framework


def test_others_leave_as_much_free_as_guarantees_lack() -> None:
    made = allocator_of(3, ("b", "x"))
    made.set_quota("g", Quota({"cpus": 5000}))
    assert cpus_of(allocate(made), "x") == 7000
    made.set_framework(FrameworkView("a", ("g/inner",)))
    assert cpus_of(allocate(made), "g/inner") == 5000


def test_a_limit_cuts_what_a_role_and_those_below_it_are_offered() -> None:
    made = allocator_of(2, ("a", "g"), ("b", "g/inner"))
    made.set_quota("g", Quota(limits={"cpus": 5000}))
    grants = allocate(made)
    assert sum(grant.amounts.scalar("cpus") for grant in grants) == 5000
    assert all(grant.amounts.scalar("mem") for grant in grants)


def test_what_a_role_gives_back_lets_it_have_agents_that_nobody_touched() -> None:
    made = allocator_of(2, ("a", "g"))
    made.set_quota("g", Quota(limits={"cpus": 4000, "mem": 8_000_000}))
    (grant,) = allocate(made)
    assert allocate(made) == []
    made.charge("a", "g", grant.amounts.scalars, times=-1)
    (other,) = allocate(made)
    assert other.agent_id != grant.agent_id


def test_a_quota_that_is_set_again_counts_what_was_taken_meanwhile() -> None:
    made = allocator_of(2, ("a", "g"))
    made.set_quota("g", Quota(limits={"cpus": 1000}))
    assert cpus_of(allocate(made), "g") == 1000
    made.set_quota("g", Quota())
    made.charge("a", "g", {"cpus": 2000})
    made.set_quota("g", Quota(limits={"cpus": 4000}))
    assert cpus_of(allocate(made), "g") == 1000


def test_a_quota_that_goes_in_the_middle_of_a_round_leaves_nobody_waiting() -> None:
    made = allocator_of(4, ("a", "g"), ("b", "x"))
    made.set_quota("g", Quota({"cpus": 8000}))
    made.begin(now=0)
    assert [grant.role for grant in made.grants(1)] == ["g"]
    made.set_quota("g", Quota())
    for number in range(4):
        made.drop_agent(f"S{number}")
    for _ in range(3):
        made.begin(now=0)
        assert made.grants() == []
    assert not made.waiting


def test_without_its_quota_a_role_is_as_any_other() -> None:
    made = allocator_of(2, ("a", "g"))
    made.set_quota("g", Quota(limits={"cpus": 1000}))
    assert cpus_of(allocate(made), "g") == 1000
    made.set_quota("g", Quota())
    assert cpus_of(allocate(made), "g") == 7000
