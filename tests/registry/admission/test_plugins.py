import re

import pytest

from bireme.api.errors import NotFound
from bireme.http.interface import Identity
from bireme.registry.admission.plugins import default_plugins
from bireme.registry.options import Call


async def test_the_order_is_the_originals(opened):
    async with opened() as registry:
        usual = [plugin.name for plugin in default_plugins(registry)]
        assert usual == [
            "NamespaceLifecycle",
            "LimitRanger",
            "ServiceAccount",
            "NodeRestriction",
            "TaintNodesByCondition",
            "PodSecurity",
            "Priority",
            "DefaultTolerationSeconds",
            "DefaultStorageClass",
            "StorageObjectInUseProtection",
            "PersistentVolumeClaimResize",
            "RuntimeClass",
            "CertificateApproval",
            "CertificateSigning",
            "ClusterTrustBundleAttest",
            "CertificateSubjectRestriction",
            "DefaultIngressClass",
            "PodTopologyLabels",
            "PodResizeValidator",
        ]
        more = default_plugins(registry, more=["DenyServiceExternalIPs"])
        assert [plugin.name for plugin in more if plugin.name not in usual] == ["DenyServiceExternalIPs"]
        with pytest.raises(ValueError, match="AlwaysDeny"):
            default_plugins(registry, more=["AlwaysDeny"])


async def test_the_steps_are_timed(opened):
    async with opened() as registry:
        maps, ann = registry.kind("", "v1", "configmaps"), Identity("ann", ("system:masters",))
        await registry.create(maps, "default", {"metadata": {"name": "a"}}, Call(ann))
        with pytest.raises(NotFound):
            await registry.create(maps, "nowhere", {"metadata": {"name": "a"}}, Call(ann))
        page = "\n".join(figures() for figures in registry.figures)
    count = "apiserver_admission_step_admission_duration_seconds_count"
    assert f'{count}{{operation="CREATE",rejected="true",type="admit"}} 1' in page
    assert f'{count}{{operation="CREATE",rejected="true",type="validate"}}' not in page
    assert re.search(rf'{count}{{operation="CREATE",rejected="false",type="validate"}} \d+', page)
