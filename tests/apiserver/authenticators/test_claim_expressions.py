"""Users by expressions over claims: who is named, and who is let in."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bireme.apiserver.authenticators.configuration import read_issuers
from bireme.apiserver.authenticators.oidc import Issuer, user_of
from bireme.http.interface import Identity

Tree = dict[str, Any]
CLAIMS = {
    "aud": "bireme",
    "exp": 100,
    "sub": "7",
    "name": "ada",
    "email": "ada@example.com",
    "email_verified": True,
    "org": "ours",
    "roles": "dev,ops",
    "tenant": {"id": "t-1", "zones": ["a", "b"]},
    "iat": 1,
}
CHECKED = "claims.email_verified ? claims.email : ''"


def issuer(folder: Path, **said: Any) -> Issuer:
    path = folder / "authentication.yaml"
    entry = {
        "issuer": {"url": "https://id.example", "audiences": ["bireme"]},
        "claimMappings": {"username": {"claim": "sub", "prefix": ""}, **said.pop("mappings", {})},
        **said,
    }
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    path.write_text(yaml.safe_dump({**kind, "jwt": [entry]}))
    (made,) = read_issuers(path)
    return made


def user(folder: Path, claims: Tree | None = None, **said: Any) -> Identity | None:
    return user_of(CLAIMS | (claims or {}), issuer(folder, **said), now=50)


@pytest.mark.parametrize(
    ("mappings", "expected"),
    [
        pytest.param({"username": {"expression": "claims.name + ':x'"}}, Identity("ada:x"), id="a name"),
        pytest.param({"username": {"expression": CHECKED}}, Identity("ada@example.com"), id="an address"),
        pytest.param(
            {"groups": {"expression": "claims.roles.split(',')"}}, Identity("7", ("dev", "ops")), id="groups"
        ),
        pytest.param({"groups": {"expression": "claims.org"}}, Identity("7", ("ours",)), id="one group"),
        pytest.param({"groups": {"expression": "claims.?none.orValue([])"}}, Identity("7"), id="no groups"),
        pytest.param({"uid": {"claim": "name"}}, Identity("7", uid="ada"), id="a uid by its claim"),
        pytest.param({"uid": {"expression": "claims.tenant.id"}}, Identity("7", uid="t-1"), id="a uid"),
        pytest.param(
            {
                "extra": [
                    {"key": "example.com/tenant", "valueExpression": "claims.tenant.id"},
                    {"key": "example.com/zones", "valueExpression": "claims.tenant.zones"},
                    {"key": "example.com/none", "valueExpression": "''"},
                ]
            },
            Identity("7", extra={"example.com/tenant": ["t-1"], "example.com/zones": ["a", "b"]}),
            id="extra",
        ),
        pytest.param({"username": {"expression": "claims.nothing"}}, None, id="what is not there"),
        pytest.param({"username": {"expression": "claims.iat"}}, None, id="a number"),
        pytest.param({"username": {"expression": "''"}}, None, id="nothing"),
        pytest.param({"groups": {"expression": "claims.tenant"}}, None, id="groups that are none"),
        pytest.param({"uid": {"claim": "nothing"}}, None, id="a uid that is not there"),
    ],
)
def test_who_is_named(tmp_path: Path, mappings: Tree, expected: Identity | None) -> None:
    found = user(tmp_path, mappings=mappings)
    assert found == expected
    assert expected is None or (found is not None and dict(found.extra) == dict(expected.extra))


@pytest.mark.parametrize(
    ("said", "lets_in"),
    [
        pytest.param({"claimValidationRules": [{"expression": "claims.org == 'ours'"}]}, True, id="a claim"),
        pytest.param({"claimValidationRules": [{"expression": "claims.org == 'other'"}]}, False, id="another"),
        pytest.param(
            {"claimValidationRules": [{"expression": "claims.exp - claims.iat < 50"}]}, False, id="too long"
        ),
        pytest.param({"claimValidationRules": [{"expression": "claims.nothing == 1"}]}, False, id="not there"),
        pytest.param({"claimValidationRules": [{"expression": "claims.name"}]}, False, id="no claim at all"),
        pytest.param(
            {
                "claimValidationRules": [
                    {"claim": "org", "requiredValue": "ours"},
                    {"expression": "claims.email_verified"},
                ]
            },
            True,
            id="both ways",
        ),
        pytest.param({"userValidationRules": [{"expression": "user.username == '7'"}]}, True, id="a user"),
        pytest.param(
            {"userValidationRules": [{"expression": "!user.username.startsWith('7')", "message": "no"}]},
            False,
            id="a user who must not",
        ),
        pytest.param(
            {"userValidationRules": [{"expression": "user.groups.all(g, g != 'system:masters') && user.uid == ''"}]},
            True,
            id="of no such group",
        ),
        pytest.param(
            {"claimValidationRules": [{"expression": "[1,2,3,4,5,6,7,8,9].all(a, " * 6 + "a > 0" + ")" * 6}]},
            False,
            id="what takes too long",
        ),
    ],
)
def test_who_is_let_in(tmp_path: Path, said: Tree, lets_in: bool) -> None:
    assert (user(tmp_path, **said) is not None) is lets_in
