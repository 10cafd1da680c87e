"""Events of the node agent, on pods and on their containers."""

from typing import Protocol

from bireme.api.kinds import core
from bireme.api.kinds.meta import Object


class Recorder(Protocol):
    """Where events go (`client/events.py`)."""

    def event(self, about: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...


class Teller:
    """Says what happens to pods, in the form that `kubectl describe` shows."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def pod(self, pod: core.Pod, type: str, reason: str, message: str) -> None:
        """An event on the pod as a whole."""
        self._recorder.event(pod, type, reason, message)

    def node(self, node: core.Node, type: str, reason: str, message: str) -> None:
        """An event on the node."""
        self._recorder.event(node, type, reason, message)

    def container(self, pod: core.Pod, container: core.Container, type: str, reason: str, message: str) -> None:
        """An event on one of its containers."""
        path = f"spec.{_sort(pod, container.name)}{{{container.name}}}"
        self._recorder.event(pod, type, reason, message, field_path=path)


def _sort(pod: core.Pod, container: str) -> str:
    """The field of the spec in which a container stands."""
    if any(other.name == container for other in pod.spec.init_containers):
        return "initContainers"
    ephemeral = any(other.name == container for other in pod.spec.ephemeral_containers)
    return "ephemeralContainers" if ephemeral else "containers"
