"""One charge to the quotas of a namespace, the line of those that wait, and whether a charge fits.

`decide` is a plain function; who calls it when stands in `quotas.py`. Source: the Kubernetes documentation on
resource quotas; the texts are those that clients know.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bireme.api import amounts
from bireme.registry.quota_usage import Usage, in_scope, title_of, unsaid
from bireme.store.interface import Item

Tree = dict[str, Any]


@dataclass(eq=False, slots=True)
class Charge:
    """One write that is to be charged: what it uses more than before, and what each quota holds of it."""

    title: str
    tree: Tree
    key: str
    before: int
    delta: Usage
    dry_run: bool = False
    decided: bool = False
    refusal: str = ""
    shown: bool = False
    left: bool = False  # nobody sees to it any more
    held: dict[str, Usage] = field(default_factory=dict)

    def stands_in(self, item: Item | None) -> bool:
        """Whether what the store holds may be what was charged, rather than what was there or another's."""
        if item is None or item.revision == self.before:
            return False
        return bool(self.before) or str(self.tree["metadata"].get("uid")).encode() in item.value


@dataclass(eq=False, slots=True)
class Line:
    """The charges of one namespace: those that wait, and those whose write is on its way, by key."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[Charge] = field(default_factory=list)
    flying: dict[str, list[Charge]] = field(default_factory=dict)
    seen: dict[str, tuple[int, Usage]] = field(default_factory=dict)

    def left(self) -> list[Charge]:
        """Those on their way that nobody sees to."""
        return [charge for flying in self.flying.values() for charge in flying if charge.left]

    def land(self, charge: Charge) -> None:
        """Its write is on its way no more."""
        flying = self.flying.get(charge.key, [])
        if charge in flying:
            flying.remove(charge)
            if not flying:
                del self.flying[charge.key]


def decide(charge: Charge, quotas: Sequence[Tree], used: dict[str, Usage]) -> str:
    """Charge `charge` to every quota that covers it, in `used`; why not, if one refuses (then nothing is charged)."""
    covering = []
    charge.held = {}
    for quota in quotas:
        hard = (quota.get("status") or {}).get("hard") or {}
        names = [name for name in hard if title_of(name) == charge.title]
        if not names or not in_scope(charge.title, charge.tree, quota):
            continue
        name = quota["metadata"]["name"]
        if lacking := unsaid(charge.title, charge.tree, names):
            return f"failed quota: {name}: must specify {lacking}"
        if any(one not in used[name] for one in names):
            return f"status unknown for quota: {name}, resources: {','.join(sorted(names))}"
        covering.append((name, names, amounts.read(hard)))
    held = {}
    for name, names, hard_amounts in covering:
        wanted = {one: of for one, of in amounts.only(charge.delta, names).items() if of.nanos}
        total = amounts.add(amounts.only(used[name], wanted), wanted)
        over = [one for one, of in wanted.items() if of.nanos > 0 and total[one].nanos > hard_amounts[one].nanos]
        if over:
            return (
                f"exceeded quota: {name}, requested: {amounts.shown(amounts.only(wanted, over))}, "
                f"used: {amounts.shown(amounts.only(used[name], over))}, "
                f"limited: {amounts.shown(amounts.only(hard_amounts, over))}"
            )
        if wanted:
            held[name] = wanted
    for name, wanted in held.items():
        used[name] = amounts.add(used[name], wanted)
    charge.held = held
    return ""
