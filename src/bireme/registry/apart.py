"""Work on large objects goes to a thread, so that nobody else waits for it.

Types, defaults, owners of fields and rules cost some microseconds for each value, which for the largest objects adds
up to a second. They look at the object alone, and what they remember is safe to fill from anywhere. Small objects,
which nearly all are, are dealt with on the spot: a thread costs more than they do.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# In bytes; some three milliseconds of work.
LARGE = 64 << 10


async def apart(large: bool, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `step` gives; where the object is `large`, worked out in a thread."""
    if large:
        return await asyncio.to_thread(step, *args, **kwargs)
    return step(*args, **kwargs)
