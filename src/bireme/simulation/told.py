"""What a hollow node told of a pod: as long as all is as it was told, there is nothing to work out anew.

A node hears of its own writes too, which would make each of them cost it twice. The tests hold it to what is worked
out anew.
"""

from dataclasses import dataclass
from datetime import datetime

from bireme.api.kinds import core


@dataclass(slots=True)
class Told:
    """What was told of a pod, what it was told from, and until when nothing else follows from that (None: ever)."""

    pod: core.Pod
    status: core.PodStatus
    until: datetime | None

    def holds(self, pod: core.Pod, now: datetime) -> bool:
        """Whether this is what is to be told of the pod as it is now."""
        due = self.until is not None and now >= self.until
        if due or pod.status != self.status or not _is_alike(pod, self.pod):
            return False
        self.pod, self.status = pod, pod.status  # held by the cache anyhow
        return True


def _is_alike(pod: core.Pod, other: core.Pod) -> bool:
    """Whether two states of a pod differ in their status at most, and in who wrote what."""
    now, then = pod.metadata, other.metadata
    return (
        now.labels == then.labels
        and now.annotations == then.annotations
        and now.owner_references == then.owner_references
        and now.generation == then.generation
        and now.finalizers == then.finalizers
        and now.deletion_timestamp == then.deletion_timestamp
        and pod.spec == other.spec
    )
