"""The few lines that do what decisions want: one change, or many in batches.

A change that finds its aim already reached (a deletion of what is gone) is no error; one that finds another state
than it was decided on raises Conflict, and the controller looks again.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bireme.api.errors import ApiError, NotFound
from bireme.api.kinds.meta import Object
from bireme.client.client import Client, Patch
from bireme.controllers.changes import Change, Create, Delete, Merge, Update

T = TypeVar("T")
R = TypeVar("R")


async def carry_out(client: Client, change: Change) -> Object | None:
    """Do one change; gives back the object as it is now, None when it is (or is to be) gone."""
    obj = change.object
    metadata = obj.metadata
    match change:
        case Create():
            return await client.create(obj)
        case Update(subresource=subresource):
            return await client.update(obj, subresource=subresource)
        case Merge(patch=patch, subresource=subresource, exact=exact):
            sure = {"uid": metadata.uid} | ({"resourceVersion": metadata.resource_version} if exact else {})
            whole = {**patch, "metadata": {**patch.get("metadata", {}), **sure}}
            return await client.patch(
                type(obj),
                metadata.name,
                whole,
                namespace=metadata.namespace,
                subresource=subresource,
                how=Patch.MERGE,
            )
        case Delete(propagation=propagation, grace_period_s=grace_period_s, exact=exact):
            try:
                await client.delete(
                    type(obj),
                    metadata.name,
                    namespace=metadata.namespace,
                    propagation=propagation,
                    grace_period_s=grace_period_s,
                    uid=metadata.uid,
                    resource_version=metadata.resource_version if exact else "",
                )
            except NotFound:
                pass
            return None


async def still_there(client: Client, owner: Object) -> bool:
    """Ask the server, so that a cache that lags does not adopt for an owner that is gone."""
    try:
        fresh = await client.get(type(owner), owner.metadata.name, namespace=owner.metadata.namespace)
    except NotFound:
        return False
    return fresh.metadata.uid == owner.metadata.uid and not fresh.metadata.deletion_timestamp


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What was done of a batch: results in no fixed order, how many failed, the first error."""

    done: list[R]
    failed: int = 0
    error: ApiError | None = None


async def in_batches(
    items: Sequence[T], act: Callable[[T], Awaitable[R]], *, first: int = 1, limit: int = 256
) -> Outcome[R]:
    """`act` on the items, in batches as `by_batch` has them."""
    return await by_batch(items, functools.partial(together, act=act), first=first, limit=limit)


async def by_batch(
    items: Sequence[T], act: Callable[[Sequence[T]], Awaitable[Outcome[R]]], *, first: int = 1, limit: int = 256
) -> Outcome[R]:
    """`act` on batches that double from `first` to `limit`, until one meets an error.

    So a thing that cannot work is tried once and not five hundred times; client-go calls it a slow start.
    """
    done: list[R] = []
    size, start = first, 0
    while start < len(items):
        batch = items[start : start + min(size, limit)]
        outcome = await act(batch)
        done += outcome.done
        if outcome.error is not None:
            return Outcome(done, outcome.failed, outcome.error)
        start += len(batch)
        size *= 2
    return Outcome(done)


async def together(items: Iterable[T], act: Callable[[T], Awaitable[R]]) -> Outcome[R]:
    """`act` on all items at once; an error of one does not stop the others."""
    done: list[R] = []
    errors: list[ApiError] = []

    async def one(item: T) -> None:
        try:
            done.append(await act(item))
        except ApiError as error:
            errors.append(error)

    async with asyncio.TaskGroup() as tasks:
        for item in items:
            tasks.create_task(one(item))
    return Outcome(done, len(errors), errors[0] if errors else None)
