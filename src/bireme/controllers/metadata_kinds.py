"""Structs of any kind that hold its metadata alone, for those who deal with every kind there is."""

import functools

import msgspec

from bireme.api.kinds.meta import Object
from bireme.api.scheme import Resource, Scheme


@functools.cache
def metadata_kind(group: str, version: str, kind: str) -> type[Object]:
    """A struct for objects of that kind which reads nothing but their metadata. Never write it back."""
    made = msgspec.defstruct(
        kind, [], bases=(Object,), namespace={"__gvk__": (group, version, kind)}, module=__name__
    )
    assert issubclass(made, Object)
    return made


def stored_resources(scheme: Scheme, *verbs: str) -> list[Resource]:
    """Resources with all these verbs, each once: not the further versions of what is stored as another."""
    return [item for item in scheme.resources() if item.storage is None and item.verbs.issuperset(verbs)]
