"""A registry with everything that belongs to it: admission, addresses, the sweep of old events."""

import asyncio
import random as chance
from collections.abc import Callable, Collection, Mapping
from functools import partial
from ipaddress import IPv4Network

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.aio.uids import new_uid
from bireme.api.cel.library.authorizer import Answer, Check
from bireme.api.scheme import Scheme
from bireme.http.interface import Identity
from bireme.registry.access import Masters, Union
from bireme.registry.addresses import ServiceAddresses
from bireme.registry.admission.chain import Plugin
from bireme.registry.admission.configuration import AdmissionConfig
from bireme.registry.admission.mutating_policy import MutatingAdmissionPolicy
from bireme.registry.admission.plugins import default_plugins
from bireme.registry.admission.policies import Policies
from bireme.registry.admission.policy_figures import PolicyFigures
from bireme.registry.admission.policy_values import authorize_by
from bireme.registry.admission.resource_quota import ResourceQuota
from bireme.registry.admission.role_escalation import RoleEscalation
from bireme.registry.admission.step_figures import StepFigures
from bireme.registry.admission.validating_policy import ValidatingAdmissionPolicy
from bireme.registry.admission.webhook_configs import Webhooks
from bireme.registry.admission.webhook_figures import WebhookFigures
from bireme.registry.admission.webhook_logins import Logins
from bireme.registry.admission.webhook_objects import Shown
from bireme.registry.admission.webhooks import Caller, MutatingAdmissionWebhook, ValidatingAdmissionWebhook
from bireme.registry.bootstrap import make_start_objects
from bireme.registry.callouts import NOBODY, Callouts
from bireme.registry.custom_cleanup import Cleanup
from bireme.registry.custom_kinds import CustomKinds
from bireme.registry.expiry import expire_events
from bireme.registry.node_access import NodeAuthorizer
from bireme.registry.quotas import Quotas
from bireme.registry.rbac import GROUP as RBAC
from bireme.registry.rbac import RbacAuthorizer
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.role_bootstrap import reconcile_roles
from bireme.registry.rules import Rules
from bireme.registry.verbs import Registry
from bireme.store.interface import Store

SERVICE_RANGE = IPv4Network("10.96.0.0/16")
NODE_PORTS = (30000, 32767)
REFILL_S = 15.0


def build_registry(
    store: Store,
    scheme: Scheme,
    clock: Clock,
    *,
    uid: Callable[[], str] | None = None,
    random: chance.Random | None = None,
    service_range: IPv4Network = SERVICE_RANGE,
    node_ports: tuple[int, int] = NODE_PORTS,
    plugins: Collection[str] = (),
    admission: AdmissionConfig | None = None,
) -> Registry:
    """A registry over `store`, loaded and ready for verbs once `run_registry` runs."""
    dice, admission = random or chance.Random(), admission or AdmissionConfig()
    registry = Registry(store, scheme, clock, uid=uid or new_uid, random=dice)
    addresses = ServiceAddresses(registry, service_range=service_range, node_ports=node_ports, random=dice)
    quotas = Quotas(registry)
    custom = CustomKinds(registry)
    rules: dict[str, Rules] = {"Service": addresses, "CustomResourceDefinition": custom}
    escalation = RoleEscalation(registry, _authorize(registry))
    optional = default_plugins(registry, more=plugins, config=admission)
    callouts = Callouts(registry, dice)
    registry.converter.post = callouts.post
    extensible = extensible_plugins(registry, callouts, admission.logins)
    registry.use([*optional, escalation, *extensible, ResourceQuota(quotas, admission.limited)], rules)
    registry.admission.figures = StepFigures(clock.monotonic)
    registry.figures.append(registry.admission.figures.lines)
    registry.tasks["callouts"] = callouts.run
    registry.tasks["quotas"] = quotas.run
    registry.tasks["custom kinds"] = Cleanup(registry, custom).run
    custom.load()
    registry.start()
    addresses.load()
    return registry


def extensible_plugins(registry: Registry, callouts: Callouts, logins: Mapping[str, Logins]) -> list[Plugin]:
    """The plugins for policies in CEL and for webhooks, in their order; `logins` by plugin."""

    def authorize(user: Identity, check: Check) -> Answer:
        return authorize_by(registry.authorizer)(user, check)

    shown = Shown(registry.intake, registry.converter)

    def policies(plural: str) -> Policies:
        return Policies(registry, registry.kinds, plural, shown=shown, authorize=authorize)

    def webhooks(plural: str) -> Webhooks:
        return Webhooks(registry, registry.kinds, plural)

    figures = WebhookFigures(registry.clock.monotonic)
    checks = PolicyFigures(registry.clock.monotonic)
    registry.figures += [figures.lines, checks.lines]

    def caller(plugin: str) -> Caller:
        post = partial(callouts.post, logins=logins.get(plugin, NOBODY))
        return Caller(registry, shown, post, registry.new_uid, figures, authorize)

    return [
        MutatingAdmissionPolicy(policies("mutatingadmissionpolicies"), registry.field_managers.typed),
        MutatingAdmissionWebhook(webhooks("mutatingwebhookconfigurations"), caller(MutatingAdmissionWebhook.name)),
        ValidatingAdmissionPolicy(policies("validatingadmissionpolicies"), checks),
        ValidatingAdmissionWebhook(
            webhooks("validatingwebhookconfigurations"), caller(ValidatingAdmissionWebhook.name)
        ),
    ]


def _authorize(registry: Registry) -> RbacAuthorizer:
    """Have the registry's users held to what they may do."""

    def caches(*plurals: str) -> list[ResourceCache]:
        return [registry.cache.of(registry.kind(RBAC, "v1", plural).stored) for plural in plurals]

    roles = RbacAuthorizer(caches("clusterroles", "roles"), caches("clusterrolebindings", "rolebindings"))
    registry.roles = roles
    registry.authorizer = Union([Masters(), NodeAuthorizer(registry), roles])
    return roles


async def run_registry(registry: Registry) -> None:
    """Keep the registry's watches going and its events fresh; runs until cancelled."""
    clock = registry.clock
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(registry.run(), name="registry: watch cache")
        expiry = supervise("event expiry", lambda: expire_events(registry, clock), clock)
        tasks.create_task(expiry, name="registry: event expiry")
        for name, run in registry.tasks.items():
            tasks.create_task(supervise(name, run, clock), name=f"registry: {name}")


async def keep_filled(
    registry: Registry, *, service_range: IPv4Network = SERVICE_RANGE, advertise_address: str, port: int
) -> None:
    """Make the objects that every cluster has again where somebody deleted them; runs until cancelled."""
    while True:
        await registry.clock.sleep(REFILL_S)
        await make_start_objects(
            registry, service_range=service_range, advertise_address=advertise_address, port=port
        )


async def fill_registry(
    registry: Registry, *, service_range: IPv4Network = SERVICE_RANGE, advertise_address: str, port: int
) -> None:
    """Make the objects that every cluster has, where they are missing."""
    await make_start_objects(registry, service_range=service_range, advertise_address=advertise_address, port=port)
    await reconcile_roles(registry)
    addresses = registry.rules_of("Service")
    if isinstance(addresses, ServiceAddresses):
        await addresses.repair()
