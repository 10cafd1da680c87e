from controller_objects import ago, pod

from bireme.controllers.pod_garbage_collector import Sorted, sort, surplus


def test_sort() -> None:
    found = Sorted()
    pods = [
        pod("fine"),
        pod("ended", phase="Succeeded"),
        pod("homeless", node="gone"),
        pod("unbound", node="", going=True),
        pod("waiting", node=""),
        pod("stuck", node="n2", going=True),
        pod("ending", going=True),
    ]
    sort(found, pods, nodes={"n1", "n2"}, out_of_service={"n2"})
    names = [[item.metadata.name for item in part] for part in (found.ended, found.homeless)]
    assert names == [["ended"], ["homeless"]]
    assert [item.metadata.name for item in found.never_bound] == ["unbound"]
    assert [item.metadata.name for item in found.out_of_service] == ["stuck"]


def test_surplus_takes_the_oldest() -> None:
    ended = [pod(f"p{age}", creation_timestamp=ago(age)) for age in (10, 30, 20)]
    assert [item.metadata.name for item in surplus(ended, 1)] == ["p30", "p20"]
    assert surplus(ended, 3) == []
    assert surplus(ended, 0) == []
