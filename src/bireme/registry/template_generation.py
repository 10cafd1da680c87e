"""The number of a DaemonSet's template: once a field of the API, kept as an annotation that the server alone writes.

Plain functions over trees. Source: the Kubernetes documentation of the annotation.
"""

from typing import Any

Tree = dict[str, Any]
ANNOTATION = "deprecated.daemonset.template.generation"


def begin(daemons: Tree) -> None:
    """The first template's number, unless a backup that is played back says which it is."""
    _write(daemons, max(1, _number(daemons)))


def keep(new: Tree, old: Tree) -> None:
    """The number stays, whatever who updates the set says."""
    _write(new, max(1, _number(old)))


def count(new: Tree, old: Tree) -> None:
    """Raise the number if the template is another."""
    if (new.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template"):
        _write(new, max(1, _number(old)) + 1)


def _number(daemons: Tree) -> int:
    text = (daemons["metadata"].get("annotations") or {}).get(ANNOTATION, "")
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 19 else 0


def _write(daemons: Tree, number: int) -> None:
    metadata = daemons["metadata"]
    metadata["annotations"] = (metadata.get("annotations") or {}) | {ANNOTATION: str(number)}
