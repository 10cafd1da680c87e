"""ComponentStatuses: the deprecated list of the control plane's parts, which is not stored but made up."""

import orjson

from bireme.api.errors import not_found
from bireme.registry.lists import Page
from bireme.registry.record import Record
from bireme.registry.selection import Selection

COMPONENTS = ("controller-manager", "scheduler", "store")


def status_of(name: str) -> Record:
    """The status of one part: all run in this process, so one that can be asked for is well. Raises NotFound."""
    if name not in COMPONENTS:
        raise not_found("componentstatuses", name)
    tree = {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name},
        "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
    }
    return Record(orjson.dumps(tree), 0, b"", key=name, namespace="", name=name, labels={}, fields=())


def statuses(revision: int, chosen: Selection) -> Page:
    """The status of every part that is asked for."""
    return Page([record for record in map(status_of, COMPONENTS) if chosen.matches(record)], revision)
