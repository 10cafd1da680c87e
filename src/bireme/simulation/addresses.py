"""Addresses for hollow nodes and pods: each given to one at a time, in turn."""

import socket
from ipaddress import IPv4Network


class NoAddress(Exception):
    """All addresses of a network are taken; ask again when somebody gave one back."""


class Pool:
    """The host addresses of one network."""

    def __init__(self, network: str) -> None:
        self._network = IPv4Network(network)
        self._first = int(self._network.network_address)
        self._taken: set[str] = set()
        self._last = 0

    def take(self) -> str:
        """An address that nobody has; raises NoAddress."""
        hosts = self._network.num_addresses - 2
        if len(self._taken) >= hosts:
            raise NoAddress(f"no address is left in {self._network}")
        while True:
            self._last = self._last % hosts + 1
            address = socket.inet_ntoa((self._first + self._last).to_bytes(4, "big"))
            if address not in self._taken:
                self._taken.add(address)
                return address

    def keep(self, address: str) -> None:
        """Somebody has `address` already."""
        self._taken.add(address)

    def give_back(self, address: str) -> None:
        """Nobody has `address` any more."""
        self._taken.discard(address)
