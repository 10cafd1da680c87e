"""The plugins that are on by default, in the order of the original."""

import random

from bireme.registry.admission.chain import Objects, Plugin
from bireme.registry.admission.default_storage_class import DefaultStorageClass
from bireme.registry.admission.default_toleration_seconds import DefaultTolerationSeconds
from bireme.registry.admission.namespace_lifecycle import NamespaceLifecycle
from bireme.registry.admission.priority import Priority
from bireme.registry.admission.service_account import ServiceAccount
from bireme.registry.admission.taint_nodes import TaintNodesByCondition


def default_plugins(objects: Objects, chance: random.Random) -> list[Plugin]:
    """New plugins that look up what they need in `objects`."""
    return [
        NamespaceLifecycle(objects),
        ServiceAccount(objects, chance),
        TaintNodesByCondition(),
        Priority(objects),
        DefaultTolerationSeconds(),
        DefaultStorageClass(objects),
    ]
