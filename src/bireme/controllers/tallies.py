"""How many pods each owner has, by what counts of them, kept as they change: nobody goes through ten thousand pods.

What a set's status says, and how many pods it lacks, follows from a handful of numbers, as long as nobody is to be
deleted, adopted or let go and pods count as available at once; else the pods themselves are looked at
(`replicaset.py`). Pods that have ended are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bireme.api.kinds import core
from bireme.api.selectors import LabelSelector
from bireme.client.informer import Informer
from bireme.controllers import pods
from bireme.controllers.ownership import controller_of
from bireme.controllers.replicas import Counts


class Like(NamedTuple):
    """What counts of a pod; many are alike."""

    labels: tuple[tuple[str, str], ...]
    is_going: bool
    is_ready: bool


def like(pod: core.Pod) -> Like:
    """What counts of the pod."""
    metadata = pod.metadata
    return Like(tuple(metadata.labels.items()), bool(metadata.deletion_timestamp), pods.is_ready(pod))


class Tallies:
    """The pods that are controlled by owners of one kind, by the uid of the owner."""

    def __init__(self, informer: Informer[core.Pod], *, kind: str) -> None:
        self._kind = kind
        self._of: dict[str, Counter[Like]] = defaultdict(Counter)
        informer.on_change(self._changed)

    def of(self, owner: str) -> Mapping[Like, int]:
        """How many of its pods are like what."""
        return self._of.get(owner, {})

    def _changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and new is not None and self._is_no_news(old, new):
            return
        before, after = self._place(old), self._place(new)
        if before == after:
            return
        if before is not None:
            owner, what = before
            tally = self._of[owner]
            tally[what] -= 1
            if not tally[what]:
                del tally[what]
            if not tally:
                del self._of[owner]
        if after is not None:
            owner, what = after
            self._of[owner][what] += 1

    def _is_no_news(self, old: core.Pod, new: core.Pod) -> bool:
        """Told at a glance, for most of what is written to a pod changes nothing that counts."""
        before, after = old.metadata, new.metadata
        if before.owner_references is not after.owner_references:
            return False
        reference = controller_of(new)
        if reference is None or reference.kind != self._kind:
            return True
        return (
            before.labels is after.labels
            and before.deletion_timestamp == after.deletion_timestamp
            and pods.is_ready(old) == pods.is_ready(new)
            and pods.is_ended(old) == pods.is_ended(new)
        )

    def _place(self, pod: core.Pod | None) -> tuple[str, Like] | None:
        reference = controller_of(pod) if pod is not None else None
        if pod is None or reference is None or reference.kind != self._kind or pods.is_ended(pod):
            return None
        return reference.uid, like(pod)


def counted(
    seen: Mapping[Like, int],
    unseen: Iterable[core.Pod],
    *,
    selector: LabelSelector,
    template_labels: Mapping[str, str],
) -> Counts | None:
    """What the status says of pods that are available once they are ready; None where one has to be let go.

    `unseen` are pods that the tally does not know yet.
    """
    every = Counter(seen)
    every.update(like(pod) for pod in unseen)
    replicas = fully_labeled = ready = terminating = 0
    wanted = template_labels.items()
    for what, number in every.items():
        labels = dict(what.labels)
        if not selector.matches(labels):
            return None
        if what.is_going:
            terminating += number
            continue
        replicas += number
        fully_labeled += number if wanted <= labels.items() else 0
        ready += number if what.is_ready else 0
    return Counts(replicas, fully_labeled, ready, ready, terminating)
