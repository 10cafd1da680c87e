import pytest

from bireme.api import definitions as known
from bireme.api import schema as schemas
from bireme.api.scheme import builtin, in_house_definition, in_house_kinds

definitions = known.builtin()


def test_published_definitions_are_there() -> None:
    assert "io.k8s.api.core.v1.Pod" in definitions
    assert "io.k8s.api.core.v1.Nonsense" not in definitions
    assert len(definitions.names()) > 600
    with pytest.raises(KeyError):
        definitions.get("io.k8s.api.core.v1.Nonsense")


def test_every_listed_kind_has_a_list() -> None:
    for resource in builtin().resources():
        if "list" in resource.verbs:
            assert f"{resource.definition}List" in definitions, resource.title


@pytest.mark.parametrize("kind", in_house_kinds(), ids=lambda kind: kind.__name__)
def test_structs_of_ours_are_described(kind: type) -> None:
    name = in_house_definition(kind)
    resource = builtin().of_type(kind)
    assert resource.definition == name
    definition = definitions.get(name)
    assert definition["x-kubernetes-group-version-kind"] == [resource.gvk._asdict()]
    assert {"apiVersion", "kind", "metadata"} <= set(definition["properties"])
    described = set(schemas.builtin().node(name).fields)
    assert described == set(kind.__struct_encode_fields__)


def test_frameworks() -> None:
    schema = schemas.builtin()
    tree = {"metadata": {"name": "f"}, "spec": {"info": {"any": [None]}, "suppressedRoles": ["a"], "odd": 1}}
    assert schema.settle(tree, "dev.bireme.mesos.v1.Framework").unknown == ("spec.odd",)
    assert tree["spec"] == {"info": {"any": [None]}, "suppressedRoles": ["a"]}
    (problem,) = schema.check({"spec": {"suppressedRoles": [1]}}, "dev.bireme.mesos.v1.Framework")
    assert problem.path == "spec.suppressedRoles[0]"


def test_the_digest_is_of_all() -> None:
    other = known.Definitions({}, known.derived(in_house_kinds()))
    assert other.digest != definitions.digest
    assert len(definitions.digest) == 64
