import base64
from typing import Any

import pytest

from bireme.api.errors import ApiError, Invalid
from bireme.http.interface import Identity
from bireme.registry.options import Call

TEMPLATE: dict[str, Any] = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}


async def make(registry: Any, group: str, version: str, plural: str, tree: dict[str, Any], **said: Any) -> Any:
    kind = registry.kind(group, version, plural)
    namespace = "default" if kind.resource.namespaced else ""
    return (await registry.create(kind, namespace, tree, Call(**said))).tree()


async def test_a_job_selects_its_pods_by_its_uid(opened):
    async with opened() as registry:
        made = await make(
            registry, "batch", "v1", "jobs", {"metadata": {"name": "j"}, "spec": {"template": TEMPLATE}}
        )
        uid = made["metadata"]["uid"]
        labels = {
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": "j",
            "controller-uid": uid,
            "job-name": "j",
        }
        assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
        assert made["spec"]["template"]["metadata"]["labels"] == labels
        assert made["metadata"]["labels"] == labels


async def test_a_job_may_select_by_hand(opened):
    async with opened() as registry:
        template = {**TEMPLATE, "metadata": {"labels": {"a": "b"}}}
        spec = {"template": template, "manualSelector": True, "selector": {"matchLabels": {"a": "b"}}}
        made = await make(registry, "batch", "v1", "jobs", {"metadata": {"name": "j"}, "spec": spec})
        assert made["spec"]["template"]["metadata"]["labels"] == {"a": "b"}
        assert made["spec"]["selector"] == {"matchLabels": {"a": "b"}}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param({"manualSelector": True}, r"spec\.selector: Required value", id="by hand, but not said how"),
        pytest.param(
            {"template": {**TEMPLATE, "metadata": {"labels": {"controller-uid": "other"}}}},
            "`controller-uid` must be",
            id="the labels of another job",
        ),
    ],
)
async def test_a_job_whose_pods_are_not_its_own_is_refused(opened, spec, fault):
    async with opened() as registry:
        with pytest.raises(Invalid, match=fault):
            await make(
                registry, "batch", "v1", "jobs", {"metadata": {"name": "j"}, "spec": {"template": TEMPLATE, **spec}}
            )


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        pytest.param({}, "BestEffort", id="nothing asked"),
        pytest.param({"requests": {"cpu": "1"}}, "Burstable", id="no limits"),
        pytest.param(
            {"requests": {"cpu": "1000m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1024Mi"}},
            "Guaranteed",
            id="the same amounts spelled otherwise",
        ),
        pytest.param({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed", id="limits alone"),
    ],
)
async def test_quality_of_service(opened, resources, quality):
    async with opened() as registry:
        spec = {"containers": [{"name": "c", "image": "i", "resources": resources}]}
        made = await make(registry, "", "v1", "pods", {"metadata": {"name": "p"}, "spec": spec})
        assert made["status"]["qosClass"] == quality


REQUEST = b"-----BEGIN CERTIFICATE REQUEST-----\neA==\n-----END CERTIFICATE REQUEST-----\n"


async def test_a_signing_request_says_who_made_it(opened):
    async with opened() as registry:
        spec = {
            "request": base64.b64encode(REQUEST).decode(),
            "signerName": "example.com/own",
            "usages": ["client auth"],
            "username": "root",
        }
        tree = {"metadata": {"name": "c"}, "spec": spec}
        user = Identity("eve", ("system:authenticated",), "7", {"a": ("b",)})
        made = await make(registry, "certificates.k8s.io", "v1", "certificatesigningrequests", tree, user=user)
        assert (made["spec"]["username"], made["spec"]["groups"]) == ("eve", ["system:authenticated"])
        assert (made["spec"]["uid"], made["spec"]["extra"]) == ("7", {"a": ["b"]})


@pytest.mark.parametrize(
    ("group", "plural", "status"),
    [
        pytest.param("batch", "jobs", {}, id="empty for a job"),
        pytest.param("apps", "replicasets", {"replicas": 0}, id="with the numbers that are always written"),
    ],
)
async def test_a_status_is_there_from_the_first(opened, group, plural, status):
    job = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    labels = {"matchLabels": {"a": "b"}}
    pods: dict[str, Any] = {"spec": {"containers": [{"name": "c", "image": "i"}]}, "metadata": {"labels": {"a": "b"}}}
    spec = {"template": {"spec": job}} if plural == "jobs" else {"selector": labels, "template": pods}
    async with opened() as registry:
        made = await make(
            registry, group, "v1", plural, {"metadata": {"name": "x"}, "spec": spec, "status": {"a": 1}}
        )
        assert made["status"] == status


async def test_an_object_with_nothing_in_it_is_refused_whatever_its_kind(opened):
    async with opened() as registry:
        for kind in registry.kinds.all():
            if "create" in kind.resource.verbs:
                with pytest.raises(ApiError):
                    await registry.create(kind, "default" if kind.resource.namespaced else "", {}, Call())
