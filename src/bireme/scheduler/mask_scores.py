"""What rules prefer, beside what the profile's own scores say of nodes."""

from collections.abc import Iterator, Sequence

from bireme.scheduler.interface import Mask
from bireme.scheduler.nodes import Flags, Numbers
from bireme.scheduler.profile import Profile
from bireme.scheduler.scores import normalised

OTHERS = "extenders"


def preferences(masks: Sequence[Mask], profile: Profile, feasible: Flags) -> Iterator[tuple[str, float, Numbers]]:
    """What each rule that prefers nodes gives the rows, by its name and weight: points, of which so many count each.

    Those of a built-in score are made comparable over the feasible rows, others are weighted already.
    """
    for mask in masks:
        if mask.score is None:
            continue
        if mask.preference is None:
            yield OTHERS, 1.0, mask.score
        elif weight := profile.weight(mask.preference):
            points = normalised(mask.score, feasible)
            if points is not None:
                yield mask.preference, float(weight), points
