"""Compiled expressions: `compile` one, then `evaluate` it as often as wanted.

A program holds no state, so that one can serve all requests. What it may cost is estimated (`cost`), and what it
does cost is counted, and bounded. Left to others: everything that compiling takes (`parser.py`, `checker.py`,
`planner.py`, `estimate.py`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bireme.api.cel.checker import Checked, check
from bireme.api.cel.environment import Environment
from bireme.api.cel.errors import CelError
from bireme.api.cel.estimate import Cost, estimate
from bireme.api.cel.parser import parse
from bireme.api.cel.planner import Planner
from bireme.api.cel.steps import FAILURES, Frame
from bireme.api.cel.types import Type

PER_CALL = 1_000_000
# What may be spent while everybody else waits: some 30 ms of work.
QUICK = 100_000


class Outcome(NamedTuple):
    """A value and what it cost to find."""

    value: Any
    cost: int


class Program:
    """One compiled expression. `cost` is what one evaluation may cost, at least and at most."""

    def __init__(self, expression: str, checked: Checked) -> None:
        planner = Planner(checked)
        self.expression = expression
        self.checked = checked
        self._step = planner.plan(checked.parsed.expr)
        self._slots = planner.slots

    @property
    def result(self) -> Type:
        """The type of what it gives."""
        return self.checked.result

    @property
    def cost(self) -> Cost:
        """The static estimate."""
        return estimate(self.checked)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value of the expression for these variables. Raises CelError."""
        return self.run(values).value

    def run(self, values: Mapping[str, Any], *, limit: int = PER_CALL) -> Outcome:
        """As `evaluate`, with what it cost; CostExceeded over `limit`."""
        frame = Frame(values, self._slots, limit)
        try:
            value = self._step(frame)
        except CelError:
            raise
        except FAILURES as error:
            raise CelError(f"no such overload: {error}") from error
        except RecursionError as error:
            raise CelError("value is nested too deeply") from error
        frame.spend(0)
        return Outcome(value, frame.spent)


def compile(expression: str, environment: Environment) -> Program:
    """A program. Raises CelError with what is wrong, as users see it after "compilation failed: "."""
    try:
        parsed = parse(expression)
        checked = check(parsed, environment.variables, environment.functions, environment.structs)
        return Program(expression, checked)
    except RecursionError as error:
        raise CelError("ERROR: <input>:1:1: expression is nested too deeply") from error
