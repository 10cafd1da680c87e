"""The base of every typed value: a msgspec struct that drops what is unset when it is encoded.

Strings, lists and maps are never None (unset reads as empty); numbers, flags and nested structures are
None when unset, since 0 and false often mean something. Field names are the API's in snake_case
(`cluster_ips` is `clusterIPs` on the wire).
"""

import msgspec

IntOrString = int | str
"""A number, or text such as "25%" or a port's name."""

Quantity = str | int | float
"""An exact amount as the wire gives it ("250m", "1Gi", 2): read it with `quantity.parse`."""


class Model(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """A structure of the API. Equality and order are by value; it may be changed in place."""
