"""Webhook configurations as they are now: compiled, matched, and called.

A configuration is read when its revision is first seen; without any, a request costs one look-up. What is shared by
both kinds stands here, what each does with an answer in `mutating_webhook.py` and `validating_webhook.py`.
Source: the Kubernetes documentation on dynamic admission control; AdmissionReview of admission.k8s.io/v1.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.api.cel.admission import compile_condition
from bireme.api.cel.errors import CelError
from bireme.api.cel.program import Program
from bireme.api.errors import ApiError, BadRequest, error_type
from bireme.registry.access import Authorizer
from bireme.registry.admission.chain import Attributes, Objects
from bireme.registry.admission.policy_match import Match, selector_of
from bireme.registry.admission.policy_values import Budget, admission_values, authorize_by, request_of
from bireme.registry.callouts import Callouts
from bireme.registry.conversion import from_stored
from bireme.registry.custom_conversion import Converter
from bireme.registry.kinds import Kind, KindsOf, Versions

Tree = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
CONDITIONS_BUDGET = 2_500_000
DEFAULT_TIMEOUT_S = 10.0
_REVIEWS = ("v1", "v1beta1")
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of one configuration, ready to be matched and called."""

    name: str
    configuration: str
    tree: Tree
    match: Match
    conditions: tuple[tuple[str, Program], ...] = ()
    fault: str = ""

    @property
    def fails(self) -> bool:
        """Whether a call that fails refuses the request."""
        return (self.tree.get("failurePolicy") or "Fail") == "Fail"

    @property
    def again(self) -> bool:
        """Whether it wants to see what others changed after it."""
        return self.tree.get("reinvocationPolicy") == "IfNeeded"


def read(tree: Tree) -> list[Webhook]:
    """The webhooks of a configuration, in their order."""
    return [_read(tree["metadata"]["name"], said) for said in tree.get("webhooks") or ()]


def _read(configuration: str, said: Tree) -> Webhook:
    match = Match(
        tuple(said.get("rules") or ()),
        (),
        said.get("matchPolicy") == "Exact",
        selector_of(said.get("namespaceSelector")),
        selector_of(said.get("objectSelector")),
    )
    try:
        conditions = tuple(
            (each.get("name") or "", compile_condition(each.get("expression") or ""))
            for each in said.get("matchConditions") or ()
        )
    except CelError as error:
        return Webhook(said["name"], configuration, said, match, fault=str(error))
    return Webhook(said["name"], configuration, said, match, conditions)


class Webhooks:
    """The webhooks of one of the two kinds of configuration."""

    def __init__(
        self,
        objects: Objects,
        kinds: KindsOf,
        plural: str,
        callouts: Callouts,
        *,
        authorizer: Callable[[], Authorizer],
        converter: Converter,
        uid: Callable[[], str],
    ) -> None:
        self._objects, self._plural = objects, plural
        self._versions = Versions(kinds)
        self._callouts, self._authorizer, self._uid = callouts, authorizer, uid
        self._converter = converter
        self._seen: list[Tree] | None = None
        self._known: list[Webhook] = []

    def current(self) -> list[Webhook]:
        """All of them, by the names of their configurations."""
        trees = self._objects.every(GROUP, "v1", self._plural)
        if self._seen is not trees:
            ordered = sorted(trees, key=lambda tree: str(tree["metadata"]["name"]))
            self._known = [webhook for tree in ordered for webhook in read(tree)]
            self._seen = trees
        return self._known

    def meant(self, attributes: Attributes) -> Iterator[tuple[Webhook, Kind]]:
        """Those that want to hear of a request, each with the version in which it wants to.

        Their conditions are asked when it is their turn, of the object as it is then. Raises ApiError where a
        condition can't be evaluated and the webhook fails for that.
        """
        for webhook in self.current():
            kind = webhook.match.version(attributes, self._versions.of)
            if kind is None or not webhook.match.selects(attributes, self._namespace(attributes)):
                continue
            if self._conditions_hold(webhook, kind, attributes):
                yield webhook, kind

    def _namespace(self, attributes: Attributes) -> Tree | None:
        if not attributes.namespace or attributes.kind.is_a("Namespace"):
            return None
        return self._objects.find("", "v1", "namespaces", "", attributes.namespace)

    def _conditions_hold(self, webhook: Webhook, kind: Kind, attributes: Attributes) -> bool:
        if not webhook.conditions and not webhook.fault:
            return True
        authorize = authorize_by(self._authorizer())
        namespace = self._namespace(attributes)
        values = admission_values(attributes, kind, namespace=namespace, authorize=authorize)
        budget = Budget(CONDITIONS_BUDGET)
        failure = webhook.fault
        for name, program in webhook.conditions:
            try:
                if budget.evaluate(program, values) is not True:
                    return False
            except CelError as error:
                failure = failure or f'match condition "{name}" failed: {error}'
        if failure and webhook.fails:
            raise refused(webhook, {"message": failure, "code": 403})
        return not failure

    async def call(self, webhook: Webhook, kind: Kind, attributes: Attributes) -> Tree | None:
        """The response of a webhook that allows the request; None where it could not be asked and that is no harm.

        Warnings and audit annotations are noted. Raises ApiError where it denies, or fails and must not.
        """
        if attributes.call.dry_run and webhook.tree.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise BadRequest(f'admission webhook "{webhook.name}" does not support dry run')
        uid, version = self._uid(), _version(webhook)
        review = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}"}
        request = {"uid": uid, **request_of(attributes, kind), **_options(attributes)}
        request["object"] = await self.shown(attributes, attributes.tree, kind)
        request["oldObject"] = await self.shown(attributes, attributes.old, kind)
        timeout_s = float(webhook.tree.get("timeoutSeconds") or DEFAULT_TIMEOUT_S)
        try:
            where = webhook.tree.get("clientConfig") or {}
            answer = await self._callouts.post(where, {**review, "request": request}, timeout_s)
            response = _response(answer, uid, version)
        except ApiError as error:
            if webhook.fails:
                raise failed(webhook, f"failed to call webhook: {error.message}") from error
            attributes.call.audit[f"failed-open.admission.k8s.io/{webhook.name}"] = webhook.name
            return None
        _note(webhook, response, attributes)
        if not response.get("allowed"):
            raise refused(webhook, response.get("status") or {})
        return response

    async def shown(self, attributes: Attributes, tree: Tree | None, kind: Kind) -> Tree | None:
        """An object as webhooks see it: in the version they want, without the account of its fields' owners."""
        if tree is None:
            return None
        made = dict(await self._in_version(attributes.kind, kind, tree))
        metadata = made.get("metadata")
        if isinstance(metadata, dict) and "managedFields" in metadata:
            made["metadata"] = {name: value for name, value in metadata.items() if name != "managedFields"}
        return made

    async def taken_back(self, attributes: Attributes, kind: Kind, tree: Tree) -> Tree:
        """What `shown` gave, in the version of the request where that is a custom one; else as it is."""
        return tree if kind.custom is None else await self._in_version(kind, attributes.kind, tree)

    async def _in_version(self, given: Kind, wanted: Kind, tree: Tree) -> Tree:
        if wanted.custom is None:
            return from_stored(wanted, tree)
        return tree if wanted is given else await self._converter.to_version(wanted.custom, tree)


def _version(webhook: Webhook) -> str:
    said = webhook.tree.get("admissionReviewVersions") or ()
    return next((version for version in said if version in _REVIEWS), "v1")


def _options(attributes: Attributes) -> Tree:
    name = _OPTIONS.get(attributes.operation)
    if name is None:
        return {"options": None}
    options: Tree = {"kind": name, "apiVersion": "meta.k8s.io/v1"}
    call = attributes.call
    if call.dry_run:
        options["dryRun"] = ["All"]
    if call.field_manager and attributes.operation != "DELETE":
        options["fieldManager"] = call.field_manager
    return {"options": options}


def _response(answer: Any, uid: str, version: str) -> Tree:
    """The response in a review that came back. Raises ApiError where it is none."""
    if not isinstance(answer, dict) or not isinstance(answer.get("response"), dict):
        raise ApiError("webhook response was absent")
    response: Tree = answer["response"]
    if version == "v1":
        if answer.get("kind") != "AdmissionReview" or answer.get("apiVersion") != "admission.k8s.io/v1":
            got = f"{answer.get('apiVersion')}, Kind={answer.get('kind')}"
            raise ApiError(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {got}")
        if response.get("uid") != uid:
            raise ApiError(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
        if response.get("patch") is not None and response.get("patchType") != "JSONPatch":
            raise ApiError('webhook returned response.patch but not response.patchType "JSONPatch"')
    return response


def _note(webhook: Webhook, response: Mapping[str, Any], attributes: Attributes) -> None:
    for text in response.get("warnings") or ():
        attributes.call.warn(str(text))
    for key, value in (response.get("auditAnnotations") or {}).items():
        attributes.call.audit[f"{webhook.name}/{key}"] = str(value)


def failed(webhook: Webhook, why: str) -> ApiError:
    """The error for a webhook that could not be asked and must be."""
    return ApiError(f'Internal error occurred: failed calling webhook "{webhook.name}": {why}')


def refused(webhook: Webhook, status: Mapping[str, Any]) -> ApiError:
    """The error for a denial, with the code and reason that the webhook gave."""
    text = f'admission webhook "{webhook.name}" denied the request'
    message, reason = str(status.get("message") or ""), str(status.get("reason") or "")
    if message or reason:
        text += f": {message or reason}"
    else:
        text += " without explanation"
    code = int(status.get("code") or 0)
    return error_type(code if 400 <= code < 600 else 400, reason)(text)
