"""An environment to try expressions in, and a short way to evaluate one."""

from collections.abc import Callable
from typing import Any

import pytest

from bireme.api.cel.environment import Environment
from bireme.api.cel.program import compile
from bireme.api.cel.types import BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, Struct, list_of, map_of

Evaluate = Callable[..., Any]

SPEC = Struct(
    "self.spec",
    {
        "replicas": INT,
        "name": STRING,
        "price": DOUBLE,
        "on": BOOL,
        "names": list_of(STRING),
        "labels": map_of(STRING, STRING),
        "when": TIMESTAMP,
        "wait": DURATION,
        "secret": BYTES,
        "a__dash__b": STRING,
    },
    keys={"a__dash__b": "a-b"},
)
ENVIRONMENT = Environment({"self": Struct("self", {"spec": SPEC}), "any": DYN})
OBJECT = {
    "spec": {
        "replicas": 3,
        "name": "web",
        "price": 3,
        "names": ["a", "b"],
        "labels": {"app": "x"},
        "when": "2024-05-06T07:08:09.5Z",
        "wait": "1h30m",
        "secret": "aGk=",
        "a-b": "dashed",
    }
}


@pytest.fixture
def evaluate() -> Evaluate:
    def run(expression: str, value: Any = None) -> Any:
        return compile(expression, ENVIRONMENT).evaluate({"self": OBJECT, "any": value})

    return run
