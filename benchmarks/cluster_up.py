"""How long is it from `bireme up` to a Ready node, on a machine that has run it before?

Each repeat starts from nothing: the cluster before it was purged, so certificates, store and images are made
again. Warm are the packages, the Python environment and the disk's cache.
"""

import argparse

from cluster import bring_up, purge, purged
from report import Figure, report


def seconds_up(repeats: int) -> list[float]:
    """How long each start took, the first, which warms, left out."""
    taken = []
    with purged():
        for _ in range(repeats + 1):
            taken.append(bring_up())
            purge()
    return taken[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    figure = Figure("bireme up to node Ready, warm", "s", seconds_up(arguments.repeats), "at most 10")
    report("Starting a cluster", [figure])


if __name__ == "__main__":
    main()
