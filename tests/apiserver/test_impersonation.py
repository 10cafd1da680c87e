import pytest

from bireme.api.errors import BadRequest, Forbidden
from bireme.apiserver.impersonation import acting
from bireme.http.interface import Identity
from bireme.registry.access import Masters

ADMIN = Identity("admin", ("system:masters",))


@pytest.mark.parametrize(
    ("headers", "name", "groups"),
    [
        pytest.param({}, "admin", ("system:masters",), id="nobody else"),
        pytest.param({"impersonate-user": "bob"}, "bob", ("system:authenticated",), id="a user"),
        pytest.param(
            {"impersonate-user": "bob", "impersonate-group": "a, b"},
            "bob",
            ("a", "b", "system:authenticated"),
            id="a user in groups",
        ),
        pytest.param(
            {"impersonate-user": "system:serviceaccount:ns:sa"},
            "system:serviceaccount:ns:sa",
            ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            id="a service account",
        ),
        pytest.param(
            {"impersonate-user": "system:anonymous"}, "system:anonymous", ("system:unauthenticated",), id="anybody"
        ),
    ],
)
def test_acting(headers: dict[str, str], name: str, groups: tuple[str, ...]) -> None:
    user = acting(ADMIN, headers, Masters())
    assert (user.name, user.groups) == (name, groups)


def test_extra_is_taken_on_too() -> None:
    user = acting(ADMIN, {"impersonate-user": "bob", "impersonate-extra-example.com%2fwhy": "a, b"}, Masters())
    assert user.extra == {"example.com/why": ("a", "b")}


def test_groups_need_a_user() -> None:
    with pytest.raises(BadRequest, match="without impersonating a user"):
        acting(ADMIN, {"impersonate-group": "system:masters"}, Masters())


def test_not_everybody_may_act_as_another() -> None:
    message = 'users "admin" is forbidden: User "eve" cannot impersonate resource "users" in API group "" at the'
    with pytest.raises(Forbidden, match=message):
        acting(Identity("eve", ("system:authenticated",)), {"impersonate-user": "admin"}, Masters())


async def test_what_follows_is_judged_as_the_other(opened) -> None:
    async with opened() as door:
        reply = await door.ask("GET", "/api/v1/namespaces", impersonate_user="bob")
        assert (reply.status, reply.tree["reason"]) == (403, "Forbidden")
        assert 'User "bob" cannot list resource "namespaces"' in reply.tree["message"]
