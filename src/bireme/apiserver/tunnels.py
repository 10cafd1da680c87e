"""The way from the API to what runs: which subresource goes where.

Streams and logs of pods go through their kubelets (`kubelets.py`), proxies straight to what they name (`proxy.py`).
"""

from collections.abc import Sequence
from random import Random

from bireme.api.errors import NotFound
from bireme.api.selectors import LabelSelector
from bireme.apiserver.kubelets import KUBELET_PATHS, Places, PodTunnels, Tree
from bireme.apiserver.proxy import Proxy
from bireme.http.interface import Answer, Request
from bireme.http.requests import Session
from bireme.registry.kinds import Kind
from bireme.registry.options import ListOptions
from bireme.registry.selection import Selection
from bireme.registry.verbs import Registry


class Tunnels:
    """All ways into pods, services and nodes.

    `session` shows the API server's certificate (CN kube-apiserver) and trusts the cluster's authority.
    """

    def __init__(self, places: Places, session: Session, *, random: Random | None = None) -> None:
        self._pods = PodTunnels(places, session)
        self._proxy = Proxy(places, session, self._pods, random or Random())

    async def handle(self, request: Request, obj: Tree, subresource: str, *, rest: str = "") -> Answer:
        """Serve `subresource` of `obj`: a pod, or for "proxy" also a node, or a service by kind and name alone."""
        if subresource == "proxy":
            return await self._proxy.pass_on(request, obj)
        if subresource == "log":
            return await self._pods.log(request, obj)
        if subresource in KUBELET_PATHS:
            return await self._pods.stream(request, obj, subresource)
        raise NotFound("the server could not find the requested resource")


class RegistryPlaces:
    """Nodes, services and their endpoints as the registry has them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def node(self, name: str) -> Tree:
        """The node of that name."""
        return (await self._registry.get(self._kind("", "v1", "nodes"), "", name)).tree()

    async def service(self, namespace: str, name: str) -> Tree:
        """The service of that name."""
        return (await self._registry.get(self._kind("", "v1", "services"), namespace, name)).tree()

    async def endpoint_slices(self, namespace: str, service: str) -> Sequence[Tree]:
        """The slices that belong to a service."""
        kind = self._kind("discovery.k8s.io", "v1", "endpointslices")
        labels = LabelSelector.parse(f"kubernetes.io/service-name={service}")
        page = await self._registry.list(kind, Selection(kind.resource, namespace, labels), ListOptions())
        return [record.tree() for record in page.records]

    def _kind(self, group: str, version: str, plural: str) -> Kind:
        kind = self._registry.kinds.at(group, version, plural)
        if kind is None:
            raise NotFound(f"no such resource: {plural}")
        return kind
