"""Patches: JSON patch (RFC 6902), merge patch (RFC 7386), and the door to strategic merge patch.

Each takes a tree and gives a new one that shares nothing with it or with the patch. Limits and wording follow
the API server of Kubernetes: 10,000 operations, and copies of 3 MiB in all.
"""

from collections.abc import Callable
from typing import Any

import orjson

from bireme.api import schema
from bireme.api.codec.json import DEPTH, LIMITS, check_values
from bireme.api.errors import BadRequest, Cause, Invalid, TooLarge
from bireme.api.strategic import StrategicMerge

MAX_OPERATIONS = 10_000
MAX_COPIED = LIMITS.size
# List items that inserting and removing may move along in all, which keeps a patch under some 50 ms.
MAX_SHIFTED = 50_000_000

Tree = Any


class PatchFailed(Invalid):
    """The patch is well formed, but can't be carried out on this object."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "the server rejected our request due to an error in our request",
            causes=(Cause("UnexpectedServerResponse", detail),),
        )


def clone(tree: Tree) -> Tree:
    """A deep copy of a tree; raises BadRequest for one that is too deep."""
    try:
        return orjson.loads(orjson.dumps(tree))
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"json: exceeded max depth of {DEPTH}") from error


def json_patch(tree: Tree, operations: Any) -> Tree:
    """A new tree with the operations done in turn; raises BadRequest, TooLarge or PatchFailed."""
    if not isinstance(operations, list):
        raise BadRequest("error decoding patch: json: cannot unmarshal into Go value of type []interface {}")
    if len(operations) > MAX_OPERATIONS:
        raise TooLarge(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    work = _Operations(clone(tree))
    try:
        for operation in operations:
            work.do(operation)
        if work.copied:
            check_values(work.root)
        return orjson.loads(orjson.dumps(work.root))
    except (RecursionError, orjson.JSONEncodeError) as error:
        raise PatchFailed(f"the result is nested deeper than {DEPTH}") from error


def merge_patch(tree: Tree, patch: Any) -> Tree:
    """A new tree with the patch merged in: null removes, lists are replaced. Raises BadRequest."""
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
    return _merged(clone(tree), clone(patch))


def strategic_merge_patch(tree: Tree, patch: Any, definition: str, *, known: schema.Schema | None = None) -> Tree:
    """A new tree with the patch merged in as the fields of the kind ask for; raises BadRequest or Invalid."""
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
    node = (known or schema.builtin()).node(definition)
    try:
        text = orjson.dumps(patch)
        plain = b"null" not in text and b"$" not in text
        return StrategicMerge(plain=plain).maps(clone(tree), orjson.loads(text), node)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"json: exceeded max depth of {DEPTH}") from error
    except RecursionError as error:
        raise BadRequest(f"json: exceeded max depth of {DEPTH}") from error


def _merged(tree: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    if not isinstance(tree, dict):
        tree = {}
    for key, value in patch.items():
        if value is None:
            tree.pop(key, None)
        else:
            tree[key] = _merged(tree.get(key), value)
    return tree


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON: numbers by amount, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(same(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


class _Operations:
    """A tree that operations change, one after the other."""

    def __init__(self, root: Tree) -> None:
        self.root = root
        self.copied = 0
        self.shifted = 0

    def do(self, operation: Any) -> None:
        """Carry one operation out."""
        if not isinstance(operation, dict):
            raise BadRequest("error decoding patch: json: cannot unmarshal into Go value of type jsonpatch.Operation")
        name = operation.get("op")
        known = _OPERATIONS.get(name) if isinstance(name, str) else None
        if known is None:
            raise PatchFailed(f"Unexpected kind: {name}")
        known(self, operation)

    def add(self, operation: dict[str, Any]) -> None:
        """Put a value in a map, or before an item of a list."""
        self._put(_path(operation, "path"), clone(_value(operation)))

    def remove(self, operation: dict[str, Any]) -> None:
        """Take a value away; it must be there."""
        self._take(_path(operation, "path"), "remove")

    def replace(self, operation: dict[str, Any]) -> None:
        """Put a value in the place of one that must be there."""
        path = _path(operation, "path")
        value = clone(_value(operation))
        if not path:
            self.root = value
            return
        holder = self._holder(path, "replace")
        holder[_existing(holder, path, "replace")] = value

    def move(self, operation: dict[str, Any]) -> None:
        """Take a value away and put it elsewhere."""
        source, path = _path(operation, "from"), _path(operation, "path")
        if path[: len(source)] == source and path != source:
            raise PatchFailed(f"move operation: {_text(path)} lies in {_text(source)}")
        if path != source:
            self._put(path, self._take(source, "move"))
        else:
            self._find(path, "move")

    def copy(self, operation: dict[str, Any]) -> None:
        """Put a copy of a value elsewhere."""
        written = orjson.dumps(self._find(_path(operation, "from"), "copy"))
        self.copied += len(written)
        if self.copied > MAX_COPIED:
            raise TooLarge(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self.copied}, exceeding the limit {MAX_COPIED}"
            )
        self._put(_path(operation, "path"), orjson.loads(written))

    def test(self, operation: dict[str, Any]) -> None:
        """Fail unless a value is what it should be; null may stand for a missing one."""
        path = _path(operation, "path")
        expected = operation.get("value")
        try:
            found = self._find(path, "test")
        except PatchFailed:
            if expected is None:
                return
            raise
        if not same(found, expected):
            raise PatchFailed(f"testing value {_text(path)} failed: test failed")

    def _find(self, path: list[str], deed: str) -> Any:
        node = self.root
        for place in range(len(path)):
            node = node[_existing(node, path[: place + 1], deed)]
        return node

    def _holder(self, path: list[str], deed: str) -> Any:
        holder = self._find(path[:-1], deed)
        if not isinstance(holder, dict | list):
            raise _missing(path, deed)
        return holder

    def _put(self, path: list[str], value: Any) -> None:
        if not path:
            self.root = value
            return
        holder = self._holder(path, "add")
        if isinstance(holder, dict):
            holder[path[-1]] = value
            return
        index = len(holder) if path[-1] == "-" else _index(path[-1])
        if index is None or index > len(holder):
            raise PatchFailed(f"add operation does not apply: doc is missing path: {_text(path)}: invalid index")
        self._shift(len(holder) - index)
        holder.insert(index, value)

    def _take(self, path: list[str], deed: str) -> Any:
        if not path:
            raise PatchFailed(f"{deed} operation: the whole document can't be removed")
        holder = self._holder(path, deed)
        key = _existing(holder, path, deed)
        if isinstance(holder, list):
            self._shift(len(holder) - key)
        return holder.pop(key)

    def _shift(self, items: int) -> None:
        self.shifted += items
        if self.shifted > MAX_SHIFTED:
            raise TooLarge(f"The operations of this JSON patch move more than {MAX_SHIFTED} list items")


_OPERATIONS: dict[str, Callable[[_Operations, dict[str, Any]], None]] = {
    "add": _Operations.add,
    "remove": _Operations.remove,
    "replace": _Operations.replace,
    "move": _Operations.move,
    "copy": _Operations.copy,
    "test": _Operations.test,
}


def _path(operation: dict[str, Any], name: str) -> list[str]:
    """The tokens of a JSON pointer (RFC 6901)."""
    text = operation.get(name)
    if not isinstance(text, str):
        raise PatchFailed(f"{operation.get('op')} operation: missing or invalid {name}")
    if text and not text.startswith("/"):
        raise PatchFailed(f"{operation.get('op')} operation: {name} must start with '/': {text}")
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchFailed(f"{operation['op']} operation: missing value")
    return operation["value"]


def _existing(holder: Any, path: list[str], deed: str) -> Any:
    """The key or index that a path's last token names in its holder; it must be there."""
    if isinstance(holder, dict) and path[-1] in holder:
        return path[-1]
    if isinstance(holder, list):
        index = _index(path[-1])
        if index is not None and index < len(holder):
            return index
    raise _missing(path, deed)


def _index(token: str) -> int | None:
    plain = token.isascii() and token.isdigit() and len(token) < 12 and (token == "0" or token[0] != "0")
    return int(token) if plain else None


def _missing(path: list[str], deed: str) -> PatchFailed:
    return PatchFailed(f"{deed} operation does not apply: doc is missing path: {_text(path)}: missing value")


def _text(path: list[str]) -> str:
    text = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
    return text if len(text) <= 200 else text[:200] + "..."
