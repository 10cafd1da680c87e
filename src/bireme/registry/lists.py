"""Pages of a list: which revision they show, where they go on, what is left.

All pages of one walk show the state at the first page's revision, made from the present one by undoing newer
changes. A continue token is base64url JSON, opaque to clients; one that is too old is answered with a fresh
one that goes on at the newest revision. Source: the Kubernetes documentation on reading.
"""

import base64
import binascii
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from bireme.api.errors import BadRequest, Cause, Expired, Invalid
from bireme.registry.options import ListOptions, WatchOptions
from bireme.registry.record import Record
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.selection import Selection
from bireme.store.interface import Store

CHUNK = 512
LATEST = -1
MATCH = "resourceVersionMatch"


class ContinueToken(msgspec.Struct):
    """Where a walk goes on: its revision (-1: the newest) and the next key after the prefix."""

    v: str
    rv: int
    start: str


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one revision, the token of the next page, and how many are left (-1: not counted)."""

    records: list[Record]
    revision: int
    continue_token: str = ""
    remaining: int = -1


def encode_token(revision: int, start: str) -> str:
    """The text of a continue token."""
    body = msgspec.json.encode(ContinueToken("meta.k8s.io/v1", revision, start))
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def decode_token(text: str) -> ContinueToken:
    """The token that a client gave back. Raises BadRequest for what we never made."""
    try:
        body = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = msgspec.json.decode(body, type=ContinueToken)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from error
    segments = token.start.rstrip("\0").split("/")
    if token.v != "meta.k8s.io/v1" or token.rv == 0 or not token.start or any(s in ("", ".", "..") for s in segments):
        raise BadRequest("invalid continue token: continue key is not valid: incorrect encoding or version")
    return token


def parse_version(text: str) -> int:
    """A resource version as a number; "" and "0" are 0. Raises BadRequest for anything else."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise BadRequest(
            f'invalid resource version: resourceVersion: Invalid value: "{text[:64]}": strconv.ParseUint: '
            f'parsing "{text[:64]}": invalid syntax'
        )
    return int(text)


def check_list_options(options: ListOptions) -> None:
    """Raise Invalid or BadRequest for combinations that make no sense."""
    if options.initial_events is not None:
        raise _invalid([_forbidden("sendInitialEvents is forbidden for list", "sendInitialEvents")])
    causes: list[Cause] = []
    if options.match:
        if not options.resource_version:
            causes.append(_forbidden(f"{MATCH} is forbidden unless resourceVersion is provided"))
        if options.continue_token:
            causes.append(_forbidden(f"{MATCH} is forbidden when continue is provided"))
        if options.match not in ("Exact", "NotOlderThan"):
            causes.append(_unsupported(options.match, '"", "Exact", "NotOlderThan"'))
        if options.match == "Exact" and options.resource_version == "0":
            causes.append(_forbidden(f'{MATCH} "exact" is forbidden for resourceVersion "0"'))
    if causes:
        raise _invalid(causes)
    if options.continue_token and options.resource_version:
        raise BadRequest("specifying resource version is not allowed when using continue")


def check_watch_options(options: WatchOptions) -> None:
    """Raise Invalid for combinations that make no sense."""
    causes: list[Cause] = []
    initial = options.initial_events is not None
    if initial and options.match != "NotOlderThan":
        causes.append(_forbidden(f"sendInitialEvents requires setting {MATCH} to NotOlderThan"))
    if options.match:
        if not initial:
            causes.append(_forbidden(f"{MATCH} is forbidden for watch unless sendInitialEvents is provided"))
        if options.match != "NotOlderThan":
            causes.append(_unsupported(options.match, '"NotOlderThan"'))
    if causes:
        raise _invalid(causes)


def read_page(
    store: Store, cache: ResourceCache, selection: Selection, options: ListOptions, *, exact: int, revision: int
) -> Page:
    """The page that `options` ask for, as of `exact` (0: the present, which is `revision`).

    The cache must hold everything up to `revision`. Raises Expired where the past is no longer known.
    """
    prefix = cache.resource.key_prefix
    if selection.namespace:
        prefix += f"{selection.namespace}/"
    if options.continue_token:
        return _continue_page(store, cache, selection, options, prefix=prefix, revision=revision)
    return _page(store, cache, selection, prefix=prefix, limit=options.limit, exact=exact, revision=revision)


def _continue_page(
    store: Store, cache: ResourceCache, selection: Selection, options: ListOptions, *, prefix: str, revision: int
) -> Page:
    token = decode_token(options.continue_token)
    start = cache.resource.key_prefix + token.start.removesuffix("\0")
    if not start.startswith(prefix):
        raise BadRequest("invalid continue token: continue key is not valid: it belongs to another list")
    exact = 0 if token.rv == LATEST else token.rv
    if exact > revision:
        raise BadRequest("invalid continue token: continue key is not valid: its resource version is not known here")
    try:
        return _page(
            store,
            cache,
            selection,
            prefix=prefix,
            limit=options.limit,
            exact=exact,
            revision=revision,
            start=start,
        )
    except Expired as error:
        fresh = encode_token(LATEST, token.start)
        raise Expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new "
            "list without the continue parameter, or use the continue token in this response to retrieve the "
            "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
            "that were created, modified, or deleted between the time the first chunk was returned and now may show "
            "up in the list.",
            metadata={"continue": fresh},
        ) from error


def _page(
    store: Store,
    cache: ResourceCache,
    selection: Selection,
    *,
    prefix: str,
    limit: int,
    exact: int,
    revision: int,
    start: str = "",
) -> Page:
    undone = cache.undone(exact) if exact and exact < revision else {}
    shown = exact or revision
    if selection.everything and not (limit or start or undone):
        return Page(_whole(store, cache, prefix), shown)
    chosen = cache.select(selection) if not undone and not start else None
    candidates = iter(chosen) if chosen is not None else _walk(store, cache, prefix, start, undone, limit=limit)
    records: list[Record] = []
    for record in candidates:
        if not selection.matches(record):
            continue
        if limit and len(records) == limit:
            last = records[-1].key
            remaining = _remaining(store, cache, prefix, undone, after=last) if selection.everything else -1
            token = encode_token(shown, last.removeprefix(cache.resource.key_prefix) + "\0")
            return Page(records, shown, token, remaining)
        records.append(record)
    return Page(records, shown)


def _is_behind(store: Store, cache: ResourceCache) -> bool:
    """Whether the kind was written since the caller waited for the cache: the store's keys are of another moment."""
    return store.written(cache.resource.key_prefix) > cache.revision()


def _whole(store: Store, cache: ResourceCache, prefix: str) -> list[Record]:
    """All that is under `prefix` now, in key order."""
    records = cache.records
    if _is_behind(store, cache):
        return [records[key] for key in _keys(store, cache, prefix, "", 0)]
    return [records[item.key] for item in store.range(prefix)]


def _remaining(
    store: Store, cache: ResourceCache, prefix: str, undone: Mapping[str, Record | None], *, after: str
) -> int:
    changed = [key for key in undone if key.startswith(prefix) and key > after]
    was = sum(1 for key in changed if undone[key] is not None)
    is_now = sum(1 for key in changed if key in cache.records)
    if _is_behind(store, cache):
        there = sum(1 for key in cache.records if key.startswith(prefix) and key > after)
    else:
        there = store.count(prefix, after=after)
    return there - is_now + was


def _walk(
    store: Store,
    cache: ResourceCache,
    prefix: str,
    start: str,
    undone: Mapping[str, Record | None],
    *,
    limit: int,
) -> Iterator[Record]:
    """Records under `prefix` after `start` in key order, with what is in `undone` as it was."""
    present = _keys(store, cache, prefix, start, limit)
    if not undone:
        records = cache.records
        for key in present:
            yield records[key]
        return
    past = sorted(key for key, record in undone.items() if record and key.startswith(prefix) and key > start)
    last = ""
    for key in heapq.merge(present, past):
        record = undone[key] if key in undone else cache.records[key]
        if record is not None and key != last:
            last = key
            yield record


def _keys(store: Store, cache: ResourceCache, prefix: str, start: str, limit: int) -> Iterator[str]:
    if _is_behind(store, cache):
        yield from sorted(key for key in cache.records if key.startswith(prefix) and key > start)
        return
    if not limit:
        yield from [item.key for item in store.range(prefix, after=start)]
        return
    size = limit + 1
    while True:
        items = store.range(prefix, after=start, limit=size)
        for item in items:
            yield item.key
        if len(items) < size:
            return
        start = items[-1].key
        size = max(size, CHUNK)


def _forbidden(text: str, field: str = MATCH) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {text}", field)


def _unsupported(said: str, supported: str) -> Cause:
    return Cause("FieldValueNotSupported", f'Unsupported value: "{said}": supported values: {supported}', MATCH)


def _invalid(causes: list[Cause]) -> Invalid:
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    text = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    return Invalid(
        f'ListOptions.meta.k8s.io "" is invalid: {text}',
        details={"group": "meta.k8s.io", "kind": "ListOptions"},
        causes=tuple(causes),
    )
