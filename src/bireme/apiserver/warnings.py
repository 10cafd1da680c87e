"""Warnings that an answer carries in its header: it was done, but the caller should know.

Source: the Kubernetes documentation on HTTP; RFC 7234, section 5.5 for the header's form.
"""

from collections.abc import Iterable, Mapping

from bireme.registry.kinds import Kind

MOST_BYTES = 4096
_DEPRECATED: Mapping[tuple[str, str], str] = {
    ("", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


def deprecation_of(kind: Kind) -> str:
    """What whoever uses `kind` is warned of; "" for most."""
    if kind.custom is not None:
        return kind.custom.deprecation
    return _DEPRECATED.get((kind.resource.group, kind.resource.kind), "")


def with_warnings(headers: Mapping[str, str], texts: Iterable[str]) -> Mapping[str, str]:
    """`headers` with the warnings `texts` after those that they carry, as many as there is room for."""
    shown = [headers["warning"]] if "warning" in headers else []
    left = MOST_BYTES - sum(map(len, shown))
    for text in texts:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
        left -= len(quoted)
        if left < 0:
            break
        shown.append(f'299 - "{quoted}"')
    return {**headers, "warning": ", ".join(shown)} if shown else headers
