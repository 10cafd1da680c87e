"""Server-side apply and field ownership over the door, in the words that clients see."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bireme.http.interface import Identity

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MAPS = "/api/v1/namespaces/default/configmaps"
APPLY = "application/apply-patch+yaml"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def deployment(*, replicas: int | None = 3, image: str = "web:1", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": image}]}}
    said = {"selector": {"matchLabels": labels}, "template": template, **spec}
    if replicas is not None:
        said["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": said}


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


async def applied(door, path, body, manager="alice", *, query="", status=0):
    reply = await door.ask("PATCH", f"{path}?fieldManager={manager}{query}", body, content_type=APPLY)
    assert reply.status == status or (not status and reply.status in (200, 201)), reply.tree
    return reply.tree


def owners(tree: Any) -> dict[tuple[str, str, str], Any]:
    entries = tree["metadata"].get("managedFields", [])
    return {(e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"] for e in entries}


async def test_a_maker_owns_what_it_sent_and_what_was_filled_in_before_admission(opened):
    async with opened() as door:
        pod = {
            "metadata": {"name": "a", "labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        made = (
            await door.ask("POST", "/api/v1/namespaces/default/pods", pod, user_agent="kubectl/v1.32.0 (linux/amd64)")
        ).tree
        (entry,) = made["metadata"]["managedFields"]
        assert {k: entry[k] for k in ("manager", "operation", "apiVersion", "fieldsType")} == {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
        }
        assert entry["time"] == made["metadata"]["creationTimestamp"]
        fields = entry["fieldsV1"]
        assert fields["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
        assert sorted(fields) == ["f:metadata", "f:spec"]
        assert "." not in fields["f:spec"]
        assert list(fields["f:spec"]["f:containers"]) == ['k:{"name":"c"}']
        assert fields["f:spec"]["f:containers"]['k:{"name":"c"}']["."] == {}
        assert "f:tolerations" not in fields["f:spec"]  # admission put them there


async def test_apply_makes_the_object_and_owns_just_what_it_says(opened):
    async with opened() as door:
        made = await applied(door, f"{DEPLOYMENTS}/web", deployment(), status=201)
        assert owners(made) == {
            ("alice", "Apply", ""): {
                "f:spec": {
                    "f:replicas": {},
                    "f:selector": {},
                    "f:template": {
                        "f:metadata": {"f:labels": {"f:app": {}}},
                        "f:spec": {"f:containers": {'k:{"name":"web"}': {".": {}, "f:image": {}, "f:name": {}}}},
                    },
                }
            }
        }
        again = await applied(door, f"{DEPLOYMENTS}/web", deployment(), status=200)
        assert again["metadata"] == made["metadata"]


async def test_a_field_of_another_manager_is_a_conflict_unless_forced(opened):
    async with opened() as door:
        await applied(door, f"{DEPLOYMENTS}/web", deployment())
        refused = await applied(door, f"{DEPLOYMENTS}/web", deployment(replicas=5), "bob", status=409)
        assert refused["reason"] == "Conflict"
        assert refused["message"] == 'Apply failed with 1 conflict: conflict with "alice": .spec.replicas'
        assert refused["details"]["causes"] == [
            {"reason": "FieldManagerConflict", "message": 'conflict with "alice"', "field": ".spec.replicas"}
        ]
        taken = await applied(door, f"{DEPLOYMENTS}/web", deployment(replicas=5), "bob", query="&force=true")
        assert taken["spec"]["replicas"] == 5
        assert "f:replicas" not in owners(taken)["alice", "Apply", ""]["f:spec"]
        assert "f:replicas" in owners(taken)["bob", "Apply", ""]["f:spec"]
        assert "f:selector" in owners(taken)["alice", "Apply", ""]["f:spec"]  # the same value: both own it


async def test_several_conflicts_are_listed_by_manager(opened):
    async with opened() as door:
        await door.make(DEPLOYMENTS + "?fieldManager=maker", deployment())
        refused = await applied(door, f"{DEPLOYMENTS}/web", deployment(replicas=5, image="web:2"), "bob", status=409)
        assert refused["message"] == (
            'Apply failed with 2 conflicts: conflicts with "maker" using apps/v1:\n'
            "- .spec.replicas\n"
            '- .spec.template.spec.containers[name="web"].image'
        )


async def test_what_is_said_no_more_goes_unless_somebody_else_owns_it(opened):
    async with opened() as door:
        await applied(door, f"{MAPS}/settings", config_map(a="1", b="2", c="3"))
        await applied(door, f"{MAPS}/settings", config_map(b="2"), "bob")
        left = await applied(door, f"{MAPS}/settings", config_map(c="3"))
        assert left["data"] == {"b": "2", "c": "3"}
        assert owners(left)["alice", "Apply", ""] == {"f:data": {"f:c": {}}}
        assert owners(left)["bob", "Apply", ""] == {"f:data": {"f:b": {}}}


async def test_an_update_takes_what_it_changes_and_keeps_the_rest_with_its_owner(opened):
    async with opened() as door:
        await applied(door, f"{MAPS}/settings", config_map(a="1", b="2"))
        reply = await door.ask(
            "PATCH",
            f"{MAPS}/settings?fieldManager=editor",
            {"data": {"a": "9", "d": "4"}},
            content_type="application/merge-patch+json",
        )
        assert owners(reply.tree) == {
            ("alice", "Apply", ""): {"f:data": {"f:b": {}}},
            ("editor", "Update", ""): {"f:data": {"f:a": {}, "f:d": {}}},
        }
        refused = await applied(door, f"{MAPS}/settings", config_map(a="1"), status=409)
        assert refused["message"] == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.a'


@pytest.mark.parametrize("said", [[{}], []], ids=["one empty entry", "an empty list"])
async def test_owners_are_forgotten_on_request_and_found_again_before_the_first_apply(opened, said):
    async with opened() as door:
        await door.make(f"{MAPS}?fieldManager=maker", config_map(a="1"))
        patch = {"metadata": {"managedFields": said}}
        reply = await door.ask("PATCH", f"{MAPS}/settings", patch, content_type="application/merge-patch+json")
        assert "managedFields" not in reply.tree["metadata"]
        merged = await applied(door, f"{MAPS}/settings", config_map(b="2"))
        assert owners(merged) == {
            ("alice", "Apply", ""): {"f:data": {"f:b": {}}},
            ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:a": {}}},
        }


async def test_status_is_owned_through_its_subresource(opened):
    async with opened() as door:
        await applied(door, f"{DEPLOYMENTS}/web", {**deployment(), "status": {"replicas": 9}})
        reply = await door.ask(
            "PATCH",
            f"{DEPLOYMENTS}/web/status?fieldManager=controller",
            {"spec": {"replicas": 7}, "status": {"replicas": 2}},
            content_type="application/merge-patch+json",
        )
        found = owners(reply.tree)
        assert found["controller", "Update", "status"] == {"f:status": {"f:replicas": {}}}
        assert "f:status" not in found["alice", "Apply", ""]
        status = {k: v for k, v in deployment().items() if k != "spec"} | {"status": {"replicas": 4}}
        refused = await applied(door, f"{DEPLOYMENTS}/web/status", status, "bob", status=409)
        assert refused["message"] == (
            'Apply failed with 1 conflict: conflict with "controller" with subresource "status" using apps/v1: '
            ".status.replicas"
        )


async def test_replicas_are_owned_through_scale(opened):
    async with opened() as door:
        await applied(door, f"{DEPLOYMENTS}/web", deployment())
        scale = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": 8},
        }
        refused = await applied(door, f"{DEPLOYMENTS}/web/scale", scale, "bob", status=409)
        assert refused["message"] == 'Apply failed with 1 conflict: conflict with "alice": .spec.replicas'
        await door.ask("PUT", f"{DEPLOYMENTS}/web/scale?fieldManager=scaler", scale)
        found = owners((await door.ask("GET", f"{DEPLOYMENTS}/web")).tree)
        assert found["scaler", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
        assert "f:replicas" not in found["alice", "Apply", ""]["f:spec"]
        kept = await applied(door, f"{DEPLOYMENTS}/web", deployment(replicas=None))
        assert kept["spec"]["replicas"] == 8


@pytest.mark.parametrize(
    ("query", "body", "code", "message"),
    [
        pytest.param(
            "",
            config_map(),
            422,
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
            id="nobody's",
        ),
        pytest.param(
            "?fieldManager=a",
            {**config_map(), "metadata": {"name": "settings", "managedFields": []}},
            400,
            "metadata.managedFields must be nil",
            id="owners in the configuration",
        ),
        pytest.param(
            "?fieldManager=a",
            {**config_map(), "metadata": {"name": "other"}},
            400,
            "the name of the object (other) does not match the name on the URL (settings)",
            id="another name",
        ),
        pytest.param(
            "?fieldManager=a",
            {**config_map(), "kind": "Secret"},
            400,
            "invalid object type: v1, Kind=Secret",
            id="another kind",
        ),
        pytest.param(
            "?fieldManager=a",
            {**config_map(), "colour": "red"},
            500,
            "failed to create typed patch object (default/settings; v1, Kind=ConfigMap): "
            ".colour: field not declared in schema",
            id="an unknown field",
        ),
        pytest.param(
            "?fieldManager=a",
            {**config_map(), "metadata": {"name": "settings", "uid": "x"}},
            409,
            'Operation cannot be fulfilled on configmaps "settings": uid mismatch: the provided object specified '
            "uid x, and no existing object was found",
            id="an object that is no more",
        ),
        pytest.param("?fieldManager=a", b"a: [", 400, None, id="no YAML"),
    ],
)
async def test_what_can_not_be_applied(opened, query, body, code, message):
    async with opened() as door:
        reply = await door.ask("PATCH", f"{MAPS}/settings{query}", body, content_type=APPLY)
        assert reply.status == code, reply.tree
        assert message is None or reply.tree["message"] == message
        assert (await door.ask("GET", f"{MAPS}/settings")).status == 404


async def test_items_of_a_list_may_not_come_twice(opened):
    async with opened() as door:
        ports = [{"port": 80}, {"port": 80, "protocol": "TCP", "targetPort": 8080}]
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": ports}}
        reply = await applied(door, "/api/v1/namespaces/default/services/web", service, status=500)
        assert reply["message"].endswith('.spec.ports: duplicate entries for key [port=80,protocol="TCP"]')


async def test_a_dry_run_changes_nothing(opened):
    async with opened() as door:
        made = await applied(door, f"{MAPS}/settings", config_map(a="1"), query="&dryRun=All", status=201)
        assert made["data"] == {"a": "1"}
        assert (await door.ask("GET", f"{MAPS}/settings")).status == 404


async def test_a_stale_resource_version_is_a_conflict(opened):
    async with opened() as door:
        await applied(door, f"{MAPS}/settings", config_map(a="1"))
        stale = config_map(a="2")
        stale["metadata"]["resourceVersion"] = "1"
        refused = await applied(door, f"{MAPS}/settings", stale, status=409)
        assert "the object has been modified" in refused["message"]


async def test_kubectl_takes_over_what_its_client_side_apply_left(opened):
    async with opened() as door:
        body = config_map(a="1")
        body["metadata"]["annotations"] = {
            LAST_APPLIED: '{"apiVersion":"v1","data":{"a":"1"},"kind":"ConfigMap"}',
        }
        await door.make(f"{MAPS}?fieldManager=kubectl-client-side-apply", body)
        refused = await applied(door, f"{MAPS}/settings", config_map(a="2"), "other", status=409)
        assert "kubectl-client-side-apply" in refused["message"]
        taken = await applied(door, f"{MAPS}/settings", config_map(a="2"), "kubectl")
        assert taken["data"] == {"a": "2"}
        noted = taken["metadata"]["annotations"][LAST_APPLIED]
        assert noted == '{"apiVersion":"v1","data":{"a":"2"},"kind":"ConfigMap","metadata":{"name":"settings"}}\n'


async def test_owners_can_be_rewritten_by_a_json_patch(opened):
    async with opened() as door:
        await door.make(f"{MAPS}?fieldManager=kubectl-client-side-apply", config_map(a="1"))
        entry = {
            "manager": "kubectl",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}}},
        }
        operations = [{"op": "replace", "path": "/metadata/managedFields", "value": [entry]}]
        reply = await door.ask("PATCH", f"{MAPS}/settings", operations, content_type="application/json-patch+json")
        assert reply.tree["metadata"]["managedFields"] == [entry]


async def test_the_eleventh_updater_makes_the_oldest_ancient(opened):
    async with opened() as door:
        await door.make(f"{MAPS}?fieldManager=m00", config_map(k00=""))
        for number in range(1, 13):
            await door.clock.advance(1)
            await door.ask(
                "PATCH",
                f"{MAPS}/settings?fieldManager=m{number:02}",
                {"data": {f"k{number:02}": ""}},
                content_type="application/merge-patch+json",
            )
        found = owners((await door.ask("GET", f"{MAPS}/settings")).tree)
        assert len(found) == 10
        ancient = found["ancient-changes", "Update", ""]["f:data"]
        assert sorted(ancient) == [".", "f:k00", "f:k01", "f:k02", "f:k03"]


async def test_who_may_only_patch_makes_nothing(opened):
    async with opened() as door:
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch", "update"]}]
        roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        await door.make(f"{roles}/roles", {"metadata": {"name": "patcher"}, "rules": rules})
        bound = {
            "metadata": {"name": "patcher"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patcher"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "pat"}],
        }
        await door.make(f"{roles}/rolebindings", bound)
        await door.clock.advance(0)  # the roles follow what is written
        asked = (f"{MAPS}/settings?fieldManager=pat", config_map(a="1"))
        refused = await door.ask("PATCH", *asked, content_type=APPLY, user=Identity("pat"))
        assert (refused.status, refused.tree["reason"]) == (403, "Forbidden")
        assert 'User "pat" cannot create resource "configmaps"' in refused.tree["message"]
        await door.make(MAPS, config_map())
        reply = await door.ask("PATCH", *asked, content_type=APPLY, user=Identity("pat"))
        assert reply.status == 200, reply.tree


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "80", "TCP", "1Gi"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "ports", "port", "protocol", "labels", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ODD_SERVICES = st.fixed_dictionaries(
    {"apiVersion": st.just("v1"), "kind": st.just("Service")},
    optional={
        "metadata": ODD
        | st.fixed_dictionaries({"name": st.just("web")}, optional={"labels": ODD, "finalizers": ODD}),
        "spec": ODD | st.fixed_dictionaries({"ports": st.lists(ODD, max_size=3)}, optional={"selector": ODD}),
        "status": ODD,
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(ODD_SERVICES, min_size=1, max_size=5))
async def test_odd_configurations_are_applied_or_refused(opened, bodies):
    path = "/api/v1/namespaces/default/services/web"
    async with opened() as door:
        for number, body in enumerate(bodies):
            query = f"?fieldManager=m{number % 2}&force={'true' if number % 3 else 'false'}"
            reply = await door.ask("PATCH", path + query, body, content_type=APPLY)
            assert reply.status < 500 or reply.tree["message"].startswith("failed to create typed patch object")


ODD_SETS = st.recursive(
    st.just({}) | st.none() | st.sampled_from(["~1", "x"]),
    lambda inner: st.dictionaries(
        st.sampled_from([".", "f:data", "f:a", 'k:{"a":1}', "k:1", "v:", 'v:"x"', "i:0", "?"]), inner, max_size=3
    ),
    max_leaves=5,
)
ODD_OWNERS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "manager": st.sampled_from(["m", "n"]),
            "operation": st.sampled_from(["Apply", "Update", "Other"]),
            "apiVersion": st.sampled_from(["v1", "v9", ""]),
            "fieldsType": st.sampled_from(["FieldsV1", "FieldsV2"]),
            "fieldsV1": ODD_SETS,
            "time": st.sampled_from(["2026-01-01T00:00:00Z", "now"]),
            "subresource": st.sampled_from(["", "status"]),
        },
    ),
    max_size=3,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(ODD_OWNERS, min_size=1, max_size=4))
async def test_odd_owners_are_taken_or_passed_over(opened, said):
    async with opened() as door:
        await door.make(f"{MAPS}?fieldManager=maker", config_map(a="1"))
        for number, listed in enumerate(said):
            body = config_map(a=str(number))
            body["metadata"]["managedFields"] = listed
            reply = await door.ask("PUT", f"{MAPS}/settings?fieldManager=m", body)
            assert reply.status in (200, 400, 422), reply.tree
            reply = await door.ask(
                "PATCH", f"{MAPS}/settings?fieldManager=n&force=true", config_map(b="1"), content_type=APPLY
            )
            assert reply.status == 200, reply.tree
            assert (await door.ask("GET", f"{MAPS}/settings")).tree["metadata"]["managedFields"]


async def test_owners_of_the_older_version_of_an_autoscaler_are_seen_in_the_newer(opened):
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers/a?fieldManager={}"
    target = {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}

    def scaler(version: str, **spec: Any) -> dict[str, Any]:
        spec = {"maxReplicas": 3, "scaleTargetRef": target, **spec}
        kind = {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler"}
        return {**kind, "metadata": {"name": "a"}, "spec": spec}

    def half(percent: int) -> list[dict[str, Any]]:
        aim = {"type": "Utilization", "averageUtilization": percent}
        return [{"type": "Resource", "resource": {"name": "cpu", "target": aim}}]

    async with opened() as door:

        async def applied(manager: str, version: str, **spec: Any) -> Any:
            body = scaler(version, **spec)
            return await door.ask("PATCH", path.format(version, manager), body, content_type=APPLY)

        assert (await applied("one", "v1", targetCPUUtilizationPercentage=50)).status == 201
        assert (await applied("two", "v2", metrics=half(50))).status == 200
        refused = await applied("two", "v2", metrics=half(60))
        assert refused.status == 409
        fields = [cause["field"] for cause in refused.tree["details"]["causes"]]
        assert fields == [".spec.targetCPUUtilizationPercentage"]
        assert (await applied("one", "v1")).status == 200
        taken = await applied("two", "v2", metrics=half(60))
        assert taken.status == 200
        assert taken.tree["spec"]["metrics"] == half(60)


async def test_an_apply_through_a_subresource_owns_what_that_can_change(opened):
    pods = "/api/v1/namespaces/default/pods"
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
    more = {"name": "c", "image": "other", "env": [{"name": "A"}], "resources": {"requests": {"cpu": "2"}}}
    base = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}}
    async with opened() as door:
        await door.make(pods, {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
        config = {**base, "spec": {"priorityClassName": "high", "containers": [more]}}
        grown = await applied(door, f"{pods}/p/resize", config, "grower", query="&force=true")
        assert grown["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2"}}
        assert owners(grown)["grower", "Apply", "resize"] == {
            "f:spec": {"f:containers": {'k:{"name":"c"}': {"f:resources": {"f:requests": {"f:cpu": {}}}}}}
        }
        config = {**base, "spec": {"containers": [more], "ephemeralContainers": [{"name": "e", "image": "i"}]}}
        debugged = await applied(door, f"{pods}/p/ephemeralcontainers", config, "debugger")
        share = {".": {}, "f:name": {}, "f:image": {}}
        assert owners(debugged)["debugger", "Apply", "ephemeralcontainers"] == {
            "f:spec": {"f:ephemeralContainers": {'k:{"name":"e"}': share}}
        }
        (maker,) = [fields for (_, _, part), fields in owners(debugged).items() if not part]
        assert maker["f:spec"]["f:containers"]['k:{"name":"c"}']["f:image"] == {}
        assert "f:ephemeralContainers" not in maker["f:spec"]


async def test_an_approval_owns_conditions_alone(opened):
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ann")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    spec = {
        "request": base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode(),
        "signerName": "example.com/any",
        "usages": ["client auth"],
    }
    async with opened() as door:
        await door.make(requests, {"metadata": {"name": "c"}, "spec": spec})
        condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
        config = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "c"},
            "spec": spec,
            "status": {"conditions": [condition], "certificate": ""},
        }
        approved = await applied(door, f"{requests}/c/approval", config, "approver", query="&force=true")
        share = owners(approved)["approver", "Apply", "approval"]
        assert list(share) == ["f:status"]
        assert list(share["f:status"]) == ["f:conditions"]
