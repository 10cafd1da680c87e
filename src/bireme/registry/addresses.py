"""Service addresses and node ports, each given once.

What is taken is kept in memory and rebuilt from the Services at start, so it can't drift from them; an IPAddress
object shows each address to others. The lower part of either range is left to those who ask for a certain
value: automatic ones are taken from the upper part first. Source: the Kubernetes documentation on Services.
"""

import random as chance
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from bireme.api.errors import AlreadyExists, ApiError, Cause, NotFound
from bireme.api.scheme import builtin
from bireme.registry.numbers import Full, Numbers, OutOfRange, Taken
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.rules import Rules
from bireme.registry.service_types import carry_over, needs_health_port, needs_node_ports
from bireme.registry.strategy import invalid
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
LABELS = {"ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}


MESOS_PORTS = range(31000, 32001)
"""What agents offer to frameworks: a node port is put there only by its own wish."""


class ServiceAddresses(Rules):
    """Gives Services their cluster IPs and node ports."""

    def __init__(
        self,
        registry: Registry,
        *,
        service_range: IPv4Network,
        node_ports: tuple[int, int] = (30000, 32767),
        random: chance.Random | None = None,
    ) -> None:
        self._registry = registry
        self._range = service_range
        dice = random or chance.Random()
        size = service_range.num_addresses
        first = int(service_range.network_address)
        self._ips = Numbers(first + 1, first + size - 2, reserved=min(max(16, size // 16), 256), random=dice)
        low, high = node_ports
        band = min(max(16, (high - low + 1) // 32), 128)
        self._ports = Numbers(low, high, reserved=band, random=dice, named_only=MESOS_PORTS)

    def load(self) -> None:
        """Take what the Services in the store hold."""
        for service in self._registry.every("", "v1", "services"):
            for number in _ips(service):
                _take_quietly(self._ips, number)
            for number in _node_ports(service):
                _take_quietly(self._ports, number)

    async def repair(self) -> None:
        """Make the IPAddress objects agree with the Services."""
        shown = {tree["metadata"]["name"] for tree in self._registry.every("networking.k8s.io", "v1", "ipaddresses")}
        held: dict[str, Tree] = {}
        for service in self._registry.every("", "v1", "services"):
            held.update((str(IPv4Address(number)), service) for number in _ips(service))
        for address in held.keys() - shown:
            await self._show(int(IPv4Address(address)), held[address])
        for address in shown - held.keys():
            if _is_address(address):
                await self._hide(int(IPv4Address(address)))

    def before_create(self, tree: Tree, call: Call) -> Callable[[], None]:
        return self._settle(tree, None)

    def before_update(self, tree: Tree, old: Tree, call: Call) -> Callable[[], None]:
        carry_over(tree, old)
        return self._settle(tree, old)

    async def after_write(self, tree: Tree, old: Tree | None) -> None:
        before = set(_ips(old)) if old else set()
        now = set(_ips(tree))
        for number in before - now:
            self._ips.give_back(number)
            await self._hide(number)
        for number in now - before:
            await self._show(number, tree)
        if old:
            for port in set(_node_ports(old)) - set(_node_ports(tree)):
                self._ports.give_back(port)

    async def after_delete(self, old: Tree) -> None:
        for port in _node_ports(old):
            self._ports.give_back(port)
        for number in _ips(old):
            self._ips.give_back(number)
            await self._hide(number)

    def _settle(self, tree: Tree, old: Tree | None) -> Callable[[], None]:
        """Take what `tree` needs beyond what `old` holds; the answer gives that back."""
        taken_ips: list[int] = []
        taken_ports: list[int] = []

        def give_back() -> None:
            for number in taken_ips:
                self._ips.give_back(number)
            for number in taken_ports:
                self._ports.give_back(number)

        try:
            self._settle_ips(tree, set(_ips(old)) if old else set(), taken_ips)
            self._settle_ports(tree, set(_node_ports(old)) if old else set(), taken_ports)
        except ApiError:
            give_back()
            raise
        return give_back

    def _settle_ips(self, tree: Tree, held: set[int], taken: list[int]) -> None:
        spec = tree["spec"]
        if spec.get("type") == "ExternalName":
            return
        said = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("ipFamilies", ["IPv4"])
        _check_families(tree)
        if said == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
            return
        number = self._chosen_ip(tree, said) if said else None
        if number is None or number not in held:
            number = self._take_ip(tree, number, said)
            taken.append(number)
        address = str(IPv4Address(number))
        spec["clusterIP"], spec["clusterIPs"] = address, [address]

    def _chosen_ip(self, tree: Tree, said: str) -> int:
        try:
            return int(IPv4Address(said))
        except ValueError as error:
            raise _bad_ip(tree, said, "must be a valid IPv4 address") from error

    def _take_ip(self, tree: Tree, number: int | None, said: str) -> int:
        try:
            if number is None:
                return self._ips.take_any()
            self._ips.take(number)
        except Full as error:
            raise _bad_ip(tree, said, f"failed to allocate a serviceIP: range {self._range} is full") from error
        except OutOfRange as error:
            why = f"the provided IP ({said}) is not in the valid range. The range of valid IPs is {self._range}"
            raise _bad_ip(tree, said, f"failed to allocate IP {said}: {why}") from error
        except Taken as error:
            raise _bad_ip(tree, said, f"failed to allocate IP {said}: provided IP is already allocated") from error
        return number

    def _settle_ports(self, tree: Tree, held: set[int], taken: list[int]) -> None:
        spec = tree["spec"]
        wanted = needs_node_ports(spec)
        mine = set(held)
        for position, port in enumerate(spec.get("ports") or ()):
            said = port.get("nodePort") or 0
            if said and said not in mine:
                self._take_port(tree, said, f"spec.ports[{position}].nodePort")
            elif not said and wanted:
                said = port["nodePort"] = self._take_any_port(tree)
            else:
                continue
            mine.add(said)
            taken.append(said)
        if needs_health_port(spec):
            said = spec.get("healthCheckNodePort") or 0
            if said in mine:
                return
            if said:
                self._take_port(tree, said, "spec.healthCheckNodePort")
            else:
                said = spec["healthCheckNodePort"] = self._take_any_port(tree)
            taken.append(said)

    def _take_port(self, tree: Tree, port: int, field: str) -> None:
        try:
            self._ports.take(port)
        except OutOfRange as error:
            valid = f"The range of valid ports is {self._ports.first}-{self._ports.last}"
            why = f"Invalid value: {port}: provided port is not in the valid range. {valid}"
            raise _bad(tree, field, why) from error
        except Taken as error:
            raise _bad(tree, field, f"Invalid value: {port}: provided port is already allocated") from error

    def _take_any_port(self, tree: Tree) -> int:
        try:
            return self._ports.take_any()
        except Full as error:
            raise _bad(tree, "spec.ports", "Invalid value: range of node ports is full") from error

    async def _show(self, number: int, service: Tree) -> None:
        kind = self._registry.kind("networking.k8s.io", "v1", "ipaddresses")
        metadata = service["metadata"]
        parent = {"group": "", "resource": "services", "namespace": metadata["namespace"], "name": metadata["name"]}
        tree = {
            "metadata": {"name": str(IPv4Address(number)), "labels": dict(LABELS)},
            "spec": {"parentRef": parent},
        }
        try:
            await self._registry.create(kind, "", tree, Call(field_manager="kube-apiserver"))
        except AlreadyExists:
            return  # left from a service that is gone: the address is ours

    async def _hide(self, number: int) -> None:
        kind = self._registry.kind("networking.k8s.io", "v1", "ipaddresses")
        try:
            await self._registry.delete(kind, "", str(IPv4Address(number)), DeleteOptions(), Call())
        except NotFound:
            return


def _check_families(tree: Tree) -> None:
    """Addresses are of one family here; only who finds endpoints by itself may speak of two."""
    spec = tree["spec"]
    if spec.get("clusterIP") == "None" and not spec.get("selector"):
        return
    if spec["ipFamilyPolicy"] == "RequireDualStack":
        why = 'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'
        raise _bad(tree, "spec.ipFamilyPolicy", why)
    for position, family in enumerate(spec["ipFamilies"]):
        if family != "IPv4":
            why = f'Invalid value: "{family}": not configured on this cluster'
            raise _bad(tree, f"spec.ipFamilies[{position}]", why)


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def _ips(tree: Tree) -> Iterable[int]:
    for text in (tree.get("spec") or {}).get("clusterIPs") or ():
        try:
            yield int(IPv4Address(text))
        except ValueError:
            continue  # headless, or another family


def _node_ports(tree: Tree) -> Iterable[int]:
    spec = tree.get("spec") or {}
    yield from (port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort"))
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


def _take_quietly(numbers: Numbers, number: int) -> None:
    try:
        numbers.take(number)
    except (Taken, OutOfRange):
        return  # two protocols of one service share a port; an older range may have been another


def _bad_ip(tree: Tree, said: str, why: str) -> ApiError:
    shown = f'["{said}"]' if said else "[]"
    return _bad(tree, "spec.clusterIPs", f"Invalid value: {shown}: {why}")


def _bad(tree: Tree, field: str, why: str) -> ApiError:
    service = builtin().of_kind("", "v1", "Service")
    assert service is not None
    return invalid(service, tree["metadata"].get("name") or "", [Cause("FieldValueInvalid", why, field)])
