import pytest

from bireme.api.scheme import builtin
from bireme.registry.intake import Intake
from bireme.registry.kinds import Kinds
from bireme.registry.options import Call


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"labels": {}, "annotations": {}, "finalizers": []}, {}, id="nothing in them"),
        pytest.param({"labels": None, "generateName": ""}, {}, id="unset"),
        pytest.param({"labels": {"a": ""}}, {"labels": {"a": ""}}, id="a label without a value"),
    ],
)
def test_metadata_that_holds_nothing_is_dropped(metadata, expected):
    kind = Kinds(builtin()).at("", "v1", "configmaps")
    assert kind is not None
    taken = Intake(builtin()).take(kind, {"metadata": {"name": "a", **metadata}}, Call())
    assert taken["metadata"] == {"name": "a", **expected}
