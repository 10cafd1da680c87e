"""/v2/deployments, queue, info, leader, events, plugins, and /metrics.

Source: Marathon 1.11's REST API.
"""

from typing import Any

from bireme.http.interface import Response, Stream
from bireme.marathon import deployment, paths, views
from bireme.marathon.calls import Call, json, result, unknown_route, wrong_method
from bireme.marathon.errors import MarathonError
from bireme.marathon.instances import DECOMMISSIONED, STAGED
from bireme.marathon.settings import VERSION


async def deployments(call: Call, rest: str) -> Response:
    """/v2/deployments."""
    core, name = call.core, rest.strip("/")
    if not name:
        if call.method != "GET":
            raise wrong_method("GET")
        return json([views.deployment_info(core, each) for each in core.deployments.values()])
    if call.method != "DELETE":
        raise wrong_method("DELETE")
    running = core.deployments.get(name)
    if running is None:
        raise MarathonError(404, f"DeploymentPlan {name} does not exist")
    if call.flag("force"):
        await core.stop_deployment(running)
        return Response(202, b"", {})
    plan = running.plan
    known = plan.original.apps
    return result(await core.change(lambda root: deployment.revert(root, plan), force=True, known=known))


async def queue(call: Call, rest: str) -> Response:
    """/v2/queue."""
    core = call.core
    words = [word for word in rest.split("/") if word]
    if not words:
        if call.method != "GET":
            raise wrong_method("GET")
        last = "lastUnusedOffers" in call.request.query.all("embed")
        entries = sorted(core.queue.entries.values(), key=lambda entry: entry.app.id)
        return json({"queue": [views.queue_item(core, each, last_offers=last) for each in entries]})
    if words[-1] != "delay" or len(words) < 2:
        raise unknown_route()
    if call.method != "DELETE":
        raise wrong_method("DELETE")
    path = paths.absolute("/".join(words[:-1]))
    if not core.queue.reset(path):
        raise MarathonError(404, f"Application {path} not found in tasks queue.")
    core.wake.set()
    return Response(204, b"", {})


async def info(call: Call, rest: str) -> Response:
    """/v2/info."""
    if rest.strip("/"):
        raise unknown_route()
    if call.method != "GET":
        raise wrong_method("GET")
    return json(
        {
            "name": call.core.settings.framework_name,
            "version": VERSION,
            "buildref": "bireme",
            "elected": True,
            "leader": call.core.settings.leader,
            "frameworkId": call.core.framework_id or None,
            "marathon_config": _config(call),
            "zookeeper_config": _zookeeper(call),
            "http_config": {"http_port": call.core.settings.http_port, "https_port": 0},
        }
    )


def _config(call: Call) -> dict[str, Any]:
    settings = call.core.settings
    return {
        "access_control_allow_origin": list(settings.access_control_allow_origin),
        "checkpoint": True,
        "decline_offer_duration": int(settings.decline_offer_duration * 1000),
        "default_network_name": settings.default_network_name,
        "env_vars_prefix": settings.env_vars_prefix or None,
        "executor": "//cmd",
        "failover_timeout": int(settings.failover_timeout),
        "features": list(settings.features),
        "framework_name": settings.framework_name,
        "ha": True,
        "hostname": settings.hostname,
        "launch_token": 100,
        "launch_token_refresh_interval": 30_000,
        "leader_proxy_connection_timeout_ms": 5000,
        "leader_proxy_read_timeout_ms": 10_000,
        "local_port_max": settings.local_port_max,
        "local_port_min": settings.local_port_min,
        "master": settings.master,
        "max_instances_per_offer": settings.max_instances_per_offer,
        "mesos_bridge_name": settings.mesos_bridge_name,
        "mesos_heartbeat_failure_threshold": settings.missed_heartbeats,
        "mesos_heartbeat_interval": 15_000,
        "mesos_leader_ui_url": settings.master,
        "mesos_role": settings.mesos_role,
        "mesos_user": settings.mesos_user,
        "min_revive_offers_interval": int(settings.min_revive_offers_interval * 1000),
        "offer_matching_timeout": 3000,
        "on_elected_prepare_timeout": 180_000,
        "reconciliation_initial_delay": 15_000,
        "reconciliation_interval": int(settings.reconciliation_interval * 1000),
        "scale_apps_initial_delay": 15_000,
        "scale_apps_interval": int(settings.tick_interval * 1000),
        "store_cache": True,
        "task_launch_confirm_timeout": 300_000,
        "task_launch_timeout": int(settings.task_launch_timeout * 1000),
        "task_lost_expunge_initial_delay": 300_000,
        "task_lost_expunge_interval": 30_000,
        "task_reservation_timeout": 20_000,
        "webui_url": f"http://{settings.leader}",
    }


def _zookeeper(call: Call) -> dict[str, Any]:
    return {
        "zk": "zk://localhost:2181/marathon",
        "zk_compression": True,
        "zk_compression_threshold": 65_536,
        "zk_connection_timeout": 10_000,
        "zk_max_node_size": 1_024_000,
        "zk_max_versions": call.core.settings.zk_max_versions,
        "zk_session_timeout": 10_000,
        "zk_timeout": 10_000,
    }


async def leader(call: Call, rest: str) -> Response:
    """/v2/leader."""
    if rest.strip("/"):
        raise unknown_route()
    match call.method:
        case "GET":
            return json({"leader": call.core.settings.leader})
        case "DELETE":
            if "backup" in call.request.query or "restore" in call.request.query:
                raise MarathonError(422, "The state is kept by the cluster: use its own backup")
            call.framework.abdicate()
            return json({"message": "Leadership abdicated"})
    raise wrong_method("GET", "DELETE")


async def events(call: Call, rest: str) -> Stream:
    """/v2/events."""
    if rest.strip("/"):
        raise unknown_route()
    if call.method != "GET":
        raise wrong_method("GET")
    accept = call.request.headers.get("accept", "")
    if "text/event-stream" not in accept and "*/*" not in accept:
        raise MarathonError(406, "Use Accept: text/event-stream")
    listener = call.core.bus.attach(call.request.peer.address, call.request.query.all("event_type"))
    return Stream(listener, 200, {}, "text/event-stream;charset=UTF-8")


async def plugins(call: Call, rest: str) -> Response:
    """/v2/plugins."""
    if rest.strip("/"):
        raise unknown_route()
    if call.method != "GET":
        raise wrong_method("GET")
    return json({"plugins": []})


def metrics(call: Call) -> Response:
    """/metrics."""
    if call.method != "GET":
        raise wrong_method("GET")
    core = call.core
    instances = core.instances.values()
    uptime = (core.now() - core.started).total_seconds()
    gauges = {
        "apps.active.gauge": len(core.root.apps),
        "deployments.active.gauge": len(core.deployments),
        "groups.active.gauge": len(core.root.paths),
        "pods.active.gauge": 0,
        "instances.running.gauge": sum(each.running for each in instances),
        "instances.staged.gauge": sum(each.state in STAGED for each in instances),
        "instances.inflight-kills.gauge": sum(each.goal == DECOMMISSIONED for each in instances),
        "leadership.duration.gauge.seconds": uptime,
        "uptime.gauge.seconds": uptime,
    }
    return json(
        {
            "version": "5.0.0",
            "gauges": {f"marathon.{name}": {"value": value} for name, value in gauges.items()},
            "counters": {f"marathon.{name}.counter": {"count": count} for name, count in core.counters.items()},
            "histograms": {},
            "meters": {},
            "timers": {},
        }
    )
