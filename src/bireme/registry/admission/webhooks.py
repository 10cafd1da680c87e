"""Admission webhooks: servers of users, which change objects and refuse requests.

Those that change are asked one after the other, each seeing what those before it made; when one changed something,
the whole chain runs once more, and those that asked for it (`reinvocationPolicy: IfNeeded`) are asked again. Those
that only refuse are asked all at once. What the server writes for itself goes past them all, so that a cluster
starts whatever has become of its webhooks.

Left to others: which there are (`webhook_configs.py`), what is said (`webhook_reviews.py`), the way there
(`callouts.py`). Source: the Kubernetes documentation on admission webhooks.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import orjson
import structlog

from bireme.api.cel.errors import CelError
from bireme.api.errors import ApiError, BadRequest, Cause
from bireme.registry.admission.chain import Again, Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.policies import CONDITIONS
from bireme.registry.admission.policy_match import is_exempt
from bireme.registry.admission.policy_values import Authorize, Budget, admission_values
from bireme.registry.admission.refusals import refused
from bireme.registry.admission.webhook_configs import Hook, Meant, Webhooks
from bireme.registry.admission.webhook_figures import Asked, WebhookFigures
from bireme.registry.admission.webhook_objects import Shown
from bireme.registry.admission.webhook_reviews import BadAnswer, Denied, Verdict, review_of, verdict_of
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
LARGEST_VERDICT = 8 << 20
log = structlog.get_logger(__name__)


class Post(Protocol):
    """The way to a server that a client configuration names."""

    def __call__(self, client_config: Tree, tree: Tree, timeout_s: float, *, limit: int) -> Awaitable[Any]: ...


class CallFailed(Exception):
    """A webhook could not be asked, or its answer not be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What both plugins need to ask a webhook."""

    objects: Objects
    shown: Shown
    post: Post
    uid: Callable[[], str]
    figures: WebhookFigures
    authorize: Authorize | None = None

    async def is_meant(self, meant: Meant, attributes: Attributes) -> bool:
        """Whether selectors and conditions leave the request in. Raises ApiError where that can't be told."""
        hook, kind = meant
        match, namespace = hook.match, self._namespace(meant, attributes)
        if not match.selects(attributes, namespace):
            return False
        if hook.fault:
            if hook.fails:
                raise refused(attributes, hook.fault)
            return False
        if not hook.conditions:
            return True
        values = admission_values(attributes, kind, namespace=namespace, authorize=self.authorize)
        values["object"] = await self.shown.new(attributes, kind)
        values["oldObject"] = await self.shown.old(attributes, kind)
        return _conditions_hold(hook, attributes, values)

    def _namespace(self, meant: Meant, attributes: Attributes) -> Tree | None:
        hook = meant[0]
        if not attributes.namespace or (hook.match.namespace_selector is None and not hook.conditions):
            return None
        return self.objects.find("", "v1", "namespaces", "", attributes.namespace)

    async def ask(self, meant: Meant, attributes: Attributes, *, tree: Tree | None, mutating: bool) -> Verdict:
        """What a webhook says. Raises CallFailed; ApiError where it must not be asked."""
        hook, kind = meant
        if attributes.call.dry_run and hook.said.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        uid = self.uid()
        asked, began = _asked(hook, attributes, mutating=mutating), self.figures.monotonic()
        old = await self.shown.old(attributes, kind)
        review = review_of(hook, attributes, kind, uid=uid, tree=tree, old=old)
        try:
            answer = await self.post(hook.client_config, review, hook.timeout_s, limit=LARGEST_VERDICT)
        except ApiError as error:
            self._note(hook, asked, began, None)
            raise CallFailed(f"failed to call webhook: {error.message}") from error
        try:
            verdict = verdict_of(hook, answer, uid=uid, mutating=mutating)
        except BadAnswer as error:
            self._note(hook, asked, began, None)
            raise CallFailed(f"received invalid webhook response: {error}") from error
        self._note(hook, asked, began, verdict)
        for key, value in verdict.annotations.items():
            attributes.call.audit[f"{hook.name}/{key}"] = value
        for text in verdict.warnings:
            attributes.call.warn(text)
        return verdict

    def _note(self, hook: Hook, asked: Asked, began: float, verdict: Verdict | None) -> None:
        """Count an answer, or that none came (None)."""
        seconds, ends = self.figures.monotonic() - began, hook.fails if verdict is None else not verdict.allowed
        self.figures.answered(asked, seconds, code=0 if verdict is None else 200, rejected=ends)
        if verdict is None and ends:
            self.figures.rejected(asked, fault="calling_webhook_error", code=0)
        elif verdict is not None and ends:
            code = Denied(hook.name, verdict.status).code
            self.figures.rejected(asked, fault="no_error", code=code)


def _asked(hook: Hook, attributes: Attributes, *, mutating: bool) -> Asked:
    return Asked(hook.name, "admit" if mutating else "validating", attributes.operation)


class MutatingAdmissionWebhook(Plugin):
    """See the module."""

    name: ClassVar[str] = "MutatingAdmissionWebhook"

    def __init__(self, webhooks: Webhooks, caller: Caller) -> None:
        self._webhooks = webhooks
        self._caller = caller

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return not is_exempt(kind)

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return None if self._webhooks.for_request(attributes) else self._webhooks.places

    def is_quiet(self, attributes: Attributes) -> bool:
        return not self._webhooks.for_request(attributes)

    async def admit(self, attributes: Attributes) -> None:
        hooks = self._webhooks.for_request(attributes)
        if not hooks or not attributes.call.user.name:
            return
        again = attributes.again = attributes.again or Again()
        if again.under_way and again.left != _image(attributes.tree):
            again.changed()
        round_number = int(again.under_way)
        for place, meant in enumerate(hooks):
            hook = meant[0]
            if again.under_way and hook.key not in again.due:
                continue
            if not await self._caller.is_meant(meant, attributes):
                continue
            changed = await self._run(meant, attributes, f"round_{round_number}_index_{place}")
            if changed:
                again.changed()
            if hook.again:
                again.ran.append(hook.key)
        again.left = _image(attributes.tree)

    async def _run(self, meant: Meant, attributes: Attributes, label: str) -> bool:
        hook, kind = meant
        tree = await self._caller.shown.new(attributes, kind)
        try:
            verdict = await self._caller.ask(meant, attributes, tree=tree, mutating=True)
        except CallFailed as error:
            _pass_over(hook, error, attributes, f"failed-open.mutating.webhook.admission.k8s.io/{label}")
            return False
        if not verdict.allowed:
            raise Denied(hook.name, verdict.status)
        changed = False
        if verdict.patch is not None and tree is not None:
            if attributes.tree is None:
                raise ApiError("Internal error occurred: admission webhook attempted to modify the object")
            changed = await self._caller.shown.put(attributes, kind, tree, verdict.patch)
        noted = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
        attributes.call.audit[f"mutation.webhook.admission.k8s.io/{label}"] = json.dumps(noted)
        return changed


class ValidatingAdmissionWebhook(Plugin):
    """See the module."""

    name: ClassVar[str] = "ValidatingAdmissionWebhook"

    def __init__(self, webhooks: Webhooks, caller: Caller) -> None:
        self._webhooks = webhooks
        self._caller = caller

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return not is_exempt(kind)

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return None if self._webhooks.for_request(attributes) else self._webhooks.places

    def is_quiet(self, attributes: Attributes) -> bool:
        return not self._webhooks.for_request(attributes)

    async def validate(self, attributes: Attributes) -> None:
        hooks = self._webhooks.for_request(attributes)
        if not hooks or not attributes.call.user.name:
            return
        meant = [each for each in hooks if await self._caller.is_meant(each, attributes)]
        if len(meant) == 1:
            faults = [await self._fault(meant[0], attributes, 0)]
        else:
            async with asyncio.TaskGroup() as tasks:
                asked = [
                    tasks.create_task(self._fault(each, attributes, place), name=f"webhook {each[0].name}")
                    for place, each in enumerate(meant)
                ]
            faults = [task.result() for task in asked]
        first = next((fault for fault in faults if fault is not None), None)
        if first is not None:
            raise first

    async def _fault(self, meant: Meant, attributes: Attributes, place: int) -> ApiError | None:
        """Why a webhook refuses, if it does."""
        hook, kind = meant
        try:
            tree = await self._caller.shown.new(attributes, kind)
            verdict = await self._caller.ask(meant, attributes, tree=tree, mutating=False)
        except CallFailed as error:
            try:
                label = f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{place}"
                _pass_over(hook, error, attributes, label)
            except ApiError as refusal:
                return refusal
            return None
        except ApiError as error:
            return error
        return None if verdict.allowed else Denied(hook.name, verdict.status)


def _pass_over(hook: Hook, error: CallFailed, attributes: Attributes, label: str) -> None:
    """Go on without a webhook that can't be asked, where its owner wants that. Raises ApiError."""
    log.warning("webhook failed", webhook=hook.name, configuration=hook.configuration, error=str(error))
    if not hook.fails:
        attributes.call.audit[label] = hook.name
        return
    text = f'failed calling webhook "{hook.name}": {error}'
    raise ApiError(f"Internal error occurred: {text}", causes=[Cause("", text)]) from error


def _conditions_hold(hook: Hook, attributes: Attributes, values: Tree) -> bool:
    budget = Budget(CONDITIONS)
    failure: CelError | None = None
    for name, program in hook.conditions:
        try:
            if budget.evaluate(program, values) is not True:
                return False
        except CelError as error:
            failure = failure or CelError(f"match condition '{name}' failed to evaluate: {error}")
    if failure is None:
        return True
    if hook.fails:
        raise refused(attributes, str(failure))
    return False


def _image(tree: Tree | None) -> bytes:
    return b"" if tree is None else orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)
