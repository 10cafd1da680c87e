"""What selectors of devices may speak of: `device`, with its driver, attributes and capacity by domain.

A domain of which the device has nothing is an empty map. Source: the description of `CELDeviceSelector` in
`resource.k8s.io/v1`.
"""

import functools
from typing import Any

from bireme.api.cel.environment import Environment
from bireme.api.cel.program import Program, compile
from bireme.api.cel.types import BOOL, DYN, STRING, Struct, map_of, named

LONGEST = 10 * 1024

_DEVICE = Struct(
    "kubernetes.DRADevice",
    {
        "driver": STRING,
        "attributes": map_of(STRING, map_of(STRING, DYN)),
        "capacity": map_of(STRING, map_of(STRING, named("kubernetes.Quantity"))),
        "allowMultipleAllocations": BOOL,
    },
)
ENVIRONMENT = Environment({"device": _DEVICE})


class Domains(dict[str, Any]):
    """Values by domain, then by name."""

    def __missing__(self, key: str) -> Any:
        return {}


@functools.lru_cache(maxsize=1024)
def selector(expression: str) -> Program:
    """The compiled expression. Raises CelError."""
    return compile(expression, ENVIRONMENT)
