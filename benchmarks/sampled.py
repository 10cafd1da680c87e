"""Run `bireme` with a sampler inside: which functions take the CPU of a process, without a tool from outside.

The kernel sends SIGPROF for every few milliseconds of CPU that the process uses; the handler notes the stack. C code
counts for the function that called it, and the store's thread for whatever the loop did then, mostly for nothing.
SIGUSR1 begins anew, SIGUSR2 writes what was seen: one stack a line, outermost first, and how often (the collapsed
form that flame graphs are made of).

usage: sampled.py FILE ARGUMENT…, the arguments being those of `bireme`
"""

import gc
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FrameType

import bireme

EVERY_S = 0.004
DEEPEST = 80
COLLECTOR = "collector"
"""Not a stack but what the garbage collector took, in samples; those are in the others too."""

Stack = tuple[CodeType, ...]


class Sampler:
    """Counts stacks while the process uses CPU."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stacks: Counter[Stack] = Counter()
        self._collecting = self._collected = 0.0

    def start(self) -> None:
        """Listen to the signals."""
        gc.callbacks.append(self._collector)
        signal.signal(signal.SIGPROF, self._note)
        signal.signal(signal.SIGUSR1, lambda number, frame: self._begin())
        signal.signal(signal.SIGUSR2, lambda number, frame: self._write())

    def _begin(self) -> None:
        self._stacks.clear()
        self._collected = 0.0
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _write(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = [f"{';'.join(map(shown, reversed(stack)))} {count}\n" for stack, count in self._stacks.most_common()]
        lines.append(f"{COLLECTOR} {round(self._collected / EVERY_S)}\n")
        fresh = self._file.with_suffix(".new")
        fresh.write_text("".join(lines))
        fresh.replace(self._file)

    def _collector(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    def _note(self, number: int, frame: FrameType | None) -> None:
        stack: list[CodeType] = []
        while frame is not None and len(stack) < DEEPEST:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._stacks[tuple(stack)] += 1


def shown(code: CodeType) -> str:
    """Where a function stands and what it is called."""
    path = code.co_filename
    for root in ("/src/bireme/", "/site-packages/", "/lib/python"):
        if root in path:
            path = path.rpartition(root)[2]
            break
    return f"{path}:{code.co_qualname}"


def read(file: Path) -> dict[tuple[str, ...], int]:
    """The stacks of a file and how often each was seen."""
    stacks: dict[tuple[str, ...], int] = {}
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] = int(count)
    return stacks


# What carries others' work and has none of its own.
CARRIERS = ("asyncio/", "aio/", "3.11/", "cli/", "assembly/", "controllers/acting.py", "controllers/all.py", "click/")


def is_ours(frame: str) -> bool:
    """Whether a frame is of Bireme's source, which alone is shown by its path within it."""
    return frame.split("/", 1)[0] in PARTS


PARTS = frozenset(folder.name for folder in Path(bireme.__path__[0]).iterdir() if folder.is_dir())


def where(stacks: Mapping[tuple[str, ...], int]) -> Counter[str]:
    """Samples by the part of the source that was running: of the innermost frame that is ours."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        inner = next((frame for frame in reversed(stack) if is_ours(frame)), "")
        found[part_of(inner)] += count
    return found


def for_whom(stacks: Mapping[tuple[str, ...], int]) -> Counter[str]:
    """Samples by who had the work done: the outermost frame that does not merely carry."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        outer = next((frame for frame in stack if is_ours(frame) and not frame.startswith(CARRIERS)), "")
        found[outer.partition(":")[0] or "loop"] += count
    return found


def functions(stacks: Mapping[tuple[str, ...], int], *, inclusive: bool) -> Counter[str]:
    """Samples by function: of it alone, or of all that it called as well."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        for frame in set(stack) if inclusive else stack[-1:]:
            found[frame] += count
    return found


def part_of(frame: str) -> str:
    """`registry/admission` of a frame in it, at most two folders."""
    folders = frame.partition(":")[0].split("/")[:-1]
    return "/".join(folders[:2]) or "loop, store thread"


def show(file: Path, *, most: int = 60) -> None:
    """Print what a file of stacks says."""
    stacks = read(file)
    collector = stacks.pop((COLLECTOR,), 0)
    whole = sum(stacks.values()) or 1
    sys.stdout.write(f"the collector took {100 * collector / whole:.1f} %\n")
    tables = {
        "by part of the source": where(stacks),
        "by who had it done": for_whom(stacks),
        "functions, with what they called": functions(stacks, inclusive=True),
        "functions alone": functions(stacks, inclusive=False),
    }
    for title, table in tables.items():
        sys.stdout.write(f"\n{title} ({whole} samples of {EVERY_S * 1000:.0f} ms)\n")
        for name, count in table.most_common(most):
            sys.stdout.write(f"{100 * count / whole:6.1f} %  {name}\n")


def main() -> None:
    file, *arguments = sys.argv[1:]
    if arguments == ["show"]:
        show(Path(file))
        return
    Sampler(Path(file)).start()
    from bireme.cli.main import main as run

    sys.argv = ["bireme", *arguments]
    run()


if __name__ == "__main__":
    main()
