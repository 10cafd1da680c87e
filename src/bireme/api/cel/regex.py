"""Patterns in time that grows with the text alone, and in bounded memory: the RE2 engine.

Python's own engine can take exponential time on a hostile pattern; this one can't. Source: the RE2 syntax.
"""

import functools
from itertools import islice
from typing import Any

from bireme.api.cel.errors import CelError

_REMEMBERED = 1024


@functools.lru_cache(maxsize=_REMEMBERED)
def compiled(pattern: str) -> Any:
    """The pattern, ready for use. Raises CelError for what is none."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0] if error.args else pattern
        text = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        raise CelError(f"error parsing regexp: {text}") from None


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises CelError for a wrong pattern."""
    return compiled(pattern).search(text) is not None


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """What matches, from left to right, without overlap; at most `limit`. Raises CelError for a wrong pattern."""
    most = None if limit < 0 else limit
    return [found.group(0) for found in islice(compiled(pattern).finditer(text), most)]
