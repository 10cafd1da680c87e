"""Sets of field paths in few bytes: how they are kept, inside the objects that they are about.

A set of a pod is 500 to 1,200 bytes of JSON that says little; deflated against a set that looks like most
(`data/owned-fields-1.json`) it is 30 to 110, as base64. So an object carries its whole account, and no second place
has to be kept in step with it. What was seen is remembered, since most objects look like others: packing costs some
100 us, unpacking 1.5. Addresses of pods would make each set one of its own: they are taken out before and stand
behind the token, so that what is packed is what all pods of a template have in common.
A token begins with the number of its dictionary and form; that file must never change. ADR 0013 has the figures.
"""

import functools
import re
import zlib
from base64 import b64decode, b64encode
from importlib import resources

import orjson

from bireme.api.managed_sets import FieldSet

MARK = "~1"
WITH_ADDRESSES = "~2"
"""`~2` and what would follow `~1` for the set with HOLE in the place of each address, then `~` and each address."""
HOLE = rb"k:{\"ip\":\"~\"}"
_ADDRESS = re.compile(rb'k:\{\\"ip\\":\\"([0-9a-fA-F.:]+)\\"\}')
MOST_REMEMBERED = 4096
MOST_SHORT, SHORT = 32_768, 240
"""Short tokens are remembered by more: those of small objects of which each node has one, as its lease, name their
owner, so that no two are alike, and each is asked for every few seconds."""
# Longer sets are not remembered, so that some megabytes are the most that is.
LONGEST_REMEMBERED = 8 << 10
_RAW = -15


def packed(fields: FieldSet) -> str:
    """The token of a set."""
    known = _by_identity.get(id(fields))
    if known is not None:
        return known[1]
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    if b'{\\"ip\\":' in text and HOLE not in text:
        text, addresses = _ADDRESS.sub(lambda found: HOLE, text), _ADDRESS.findall(text)
        if addresses:
            return "~".join([WITH_ADDRESSES + _token(text)[len(MARK) :], *map(bytes.decode, addresses)])
    return _token(text)


def unpacked(token: str) -> FieldSet:
    """The set of a token. Others may look at the same one: don't change it."""
    if token.startswith(WITH_ADDRESSES):
        fields: FieldSet = orjson.loads(text_of(token.encode()))
        return fields
    return _unpacked(token) if len(token) <= LONGEST_REMEMBERED else _parse(token)


def text_of(token: bytes) -> bytes:
    """The JSON of the set of a token."""
    if not token.startswith(WITH_ADDRESSES.encode()):
        if len(token) <= SHORT:
            return _short_text_of(token)
        return _text_of(token) if len(token) <= LONGEST_REMEMBERED else _inflate(token)
    packed, *addresses = token[len(WITH_ADDRESSES) :].split(b"~")
    begin, *rest = text_of(MARK.encode() + packed).split(HOLE)
    pieces = [begin]
    for address, piece in zip(addresses, rest, strict=True):
        pieces += (b'k:{\\"ip\\":\\"', address, b'\\"}', piece)
    return b"".join(pieces)


def _token(text: bytes) -> str:
    return _packed(text) if len(text) <= LONGEST_REMEMBERED else _pack(text)


@functools.cache
def _dictionary() -> bytes:
    return resources.files("bireme.api").joinpath("data/owned-fields-1.json").read_bytes()


@functools.lru_cache(MOST_REMEMBERED)
def _packed(text: bytes) -> str:
    return _pack(text)


def _pack(text: bytes) -> str:
    work = zlib.compressobj(6, zlib.DEFLATED, _RAW, zdict=_dictionary())
    return MARK + b64encode(work.compress(text) + work.flush()).decode()


@functools.lru_cache(MOST_REMEMBERED)
def _text_of(token: bytes) -> bytes:
    return _inflate(token)


@functools.lru_cache(MOST_SHORT)
def _short_text_of(token: bytes) -> bytes:
    return _inflate(token)


def _inflate(token: bytes) -> bytes:
    return zlib.decompressobj(_RAW, zdict=_dictionary()).decompress(b64decode(token[len(MARK) :]))


@functools.lru_cache(MOST_REMEMBERED)
def _unpacked(token: str) -> FieldSet:
    fields = _parse(token)
    if len(_by_identity) >= MOST_REMEMBERED:
        _by_identity.clear()
    _by_identity[id(fields)] = (fields, token)
    return fields


def _parse(token: str) -> FieldSet:
    fields: FieldSet = orjson.loads(_inflate(token.encode()))
    return fields


# Sets that were unpacked, by what they are: holding them keeps their identity theirs.
_by_identity: dict[int, tuple[FieldSet, str]] = {}
