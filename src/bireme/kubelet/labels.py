"""Labels and annotations under which the agent finds its pods in the engine again, as CRI tools expect them."""

import hashlib

from bireme.api.kinds import core

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
SPEC_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_FILE = "bireme.dev/termination-file"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"


def pod_labels(pod: core.Pod) -> dict[str, str]:
    """Whose sandbox or container it is."""
    meta = pod.metadata
    return {**meta.labels, POD_NAME: meta.name, POD_NAMESPACE: meta.namespace, POD_UID: meta.uid}


def container_labels(pod: core.Pod, container: core.Container) -> dict[str, str]:
    labels = pod_labels(pod)
    for name in pod.metadata.labels:
        if name not in (POD_NAME, POD_NAMESPACE, POD_UID):
            labels.pop(name)
    return {**labels, CONTAINER_NAME: container.name}


def spec_hash(container: core.Container) -> str:
    """Changes when a container must be made anew: of what may be edited in a running pod, that is the image."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]
