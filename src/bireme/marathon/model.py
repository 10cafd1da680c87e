"""App, Group and the root of all groups, as Marathon spells them.

An `App` is its own JSON form, read (`schema.py`), in new words and with defaults (`normalize.py`), under names for
what the rest of Marathon asks of it. Values are never changed in place: a change makes a new root, and
`deployment.py` finds out what to do from the two. Source: Marathon 1.11's REST API.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bireme.marathon import paths
from bireme.marathon.paths import ROOT, PathId
from bireme.marathon.versions import NEVER

Tree = dict[str, Any]

SINGLE_INSTANCE = "MARATHON_SINGLE_INSTANCE_APP"
MESOS_CHECKS = frozenset(("COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"))


@dataclass(frozen=True)
class App:
    """One app; `tree` is complete."""

    tree: Tree

    @property
    def id(self) -> PathId:
        return str(self.tree["id"])

    @property
    def version(self) -> str:
        """The stamp of its last change of any kind."""
        return str(self.tree.get("version", NEVER))

    @property
    def config_version(self) -> str:
        """The stamp of its last change that touches tasks: all but a change of `instances`."""
        return str(self.tree.get("versionInfo", {}).get("lastConfigChangeAt", self.version))

    @property
    def instances(self) -> int:
        return int(self.tree["instances"])

    @property
    def role(self) -> str:
        return str(self.tree.get("role", "*"))

    @property
    def labels(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.tree.get("labels", {})
        return found

    @property
    def networks(self) -> list[Tree]:
        return list(self.tree.get("networks", ()))

    @property
    def mode(self) -> str:
        """host, container/bridge or container."""
        return str(self.networks[0].get("mode", "container")) if self.networks else "host"

    @property
    def container(self) -> Tree:
        found: Tree = self.tree.get("container", {})
        return found

    @cached_property
    def ports(self) -> tuple["Port", ...]:
        """Its ports in order, of whatever mode."""
        if self.mode == "host":
            return tuple(_definition(each, bool(self.tree.get("requirePorts"))) for each in self.definitions)
        return tuple(_mapping(each) for each in self.mappings)

    @property
    def definitions(self) -> list[Tree]:
        return list(self.tree.get("portDefinitions", ()))

    @property
    def mappings(self) -> list[Tree]:
        return list(self.container.get("portMappings", ()))

    @property
    def service_ports(self) -> list[int]:
        return [each.service_port for each in self.ports]

    @property
    def constraints(self) -> list[list[str]]:
        return list(self.tree.get("constraints", ()))

    @property
    def health_checks(self) -> list[Tree]:
        return list(self.tree.get("healthChecks", ()))

    @property
    def mesos_check(self) -> Tree | None:
        """The health check that Mesos makes, of which there is at most one."""
        return next((each for each in self.health_checks if each["protocol"] in MESOS_CHECKS), None)

    @property
    def readiness_checks(self) -> list[Tree]:
        return list(self.tree.get("readinessChecks", ()))

    @property
    def minimum_health_capacity(self) -> float:
        return float(self.tree["upgradeStrategy"]["minimumHealthCapacity"])

    @property
    def maximum_over_capacity(self) -> float:
        return float(self.tree["upgradeStrategy"]["maximumOverCapacity"])

    @property
    def unreachable(self) -> tuple[float, float] | None:
        """Seconds until an unreachable instance is replaced, and until it is forgotten; None for never."""
        found = self.tree["unreachableStrategy"]
        if found == "disabled":
            return None
        return float(found["inactiveAfterSeconds"]), float(found["expungeAfterSeconds"])

    @property
    def dependencies(self) -> tuple[PathId, ...]:
        return tuple(self.tree.get("dependencies", ()))

    def number(self, name: str) -> float:
        """A number of its own by field name."""
        return float(self.tree.get(name, 0))

    def with_fields(self, **fields: Any) -> "App":
        """Itself but for these fields; None takes one away."""
        tree = {**self.tree, **fields}
        return App({name: value for name, value in tree.items() if value is not None})

    def same_as(self, other: "App", *, but: frozenset[str] = frozenset()) -> bool:
        """Whether nothing differs but stamps and the fields in `but`."""
        skip = but | {"version", "versionInfo"}
        one, two = ({name: of for name, of in tree.items() if name not in skip} for tree in (self.tree, other.tree))
        return one == two


@dataclass(frozen=True, slots=True)
class Port:
    """A port. `host_port` is None for none, 0 for any; `port` is what the task listens on, 0 for the same."""

    name: str
    protocols: tuple[str, ...]
    port: int
    host_port: int | None
    service_port: int
    labels: Mapping[str, str]


def _protocols(text: str) -> tuple[str, ...]:
    return tuple(sorted({word.strip() for word in text.split(",")}))


def _definition(tree: Tree, fixed: bool) -> Port:
    number = int(tree.get("port", 0))
    protocols = _protocols(tree.get("protocol", "tcp"))
    return Port(tree.get("name", ""), protocols, number, number if fixed else 0, number, tree.get("labels", {}))


def _mapping(tree: Tree) -> Port:
    return Port(
        tree.get("name", ""),
        _protocols(tree.get("protocol", "tcp")),
        int(tree.get("containerPort", 0)),
        tree.get("hostPort"),
        int(tree.get("servicePort", 0)),
        tree.get("labels", {}),
    )


@dataclass(frozen=True, slots=True)
class Group:
    """What a group says of itself."""

    id: PathId
    version: str = NEVER
    dependencies: tuple[PathId, ...] = ()
    enforce_role: bool = False


@dataclass(frozen=True)
class Root:
    """All apps and groups. Groups that only hold something need not be named."""

    apps: Mapping[PathId, App] = field(default_factory=dict)
    groups: Mapping[PathId, Group] = field(default_factory=dict)

    def group(self, path: PathId) -> Group | None:
        """The group at a path: named, or there because it holds something; the root always is."""
        found = self.groups.get(path)
        if found is not None or not self.has_group(path):
            return found
        version = max((app.version for app in self.apps_within(path)), default=NEVER)
        return Group(path, version)

    @cached_property
    def paths(self) -> frozenset[PathId]:
        """The paths of all groups."""
        inside = (above for path in (*self.apps, *self.groups) for above in paths.ancestors(path))
        return frozenset((ROOT, *self.groups, *inside))

    def has_group(self, path: PathId) -> bool:
        return path in self.paths

    def apps_within(self, path: PathId) -> Iterator[App]:
        """The apps at or beneath a path, by id."""
        return (self.apps[name] for name in sorted(self.apps) if paths.is_within(name, path))

    def apps_in(self, path: PathId) -> list[App]:
        """The apps directly in a group."""
        return [self.apps[name] for name in sorted(self.apps) if paths.parent(name) == path]

    def groups_in(self, path: PathId) -> list[PathId]:
        """The groups directly in a group."""
        return sorted(each for each in self.paths if each != ROOT and paths.parent(each) == path)

    def with_app(self, app: App) -> "Root":
        return replace(self, apps={**self.apps, app.id: app})

    def with_group(self, group: Group) -> "Root":
        return replace(self, groups={**self.groups, group.id: group})

    def without(self, path: PathId) -> "Root":
        """Everything but the app or group at a path and what it holds; without the root, nothing."""
        return Root(
            {name: app for name, app in self.apps.items() if not paths.is_within(name, path)},
            {name: group for name, group in self.groups.items() if not paths.is_within(name, path)},
        )

    def without_app(self, path: PathId) -> "Root":
        """Everything but one app."""
        return replace(self, apps={name: app for name, app in self.apps.items() if name != path})
