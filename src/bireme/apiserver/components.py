"""ComponentStatuses: the deprecated list of the control plane's parts, which is not stored but made up."""

import orjson

from bireme.api.errors import not_found
from bireme.registry.lists import Page
from bireme.registry.record import Record

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
    return Record(name, orjson.dumps(tree), 0, prefix=b"", namespace="", name=name, labels={}, fields=())


def statuses(revision: int) -> Page:
    """The status of every part."""
    return Page([status_of(name) for name in COMPONENTS], revision)
