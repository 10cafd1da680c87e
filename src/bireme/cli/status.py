"""`bireme status`: how the cluster is, on one screen; exit code 0 healthy, 1 degraded, 2 down."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from bireme.cli.clusters import Door, find, name_option, parts, root_option
from bireme.config import Config

PARTS = ("supervisor", "containerd", "core", "node")


def gather(config: Config) -> dict[str, Any]:
    """Everything that the screen shows, as plain data; what cannot be asked is an error text."""
    report: dict[str, Any] = {
        "cluster": config.cluster,
        "simulated": config.is_simulated,
        "running": False,
        "urls": {"api": config.api_url, "mesos": config.mesos_url, "marathon": config.marathon_url},
        "parts": parts(config),
        "problems": [],
    }
    report["running"] = any(part["alive"] for part in report["parts"].values())
    if not report["running"]:
        report["health"] = "down"
        return report
    wanted = ("supervisor", "core") if config.is_simulated else PARTS
    report["problems"] += [
        f"{part} is not running" for part in wanted if not report["parts"].get(part, {}).get("alive")
    ]
    api = Door(config, config.api_url)
    for section, ask in {"store": _store, "nodes": _nodes, "pods": _pods}.items():
        try:
            report[section] = ask(api)
        except (OSError, ValueError) as error:
            report["problems"].append(f"{section}: {error}")
    for section, url, path in (
        ("frameworks", config.mesos_url, "/frameworks"),
        ("apps", config.marathon_url, "/v2/apps"),
    ):
        try:
            report[section] = _count(section, Door(config, url).json(path))
        except (OSError, ValueError) as error:
            report["problems"].append(f"{section}: {error}")
    report["problems"] += [
        f"node {node['name']} is not Ready" for node in report.get("nodes", ()) if not node["ready"]
    ]
    report["health"] = "degraded" if report["problems"] else "healthy"
    return report


def _store(api: Door) -> dict[str, Any]:
    statistics: dict[str, Any] = api.json("/bireme/v1/status")["store"]
    return statistics


def _nodes(api: Door) -> list[dict[str, Any]]:
    nodes = api.json("/api/v1/nodes")["items"]
    return [
        {
            "name": node["metadata"]["name"],
            "ready": any(
                c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ())
            ),
            "allocatable": node["status"].get("allocatable", {}),
        }
        for node in nodes
    ]


def _pods(api: Door) -> dict[str, int]:
    counts: dict[str, int] = {}
    for pod in api.json("/api/v1/pods")["items"]:
        phase = pod.get("status", {}).get("phase", "Unknown").lower()
        counts[phase] = counts.get(phase, 0) + 1
    return counts


def _count(section: str, answer: dict[str, Any]) -> Any:
    if section == "frameworks":
        return [framework["name"] for framework in answer["frameworks"]]
    return {
        app["id"]: {"instances": app["instances"], "running": app["tasksRunning"], "healthy": app["tasksHealthy"]}
        for app in answer["apps"]
    }


def show(report: dict[str, Any]) -> None:
    """The screen for people."""
    colour = {"healthy": "green", "degraded": "yellow", "down": "red"}[report["health"]]
    click.echo(
        f"{report['cluster']} · {click.style(report['health'], fg=colour)} · Kubernetes 1.37 · Mesos v1 · Marathon v2"
    )
    for name in PARTS:
        if part := report["parts"].get(name):
            state = f"pid {part['pid']}" if part["alive"] else "not running"
            restarts = f", restarted {part['restarts']} times" if part["restarts"] else ""
            click.echo(f"  {name:<11} {state}{restarts}")
    if store := report.get("store"):
        size = f"{store['size_bytes'] / 2**20:.1f} MB"
        click.echo(f"Store       revision {store['revision']:,} · {store['keys']:,} keys · {size}")
    if nodes := report.get("nodes"):
        ready = sum(node["ready"] for node in nodes)
        hollow = " (simulated)" if report["simulated"] else ""
        click.echo(f"Nodes       {ready} of {len(nodes)} Ready{hollow}")
    if "pods" in report:
        words = " · ".join(f"{count} {phase}" for phase, count in sorted(report["pods"].items()))
        click.echo(f"Pods        {words or 'none'}")
    if report.get("apps"):
        for name, app in report["apps"].items():
            click.echo(f"App         {name} {app['running']}/{app['instances']} running, {app['healthy']} healthy")
    if "frameworks" in report:
        click.echo(f"Frameworks  {', '.join(report['frameworks']) or 'none'}")
    for problem in report["problems"]:
        click.secho(f"  ! {problem}", fg="yellow")


@click.command()
@name_option
@root_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with the process ids of the parts.")
def status(name: str, root: Path, as_json: bool) -> None:
    """Show how the cluster is: parts, store, nodes, pods, apps, frameworks."""
    report = gather(find(name, root))
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        show(report)
    sys.exit({"healthy": 0, "degraded": 1, "down": 2}[report["health"]])
