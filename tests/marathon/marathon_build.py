"""Apps and instances for tests of decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bireme.marathon.instances import Instance
from bireme.marathon.model import App
from bireme.marathon.normalize import complete, modern

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def app(
    id: str = "/shop/cart",
    *,
    instances: int = 1,
    minimum: float = 1,
    over: float = 1,
    config: str = "2026-01-01T00:00:00.000Z",
    **more: Any,
) -> App:
    """A complete app of this version."""
    strategy = {"minimumHealthCapacity": minimum, "maximumOverCapacity": over}
    tree = {"id": id, "instances": instances, "upgradeStrategy": strategy, **more}
    if "container" not in tree and "args" not in tree:
        tree.setdefault("cmd", "sleep 1")
    stamps = {"version": config, "versionInfo": {"lastScalingAt": config, "lastConfigChangeAt": config}}
    return App({**complete(modern(tree)), **stamps})


def instance(
    of: App, name: str = "i", *, host: str = "node-0", state: str = "TASK_RUNNING", age: float = 10, **more: Any
) -> Instance:
    """An instance of an app, staged `age` seconds ago."""
    since = NOW - timedelta(seconds=age)
    ports = tuple(31000 + place if port.host_port is not None else None for place, port in enumerate(of.ports))
    return Instance(name, of, f"{name}._app.1", host, "10.0.0.1", "agent-0", ports, since, since, state=state, **more)
