"""The pytest plugin: fixtures with a real cluster in the test's process. Nothing is imported until one is used."""

import os
import re
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bireme.testing.cluster import Cluster

MARK = "bireme(nodes=2, controllers=True): what the cluster of `bireme_fresh_cluster` should be"
_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bireme")
    group.addoption("--bireme-nodes", type=int, default=None, help="hollow nodes of the session's cluster")
    parser.addini("bireme_nodes", "hollow nodes of the session's cluster", default="2")
    parser.addini("bireme_controllers", "run controllers and scheduler", type="bool", default=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK)


def _wishes(config: pytest.Config, **others: Any) -> dict[str, Any]:
    nodes = config.getoption("--bireme-nodes")
    own = {
        "nodes": int(config.getini("bireme_nodes")) if nodes is None else nodes,
        "controllers": config.getini("bireme_controllers"),
    }
    return {**own, **others}


@pytest.fixture(scope="session")
def bireme_cluster(pytestconfig: pytest.Config) -> "Iterator[Cluster]":
    """One cluster for the whole session (for each worker of xdist); keep tests apart with `bireme_namespace`."""
    from bireme.testing.cluster import Cluster

    with Cluster(**_wishes(pytestconfig)) as cluster:
        yield cluster


@pytest.fixture
def bireme_fresh_cluster(request: pytest.FixtureRequest) -> "Iterator[Cluster]":
    """A cluster of the test's own. `@pytest.mark.bireme(nodes=3)` says what it should be."""
    from bireme.testing.cluster import Cluster

    mark = request.node.get_closest_marker("bireme")
    with Cluster(**_wishes(request.config, **(mark.kwargs if mark else {}))) as cluster:
        yield cluster


@pytest.fixture
def bireme_namespace(bireme_cluster: "Cluster", request: pytest.FixtureRequest) -> Iterator[str]:
    """A new namespace of `bireme_cluster`, into which objects without one go during the test; deleted afterwards."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{words or 'test'}-{os.getpid()}-{next(_numbers)}"
    before, client = bireme_cluster.namespace, bireme_cluster.client()
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    if bireme_cluster.has_controllers:
        client.wait("serviceaccount/default", namespace=name)
    bireme_cluster.namespace = name
    yield name
    bireme_cluster.namespace = before
    client.delete(f"namespace/{name}")
