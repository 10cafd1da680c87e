import pytest
from controller_objects import deployment, replica_set, template

from bireme.controllers import revisions
from bireme.controllers.revisions import HASH, HISTORY, REVISION


def test_the_label_with_the_hash_does_not_count() -> None:
    assert revisions.same_template(template("one"), template("one", **{HASH: "abc"}))
    assert not revisions.same_template(template("one"), template("two"))


def test_find_new_takes_the_oldest_of_two() -> None:
    sets = [replica_set("young", 1, age=1), replica_set("old", 1, age=100), replica_set("x", 1, image="two", age=999)]
    found = revisions.find_new(deployment(), sets)
    assert found is not None
    assert found.metadata.name == "old"


def test_make_new() -> None:
    there = deployment(5)
    there.metadata.annotations = {"a": "b", REVISION: "7", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    made = revisions.make_new(there, replicas=2, revision=8, maximum=7)
    digest = made.metadata.labels[HASH]
    assert made.metadata.name == f"d-{digest}"
    assert made.metadata.annotations == {
        "a": "b",
        REVISION: "8",
        revisions.DESIRED: "5",
        revisions.MAXIMUM: "7",
    }
    assert made.spec.template is not None
    assert made.spec.template.metadata.labels == {"app": "a", HASH: digest}
    assert made.spec.selector.match_labels == {"app": "a", HASH: digest}
    assert made.spec.replicas == 2
    assert HASH not in there.spec.template.metadata.labels
    there.status.collision_count = 1
    assert revisions.make_new(there, replicas=2, revision=8, maximum=7).metadata.name != made.metadata.name


def test_a_template_that_kept_its_hash_label_has_the_same_name() -> None:
    one, two = deployment(), deployment()
    two.spec.template.metadata.labels[HASH] = "stale"
    names = {revisions.make_new(item, replicas=0, revision=1, maximum=1).metadata.name for item in (one, two)}
    assert len(names) == 1


def test_taken_up_keeps_former_revisions() -> None:
    new = replica_set("new", 0, **{REVISION: "1", HISTORY: "0"})
    fresh = revisions.taken_up(deployment(), new, revision=4)
    assert fresh.metadata.annotations[REVISION] == "4"
    assert fresh.metadata.annotations[HISTORY] == "0,1"
    assert revisions.taken_up(deployment(), fresh, revision=4) is fresh
    assert new.metadata.annotations[REVISION] == "1"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(None, [], id="no limit"),
        pytest.param(10, [], id="room enough"),
        pytest.param(2, ["r1"], id="the oldest goes"),
        pytest.param(0, ["r1", "r3"], id="none is kept, but one with pods stays"),
    ],
)
def test_beyond_history(limit: int | None, expected: list[str]) -> None:
    sets = [
        replica_set("r3", 0, **{REVISION: "3"}),
        replica_set("r1", 0, **{REVISION: "1"}),
        replica_set("r2", 1, **{REVISION: "2"}),
    ]
    gone = revisions.beyond_history(deployment(revision_history_limit=limit), sets)
    assert [item.metadata.name for item in gone] == expected
