"""The order of API versions: stable ones first, newer before older. Source: the Kubernetes documentation."""

import re

_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
_STAGES = {None: 0, "beta": 1, "alpha": 2}


def by_priority(version: str) -> tuple[int, int, int, str]:
    """A key that sorts the preferred version first: v2, v1, v2beta1, v1alpha3, then all others by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return 3, 0, 0, version
    return _STAGES[match[2]], -int(match[1]), -int(match[3] or 0), ""
