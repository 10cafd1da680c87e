"""`bireme why POD`: why a pod is where it is, or nowhere; and the smallest changes that would help.

The cluster is only read: what is found is thought through in this process, so any Kubernetes API server will do.
What waits on the Mesos side (`app/NAME`) is explained by `why_app.py`.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bireme.cli.access import find_access
from bireme.cli.errors import CliError

if TYPE_CHECKING:
    from bireme.api.errors import ApiError
    from bireme.cli.why_target import Heading
    from bireme.client.client import Client
    from bireme.client.kubeconfig import Access
    from bireme.scheduler.configuration import Settings
    from bireme.scheduler.report import Report

ANSWER_S = 60.0
EVERY, FIRST = 1 << 30, 3
"""Of how many nodes of a group the figures are told."""
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="POD | KIND/NAME")
@click.option("-n", "--namespace", default="", help="The pod's namespace.  [default: the context's]")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--kubeconfig", type=FILE, help="The file that says where the cluster is.  [default: as for kubectl]")
@click.option("--context", default="", help="The context of that file.  [default: the current one]")
@click.option("--scheduler-config", type=FILE, help="The KubeSchedulerConfiguration with the pod's profile.")
@click.option("--scheduler-plugin", type=FILE, multiple=True, help="Scores and filters that it names.")
@click.option("--marathon", default="", help="Where Marathon is.  [default: $MARATHON_URL, or this machine's]")
def why(
    words: Sequence[str],
    namespace: str,
    output: str,
    kubeconfig: Path | None,
    context: str,
    scheduler_config: Path | None,
    scheduler_plugin: Sequence[Path],
    marathon: str,
) -> None:
    """Say why a pod is where it is, or nowhere, and what would help.

    KIND may be pod, deployment, replicaset, statefulset, daemonset or job: then one of its pods that wait is
    explained, or else one that does not. Works with any Kubernetes cluster. Of a Marathon app (app/NAME) it is said
    why its instances wait for an offer.
    """
    import gc

    from bireme.cli import why_app, why_text

    kind, name = target(words)
    if kind in why_app.KINDS:
        click.echo(why_app.explain_app(name, marathon, as_json=output == "json"))
        return
    settings = _settings(scheduler_config, scheduler_plugin)
    access = find_access(kubeconfig, context)
    was_enabled = gc.isenabled()
    gc.disable()  # what is listed stays until the end
    try:
        first = EVERY if output == "json" else FIRST
        report, heading = asyncio.run(explained(access, kind, name, namespace, first=first, settings=settings))
    finally:
        if was_enabled:
            gc.enable()
    click.echo(why_text.as_json(report, heading) if output == "json" else why_text.as_text(report, heading))


def target(words: Sequence[str]) -> tuple[str, str]:
    """Kind and name, from `x`, `pod/x` or `pod x`."""
    parts = words[0].split("/", 1) if len(words) == 1 else list(words)
    kind, name = parts if len(parts) == 2 else ("pod", parts[0])
    if len(parts) > 2 or not name:
        raise CliError("BIR-111", f"{' '.join(words)} names no object", remedy="bireme why pod/NAME", exit_code=2)
    return kind.lower(), name


def _settings(config: Path | None, plugins: Sequence[Path]) -> "Settings":
    """Those of a file, or the default ones without a file. Raises CliError."""
    from bireme.scheduler.configuration import default_settings, read_settings
    from bireme.scheduler.configuration_error import ConfigurationError
    from bireme.scheduler.plugins import PluginError, scorers

    try:
        known = scorers(plugins)
        return read_settings(config, known) if config is not None else default_settings(known)
    except (ConfigurationError, PluginError) as error:
        raise CliError("BIR-050", str(error), remedy="the file that `bireme up --scheduler-config` takes") from error


async def explained(
    access: "Access", kind: str, name: str, namespace: str, *, first: int, settings: "Settings"
) -> "tuple[Report, Heading]":
    """The report on the pod that is meant. Raises CliError."""
    from bireme.api.errors import ApiError
    from bireme.client.client import Client

    client = Client(access.transport(timeout_s=ANSWER_S), user_agent="bireme why")
    try:
        return await explain(client, kind, name, namespace or access.namespace, first=first, settings=settings)
    except ApiError as error:
        raise failure(error, access) from error
    finally:
        await client.close()


def failure(error: "ApiError", access: "Access") -> CliError:
    """What to say of a request that failed."""
    from bireme.api.errors import Forbidden, NotFound, ServiceUnavailable, Unauthorized

    match error:
        case NotFound():
            return CliError("BIR-111", str(error), remedy="kubectl get pods --all-namespaces, then -n NAMESPACE")
        case Forbidden():
            remedy = "ask for the right to list nodes and pods: kubectl auth can-i list nodes"
            return CliError("BIR-112", str(error), remedy=remedy)
        case Unauthorized():
            remedy = f"renew the credentials of the context {access.context}"
            return CliError("BIR-112", f"{access.server} does not know you: {error}", remedy=remedy)
        case ServiceUnavailable():
            return CliError("BIR-110", str(error), remedy="bireme up, or --context of a cluster that runs")
    return CliError("BIR-110", f"{access.server}: {error}", remedy="kubectl get --raw /readyz")


async def explain(
    client: "Client", kind: str, name: str, namespace: str, *, first: int, settings: "Settings"
) -> "tuple[Report, Heading]":
    """Find the pod, see the cluster, and think. Raises ApiError and CliError."""
    from msgspec.structs import replace

    from bireme.aio.clock import RealClock
    from bireme.cli.why_target import Heading, find_pod, notes_on
    from bireme.scheduler.profile import DEFAULT
    from bireme.scheduler.report import report
    from bireme.scheduler.survey import survey
    from bireme.scheduler.survey_extenders import hear_extenders
    from bireme.scheduler.trial import Trial

    clock = RealClock()
    pod, others = await find_pod(client, kind, name, namespace)
    name = pod.spec.scheduler_name or DEFAULT.name
    profile = next((each for each in settings.profiles if each.name == name), None)
    seen = await survey(client, pod, clock=clock, profile=profile or DEFAULT)
    node = pod.spec.node_name
    free = replace(pod, spec=replace(pod.spec, node_name="")) if node else pod
    trial = Trial(
        seen.world, free, seen.masks, profile or DEFAULT, default_selector=seen.spreading.selector, owns_world=True
    )
    await hear_extenders(trial, seen, settings.extenders)
    heading = Heading.of(pod, others, now=clock.now())
    return report(
        trial, node=node, notes=notes_on(pod, seen, known=profile is not None), stop=seen.stop, first=first
    ), heading
