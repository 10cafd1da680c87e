"""What extenders say of a pod's nodes, asked once, and from here, which may not be where the scheduler is."""

from collections.abc import Sequence

from bireme.scheduler.extender import ExtenderFailed
from bireme.scheduler.extender_settings import Extender
from bireme.scheduler.extending import Extending
from bireme.scheduler.survey import Survey
from bireme.scheduler.trial import Trial


async def hear_extenders(trial: Trial, seen: Survey, extenders: Sequence[Extender]) -> None:
    """Have what they leave of the nodes that would do among the masks, each refusal with the name of who refuses."""
    if seen.stop:
        return
    for each in extenders:
        free = trial.opens(())
        extending = Extending((each,), seen.world.ledger.columns, pods=seen.caches.pods, nodes=seen.caches.nodes)
        try:
            if free and extending.asks(trial.pod):
                verdict = await extending.ask(trial.pod, frozenset(free))
                seen.masks += extending.masks(verdict, by=f"extender {each.url_prefix}: ")
        except ExtenderFailed as error:
            seen.notes.append(f"extender {each.url_prefix} was not heard: {error.message}")
        finally:
            await extending.close()
