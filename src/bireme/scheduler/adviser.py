"""What would help a pod that was refused, as an event beside `FailedScheduling`, whose words are the original's.

Each pod is told once, and again when the reason changes; in a crowd a few pods a second are, the rest not at all:
advice costs as much as many placements. Here the world is at work, so only what can be tried beside it is advised;
`bireme why` tries more.
"""

from collections import OrderedDict
from collections.abc import Sequence

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.client.events import EventRecorder
from bireme.scheduler.advice import advise
from bireme.scheduler.explanation import Explanation
from bireme.scheduler.profile import Profile
from bireme.scheduler.report import AdviceLine, GroupLine, advice_line, group_lines
from bireme.scheduler.templates import DefaultSelector
from bireme.scheduler.trial import Trial
from bireme.scheduler.world import World

REASON = "SchedulingAdvice"
LONGEST = 1024
REMEMBERED = 4096
PER_SECOND = 2.0
BURST = 4.0
SHOWN = 3


class Adviser:
    """Tells pods. `tell` is a plain call and may take some milliseconds."""

    def __init__(
        self,
        world: World,
        events: EventRecorder,
        clock: Clock,
        profiles: Sequence[Profile],
        *,
        default_selector: DefaultSelector,
    ) -> None:
        self._world, self._events, self._clock = world, events, clock
        self._profiles = {profile.name: profile for profile in profiles}
        self._default_selector = default_selector
        self._told: OrderedDict[str, str] = OrderedDict()
        self._tokens, self._at = BURST, clock.monotonic()

    def tell(self, pod: core.Pod, refusal: str) -> None:
        """The pod was refused in these words."""
        uid = pod.metadata.uid
        if self._told.get(uid) == refusal or not self._may_tell():
            return
        self._told[uid] = refusal
        self._told.move_to_end(uid)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        profile = self._profiles.get(pod.spec.scheduler_name)
        if profile is None:
            return
        trial = Trial(self._world, pod, profile=profile, default_selector=self._default_selector)
        template = trial.template()
        found = Explanation(template)
        lines = [advice_line(each) for each in advise(trial, found, enough=SHOWN)]
        text = advice_text(group_lines(found, template, first=SHOWN), lines)
        if text:
            self._events.event(pod, "Normal", REASON, text)

    def _may_tell(self) -> bool:
        now = self._clock.monotonic()
        self._tokens, self._at = min(BURST, self._tokens + (now - self._at) * PER_SECOND), now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def advice_text(refused: Sequence[GroupLine], advice: Sequence[AdviceLine]) -> str:
    """The event's message: what would help, then the nodes in figures, as far as there is room."""
    parts = [f"{line.text} ({_nodes(line)})" for line in advice]
    helps = "What would help: " + "; or ".join(parts) + "." if parts else ""
    figures = [
        f"{line.node}: {line.detail or group.reason}" for group in refused for line in group.nodes if line.detail
    ]
    text = helps
    for figure in figures:
        longer = f"{text} {figure}." if text else f"{figure}."
        if len(longer.encode()) > LONGEST:
            break
        text = longer
    return text.encode()[:LONGEST].decode(errors="ignore")


def _nodes(line: AdviceLine) -> str:
    more = len(line.nodes) - 1
    return f"then {line.nodes[0]}{f' and {more} more' if more else ''} would do"
