import pytest

from bireme.registry.admission.plugins import default_plugins


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
