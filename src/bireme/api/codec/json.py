"""JSON in and out: typed structs for the parts that work with them, guarded plain trees for the API server.

`parse` is the only way in for bytes that a client sent. It refuses what is too large, too deep or of too many
values, numbers that JSON does not have, text that is not UTF-8 and lone surrogates, and it tells which keys came
twice. Fields and types are checked by `schema.py`. Source: RFC 8259; limits as Kubernetes has them, but for depth
and the number of values.
"""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import orjson

from bireme.api.errors import BadRequest, TooLarge
from bireme.api.kinds.meta import Object

K = TypeVar("K")
O = TypeVar("O", bound=Object)  # noqa: E741


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be: in bytes, and in values with their keys.

    Nothing that is of use has so many small values, and each costs more than its bytes: as an object in memory, and
    in every step that a write goes through. ADR 0022.
    """

    size: int = 3 << 20
    values: int = 100_000


LIMITS = Limits()

# What the encoder can write again (so recursive walks are safe too); the parser itself stops at 1,024.
DEPTH = 254
# Keys that came twice which are told of, and the characters of their paths.
MOST_REPEATED = 100
LONGEST_REPEATED = 1 << 16

_encoder = msgspec.json.Encoder()


def decode(kind: type[K], data: bytes) -> K:
    """A struct from its JSON; unknown fields are dropped and nulls read as unset. Raises BadRequest."""
    try:
        return _decoder(kind).decode(data)
    except msgspec.ValidationError:
        try:
            return msgspec.convert(without_nulls(msgspec.json.decode(data)), kind)
        except msgspec.ValidationError as error:
            raise BadRequest(f"cannot be read as {kind.__name__}: {error}") from error
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadRequest(f"cannot be read as {kind.__name__}: {error}") from error


def encode(value: Any) -> bytes:
    """The JSON of a struct or tree; an object's apiVersion and kind are filled in from its type."""
    return _encoder.encode(typed(value) if isinstance(value, Object) else value)


def typed(value: O) -> O:
    """The object with apiVersion and kind set; itself if they are."""
    gvk = getattr(value, "__gvk__", None)
    if gvk is None or (value.kind and value.api_version):
        return value
    group, version, kind = gvk
    return msgspec.structs.replace(value, api_version=f"{group}/{version}" if group else version, kind=kind)


def copy(value: K) -> K:
    """A deep copy of a struct, for those who want to change what a cache holds."""
    return _packer(type(value)).decode(_pack(value))


def to_tree(value: Any) -> Any:
    """A struct as the plain tree that its JSON would give."""
    return msgspec.to_builtins(typed(value) if isinstance(value, Object) else value)


def from_tree(kind: type[K], tree: Any) -> K:
    """A struct from a plain tree, as `decode` would read it."""
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError:
        try:
            return msgspec.convert(without_nulls(tree), kind)
        except msgspec.ValidationError as error:
            raise BadRequest(f"cannot be read as {kind.__name__}: {error}") from error


def without_nulls(tree: Any) -> Any:
    """A copy without keys whose value is null."""
    if isinstance(tree, dict):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [without_nulls(value) for value in tree]
    return tree


def parse(data: bytes, limits: Limits = LIMITS, *, duplicates: list[str] | None = None) -> Any:
    """The tree of a JSON text from outside; raises TooLarge or BadRequest.

    With `duplicates`, the paths of keys that stand twice in one object are put there (of very many, the first); the
    last one counts.
    """
    if len(data) > limits.size:
        raise TooLarge(f"Request entity too large: limit is {limits.size}")
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(_malformed(data, error)) from error
    holders = data.count(b"{") + data.count(b"[")
    # As many values as holders and commas, less what stands in texts: so nearly all are let by without a look.
    if holders + data.count(b",") > limits.values:
        check_values(tree, limits.values)
    deep = holders > DEPTH
    if deep or duplicates is not None:
        again = check_depth(tree)
        if duplicates is not None and _may_repeat(data, again):
            duplicates += _repeated(data, limits.values)
    return tree


def check_values(tree: Any, most: int = LIMITS.values) -> None:
    """Raise TooLarge for a tree of more than `most` values."""
    waiting = [tree]
    left = most
    while waiting:
        holder = waiting.pop()
        values = holder.values() if isinstance(holder, dict) else holder if isinstance(holder, list) else ()
        left -= len(values)
        if left < 0:
            raise _too_many(most)
        waiting += [value for value in values if isinstance(value, dict | list)]


def _too_many(most: int) -> TooLarge:
    return TooLarge(f"Request entity too large: limit is {most} values")


def check_depth(tree: Any) -> bytes:
    """The text of a tree. Raises BadRequest for one that is too deep."""
    try:
        return orjson.dumps(tree)
    except orjson.JSONEncodeError as error:
        raise BadRequest(f"json: exceeded max depth of {DEPTH}") from error


def _malformed(data: bytes, error: orjson.JSONDecodeError) -> str:
    if not data.strip():
        return "unexpected end of JSON input"
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return f"json: exceeded max depth of {DEPTH}"
    return f"json: {error.msg} (line {error.lineno}, column {error.colno})"


def _may_repeat(data: bytes, again: bytes) -> bool:
    """Whether a key may have been lost on the way from the text to the tree.

    Written again, a tree has a colon for each key and for each that stands in a text, as the original has
    unless one is spelled as \\u003a: then only a slow look tells.
    """
    return data.count(b":") != again.count(b":") or b"\\u" in data


class _Repeating(dict[str, Any]):
    """An object in which `keys_twice` stood more than once."""

    __slots__ = ("keys_twice",)
    keys_twice: list[str]


def _repeated(data: bytes, most: int) -> list[str]:
    """The paths of the first keys that stand twice; places are linked, so that a text is made of these alone."""
    found: list[str] = []
    waiting: list[tuple[Any, _Place]] = [(_loads_repeating(data, most), None)]
    while waiting and len(found) < MOST_REPEATED and sum(map(len, found)) < LONGEST_REPEATED:
        tree, place = waiting.pop()
        if isinstance(tree, _Repeating):
            found += [_path((place, f".{key}")) for key in tree.keys_twice[: MOST_REPEATED - len(found)]]
        if isinstance(tree, dict):
            inside = [(value, (place, f".{key}")) for key, value in tree.items() if isinstance(value, dict | list)]
        else:
            inside = [(value, (place, f"[{at}]")) for at, value in enumerate(tree) if isinstance(value, dict | list)]
        waiting += reversed(inside)
    return found


def _loads_repeating(data: bytes, most: int) -> Any:
    left = most

    def counted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal left
        left -= len(pairs)
        if left < 0:
            raise _too_many(most)
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        twice = _Repeating(made)
        times = Counter(key for key, _ in pairs)
        twice.keys_twice = [key for key, number in times.items() if number > 1]
        return twice

    # Numbers are of no interest, and may be longer than Python likes to read.
    tree = json.loads(data, object_pairs_hook=counted, parse_int=str, parse_float=str)
    return tree if isinstance(tree, dict | list) else []


_Place = tuple[Any, str] | None


def _path(place: _Place) -> str:
    steps: list[str] = []
    while place is not None:
        place, step = place
        steps.append(step)
    return "".join(reversed(steps)).removeprefix(".")


def _decoder(kind: type[K]) -> msgspec.json.Decoder[K]:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return decoder


def _packer(kind: type[K]) -> msgspec.msgpack.Decoder[K]:
    packer = _packers.get(kind)
    if packer is None:
        packer = _packers[kind] = msgspec.msgpack.Decoder(kind)
    return packer


_pack = msgspec.msgpack.Encoder().encode
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_packers: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
