"""How hollow pods behave, as data: rules in a file say it for many, annotations of a pod for itself.

A `Rule` has times that may be drawn; a `Script` is what was drawn for one run of one pod. Draws depend on the seed,
the pod's uid and the number of the run alone: the same pods behave the same, whatever happens around them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random

from bireme.api.kinds import core
from bireme.simulation import reading
from bireme.simulation.distributions import Values, constant, values
from bireme.simulation.reading import Element, said

PREFIX = "hollow.bireme.dev/"
NEVER = "never"
FAILED = 1
LONGEST_S = 1e9
"""What is to come in more than thirty years is not foreseen."""


@dataclass(frozen=True, slots=True)
class Script:
    """How one run of a pod goes, in seconds.

    Its image is there after `pull_s`, unless `pull_fails`. It starts `start_s` later, is ready after `ready_s` more
    (None: never) and ends `end_s` after its start (None: only when it is deleted) with `exit_code`. Once ready, its
    readiness fails after `unready_every_s` for `unready_for_s`; its liveness fails `unhealthy_s` after the start, and
    it is killed. It takes `stop_s` to stop, or as long as it is given.
    """

    start_s: float = 0.02
    ready_s: float | None = 0.0
    end_s: float | None = None
    exit_code: int = 0
    stop_s: float = 0.0
    pull_s: float = 0.0
    pull_fails: bool = False
    unready_every_s: float | None = None
    unready_for_s: float = 10.0
    unhealthy_s: float | None = None


DELAYS = ("start_s", "ready_s", "end_s", "stop_s", "pull_s", "unready_every_s", "unready_for_s", "unhealthy_s")


@dataclass(frozen=True, slots=True)
class Match:
    """Which pods a rule is for: those of whom all that is said holds."""

    owner: str = said(reading.text, "the kind of its controller, as Job", "")
    namespace: str = said(reading.text, "its namespace", "")
    image: str = said(reading.text, "a pattern for one of its images, as registry/*", "")
    labels: Mapping[str, str] = said(reading.mapped(reading.text), "labels that it has", dict)
    annotated: Sequence[str] = said(reading.listed(reading.text), "annotations that it has, whatever they say", ())

    def holds(self, pod: core.Pod) -> bool:
        """Whether this is one of them."""
        meta = pod.metadata
        return (
            (not self.owner or any(each.controller and each.kind == self.owner for each in meta.owner_references))
            and (not self.namespace or meta.namespace == self.namespace)
            and (not self.image or any(fnmatchcase(each.image, self.image) for each in pod.spec.containers))
            and all(meta.labels.get(key) == value for key, value in self.labels.items())
            and all(key in meta.annotations for key in self.annotated)
        )


def _or_never(convert: Callable[[Element], Values]) -> Callable[[Element], Values | None]:
    def converted(element: Element) -> Values | None:
        if not element.is_map and not element.is_list and element.word() == NEVER:
            return None
        return convert(element)

    return converted


_TIME = values(reading.duration)
_CODE = values(reading.number(0, 255))


@dataclass(frozen=True, slots=True)
class Rule:
    """How the pods that it is for behave. Times may be drawn, and are drawn anew for each run."""

    match: Match = said(reading.section(Match), "which pods; the first rule that fits counts", Match)
    pull: Values = said(_TIME, "until the image is there", constant(0.0))
    pull_fails: float = said(reading.share, "the chance that a pull fails; it is tried again", 0.0)
    start: Values = said(_TIME, "from there to its start", constant(0.02))
    ready: Values | None = said(_or_never(_TIME), "from its start until it is ready, or never", constant(0.0))
    end: Values | None = said(_or_never(_TIME), "from its start to its end, or never", None)
    exit_code: Values = said(_CODE, "of its containers at that end", constant(0.0))
    fail: float = said(reading.share, "the chance that it ends with 1 in place of that", 0.0)
    stop: Values = said(_TIME, "how long it takes to stop, within its grace", constant(0.0))
    unready_every: Values | None = said(_or_never(_TIME), "how long it is ready before a probe fails", None)
    unready_for: Values = said(_TIME, "how long it is not ready then", constant(10.0))
    unhealthy: Values | None = said(_or_never(_TIME), "from its start until its liveness fails, or never", None)
    jitter: float = said(reading.share, "all these times are longer or shorter by up to this part", 0.0)

    @property
    def draws(self) -> bool:
        """Whether anything in it is left to chance."""
        times = (self.pull, self.start, self.ready, self.end, self.exit_code, self.stop)
        probes = (self.unready_every, self.unready_for, self.unhealthy)
        uncertain = any(each is not None and each.steady is None for each in (*times, *probes))
        return uncertain or self.fail > 0 or self.pull_fails > 0 or self.jitter > 0

    def script(self, random: Random, *, pull: Random) -> Script:
        """What is drawn for one run; `pull` for one try to get the image."""
        fails = self.fail > 0 and random.random() < self.fail
        return Script(
            start_s=self.start.of(random),
            ready_s=_drawn(self.ready, random),
            end_s=_drawn(self.end, random),
            exit_code=FAILED if fails else int(self.exit_code.of(random)),
            stop_s=self.stop.of(random),
            pull_s=self.pull.of(pull),
            pull_fails=self.pull_fails > 0 and pull.random() < self.pull_fails,
            unready_every_s=_drawn(self.unready_every, random),
            unready_for_s=self.unready_for.of(random),
            unhealthy_s=_drawn(self.unhealthy, random),
        )


def _drawn(value: Values | None, random: Random) -> float | None:
    return None if value is None else value.of(random)


@dataclass(frozen=True, slots=True)
class Rules:
    """A file of rules: `--stages FILE`."""

    rules: Sequence[Rule] = said(reading.listed(reading.section(Rule)), "the first that fits a pod counts", ())
    seed: int = said(reading.whole(), "of everything that is drawn", 0)

    @classmethod
    def load(cls, path: Path) -> "Rules":
        """The rules of a file; for pods that none of them fits the usual ones. Raises ScenarioError, OSError."""
        found = reading.parse(reading.text_of(path), cls, source=path.name)
        return replace(found, rules=(*found.rules, *DEFAULT_RULES.rules))


# Work that somebody waits for comes to its end: pods of Jobs, and the hooks of a chart (`helm test` is one).
_AT_ONCE = constant(0.1)
DEFAULT_RULES = Rules(
    (
        Rule(match=Match(owner="Job"), end=_AT_ONCE),
        Rule(match=Match(annotated=("helm.sh/hook",)), end=_AT_ONCE),
        Rule(),
    )
)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= LONGEST_S:
        raise ValueError(text)
    return seconds


def _seconds_or_never(text: str) -> float | None:
    return None if text == NEVER else _seconds(text)


def _exit_code(text: str) -> int:
    code = int(text)
    if not 0 <= code <= 255:
        raise ValueError(text)
    return code


ANNOTATIONS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "start-seconds": ("start_s", _seconds),
    "ready-seconds": ("ready_s", _seconds_or_never),
    "end-seconds": ("end_s", _seconds_or_never),
    "exit-code": ("exit_code", _exit_code),
    "stop-seconds": ("stop_s", _seconds),
    "pull-seconds": ("pull_s", _seconds),
    "unready-every-seconds": ("unready_every_s", _seconds_or_never),
    "unready-for-seconds": ("unready_for_s", _seconds),
    "unhealthy-seconds": ("unhealthy_s", _seconds_or_never),
}
CHANCES = frozenset(PREFIX + name for name in ("pull-fails", "fail", "jitter"))
NO_CHANCE = Random(0)


def script_of(pod: core.Pod, rules: Rules = DEFAULT_RULES, *, run: int = 0, tries: int = 0) -> Script:
    """What the pod does in its `run`-th run, after so many `tries` to get its image. A bad annotation counts not."""
    rule = next((rule for rule in rules.rules if rule.match.holds(pod)), Rule())
    random = pull = NO_CHANCE  # a generator is dear, and mostly not asked
    if rule.draws or not CHANCES.isdisjoint(pod.metadata.annotations):
        place = f"{rules.seed}/{pod.metadata.uid}/{run}"
        random, pull = Random(place), Random(f"{place}/{tries}")
    script = rule.script(random, pull=pull)
    jitter = rule.jitter
    for name, text in pod.metadata.annotations.items():
        if not name.startswith(PREFIX):
            continue
        short = name.removeprefix(PREFIX)
        try:
            if short in ANNOTATIONS:
                field, convert = ANNOTATIONS[short]
                script = replace(script, **{field: convert(text)})  # type: ignore[arg-type]
            elif short == "pull-fails":
                script = replace(script, pull_fails=pull.random() < float(text))
            elif short == "fail":
                script = replace(script, exit_code=FAILED) if random.random() < float(text) else script
            elif short == "jitter":
                jitter = min(1.0, max(0.0, float(text)))
        except ValueError:
            continue
    return _shaken(script, jitter, random) if jitter else script


def _shaken(script: Script, jitter: float, random: Random) -> Script:
    changes = {}
    for name in DELAYS:
        delay = getattr(script, name)
        factor = 1.0 + jitter * (2.0 * random.random() - 1.0)
        if delay is not None:
            changes[name] = delay * factor
    return replace(script, **changes)
