"""Operators under test: a process of their own that finds the cluster by its kubeconfig."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bireme.aio.clock import RealClock

END_S = 10.0
REAL = RealClock()


class Operator:
    """One that runs. `log()` is all it has said."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.process, self._output = process, output

    def log(self) -> str:
        """Its output and errors so far."""
        return self._output.read_text(errors="replace")

    def wait_log(self, text: str, *, timeout: float = 30.0) -> None:
        """Return once it has said `text`. Raises TimeoutError, or RuntimeError if it ended before."""
        deadline = REAL.monotonic() + timeout
        while text not in self.log():
            if self.process.poll() is not None:
                raise RuntimeError(f"the operator ended with {self.process.returncode}:\n{self.log()}")
            if REAL.monotonic() > deadline:
                raise TimeoutError(f"the operator did not say {text!r} within {timeout:g}s:\n{self.log()}")
            time.sleep(0.02)


def command_of(program: str | Path | Sequence[str]) -> list[str]:
    """How to start it: a Python file is run by kopf, everything else is a command."""
    if isinstance(program, str | Path):
        if str(program).endswith(".py"):
            return [sys.executable, "-m", "kopf", "run", "--all-namespaces", "--standalone", str(program)]
        return [str(program)]
    return [str(word) for word in program]


@contextmanager
def running(
    program: str | Path | Sequence[str], kubeconfig: Path, environment: Mapping[str, str]
) -> Iterator[Operator]:
    """The operator, until the block is left. RuntimeError at the end if it ended by itself with an error."""
    with tempfile.TemporaryDirectory(prefix="bireme-operator-") as folder:
        output = Path(folder) / "log"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command_of(program),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, "KUBECONFIG": str(kubeconfig)},
            )
        operator = Operator(process, output)
        try:
            yield operator
            if process.poll():
                raise RuntimeError(f"the operator ended with {process.returncode}:\n{operator.log()}")
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
