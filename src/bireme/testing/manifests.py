"""What a test hands in to be applied, as objects: trees, lists of them, YAML or JSON text, files, folders."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

Tree = dict[str, Any]
ENDINGS = (".yaml", ".yml", ".json")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def objects(*given: Any) -> Iterator[Tree]:
    """The objects in what was given, in that order; the items of a List one by one.

    A text with a line break is YAML, any other the path of a file or of a folder of files. Raises ValueError.
    """
    for each in given:
        match each:
            case Mapping():
                yield from _unfolded(dict(each))
            case Path():
                yield from _read(each)
            case str() if "\n" in each or each.lstrip().startswith("{"):
                yield from _parsed(each)
            case str():
                yield from _read(Path(each))
            case list() | tuple():
                yield from objects(*each)
            case _:
                raise ValueError(f"{each!r} is no object, text or path")


def _read(path: Path) -> Iterator[Tree]:
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.suffix in ENDINGS:
                yield from _parsed(file.read_text())
    else:
        yield from _parsed(path.read_text())


def _parsed(text: str) -> Iterator[Tree]:
    for document in yaml.load_all(text, Loader=LOADER):
        if document:
            yield from objects(document)


def _unfolded(tree: Tree) -> Iterator[Tree]:
    if str(tree.get("kind", "")).endswith("List") and isinstance(tree.get("items"), list):
        yield from objects(*tree["items"])
    elif not tree.get("kind") or not tree.get("apiVersion"):
        raise ValueError(f"an object needs apiVersion and kind: {str(tree)[:200]}")
    else:
        yield tree
