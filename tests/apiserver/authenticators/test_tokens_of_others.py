"""Tokens that are not ours: from a file, from Secrets, from identity providers, from a webhook; and gateways."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bireme.apiserver.authentication import Authenticator, bearer_token
from bireme.apiserver.authenticators import bootstrap_tokens, oidc
from bireme.apiserver.authenticators.front_proxy import FrontProxy
from bireme.apiserver.authenticators.oidc import Issuer, OidcTokens
from bireme.apiserver.authenticators.prover import ForUs
from bireme.apiserver.authenticators.static_tokens import StaticTokens, TokenFileError
from bireme.apiserver.authenticators.token_webhook import TokenWebhook
from bireme.apiserver.webhook_kubeconfig import read_kubeconfig
from bireme.http.answers import Reply
from bireme.http.interface import Identity, Peer, Request
from bireme.http.requests import RequestFailed

NOW = datetime(2026, 5, 1, tzinfo=UTC)


async def test_users_of_a_file(tmp_path):
    path = tmp_path / "tokens.csv"
    path.write_text('# people\nabc,ada,7,"dev,ops"\ndef,bob,8\n')
    tokens = ForUs(StaticTokens.load(path), "us")
    assert (await tokens.prove("abc", ())).identity == Identity("ada", ("dev", "ops"), "7")
    assert (await tokens.prove("def", ("us", "them"))).audiences == ("us",)
    assert await tokens.prove("def", ("them",)) is None
    assert await tokens.prove("abcd", ()) is None


@pytest.mark.parametrize("text", ["abc,ada\n", ",ada,7\n", "abc,,7\n", "abc,ada,7\nabc,bob,8\n"])
def test_files_that_cannot_be_used(tmp_path, text):
    path = tmp_path / "tokens.csv"
    path.write_text(text)
    with pytest.raises(TokenFileError) as caught:
        StaticTokens.load(path)
    assert "abc" not in str(caught.value)


def secret(**changed: str | None) -> dict:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "expiration": "2026-05-01T00:00:01Z",
        "auth-extra-groups": "system:bootstrappers:workers",
    }
    data.update({name.replace("_", "-"): value for name, value in changed.items()})
    coded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items() if value is not None}
    return {"metadata": {}, "type": "bootstrap.kubernetes.io/token", "data": coded}


def test_a_bootstrap_token_is_of_its_groups():
    user = bootstrap_tokens.user_of(secret(), "abcdef", "0123456789abcdef", now=NOW)
    assert user == Identity("system:bootstrap:abcdef", ("system:bootstrappers", "system:bootstrappers:workers"))


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param(secret(token_secret="0123456789abcdeg"), id="another secret"),
        pytest.param(secret(token_id="abcdeg"), id="another id"),
        pytest.param(secret(usage_bootstrap_authentication=None), id="not for authentication"),
        pytest.param(secret(expiration="2026-05-01T00:00:00Z"), id="over"),
        pytest.param(secret(expiration="soon"), id="over at no time that can be read"),
        pytest.param(secret(auth_extra_groups="system:masters"), id="of a group that is not for it"),
        pytest.param(secret() | {"type": "Opaque"}, id="another type"),
        pytest.param(secret() | {"metadata": {"deletionTimestamp": "2026-04-01T00:00:00Z"}}, id="going"),
    ],
)
def test_bootstrap_tokens_that_prove_nothing(tree):
    assert bootstrap_tokens.user_of(tree, "abcdef", "0123456789abcdef", now=NOW) is None


class Provider:
    """An identity provider behind a session."""

    def __init__(self, url: str) -> None:
        self.url, self.asked, self.keys = url, 0, []

    def trust(self, key, name: str) -> None:
        algorithm = jwt.algorithms.ECAlgorithm if hasattr(key, "curve") else jwt.algorithms.RSAAlgorithm
        self.keys.append({**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"})

    async def request(self, method: str, url: str, **_) -> Reply:
        self.asked += 1
        await asyncio.sleep(0)
        if url.endswith("openid-configuration"):
            return Reply(200, {}, orjson.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}))
        return Reply(200, {}, json.dumps({"keys": self.keys}).encode())


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self.passed


ISSUER = Issuer(
    "https://id.example",
    ("bireme",),
    username_claim="email",
    username_prefix="id:",
    groups_claim="groups",
    groups_prefix="id:",
    required_claims={"org": "ours"},
)
CLAIMS = {
    "iss": "https://id.example",
    "aud": "bireme",
    "sub": "1",
    "email": "ada@example.org",
    "groups": ["dev"],
    "org": "ours",
    "exp": NOW.timestamp() + 60,
}
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


async def test_people_of_an_identity_provider():
    provider = Provider("https://id.example")
    provider.trust(RSA, "one")
    clock = Hands()
    tokens = OidcTokens(ISSUER, clock, provider)
    token = jwt.encode(CLAIMS, RSA, algorithm="RS256", headers={"kid": "one"})
    proven = await tokens.prove(token, ("us",))
    assert proven.identity == Identity("id:ada@example.org", ("id:dev",))
    assert await tokens.prove(token, ("us",))
    assert provider.asked == 2
    later = jwt.encode(CLAIMS, EC, algorithm="ES256", headers={"kid": "two"})
    provider.trust(EC, "two")
    assert await tokens.prove(later, ("us",)) is None
    assert provider.asked == 2
    clock.passed += oidc.FETCH_AGAIN_S
    assert await tokens.prove(later, ("us",))


async def test_keys_are_fetched_once_for_all_who_wait():
    provider = Provider("https://id.example")
    provider.trust(RSA, "one")
    tokens = OidcTokens(ISSUER, Hands(), provider)
    token = jwt.encode(CLAIMS, RSA, algorithm="RS256", headers={"kid": "one"})
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(tokens.prove(token, ("us",))) for _ in range(5)]
    assert all(task.result() for task in asked)
    assert provider.asked == 2


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"aud": "others"}, id="for others"),
        pytest.param({"exp": NOW.timestamp()}, id="over"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"nbf": NOW.timestamp() + 1}, id="not yet"),
        pytest.param({"org": "theirs"}, id="without a required claim"),
        pytest.param({"email": ""}, id="without a name"),
        pytest.param({"email_verified": False}, id="with an address that nobody checked"),
        pytest.param({"groups": [{"a": 1}]}, id="with groups that are none"),
    ],
)
def test_claims_that_name_nobody(changed):
    assert oidc.user_of(CLAIMS, ISSUER, now=NOW.timestamp()) is not None
    assert oidc.user_of(CLAIMS | changed, ISSUER, now=NOW.timestamp()) is None


async def test_a_public_key_is_no_shared_secret():
    provider = Provider("https://id.example")
    provider.trust(RSA, "one")
    tokens = OidcTokens(ISSUER, Hands(), provider)
    forged = jwt.encode(CLAIMS, provider.keys[0]["n"], algorithm="HS256", headers={"kid": "one"})
    assert await tokens.prove(forged, ()) is None
    assert await tokens.prove(jwt.encode(CLAIMS, None, algorithm="none", headers={"kid": "one"}), ()) is None


async def test_a_provider_that_calls_itself_otherwise_is_not_believed():
    provider = Provider("https://evil.example")
    provider.trust(RSA, "one")
    provider_at = OidcTokens(ISSUER, Hands(), provider)
    token = jwt.encode(CLAIMS, RSA, algorithm="RS256", headers={"kid": "one"})
    assert await provider_at.prove(token, ()) is None


class Webhook:
    """A server that knows tokens, behind a session."""

    def __init__(self, status: dict | None) -> None:
        self.status, self.seen = status, []

    async def request(self, method: str, url: str, *, body: bytes, **_) -> Reply:
        self.seen.append(orjson.loads(body))
        if self.status is None:
            raise RequestFailed("refused")
        return Reply(200, {}, orjson.dumps({"status": self.status}))


async def test_what_a_webhook_says_holds_for_two_minutes():
    server = Webhook({"authenticated": True, "user": {"username": "ada", "uid": "7", "extra": {"a": ["b"]}}})
    now = [0.0]
    tokens = TokenWebhook("https://hook.example", server, lambda: now[0], own="us")
    proven = await tokens.prove("t", ())
    assert (proven.identity.name, proven.identity.extra, proven.audiences) == ("ada", {"a": ["b"]}, ("us",))
    assert server.seen[0]["spec"] == {"token": "t", "audiences": ["us"]}
    server.status = {"authenticated": False}
    now[0] = 119.0
    assert await tokens.prove("t", ())
    now[0] = 120.0
    assert await tokens.prove("t", ()) is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        {"authenticated": "true", "user": {"username": "ada"}},
        {"authenticated": True, "user": {}},
        {"authenticated": True, "user": {"username": "ada"}, "audiences": ["them"]},
    ],
)
async def test_answers_of_a_webhook_that_prove_nothing(status):
    assert await TokenWebhook("https://hook.example", Webhook(status), lambda: 0.0, own="us").prove("t", ()) is None


def test_a_webhook_is_named_by_a_kubeconfig(tmp_path):
    path = tmp_path / "hook.yaml"
    path.write_text(
        "clusters: [{name: a, cluster: {server: 'https://hook.example/authn'}}]\n"
        "contexts: [{name: c, context: {cluster: a, user: u}}]\nusers: [{name: u, user: {token: t}}]\n"
        "current-context: c\n"
    )
    assert read_kubeconfig(path)[0] == "https://hook.example/authn"


GATEWAY = Peer(common_name="gateway", issuer="front-proxy-ca", tls=True)
SPOKEN = {"x-remote-user": "ada", "x-remote-group": "dev, ops", "x-remote-uid": "7", "x-remote-extra-a%2fb": "c"}


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        pytest.param(
            GATEWAY,
            SPOKEN,
            Identity("ada", ("dev", "ops", "system:authenticated"), "7", {"a/b": ["c"]}),
            id="a gateway speaks for a user",
        ),
        pytest.param(GATEWAY, {}, None, id="a gateway is no user"),
        pytest.param(
            Peer(common_name="other", issuer="front-proxy-ca", tls=True),
            SPOKEN,
            None,
            id="a name that is not allowed",
        ),
        pytest.param(
            Peer(common_name="gateway", issuer="ca", tls=True),
            SPOKEN,
            Identity("gateway", ("system:authenticated",)),
            id="a user who only calls himself a gateway speaks for himself",
        ),
        pytest.param(Peer(), SPOKEN, None, id="headers alone prove nothing"),
    ],
)
async def test_gateways(peer, headers, expected):
    authenticator = Authenticator((), FrontProxy("front-proxy-ca", ("gateway",)))
    user = await authenticator.authenticate(Request("GET", "/api", headers=headers, peer=peer))
    assert user == expected


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"authorization": "Basic abc"}, ""),
        ({"sec-websocket-protocol": "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj"}, "abc"),
        ({"sec-websocket-protocol": "base64url.bearer.authorization.k8s.io.%%"}, ""),
    ],
)
def test_where_tokens_come(headers, token):
    assert bearer_token(SimpleNamespace(headers=headers)) == token
