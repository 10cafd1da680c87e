"""What does `bireme why` cost at 5,000 nodes and 50,000 pods, and what one `SchedulingAdvice` event?

The lists are answered from memory, so the figures are the command's own: reading, counting, explaining, and trying
changes. The limit for the whole is 5 s of CPU. Beside it stands what reading the pods whole would cost.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.api.codec.json import decode
from bireme.api.kinds import core
from bireme.cli.why import explain
from bireme.client.client import Client
from bireme.client.transport import Pairs
from bireme.http.answers import Reply
from bireme.scheduler.advice import advise
from bireme.scheduler.configuration import Settings
from bireme.scheduler.survey import survey
from bireme.scheduler.trial import Trial

NODES, PER_NODE, KINDS = 5_000, 10, 200


def node(number: int) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": f"n{number}", "topology.kubernetes.io/zone": "abc"[number % 3]}
    taints = [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}] if number % 10 == 0 else []
    return {
        "metadata": {"name": f"n{number}", "labels": labels},
        "spec": {"taints": taints, "unschedulable": number % 50 == 1},
        "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}},
    }


def pod(number: int, *, cpu: str = "1400m", placed: bool = True) -> dict[str, Any]:
    kind = number % KINDS
    container = {
        "name": "main",
        "image": f"app:{kind}",
        "env": [{"name": f"VARIABLE_{at}", "value": "a value of some length"} for at in range(20)],
        "resources": {"requests": {"cpu": cpu, "memory": f"{kind + 1}Mi"}},
        "volumeMounts": [{"name": f"kube-api-access-{number}", "mountPath": "/var/run/secrets"}],
    }
    conditions = [{"type": word, "status": "True"} for word in ("Ready", "Initialized", "PodScheduled")]
    skew = {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    return {
        "metadata": {
            "name": f"p{number}",
            "namespace": "default",
            "uid": f"u{number}",
            "labels": {"app": f"a{kind}", "pod-template-hash": "6d4cf56db6"},
            "managedFields": [{"manager": "m", "fieldsV1": {f"f:{at}": {"f:x": {}} for at in range(40)}}],
        },
        "spec": {
            "schedulerName": "default-scheduler",
            "containers": [container],
            "volumes": [{"name": f"kube-api-access-{number}", "projected": {"sources": []}}],
            "topologySpreadConstraints": [{**skew, "labelSelector": {"matchLabels": {"app": f"a{kind}"}}}],
            **({"nodeName": f"n{number % NODES}"} if placed else {}),
        },
        "status": {"phase": "Running" if placed else "Pending", "conditions": conditions},
    }


class Answers:
    """A server that knows a few lists."""

    def __init__(self) -> None:
        nodes = [node(number) for number in range(NODES)]
        pods = [orjson.dumps(pod(number)) for number in range(NODES * PER_NODE)]
        self.waiting = orjson.dumps(pod(1 << 20, cpu="6", placed=False))
        self.nodes = orjson.dumps({"metadata": {}, "items": nodes})
        starts = range(0, len(pods), 1000)
        head = b'{"metadata":{"continue":"%d"},"items":['
        self.pages = [head % at + b",".join(pods[at : at + 1000]) + b"]}" for at in starts]
        self.pages[-1] = self.pages[-1].replace(b'"continue":"%d"' % starts[-1], b'"continue":""', 1)

    async def request(self, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes) -> Reply:
        if path.endswith("/pods"):
            more = dict(query).get("continue")
            return Reply(200, {}, self.pages[int(more) // 1000 + 1 if more else 0])
        if "/pods/" in path:
            return Reply(200, {}, self.waiting)
        return Reply(200, {}, self.nodes if path.endswith("/nodes") else b'{"metadata":{},"items":[]}')

    def stream(self, method: str, path: str, query: Pairs, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def close(self) -> None:
        await asyncio.sleep(0)


def spent(began: float) -> float:
    return time.process_time() - began


async def measured() -> tuple[float, float, float, float]:
    """Seconds of the whole, of seeing the cluster, milliseconds of an event, seconds of reading."""
    answers = Answers()
    client = Client(answers)
    gc.collect()
    gc.disable()
    began = time.process_time()
    await explain(client, "pod", "x", "default", first=3, settings=Settings())
    whole = spent(began)
    waiting = decode(core.Pod, answers.waiting)
    began = time.process_time()
    seen = await survey(client, waiting, clock=RealClock())
    seeing = spent(began)
    trial = Trial(seen.world, waiting)
    trial.template().scores()
    began = time.process_time()
    advise(trial, trial.explanation(), enough=3)
    event = spent(began)
    began = time.process_time()
    for item in orjson.loads(answers.pages[0])["items"]:
        decode(core.Pod, orjson.dumps(item))
    reading = spent(began) * len(answers.pages)
    return whole, seeing, event * 1000, reading


def measure(repeats: int) -> list[Figure]:
    wholes, seeings, events, readings = zip(*(asyncio.run(measured()) for _ in range(repeats)), strict=True)
    notes = {"times_the_reading": round(min(wholes) / min(readings), 2)}
    return [
        Figure(f"why, {NODES:,} nodes, {NODES * PER_NODE:,} pods", "s of CPU", wholes, "at most 5", notes),
        Figure("of that, seeing the cluster", "s of CPU", seeings),
        Figure("one event of advice", "ms of CPU", events),
        Figure("reading the pods whole, for comparison", "s of CPU", readings),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report("Why", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
