from typing import Any

import pytest

from bireme.api.errors import Forbidden
from bireme.http.interface import Identity
from bireme.registry.access import Attempt, Decision, Verdict
from bireme.registry.admission.owner_references import OwnerReferencesPermissionEnforcement
from support.admission import KINDS, put_before

Tree = dict[str, Any]


class Allowing:
    """An authorizer that allows verbs on resources, such as `delete pods`."""

    def __init__(self, *allowed: str) -> None:
        self._allowed = allowed
        self.authorizer = self

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        resource = f"{attempt.resource}/{attempt.subresource}" if attempt.subresource else attempt.resource
        return Decision(Verdict.ALLOWED if f"{attempt.verb} {resource}" in self._allowed else Verdict.NO_OPINION)


def owned(*, blocks: bool = False, kind: str = "ReplicaSet") -> Tree:
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": "r", "uid": "u", "blockOwnerDeletion": blocks}
    return {"metadata": {"name": "p", "ownerReferences": [owner]}}


BARE: Tree = {"metadata": {"name": "p"}}


@pytest.mark.parametrize(
    ("allowed", "tree", "old", "text"),
    [
        pytest.param((), BARE, None, "", id="no owner needs nothing"),
        pytest.param((), owned(blocks=True), owned(blocks=True), "", id="what was there needs nothing"),
        pytest.param((), owned(), None, "an ownerRef on a resource you can't delete", id="an owner needs delete"),
        pytest.param((), BARE, owned(), "an ownerRef on a resource you can't delete", id="so does taking it off"),
        pytest.param(("delete pods",), owned(), None, "", id="who may delete may set"),
        pytest.param(
            ("delete pods",), owned(blocks=True), None, "can't set finalizers on", id="waiting needs the finalizers"
        ),
        pytest.param(
            ("delete pods",), owned(blocks=True), owned(), "can't set finalizers on", id="also when it comes later"
        ),
        pytest.param(("delete pods", "update replicasets/finalizers"), owned(blocks=True), None, "", id="both"),
        pytest.param(
            ("delete pods",), owned(blocks=True, kind="What"), None, "cannot find RESTMapping", id="an unknown kind"
        ),
    ],
)
async def test_who_may_set_owners(allowed: tuple[str, ...], tree: Tree, old: Tree | None, text: str) -> None:
    plugin = OwnerReferencesPermissionEnforcement(Allowing(*allowed), KINDS)
    if not text:
        await put_before(plugin, "pods", tree, old=old)
        return
    with pytest.raises(Forbidden, match=text):
        await put_before(plugin, "pods", tree, old=old)
