"""A sum of roles follows its parts."""

from bireme.api.kinds import meta, rbac
from bireme.controllers.cluster_role_aggregation import gathered


def role(name: str, *resources: str, gathers: str = "", **labels: str) -> rbac.ClusterRole:
    rules = [rbac.PolicyRule(verbs=["get"], api_groups=[""], resources=[resource]) for resource in resources]
    rule = None
    if gathers:
        selector = meta.LabelSelector(match_labels={"into": gathers})
        rule = rbac.AggregationRule(cluster_role_selectors=[selector])
    return rbac.ClusterRole(metadata=meta.ObjectMeta(name=name, labels=labels), rules=rules, aggregation_rule=rule)


def test_a_sum_holds_the_rules_of_its_parts_once_and_by_name() -> None:
    total = role("all", "old", gathers="all", into="all")
    parts = [role("b", "pods", "secrets", into="all"), role("a", "pods", into="all"), role("c", "nodes", into="no")]
    assert [rule.resources for rule in gathered(total, [total, *parts])] == [["pods"], ["secrets"]]


def test_a_role_that_gathers_nothing_stays_as_it_is() -> None:
    plain = role("plain", "pods")
    assert gathered(plain, [role("a", "nodes", into="all")]) == plain.rules
