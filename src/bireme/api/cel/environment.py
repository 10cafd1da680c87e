"""What an expression may speak of: variables with their types, functions, and structs that it can build."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from bireme.api.cel.functions import Functions, declared
from bireme.api.cel.types import Struct, Type


@functools.cache
def standard_functions() -> Functions:
    """Every function of the language and of the library of Kubernetes; made when first asked for."""
    from bireme.api.cel.library import (
        authorizer,
        collections,
        formats,
        network,
        quantity,
        standard,
        strings,
        times,
        versions,
    )

    modules = (standard, times, strings, collections, quantity, network, versions, formats, authorizer)
    return declared(*[module.ROWS for module in modules])


@dataclass(frozen=True, slots=True, eq=False)
class Environment:
    """`variables` by name; `structs` by the names that expressions write before `{`."""

    variables: Mapping[str, Type]
    structs: Mapping[str, Struct] = field(default_factory=dict)

    @property
    def functions(self) -> Functions:
        """The functions, the same everywhere."""
        return standard_functions()
