"""Values that are drawn: how long a pod runs, how much it asks for. Each is one of a few named forms.

A plain value is always the same. `FORMS` is the table of the others, of which a map names one: `lognormal: {median:
5m, sigma: 1.2}`. Draws take the generator to draw from, so that the same seed gives the same values.
"""

import bisect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from bireme.simulation.reading import Element

Unit = Callable[[Element], float]
LEAST = 1e-6
"""Of parameters that are bare numbers; the most is as far from 1."""
MOST = 1e15
"""Of what is drawn without a `max` of its own."""


@dataclass(frozen=True, slots=True)
class Values:
    """Something to draw from. `of` draws one; `steady` is the value of one that is always the same."""

    of: Callable[[Random], float]
    steady: float | None = None


def constant(value: float) -> Values:
    """Always this."""
    return Values(lambda random: value, value)


def choice(values: Sequence[float], weights: Sequence[float]) -> Values:
    """One of these, as often as they weigh."""
    bounds = list(itertools.accumulate(weights))

    def of(random: Random) -> float:
        at = bisect.bisect_right(bounds, random.random() * bounds[-1])
        return values[min(at, len(values) - 1)]

    return Values(of)


def values(unit: Unit) -> Callable[[Element], Values]:
    """Reads a plain value of this unit, or a map that names one of FORMS."""

    def convert(element: Element) -> Values:
        if not element.is_map:
            return constant(unit(element))
        fields = element.fields()
        if len(fields) != 1:
            raise element.error(f"one form is needed of {', '.join(FORMS)}")
        name, inner = next(iter(fields.items()))
        if name not in FORMS:
            raise inner.error(f"there is no such form; allowed: {', '.join(FORMS)}")
        return FORMS[name](inner, unit)

    return convert


def _uniform(element: Element, unit: Unit) -> Values:
    ends = [unit(inner) for inner in element.items()]
    if len(ends) != 2 or ends[0] > ends[1]:
        raise element.error("two values are needed, the smaller first: [1s, 5s]")
    low, high = ends
    return Values(lambda random: low + (high - low) * random.random())


def _exponential(element: Element, unit: Unit) -> Values:
    mean = unit(element)
    return Values(lambda random: -mean * math.log(1.0 - random.random()))


def _parameters(element: Element, unit: Unit, wanted: Mapping[str, bool]) -> dict[str, float]:
    """The fields of a form; `wanted` says of each whether it is of the unit, or a bare number. `max` may be there."""
    known = {**wanted, "max": True}
    found: dict[str, float] = {}
    for name, inner in element.fields().items():
        if name not in known:
            raise inner.error(f"there is no such field; allowed: {', '.join(known)}")
        found[name] = unit(inner) if known[name] else _bare(inner)
    for name in wanted:
        if name not in found:
            raise element.error(f"{name} is missing")
    return found


def _bare(element: Element) -> float:
    try:
        value = float(element.word())
    except ValueError as error:
        raise element.error(f"{element.word()!r} is no number") from error
    if not LEAST <= value <= 1 / LEAST:
        raise element.error(f"{value:g} is not between {LEAST:g} and {1 / LEAST:g}")
    return value


def _tailed(most: float, draw: Callable[[Random], float]) -> Values:
    """What is drawn, at most `most`: a tail may be so heavy that no float holds it."""

    def of(random: Random) -> float:
        try:
            return min(most, draw(random))
        except OverflowError:
            return most

    return Values(of)


def _lognormal(element: Element, unit: Unit) -> Values:
    form = _parameters(element, unit, {"median": True, "sigma": False})
    median, sigma, most = form["median"], form["sigma"], form.get("max", MOST)
    return _tailed(most, lambda random: median * math.exp(sigma * random.gauss(0.0, 1.0)))


def _pareto(element: Element, unit: Unit) -> Values:
    form = _parameters(element, unit, {"min": True, "alpha": False})
    least, alpha, most = form["min"], form["alpha"], form.get("max", MOST)
    return _tailed(most, lambda random: least * (1.0 - random.random()) ** (-1.0 / alpha))


def _choice(element: Element, unit: Unit) -> Values:
    if element.is_list:
        found = [unit(inner) for inner in element.items()]
        weights = [1.0] * len(found)
    else:
        pairs = element.fields()
        found = [unit(_key(element, name)) for name in pairs]
        weights = [_bare(inner) for inner in pairs.values()]
    if not found:
        raise element.error("one value is needed at least")
    return choice(found, weights)


def _key(element: Element, name: str) -> Element:
    key = next(key for key, _ in element.node.value if str(key.value) == name)
    return Element(key, f"{element.path}.{name}", element.source)


FORMS: Mapping[str, Callable[[Element, Unit], Values]] = {
    "uniform": _uniform,
    "exponential": _exponential,
    "lognormal": _lognormal,
    "pareto": _pareto,
    "choice": _choice,
}
