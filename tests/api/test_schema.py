import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api import schema as schemas
from bireme.api.schema import Problem, cannot_be_handled, strict_faults
from bireme.api.scheme import Gvk, builtin
from bireme.api.shape import Form

DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
POD = "io.k8s.api.core.v1.Pod"
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
QUANTITIES = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"

schema = schemas.builtin()


def template(spec: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


@pytest.mark.parametrize("resource", builtin().resources(), ids=lambda item: item.title)
def test_every_kind_has_a_schema(resource: Any) -> None:
    tree = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": "a", "labels": {"a": "b"}},
    }
    tree["nonsense"] = {"a": 1}
    assert schema.check(tree, resource.definition) == []
    assert schema.prune(tree, resource.definition) == ["nonsense"]
    assert schema.settle(tree, resource.definition) == schemas.FINE
    assert schema.node(resource.definition).fields["metadata"].node.form is Form.OBJECT


@pytest.mark.parametrize(
    ("tree", "path", "message"),
    [
        pytest.param(
            {"spec": {"replicas": "3"}},
            "spec.replicas",
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            id="text for a number",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": 1}}},
            "metadata.labels.a",
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            id="number for a text in a map",
        ),
        pytest.param(
            {"spec": []},
            "spec",
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
            id="list for a structure",
        ),
        pytest.param([], "", "json: cannot unmarshal array into Go value of type v1.Deployment", id="list for all"),
        pytest.param(
            {"spec": {"replicas": 2**40}},
            "spec.replicas",
            "json: cannot unmarshal number 1099511627776 into Go "
            "struct field DeploymentSpec.spec.replicas of type int32",
            id="too large",
        ),
        pytest.param(
            {"spec": {"replicas": 1.5}},
            "spec.replicas",
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            id="fraction",
        ),
        pytest.param(
            {"spec": {"paused": 1}},
            "spec.paused",
            "json: cannot unmarshal number into Go struct field DeploymentSpec.spec.paused of type bool",
            id="number for a flag",
        ),
        pytest.param(
            template({"containers": {}}),
            "spec.template.spec.containers",
            "json: cannot unmarshal object into Go "
            "struct field PodSpec.spec.template.spec.containers of type []v1.Container",
            id="map for a list",
        ),
        pytest.param(
            template({"containers": [{"ports": [{"containerPort": True}]}]}),
            "spec.template.spec.containers[0].ports[0].containerPort",
            "json: cannot unmarshal bool into Go struct field "
            "ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
            id="deep in lists",
        ),
        pytest.param(
            {"spec": {"strategy": {"rollingUpdate": {"maxSurge": True}}}},
            "spec.strategy.rollingUpdate.maxSurge",
            "json: cannot unmarshal bool into Go struct field "
            "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
            id="neither number nor text",
        ),
        pytest.param(
            {"metadata": {"creationTimestamp": "noon"}},
            "metadata.creationTimestamp",
            'parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"',
            id="no time",
        ),
        pytest.param(
            template({"containers": [{"resources": {"limits": {"cpu": "x"}}}]}),
            "spec.template.spec.containers[0].resources.limits.cpu",
            QUANTITIES,
            id="no quantity",
        ),
        pytest.param(
            template({"overhead": {"cpu": "1Kib"}}),
            "spec.template.spec.overhead.cpu",
            QUANTITIES,
            id="no such letter",
        ),
        pytest.param(
            template({"overhead": {"cpu": "1KM"}}),
            "spec.template.spec.overhead.cpu",
            "unable to parse quantity's suffix",
            id="no such suffix",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_go_words(tree: Any, path: str, message: str) -> None:
    assert schema.check(tree, DEPLOYMENT) == [Problem(path, message)]


def test_base64() -> None:
    assert schema.check({"data": {"a": "YQ=="}}, "io.k8s.api.core.v1.Secret") == []
    assert schema.check({"data": {"a": "Y?=="}}, "io.k8s.api.core.v1.Secret") == [
        Problem("data.a", "illegal base64 data at input byte 1")
    ]


def test_unknown_fields_are_taken_out_and_told() -> None:
    tree = template({"containers": [{"name": "a"}, {"name": "b", "img": 1}], "colour": {"red": 1}})
    tree["metadata"] = {"label": {}}
    before = copy.deepcopy(tree)
    assert schema.check(tree, DEPLOYMENT) == []
    assert tree == before
    assert schema.prune(tree, DEPLOYMENT) == [
        "spec.template.spec.containers[1].img",
        "spec.template.spec.colour",
        "metadata.label",
    ]
    assert tree == {**template({"containers": [{"name": "a"}, {"name": "b"}]}), "metadata": {}}


def test_nulls_are_unset_fields_and_empty_items() -> None:
    tree = {
        "metadata": {"creationTimestamp": None, "labels": {"a": None}, "finalizers": [None]},
        "spec": {"containers": [None, {"ports": None}], "volumes": [{"name": "v", "emptyDir": None}]},
        "status": None,
    }
    assert schema.settle(tree, POD) == schemas.FINE
    assert tree == {
        "metadata": {"labels": {"a": ""}, "finalizers": [""]},
        "spec": {"containers": [{}, {}], "volumes": [{"name": "v"}]},
    }


def test_what_the_schema_leaves_open_is_left_alone() -> None:
    tree = {"data": {"anything": [1, None, {"a": None}]}, "revision": 1}
    before = copy.deepcopy(tree)
    assert schema.settle(tree, "io.k8s.api.apps.v1.ControllerRevision") == schemas.FINE
    assert tree == before


def test_a_schema_that_holds_itself() -> None:
    inner = {"type": "object", "properties": {"a": {"properties": {"b": {"type": "string", "odd": 1}}}}}
    tree = {"spec": {"versions": [{"schema": {"openAPIV3Schema": inner}}]}}
    assert schema.settle(tree, CRD).unknown == (
        "spec.versions[0].schema.openAPIV3Schema.properties.a.properties.b.odd",
    )
    assert schema.settle(tree, CRD).unknown == ()


def test_merge_keys() -> None:
    containers = schema.field(POD, ("spec", "containers"))
    assert containers is not None
    assert (containers.patch_merge_key, containers.patch_strategies, containers.list_type) == (
        "name",
        {"merge"},
        "map",
    )
    ports = schema.field(POD, ("spec", "containers", "ports"))
    assert ports is not None
    assert ports.list_map_keys == ("containerPort", "protocol")
    volumes = schema.field(POD, ("spec", "volumes"))
    assert volumes is not None
    assert volumes.patch_strategies == {"merge", "retainKeys"}
    assert schema.field(POD, ("spec", "nothing", "here")) is None


def test_error_texts() -> None:
    error = cannot_be_handled(
        Gvk("apps", "v1", "Deployment"), "strict decoding error: " + ", ".join(strict_faults(["a"], ["b"]))
    )
    assert error.message == (
        'Deployment in version "v1" cannot be handled as a Deployment: '
        'strict decoding error: duplicate field "b", unknown field "a"'
    )


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "1", "Running", "1Gi"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "containers", "labels", "phase", "x", "limits", "cpu"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"metadata": values, "spec": values, "status": values, "x": values}))
def test_looking_twice_finds_nothing_new(tree: dict[str, Any]) -> None:
    first = schema.settle(copied := copy.deepcopy(tree), POD)
    again = schema.settle(copied, POD)
    assert again.unknown == ()
    assert list(again.problems) == list(first.problems)
    assert schema.check(tree, POD) == list(first.problems)
