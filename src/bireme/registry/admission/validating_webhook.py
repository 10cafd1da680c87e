"""ValidatingWebhookConfigurations: all webhooks that a request concerns are asked at once; any may refuse it."""

import asyncio
from typing import ClassVar

from bireme.api.errors import ApiError
from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.admission.policy_match import is_exempt
from bireme.registry.admission.webhooks import Webhooks
from bireme.registry.kinds import Kind


class ValidatingWebhook(Plugin):
    """Asks; see the module."""

    name: ClassVar[str] = "ValidatingAdmissionWebhook"

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return not is_exempt(kind)

    async def validate(self, attributes: Attributes) -> None:
        if not self._webhooks.current():
            return
        meant = list(self._webhooks.meant(attributes))
        if len(meant) == 1:
            await self._webhooks.call(*meant[0], attributes)
            return
        refusals: list[ApiError] = []

        async def ask(number: int) -> None:
            try:
                await self._webhooks.call(*meant[number], attributes)
            except ApiError as error:
                refusals.append(error)

        async with asyncio.TaskGroup() as tasks:
            for number in range(len(meant)):
                tasks.create_task(ask(number))
        if refusals:
            raise refusals[0]
