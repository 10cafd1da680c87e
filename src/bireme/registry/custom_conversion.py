"""Custom objects from the version they are stored in to the one that is asked for, and back.

Most objects need nothing: they were stored by the newest schema in the version that is read. Others are parsed,
converted (by name alone, or by the definition's webhook, many in one call), pruned and defaulted, and remembered.
Left to others: the way to the webhook (`callouts.py`). Source: the Kubernetes documentation on versions of
CustomResourceDefinitions; ConversionReview of apiextensions.k8s.io/v1.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import orjson

from bireme.api.errors import ApiError
from bireme.api.structural.places import Place
from bireme.registry.custom import REMEMBERED, Custom
from bireme.registry.record import Document, Record, decode, encode

Tree = dict[str, Any]
Post = Callable[[Tree, Tree, float], Awaitable[Any]]
D = TypeVar("D", bound=Document)

TIMEOUT_S = 30.0
GROUP = "apiextensions.k8s.io"
REVIEWS = ("v1", "v1beta1")
_MAY_CHANGE = ("labels", "annotations", "resourceVersion", "managedFields")


class Converter:
    """Converts objects of any custom kind; `post` sends a tree to a webhook's client config, within seconds."""

    def __init__(self, uid: Callable[[], str]) -> None:
        self._uid = uid
        self.post: Post = _no_way

    async def to_storage(self, custom: Custom, tree: Tree) -> Tree:
        """The object as it is stored; `tree` stays as it is."""
        storage = custom.storage
        (made,) = await self._convert(storage, [orjson.loads(orjson.dumps(tree))])
        storage.settler.prune(made, None, _nowhere)
        return made

    async def to_version(self, custom: Custom, tree: Tree) -> Tree:
        """The object in the version of `custom`; `tree` stays as it is."""
        (made,) = await self._convert(custom, [orjson.loads(orjson.dumps(tree))])
        return made

    async def trees(self, custom: Custom, stored: Sequence[tuple[bytes, int]]) -> list[Tree]:
        """The objects of stored bytes, each with its revision, in the version of `custom`."""
        trees = [decode(value) for value, _ in stored]
        made = await self._convert(custom, trees)
        for tree, (_, revision) in zip(made, stored, strict=True):
            custom.present(tree)
            if revision:
                tree["metadata"]["resourceVersion"] = str(revision)
        return made

    async def bytes_of(self, custom: Custom, stored: Sequence[tuple[str, bytes, int]]) -> list[bytes]:
        """As `trees`, as bytes without resource version; what was converted is remembered by key and revision."""
        made: list[bytes | None] = []
        missing: list[int] = []
        for place, (key, value, revision) in enumerate(stored):
            if not custom.stale(value, revision):
                made.append(value)
                continue
            known = custom.remembered.get((key, revision))
            made.append(known)
            if known is None:
                missing.append(place)
        if missing:
            if len(custom.remembered) > REMEMBERED:
                custom.remembered.clear()
            trees = await self.trees(custom, [(stored[place][1], 0) for place in missing])
            for place, tree in zip(missing, trees, strict=True):
                value = encode(custom.resource, tree)
                made[place] = custom.remembered[stored[place][0], stored[place][2]] = value
        return [value for value in made if value is not None]

    async def records(self, custom: Custom, records: Sequence[Record], read: Callable[..., Record]) -> list[Record]:
        """The records in the version of `custom`; `read` makes the header of converted bytes."""
        if not any(custom.stale(record.value, record.revision) for record in records):
            return list(records)
        stored = [(record.key, record.value, record.revision) for record in records]
        values = await self.bytes_of(custom, stored)
        return [
            record if value is record.value else read(record.key, value, record.revision)
            for record, value in zip(records, values, strict=True)
        ]

    async def _convert(self, custom: Custom, trees: list[Tree]) -> list[Tree]:
        """The objects in the version of `custom`, no more; the trees may be changed."""
        wanted = custom.resource.api_version
        others = [place for place, tree in enumerate(trees) if tree.get("apiVersion") != wanted]
        if not others:
            return trees
        if custom.family.webhook is None:
            for place in others:
                trees[place]["apiVersion"] = wanted
            return trees
        converted = await self._ask(custom, [trees[place] for place in others])
        for place, tree in zip(others, converted, strict=True):
            trees[place] = tree
        return trees

    async def _ask(self, custom: Custom, trees: list[Tree]) -> list[Tree]:
        webhook, wanted = custom.family.webhook or {}, custom.resource.api_version
        uid = self._uid()
        versions = webhook.get("conversionReviewVersions") or ["v1"]
        version = next((each for each in versions if each in REVIEWS), "")
        if not version:
            raise _failed(custom, "no supported conversion review versions")
        request = {"uid": uid, "desiredAPIVersion": wanted, "objects": trees}
        review = {"kind": "ConversionReview", "apiVersion": f"{GROUP}/{version}", "request": request}
        try:
            answer = await self.post(webhook.get("clientConfig") or {}, review, TIMEOUT_S)
        except ApiError as error:
            raise _failed(custom, error.message) from error
        return _answered(custom, trees, answer, review)


def _answered(custom: Custom, trees: list[Tree], answer: Any, asked: Tree) -> list[Tree]:
    """The converted objects of a review that came back. Raises ApiError where it breaks the rules.

    Webhooks of the first version never said what they answer to, and are not held to it.
    """
    title, uid = asked["apiVersion"], asked["request"]["uid"]
    answer = answer if isinstance(answer, dict) else {}
    known = answer.get("kind") == "ConversionReview" and answer.get("apiVersion") == title
    strict = title == f"{GROUP}/v1"
    if strict and not known:
        raise _failed(custom, f"expected webhook response of {title}, Kind=ConversionReview")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _failed(custom, "no response provided")
    if strict and response.get("uid") != uid:
        raise _failed(custom, f'expected response.uid="{uid}", got "{response.get("uid")}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        why = f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise _failed(custom, result.get("message") or why)
    made = response.get("convertedObjects")
    if not isinstance(made, list) or len(made) != len(trees):
        count = len(made) if isinstance(made, list) else 0
        raise _failed(custom, f"webhook returned {count} objects, expected {len(trees)}")
    for index, (tree, before) in enumerate(zip(made, trees, strict=True)):
        fault = _fault(custom, tree, before)
        if fault:
            raise _failed(custom, f"invalid converted object at index {index}: {fault}")
        # All other metadata is the server's: what the webhook says of it counts for nothing.
        said = tree["metadata"]
        tree["metadata"] = dict(before["metadata"])
        for name in ("labels", "annotations"):
            tree["metadata"].pop(name, None)
            if said.get(name):
                tree["metadata"][name] = said[name]
    return made


def _fault(custom: Custom, tree: Any, before: Tree) -> str:
    if not isinstance(tree, dict):
        return "not an object"
    if tree.get("apiVersion") != custom.resource.api_version:
        return f"invalid groupVersion (expected: {custom.resource.api_version}, received: {tree.get('apiVersion')})"
    if tree.get("kind") != before.get("kind"):
        return f"invalid kind (expected: {before.get('kind')}, received: {tree.get('kind')})"
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict):
        return f"invalid metadata of type {type(metadata).__name__} in input object"
    for name in ("name", "namespace", "uid"):
        if metadata.get(name) != before["metadata"].get(name):
            return f"{name} mutated (expected: {before['metadata'].get(name)}, received: {metadata.get(name)})"
    return ""


def _failed(custom: Custom, why: str) -> ApiError:
    group_kind = f"{custom.resource.group}/{custom.resource.version}, Kind={custom.resource.kind}"
    return ApiError(f"conversion webhook for {group_kind} failed: {why}")


async def _no_way(client_config: Tree, tree: Tree, timeout_s: float) -> Any:
    raise ApiError("this server has no way to webhooks")


def _nowhere(place: Place) -> None:
    """Nobody is to know."""
