"""`/metrics/snapshot`: every key that the original has, each a number.

Source: Mesos 1.11's HTTP API.
"""

import os
from collections.abc import Iterable
from urllib.parse import quote

from bireme.mesos import amounts, descriptions, task_status
from bireme.mesos.amounts import Amounts
from bireme.mesos.master import Master
from bireme.mesos.roster import Framework

_NAMES = ("cpus", "disk", "gpus", "mem")
_PERCENTILES = ("count", "max", "min", "p50", "p90", "p95", "p99", "p999", "p9999")
_STATES = (
    *("staging", "starting", "running", "killing", "finished", "failed", "killed", "error", "lost", "dropped"),
    *("gone", "gone_by_operator", "unreachable"),
)
_LIVE = ("staging", "starting", "running", "killing", "unreachable")
_MESSAGES = (
    *("authenticate", "deactivate_framework", "decline_offers", "executor_to_framework", "exited_executor"),
    *("framework_to_executor", "kill_task", "launch_tasks", "operation_status_update_acknowledgement"),
    *("reconcile_operations", "reconcile_tasks", "register_framework", "register_slave", "reregister_framework"),
    *("reregister_slave", "resource_request", "revive_offers", "status_update", "status_update_acknowledgement"),
    *("suppress_offers", "unregister_framework", "unregister_slave", "update_slave"),
)
_CHECKED = (
    *("framework_to_executor_messages", "executor_to_framework_messages", "status_updates"),
    *("status_update_acknowledgements", "operation_status_update_acknowledgements"),
)
_COUNTED = (
    *("slave_registrations", "slave_removals", "slave_reregistrations", "recovery_slave_removals"),
    *("slave_unreachable_scheduled", "slave_unreachable_completed", "slave_unreachable_canceled"),
    *("slave_shutdowns_scheduled", "slave_shutdowns_completed", "slave_shutdowns_canceled"),
    *("slave_removals/reason_registered", "slave_removals/reason_unhealthy", "slave_removals/reason_unregistered"),
    *("dropped_messages", "event_queue_dispatches", "event_queue_http_requests", "event_queue_messages"),
    *("operations/total", "cache_hits"),
)


def snapshot(master: Master) -> dict[str, float]:
    """All metrics now."""
    found: dict[str, float] = {}
    found |= {f"master/{name}": float(number) for name, number in _master(master).items()}
    found |= system()
    found |= _registrar()
    found |= {f"allocator/mesos/{name}": number for name, number in _allocator(master).items()}
    for framework in master.roster.frameworks.values():
        found |= _framework(framework)
    return found


def system() -> dict[str, float]:
    """The machine's load, processors and memory."""
    one, five, fifteen = os.getloadavg()
    page = os.sysconf("SC_PAGE_SIZE")
    return {
        "system/cpus_total": float(os.cpu_count() or 1),
        "system/load_1min": one,
        "system/load_5min": five,
        "system/load_15min": fifteen,
        "system/mem_free_bytes": float(os.sysconf("SC_AVPHYS_PAGES") * page),
        "system/mem_total_bytes": float(os.sysconf("SC_PHYS_PAGES") * page),
    }


def _master(master: Master) -> dict[str, float]:
    roster = master.roster
    agents, frameworks = list(roster.agents.values()), list(roster.frameworks.values())
    connected = sum(each.connected for each in frameworks)
    found: dict[str, float] = {
        "elected": 1,
        "uptime_secs": master.now() - master.start_time,
        "slaves_active": sum(each.active for each in agents),
        "slaves_inactive": sum(not each.active and each.connected for each in agents),
        "slaves_connected": sum(each.connected for each in agents),
        "slaves_disconnected": sum(not each.connected and not each.unreachable for each in agents),
        "slaves_unreachable": sum(each.unreachable for each in agents),
        "frameworks_active": connected,
        "frameworks_connected": connected,
        "frameworks_inactive": len(frameworks) - connected,
        "frameworks_disconnected": len(frameworks) - connected,
        "outstanding_offers": len(master.offers),
        "operator_event_stream_subscribers": len(master.watchers),
    }
    found |= dict.fromkeys(_COUNTED, 0)
    found |= {f"messages_{name}": 0 for name in _MESSAGES}
    found |= {f"{word}_{name}": 0 for word in ("valid", "invalid") for name in _CHECKED}
    found |= dict.fromkeys((f"tasks_{state}" for state in _STATES), 0)
    found |= {name: number for name, number in master.counts.items() if name.removeprefix("tasks_") not in _LIVE}
    for task in roster.tasks():
        state = "unreachable" if task.unreachable else task.state.removeprefix("TASK_").lower()
        if state in _LIVE:
            found[f"tasks_{state}"] += 1
    total = amounts.total(each.total for each in agents)
    return found | _resources(total, descriptions.used(roster.tasks()))


def _resources(total: Amounts, used: Amounts) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in _NAMES:
        whole, part = total.scalar(name) / amounts.UNIT, used.scalar(name) / amounts.UNIT
        found |= {f"{name}_total": whole, f"{name}_used": part, f"{name}_percent": part / whole if whole else 0.0}
        found |= {f"{name}_revocable_{word}": 0.0 for word in ("total", "used", "percent")}
    return found


def _registrar() -> dict[str, float]:
    found = {"state_fetch_ms": 0.0, "state_store_ms": 0.0, "queued_operations": 0.0, "registry_size_bytes": 0.0}
    found |= {f"state_store_ms/{each}": 0.0 for each in _PERCENTILES}
    found |= {"log/recovered": 1.0, "log/ensemble_size": 1.0}
    return {f"registrar/{name}": number for name, number in found.items()}


def _allocator(master: Master) -> dict[str, float]:
    roster = master.roster
    found: dict[str, float] = {"allocation_runs": float(master.allocation_runs), "event_queue_dispatches": 0.0}
    for timer in ("allocation_run_ms", "allocation_run_latency_ms"):
        value = master.allocation_ms if timer == "allocation_run_ms" else 0.0
        found[timer] = value
        found |= {f"{timer}/{each}": value for each in _PERCENTILES}
        found[f"{timer}/count"] = float(master.allocation_runs)
    total = amounts.total(each.total for each in roster.agents.values())
    taken = descriptions.used(roster.tasks()) + descriptions.offered(master.offers.out())
    for name in _NAMES:
        found[f"resources/{name}/total"] = total.scalar(name) / amounts.UNIT
        found[f"resources/{name}/offered_or_allocated"] = taken.scalar(name) / amounts.UNIT
    for role, quota in master.quotas.items():
        held = master.allocator.order.held(role)
        for word, vector in (
            ("guarantee", quota.guarantees),
            ("limit", quota.limits),
            ("offered_or_allocated", held),
        ):
            for name in vector if word != "offered_or_allocated" else {**quota.guarantees, **quota.limits}:
                found[f"quota/roles/{role}/resources/{name}/{word}"] = vector.get(name, 0) / amounts.UNIT
    for role, share in master.shares().items():
        found[f"roles/{role}/shares/dominant"] = share
    for role, number in master.active_refusals().items():
        found[f"offer_filters/roles/{role}/active"] = float(number)
    return found


def _framework(framework: Framework) -> dict[str, float]:
    prefix = f"master/frameworks/{quote(framework.name, safe='')}/{framework.framework_id}/"
    found: dict[str, float] = {"subscribed": float(framework.connected), "calls": 0, "events": 0, "operations": 0}
    found |= {f"offers/{word}": 0 for word in ("sent", "accepted", "declined", "rescinded")}
    found |= {name: float(number) for name, number in framework.counts.items()}
    found |= _active(framework)
    found |= {f"roles/{role}/suppressed": float(role in framework.suppressed) for role in framework.roles}
    return {prefix + name: number for name, number in found.items()}


def _active(framework: Framework) -> dict[str, float]:
    states = [task.state for task in framework.tasks.values() if task.state not in task_status.TERMINAL]
    return {f"tasks/active/{state.lower()}": float(count) for state, count in _tally(states).items()}


def _tally(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found
