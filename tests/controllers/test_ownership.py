import msgspec
import pytest
from controller_objects import ago, deployment, pod, replica_set

from bireme.api.selectors import LabelSelector
from bireme.controllers import ownership

SELECTOR = LabelSelector.of({"app": "a"})


@pytest.mark.parametrize(
    ("labels", "owned", "going", "expected"),
    [
        pytest.param({"app": "a"}, True, False, "owned", id="its own"),
        pytest.param({"app": "b"}, True, False, "release", id="its own that matches no more"),
        pytest.param({"app": "b"}, True, True, "owned", id="an owner that goes lets nothing go"),
        pytest.param({"app": "a"}, False, False, "adopt", id="an orphan"),
        pytest.param({"app": "a"}, False, True, "", id="an owner that goes adopts nothing"),
        pytest.param({"app": "b"}, False, False, "", id="a stranger"),
    ],
)
def test_claim(labels: dict[str, str], owned: bool, going: bool, expected: str) -> None:
    owner = replica_set("rs", 1)
    owner.metadata.deletion_timestamp = ago(0) if going else ""
    claims = ownership.claim(owner, SELECTOR, [pod(labels=labels, owner=owner if owned else None)])
    found = [name for name in ("owned", "adopt", "release") if getattr(claims, name)]
    assert found == ([expected] if expected else [])


def test_what_another_controls_is_left_alone() -> None:
    claims = ownership.claim(replica_set("rs", 1), SELECTOR, [pod(owner=replica_set("other", 1))])
    assert [*claims.owned, *claims.adopt, *claims.release] == []


def test_a_dying_orphan_is_not_adopted() -> None:
    assert not ownership.claim(replica_set("rs", 1), SELECTOR, [pod(going=True)]).adopt


def test_adoption_and_release_undo_each_other() -> None:
    owner = deployment()
    adopted = ownership.adoption(pod(), owner)
    (reference,) = adopted.patch["metadata"]["ownerReferences"]
    assert reference == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "d",
        "uid": "uid-d",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    released = ownership.release(pod(owner=owner), owner)
    assert released.patch == {"metadata": {"ownerReferences": None}}
    assert adopted.exact
    assert released.exact


def test_what_was_and_is_of_another_kind_of_owner_is_told_at_a_glance() -> None:
    theirs = pod(owner=replica_set("rs", 1))
    later = msgspec.structs.replace(theirs)
    freed = pod()
    assert ownership.is_anothers(None, theirs, kind="Job")
    assert ownership.is_anothers(theirs, later, kind="Job")
    assert ownership.is_anothers(later, None, kind="Job")
    assert not ownership.is_anothers(theirs, later, kind="ReplicaSet")
    assert not ownership.is_anothers(theirs, freed, kind="Job")
    assert not ownership.is_anothers(freed, theirs, kind="Job")
    assert not ownership.is_anothers(None, freed, kind="Job")
