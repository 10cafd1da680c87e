"""What the statuses of thousands of pods have in common: all but some times, addresses and names of containers.

A patch of a status is worked out from three texts: the owners of the object's fields, its status, the body. Their
atoms are strings that stand as values of fields, and whose form says that they are times, addresses, or names with
a scheme (`containerd://…`). Nothing depends on an atom but on which of them are equal and which time is earlier; so
where the second triple comes that is like an earlier one but for its atoms, in the same pattern, a mould is kept:
what came of it, cut at its atoms. To be kept it has to give what is worked out from a third triple too, whose atoms
are all others.

That nothing else depends on an atom is seen there: one that were the key of a map or of a list's item would show in
the packed set of owned fields (`managed_packing.py`). An address may be part of that, where it is the only one.
"""

import functools
import re
from collections.abc import Callable, Hashable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from bireme.api import managed_packing
from bireme.api.errors import ApiError
from bireme.registry.options import Call

Tree = dict[str, Any]

_TIME = rb"20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z"
_FOUR, _SIX = rb"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", rb"[0-9a-f]+:[0-9a-f:]+"
_NAME = rb"[a-z][a-z0-9-]*://[A-Za-z0-9_./:@-]*"
# With what stands before it: the value of a field, or the address behind a packed set. To look for both takes three
# times as long.
_VALUE = re.compile(rb'(:"(?:%b|%b|%b|%b))"' % (_TIME, _NAME, _FOUR, _SIX))
_ATOM = re.compile(rb'(:"(?:%b|%b|%b|%b)|~(?:%b|%b))"' % (_TIME, _NAME, _FOUR, _SIX, _FOUR, _SIX))
# In the bodies of clients: what would hide an atom, pass for a hole, or mean another object.
_HIDING = (b"\\", b"\n", b"\r", b"\t", b': "', b"\0", b'"metadata"')
_SEVERAL_ADDRESSES = re.compile(rb'"~[^"~]*~[^"~]*~')
MOST_ATOMS = 64
_SEAM = b"\0"
_HOLES, _BEHIND = (tuple(b"\0%b%d" % (kind, number) for number in range(MOST_ATOMS)) for kind in (b"v", b"s"))
_MANAGER = b'"manager"' + _HOLES[0][:2]
MOST_MOULDS, MOST_SEEN = 256, 4096
LONGEST = 16 << 10
SHORTEST_BODY = 256
"""Shorter ones are as soon worked out."""


class Slim(msgspec.Struct, frozen=True):
    """Of a stored object the owners of its fields and its status, as they are stored."""

    owners: bytes
    status: bytes


class Changed(msgspec.Struct, frozen=True):
    """What came of a slim object (None: nothing changes), and both states as trees, for who has a say in it."""

    slim: Slim | None
    new: Tree
    old: Tree


Change = Callable[[Slim, bytes, Call, str], Changed | None]
"""What a slim object is after a body, by that call and at that time; None for the long way. Raises ApiError."""


class Pattern(msgspec.Struct, frozen=True):
    """A text cut at its atoms (`parts`, every second one), and what these are: all times in order, then names.

    `likeness` is the same for texts that differ in their atoms alone.
    """

    parts: list[bytes]
    atoms: list[bytes]
    likeness: tuple[int, int, bytes]

    def spelled(self, others: Mapping[bytes, bytes]) -> bytes:
        """The text with other atoms."""
        made = list(self.parts)
        made[1::2] = [_before(said) + others[_bare(said)] + b'"' for said in made[1::2]]
        return b"".join(made)


def pattern_of(text: bytes, *, now: bytes) -> Pattern | None:
    """The pattern of a text that is read at that time; None where there is none to rely on."""
    parts = (_ATOM if managed_packing.WITH_ADDRESSES.encode() in text else _VALUE).split(text)
    bare = {said: _bare(said) for said in parts[1::2]}
    times = sorted({now, *(atom for atom in bare.values() if atom[-1:] == b"Z")})
    names = dict.fromkeys(atom for atom in bare.values() if atom[-1:] != b"Z")
    atoms = [*times, *names]
    if len(atoms) > MOST_ATOMS or not all(map(_is_time, times)):
        return None
    number = {atom: place for place, atom in enumerate(atoms)}
    hole = {said: (_BEHIND if said[:1] == b"~" else _HOLES)[number[atom]] for said, atom in bare.items()}
    shown = parts.copy()
    shown[1::2] = [hole[said] for said in parts[1::2]]
    return Pattern(parts, atoms, (len(times), number[now], b"".join(shown)))


def _bare(said: bytes) -> bytes:
    return said[1:] if said[:1] == b"~" else said[2:]


def _before(said: bytes) -> bytes:
    return said[:1] if said[:1] == b"~" else said[:2]


@functools.lru_cache(4096)
def _is_time(atom: bytes) -> bool:
    try:
        datetime.fromisoformat(atom.decode())
    except ValueError:
        return False
    return True


class Mould:
    """What came of one triple, cut at its atoms; see the module."""

    def __init__(self, made: Changed, pieces: list[bytes], holes: tuple[tuple[int, int], ...]) -> None:
        self._made = made
        self._pieces = pieces
        self._holes = holes

    @classmethod
    def of(cls, made: Changed, atoms: list[bytes]) -> "Mould | None":
        """The mould of what came of a text with those atoms; None where there are others in it."""
        if made.slim is None or _SEVERAL_ADDRESSES.search(made.slim.owners):
            return None
        number = {atom: place for place, atom in enumerate(atoms)}
        pieces = _ATOM.split(_SEAM.join((made.slim.owners, made.slim.status)))
        holes = []
        for place in range(1, len(pieces), 2):
            atom = _bare(pieces[place])
            if atom not in number:
                return None
            pieces[place - 1] += _before(pieces[place])
            pieces[place + 1] = b'"' + pieces[place + 1]
            holes.append((place, number[atom]))
        return cls(made, pieces, tuple(holes))

    def cast(self, atoms: list[bytes]) -> Changed:
        """What comes of a text of the same pattern. The trees are those of the first: alike but for their atoms."""
        pieces = self._pieces.copy()
        for place, number in self._holes:
            pieces[place] = atoms[number]
        owners, _, status = b"".join(pieces).partition(_SEAM)
        return Changed(Slim(owners, status), self._made.new, self._made.old)


class StatusMoulds:
    """The moulds of one registry, a few hundred, for bodies of so many bytes or more."""

    def __init__(self, *, shortest: int = SHORTEST_BODY) -> None:
        self._shortest = shortest
        self._moulds: dict[Hashable, Mould | None] = {}
        self._seen: set[int] = set()

    def changed(
        self, place: Hashable, slim: Slim, uid: str, body: bytes, call: Call, change: Change, *, now: str
    ) -> Changed | None:
        """What `change` gives, cast where it can be. `place`: what else it depends on, beside what is said here."""
        head = b'{"metadata":{"uid":"%b"},' % uid.encode()
        rest = body.removeprefix(head)
        length = len(body) + len(slim.owners) + len(slim.status)
        if len(body) < self._shortest or length > LONGEST or any(one in rest for one in _HIDING):
            return change(slim, body, call, now)
        pattern = pattern_of(_SEAM.join((slim.owners, slim.status, rest)), now=now.encode())
        if pattern is None:
            return change(slim, body, call, now)
        key = (place, call.field_manager, call.field_validation, len(rest) == len(body), pattern.likeness)
        mould = self._moulds.get(key)
        if mould is not None:
            return mould.cast(pattern.atoms)
        made = change(slim, body, call, now)
        if made is not None and key not in self._moulds and self._was_seen(key):
            if len(self._moulds) >= MOST_MOULDS:
                self._moulds.pop(next(iter(self._moulds)))
            begin = body[: len(body) - len(rest)]
            self._moulds[key] = _proven(made, pattern, begin, call, change)
        return made

    def _was_seen(self, key: Hashable) -> bool:
        """Whether one like it came before."""
        likeness = hash(key)
        if likeness in self._seen:
            return True
        if len(self._seen) >= MOST_SEEN:
            self._seen.clear()
        self._seen.add(likeness)
        return False


def _proven(made: Changed, pattern: Pattern, begin: bytes, call: Call, change: Change) -> Mould | None:
    """The mould of what came of that pattern, if it gives what comes of it with all other atoms too."""
    likeness = pattern.likeness
    if call.warnings or call.duplicates or _MANAGER in likeness[2] or _SEVERAL_ADDRESSES.search(pattern.parts[0]):
        return None
    mould = Mould.of(made, pattern.atoms)
    others = [_another(atom, place) for place, atom in enumerate(pattern.atoms)]
    if mould is None or not set(others).isdisjoint(pattern.atoms):
        return None
    owners, status, rest = pattern.spelled(dict(zip(pattern.atoms, others, strict=True))).split(_SEAM)
    again = Call(field_manager=call.field_manager, field_validation=call.field_validation)
    try:
        proof = change(Slim(owners, status), begin + rest, again, others[likeness[1]].decode())
    except ApiError:
        return None
    return mould if proof is not None and proof.slim == mould.cast(others).slim else None


def _another(atom: bytes, place: int) -> bytes:
    """An atom of the same form; times in the same order."""
    if atom[-1:] == b"Z":
        return b"20%02d-02-03T04:05:06Z" % (place + 1)
    if b"://" in atom:
        return b"another://%d" % place
    return b"2001:db8::%x" % (place + 1) if b":" in atom else b"192.0.2.%d" % (place + 1)
