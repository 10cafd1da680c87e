"""What a pod asks for and may use, from the tree of its spec; the stages of its life count as the kubelet runs them.

The same sums over structs, for the ledger and the scheduler, stand in `api/resources.py`; here amounts keep their
spelling and any resource counts. Source: the Kubernetes documentation; KEP-753 (sidecars), KEP-2837.
"""

from collections.abc import Mapping
from typing import Any

from bireme.api import amounts
from bireme.api.amounts import Amount

Tree = dict[str, Any]
_POD_LEVEL = ("cpu", "memory")


def requests_of(spec: Mapping[str, Any]) -> dict[str, Amount]:
    """The larger of the app stage and each init step, plus overhead."""
    total = _stages(spec, "requests")
    return amounts.add(total, amounts.read(spec["overhead"])) if spec.get("overhead") else total


def limits_of(spec: Mapping[str, Any]) -> dict[str, Amount]:
    """As `requests_of`, for limits; overhead counts where there is a limit."""
    total = _stages(spec, "limits")
    overhead = amounts.read(spec.get("overhead"))
    return amounts.add(total, amounts.only(overhead, total)) if overhead else total


def _stages(spec: Mapping[str, Any], part: str) -> dict[str, Amount]:
    running: dict[str, Amount] = {}
    for container in spec.get("containers") or ():
        running = amounts.add(running, _of(container, part))
    sidecars: dict[str, Amount] = {}
    steps = []
    for container in spec.get("initContainers") or ():
        step = amounts.add(sidecars, _of(container, part))
        if container.get("restartPolicy") == "Always":
            sidecars = step
            running = amounts.add(running, _of(container, part))
        steps.append(step)
    total = amounts.largest((running, *steps)) if steps else running
    return total | _pod_level(spec, part)


def _of(container: Tree, part: str) -> dict[str, Amount]:
    return amounts.read((container.get("resources") or {}).get(part))


def _pod_level(spec: Mapping[str, Any], part: str) -> dict[str, Amount]:
    said = amounts.read((spec.get("resources") or {}).get(part))
    return {name: of for name, of in said.items() if name in _POD_LEVEL or name.startswith("hugepages-")}
