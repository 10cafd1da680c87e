"""A cluster whose webhooks are all gone starts again."""

import pytest

from bireme.aio.clock import RealClock
from bireme.api.errors import ApiError
from bireme.api.kinds import admissionregistration as registration
from bireme.api.kinds import core, meta
from bireme.assembly.api import serve_api
from bireme.registry.options import Call, DeleteOptions
from bireme.store.memory import MemoryStore


async def test_it_starts_and_its_configurations_can_be_taken_away() -> None:
    clock = RealClock()
    store = MemoryStore(clock=clock)
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    hook = {
        "name": "dead.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    async with serve_api(store, clock=clock) as api:
        for plural in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
            kind = api.registry.kind("admissionregistration.k8s.io", "v1", plural)
            await api.registry.create(kind, "", {"metadata": {"name": "dead"}, "webhooks": [hook]}, Call())
        spaces = api.registry.kind("", "v1", "namespaces")
        await api.registry.delete(spaces, "", "kube-node-lease", DeleteOptions(), Call())
    async with serve_api(store, clock=clock) as api:
        admin = api.admin()
        assert await admin.list(core.Namespace)
        with pytest.raises(ApiError, match="failed calling webhook"):
            await admin.create(core.ConfigMap(metadata=meta.ObjectMeta(name="c", namespace="default")))
        for kind in (registration.MutatingWebhookConfiguration, registration.ValidatingWebhookConfiguration):
            await admin.delete(kind, "dead")
        await admin.create(core.ConfigMap(metadata=meta.ObjectMeta(name="c", namespace="default")))
    await store.close()
