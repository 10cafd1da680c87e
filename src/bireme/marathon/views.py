"""What /v2 shows of apps, tasks, groups, deployments and the queue. Source: Marathon 1.11's REST API."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from statistics import mean, median

from bireme.marathon import paths
from bireme.marathon.core import Core, Running, steps_tree
from bireme.marathon.framework import address_trees
from bireme.marathon.instances import STAGED, Health, Instance
from bireme.marathon.launch_queue import Entry
from bireme.marathon.model import App, Root, Tree
from bireme.marathon.paths import PathId
from bireme.marathon.placement import Reason
from bireme.marathon.versions import NEVER, read, stamp

ALWAYS_OF_LIST = frozenset(("counts", "deployments"))
ALWAYS_OF_ONE = frozenset(("counts", "deployments", "tasks", "lastTaskFailure"))
_EMBEDS = {
    "tasks": ("tasks", "deployments"),
    "counts": ("counts",),
    "count": ("counts",),
    "deployments": ("deployments",),
    "readiness": ("readiness",),
    "lastTaskFailure": ("lastTaskFailure",),
    "failures": ("lastTaskFailure", "tasks", "deployments"),
    "taskStats": ("taskStats",),
}


def embeds(given: Iterable[str], prefixes: Collection[str]) -> frozenset[str]:
    """What `embed=apps.tasks&embed=…` asks for, under any of the prefixes."""
    found: set[str] = set()
    for word in given:
        head, _, name = word.rpartition(".")
        if head in prefixes:
            found.update(_EMBEDS.get(name, ()))
    return frozenset(found)


def app_info(core: Core, app: App, embed: Collection[str]) -> Tree:
    """An app with what is to be embedded."""
    found: Tree = dict(app.tree)
    instances = core.of_app(app.id)
    if "counts" in embed:
        found |= core.counts(app.id)
    if "deployments" in embed:
        found["deployments"] = [{"id": name} for name in core.locks(app.id)]
    if "tasks" in embed:
        found["tasks"] = [task(each) for each in by_age(instances)]
    if "lastTaskFailure" in embed and app.id in core.failures:
        found["lastTaskFailure"] = core.failures[app.id]
    if "readiness" in embed:
        found["readinessCheckResults"] = readiness(instances)
    if "taskStats" in embed:
        found["taskStats"] = task_stats(app, instances, core.now())
    return found


def new_app(core: Core, app: App) -> Tree:
    """What the creation of an app answers."""
    zeros = dict.fromkeys(("tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"), 0)
    return {**app.tree, **zeros, "deployments": [{"id": name} for name in core.locks(app.id)]}


def by_age(instances: Iterable[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda each: (each.staged_at, each.id))


def readiness(instances: Iterable[Instance]) -> list[Tree]:
    """What readiness checks found last."""
    return [each.readiness for each in by_age(instances) if each.readiness]


def task(instance: Instance) -> Tree:
    """A task."""
    found: Tree = {
        "id": instance.task_id,
        "appId": instance.app_id,
        "host": instance.host,
        "slaveId": instance.agent_id,
        "state": instance.state,
        "stagedAt": stamp(instance.staged_at),
        "version": instance.app.version,
        "ports": [port for port in instance.host_ports if port],
        "ipAddresses": address_trees(instance),
        "servicePorts": instance.app.service_ports,
        "localVolumes": [],
        "role": instance.app.role,
    }
    if instance.started_at is not None:
        found["startedAt"] = stamp(instance.started_at)
    results = [_health(instance, each) for each in instance.health.values()]
    if instance.app.mesos_check is not None and instance.mesos_healthy is not None:
        results.append(_health(instance, replace(instance.mesos_health, alive=instance.mesos_healthy)))
    if results:
        found["healthCheckResults"] = results
    if instance.check_result:
        found["checkResult"] = instance.check_result
    for name in ("region", "zone"):
        if getattr(instance, name):
            found[name] = getattr(instance, name)
    return found


def _health(instance: Instance, health: Health) -> Tree:
    return {
        "alive": health.alive,
        "consecutiveFailures": health.consecutive_failures,
        "firstSuccess": health.first_success or None,
        "lastSuccess": health.last_success or None,
        "lastFailure": health.last_failure or None,
        "lastFailureCause": health.last_failure_cause or None,
        "instanceId": instance.id,
    }


def task_stats(app: App, instances: Iterable[Instance], now: datetime) -> Tree:
    """Counts and ages of tasks, by which version they have."""
    everything = list(instances)
    scaled = read(app.tree.get("versionInfo", {}).get("lastScalingAt", NEVER))
    groups = {
        "startedAfterLastScaling": [each for each in everything if each.staged_at >= scaled],
        "withLatestConfig": [each for each in everything if each.app.config_version == app.config_version],
        "withOutdatedConfig": [each for each in everything if each.app.config_version != app.config_version],
        "totalSummary": everything,
    }
    return {name: {"stats": _stats(members, now)} for name, members in groups.items() if members}


def _stats(instances: Collection[Instance], now: datetime) -> Tree:
    running = [each for each in instances if each.running]
    found: Tree = {
        "counts": {
            "staged": sum(each.state in STAGED for each in instances),
            "running": len(running),
            "healthy": sum(each.healthy is True for each in running),
            "unhealthy": sum(each.healthy is False for each in running),
        }
    }
    ages = [(now - each.started_at).total_seconds() for each in running if each.started_at is not None]
    if ages:
        found["lifeTime"] = {"averageSeconds": mean(ages), "medianSeconds": median(ages)}
    return found


def group_info(core: Core, root: Root, path: PathId, *, embed: Collection[str], apps: Collection[str]) -> Tree:
    """A group with the groups and apps in it; `embed` may hold groups, apps, pods."""
    group = root.group(path)
    found: Tree = {
        "id": path,
        "dependencies": list(group.dependencies) if group is not None else [],
        "version": group.version if group is not None else NEVER,
    }
    # left out where it is false, since marathon-python 0.13 does not know it
    if group is not None and group.enforce_role:
        found["enforceRole"] = True
    if "groups" in embed:
        found["groups"] = [group_info(core, root, each, embed=embed, apps=apps) for each in root.groups_in(path)]
    if "apps" in embed:
        found["apps"] = [app_info(core, each, apps) for each in root.apps_in(path)]
    if "pods" in embed:
        found["pods"] = []
    return found


def group_version(root: Root, path: PathId) -> str:
    """The newest stamp of a group and all in it."""
    stamps = [group.version for name, group in root.groups.items() if paths.is_within(name, path)]
    return max([*stamps, *(app.version for app in root.apps_within(path))], default=NEVER)


def deployment_info(core: Core, running: Running) -> Tree:
    """A deployment under way."""
    plan = running.plan
    current = plan.steps[running.step] if running.step < len(plan.steps) else ()
    return {
        "id": plan.id,
        "version": plan.version,
        "affectedApps": sorted(plan.affected),
        "affectedPods": [],
        "steps": steps_tree(plan),
        "currentActions": [
            {"action": each.kind, "app": each.app, "readinessCheckResults": readiness(core.of_app(each.app))}
            for each in current
        ],
        "currentStep": min(running.step + 1, len(plan.steps)),
        "totalSteps": len(plan.steps),
    }


def queue_item(core: Core, entry: Entry, *, last_offers: bool) -> Tree:
    """An entry of the launch queue."""
    left = core.queue.left(entry.app.id, core.now())
    summary: Tree = {
        "processedOffersCount": entry.processed,
        "unusedOffersCount": entry.unused,
        "rejectSummaryLastOffers": _funnel(
            [reason for _, reason, _ in entry.last_rejected], len(entry.last_rejected)
        ),
        "rejectSummaryLaunchAttempt": _funnel(list(entry.rejected.elements()), entry.processed),
    }
    if entry.last_unused is not None:
        summary["lastUnusedOfferAt"] = stamp(entry.last_unused)
    if entry.last_used is not None:
        summary["lastUsedOfferAt"] = stamp(entry.last_used)
    # 1.11 also gives the role here; marathon-python 0.13 breaks on it, and the app has it anyway
    found: Tree = {
        "count": entry.count,
        "delay": {"timeLeftSeconds": int(left + 0.999), "overdue": left <= 0},
        "since": stamp(entry.since),
        "processedOffersSummary": summary,
        "app": entry.app.tree,
    }
    if last_offers:
        found["lastUnusedOffers"] = [
            {"offer": offer(tree), "reason": [reason.value], "timestamp": stamp(at)}
            for at, reason, tree in entry.last_rejected
        ]
    return found


def _funnel(reasons: Collection[Reason], processed: int) -> list[Tree]:
    """How many offers were left at each step, and how many failed there."""
    found = []
    for reason in Reason:
        declined = sum(each is reason for each in reasons)
        found.append({"reason": reason.value, "declined": declined, "processed": processed})
        processed -= declined
    return found


def offer(tree: Tree) -> Tree:
    """An offer as the queue shows it."""
    return {
        "id": tree["id"]["value"],
        "hostname": tree.get("hostname", ""),
        "agentId": tree["agent_id"]["value"],
        "resources": [_resource(each) for each in tree.get("resources", ())],
        "attributes": [_attribute(each) for each in tree.get("attributes", ())],
    }


def _values(tree: Tree) -> Tree:
    found: Tree = {}
    if "scalar" in tree:
        found["scalar"] = tree["scalar"]["value"]
    if "ranges" in tree:
        found["ranges"] = tree["ranges"].get("range", [])
    if "set" in tree:
        found["set"] = tree["set"].get("item", [])
    if "text" in tree:
        found["text"] = tree["text"]["value"]
    return found


def _resource(tree: Tree) -> Tree:
    return {"name": tree["name"], "role": tree.get("role", "*"), **_values(tree)}


def _attribute(tree: Tree) -> Tree:
    return {"name": tree["name"], **_values(tree)}
