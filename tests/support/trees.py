"""Objects at random, by their schema: every field may be there, and every value is one that the schema allows."""

from random import Random
from typing import Any

from bireme.api.shape import Form, Node

WORDS = [
    "",
    "a",
    "A_",
    "/",
    "..",
    "Always",
    "Never",
    "25%",
    "-1",
    "10.0.0.1",
    "a" * 70,
    "é",
    "RollingUpdate",
    "v1",
    "*",
]
SCALARS: dict[Form, list[Any]] = {
    Form.STRING: WORDS,
    Form.INT32: [-1, 0, 1, 80, 2**31 - 1],
    Form.INT64: [-1, 0, 1, 80, 2**62],
    Form.NUMBER: [0, -1.5, 1e9],
    Form.BOOLEAN: [True, False],
    Form.BYTES: ["", "eA=="],
    Form.TIME: ["2026-01-01T00:00:00Z"],
    Form.QUANTITY: ["1", "500m", "-1", "1Gi", 0.5],
    Form.INT_OR_STRING: [0, 1, -1, "25%", "x"],
    Form.ANY: [{}, {"a": 1}, "x", 1],
}
DEPTH = 9


def grow(node: Node, random: Random, depth: int = 0) -> Any:
    """A value of that type."""
    if node.form in SCALARS:
        return random.choice(SCALARS[node.form])
    few = 0 if depth > DEPTH else random.choice([0, 1, 1, 2])
    if node.form is Form.LIST:
        assert node.items
        return [grow(node.items, random, depth + 1) for _ in range(few)]
    if node.form is Form.MAP:
        assert node.items
        return {random.choice(WORDS): grow(node.items, random, depth + 1) for _ in range(few)}
    share = 0.9 if depth < 2 else 0.5 if depth < 5 else 0.2
    return {name: grow(each.node, random, depth + 1) for name, each in node.fields.items() if random.random() < share}
