"""Every controller of this build, ready to run."""

import asyncio
from collections.abc import Sequence

from bireme.aio.supervise import supervise
from bireme.controllers.bootstrap_signer import BootstrapSigner
from bireme.controllers.certificate_signing import CertificateController
from bireme.controllers.cluster_role_aggregation import ClusterRoleAggregationController
from bireme.controllers.controller import Context, Controller
from bireme.controllers.cronjob import CronJobController
from bireme.controllers.daemonset import DaemonSetController
from bireme.controllers.deployment import DeploymentController
from bireme.controllers.device_taint_eviction import DeviceTaintEvictionController
from bireme.controllers.disruption import DisruptionController
from bireme.controllers.endpoints import EndpointsController
from bireme.controllers.endpointslice import EndpointSliceController
from bireme.controllers.endpointslice_mirroring import EndpointSliceMirroringController
from bireme.controllers.ephemeral_volume import EphemeralVolumeController
from bireme.controllers.garbage_collector import GarbageCollector
from bireme.controllers.job import JobController
from bireme.controllers.legacy_tokens import LegacyTokenController
from bireme.controllers.namespace import NamespaceController
from bireme.controllers.node_ipam import NodeIpamController
from bireme.controllers.node_lifecycle import NodeLifecycleController
from bireme.controllers.persistent_volume import PersistentVolumeController
from bireme.controllers.pod_garbage_collector import PodGarbageCollector
from bireme.controllers.pv_protection import PvProtectionController
from bireme.controllers.pvc_protection import PvcProtectionController
from bireme.controllers.replicaset import ReplicaSetController
from bireme.controllers.replicationcontroller import ReplicationControllerController
from bireme.controllers.resource_claims import ResourceClaimController
from bireme.controllers.root_ca import RootCaController
from bireme.controllers.service_account import ServiceAccountController
from bireme.controllers.statefulset import StatefulSetController
from bireme.controllers.storage_version_migrator import StorageVersionMigrator
from bireme.controllers.taint_eviction import TaintEvictionController
from bireme.controllers.token_cleaner import TokenCleaner
from bireme.controllers.ttl_after_finished import TtlAfterFinishedController
from bireme.controllers.validating_admission_policy_status import ValidatingAdmissionPolicyStatusController

# The garbage collector comes last: it uses the caches that the others made.
KINDS: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    ReplicationControllerController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    TtlAfterFinishedController,
    EndpointsController,
    EndpointSliceController,
    EndpointSliceMirroringController,
    NamespaceController,
    NodeLifecycleController,
    TaintEvictionController,
    DeviceTaintEvictionController,
    NodeIpamController,
    ServiceAccountController,
    RootCaController,
    PodGarbageCollector,
    PersistentVolumeController,
    EphemeralVolumeController,
    ResourceClaimController,
    PvcProtectionController,
    PvProtectionController,
    DisruptionController,
    StorageVersionMigrator,
    ClusterRoleAggregationController,
    ValidatingAdmissionPolicyStatusController,
    CertificateController,
    LegacyTokenController,
    TokenCleaner,
    BootstrapSigner,
    GarbageCollector,
)


def controllers(context: Context) -> list[Controller]:
    """All controllers over one set of informers; have them run by `run`."""
    return [kind(context) for kind in KINDS]


async def run(context: Context, wanted: Sequence[Controller]) -> None:
    """Run the informers and the controllers until cancelled; one that fails is started again by itself."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(context.informers.run(), name="informers")
        for controller in wanted:
            tasks.create_task(supervise(controller.name, controller.run, context.clock), name=controller.name)
