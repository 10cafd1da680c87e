"""MutatingWebhookConfigurations: webhooks are asked one after the other; each may change the object by a JSON patch.

What a webhook made is checked, pruned and given defaults as what a client sends, so that an injected container is
like any other. One with `reinvocationPolicy: IfNeeded` is asked once more if a later one changed the object.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any, ClassVar

import orjson

from bireme.api.errors import ApiError
from bireme.api.patch import PatchFailed, clone, json_patch
from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.admission.policy_match import is_exempt
from bireme.registry.admission.webhooks import Webhook, Webhooks, failed
from bireme.registry.conversion import to_stored
from bireme.registry.kinds import Kind
from bireme.registry.options import Call

Tree = dict[str, Any]
Take = Callable[[Kind, Tree, Call], Tree]
Fill = Callable[[Kind, Tree], None]


class MutatingWebhook(Plugin):
    """Asks and patches; `take` checks and prunes an object of a kind, `fill` gives it its defaults."""

    name: ClassVar[str] = "MutatingAdmissionWebhook"
    asked_again: ClassVar[bool] = False

    def __init__(self, webhooks: Webhooks, take: Take, fill: Fill) -> None:
        self._webhooks, self._take, self._fill = webhooks, take, fill

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return not is_exempt(kind)

    async def admit(self, attributes: Attributes) -> None:
        if not self._webhooks.current():
            return
        asked: list[tuple[Webhook, Kind]] = []
        again: list[tuple[Webhook, Kind]] = []
        for webhook, kind in self._webhooks.meant(attributes):
            if await self._ask(webhook, kind, attributes):
                again += [each for each in asked if each not in again and each[0].again]
                attributes.changed = True
            asked.append((webhook, kind))
        for webhook, kind in again:
            await self._ask(webhook, kind, attributes)

    async def _ask(self, webhook: Webhook, kind: Kind, attributes: Attributes) -> bool:
        """Whether the webhook changed the object."""
        response = await self._webhooks.call(webhook, kind, attributes)
        patch = (response or {}).get("patch")
        if not patch or attributes.tree is None:
            return False
        before = await self._webhooks.shown(attributes, attributes.tree, kind)
        try:
            after = json_patch(before, orjson.loads(base64.b64decode(patch)))
        except (binascii.Error, orjson.JSONDecodeError, PatchFailed, ApiError, TypeError, ValueError) as error:
            if not webhook.fails:
                return False
            raise failed(webhook, f"failed to apply the patch: {error}") from error
        if after == before:
            return False
        await self._put(attributes, kind, after)
        return True

    async def _put(self, attributes: Attributes, kind: Kind, after: Tree) -> None:
        tree = attributes.tree
        assert tree is not None
        owners = (tree.get("metadata") or {}).get("managedFields")
        made: Tree = clone(await self._webhooks.taken_back(attributes, kind, after))
        if not attributes.subresource:  # what a webhook adds beyond the kind's fields is dropped without a word
            made = self._take(attributes.kind if kind.custom else kind, made, Call(field_validation="Ignore"))
        elif kind.custom is None:
            made = to_stored(kind, made)
        if owners is not None:
            made["metadata"]["managedFields"] = owners
        tree.clear()
        tree.update(made)
        if not attributes.subresource:
            self._fill(attributes.kind, tree)
