"""Small steps that all defaults are made of: set what is unset, reach into what may be missing."""

from collections.abc import Mapping
from typing import Any

from bireme.api import quantity

Tree = dict[str, Any]


def fill(tree: Tree, values: Mapping[str, str | int | bool]) -> None:
    """Set each field that is unset or null."""
    get = tree.get
    for name, value in values.items():
        if get(name) is None:
            tree[name] = value


def fill_text(tree: Tree, name: str, value: str) -> None:
    """Set a text field that is unset, null or empty: the API takes "" for unset in most of them."""
    if not tree.get(name):
        tree[name] = value


def section(tree: Tree, name: str) -> Tree:
    """The structure under that name, made empty if it is not there."""
    found = tree.get(name)
    if found is None:
        found = tree[name] = {}
    return found


def default_conditions(status: Tree) -> None:
    """Conditions always have a message, though it be empty: clients with strict types ask for it."""
    for condition in status.get("conditions") or ():
        fill(condition, {"message": ""})


def canonical_amounts(amounts: Tree | None) -> None:
    """Spell every quantity of a map in its canonical form; what is no quantity is left for validation."""
    if amounts:
        for name, amount in amounts.items():
            amounts[name] = canonical_amount(amount)


def canonical_amount(amount: Any) -> Any:
    """The canonical spelling, or the value itself when it is no quantity."""
    try:
        return quantity.canonical(amount)
    except quantity.QuantityError:
        return amount
