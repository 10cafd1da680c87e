"""A story with an identity provider of its own: over HTTPS, with discovery, keys that change, and real tokens."""

import asyncio
import hmac
import json
import ssl
import threading
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bireme.aio.clock import RealClock, VirtualClock
from bireme.apiserver.authentication import Authenticator
from bireme.apiserver.authenticators.configuration import read_issuers
from bireme.apiserver.authenticators.oidc import FETCH_AGAIN_S, OidcTokens
from bireme.apiserver.authenticators.prover import ForUs
from bireme.assembly.api import Api, serve_api
from bireme.http.certificates import Authority, server_context
from bireme.http.interface import Identity, Peer, Request, Response
from bireme.http.requests import Session
from bireme.store.memory import MemoryStore

Tree = dict[str, Any]
NOW = datetime(2026, 5, 1, tzinfo=UTC)
MAPS = "/api/v1/namespaces/default/configmaps"
HOUR = 3600


class Provider:
    """An identity provider: the keys that it shows, and tokens by these or any others."""

    def __init__(self, folder: Path) -> None:
        self.keys: dict[str, Any] = {}
        self.asked: list[str] = []
        self.broken = False
        self.named = ""  # what it calls itself, if not by its URL
        authority = Authority.create(folder, now=RealClock().now())
        self.authority = authority.certificate.decode()
        pair = authority.issue("id", hosts=("127.0.0.1",), now=RealClock().now(), server=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(server_context(pair)))
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] - clients that hang up
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/realm"
        poll = {"poll_interval": 0.02}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def token(self, key: str, *, signer: Any = None, algorithm: str = "", **claims: Any) -> str:
        """A token by the key of that name, or by `signer` under that name."""
        signer = signer or self.keys[key]
        usual = "RS256" if isinstance(signer, rsa.RSAPrivateKey) else "ES256"
        said = {
            "iss": self.url,
            "aud": ["other", "bireme"],
            "sub": "7",
            "email": "ada@example.com",
            "groups": ["dev", "ops"],
            "exp": NOW.timestamp() + HOUR,
            **claims,
        }
        return jwt.encode(said, signer, algorithm=algorithm or usual, headers={"kid": key})

    def document(self, path: str) -> Tree | None:
        if path == "/realm/.well-known/openid-configuration":
            return {"issuer": self.named or self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/realm/keys":
            return {"keys": [as_web_key(name, key) for name, key in self.keys.items()]}
        return None

    def _handler(self, context: ssl.SSLContext) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                self.request = context.wrap_socket(self.request, server_side=True)
                super().setup()

            def finish(self) -> None:
                super().finish()
                self.request.close()

            def do_GET(self) -> None:
                provider.asked.append(self.path)
                document = None if provider.broken else provider.document(self.path)
                body = json.dumps(document or {}).encode()
                self.send_response(200 if document else 500)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


def as_web_key(name: str, key: Any) -> Tree:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": name, "use": "sig", "alg": algorithm}


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    made = Provider(tmp_path / "provider")
    made.keys["rsa-1"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    yield made
    made.close()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


Opened = Callable[..., Any]


@pytest.fixture
def opened(provider: Provider, clock: VirtualClock, tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def run(*, authority: str | None = None) -> AsyncIterator["Door"]:
        trusted = provider.authority if authority is None else authority
        said = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [
                {
                    "issuer": {"url": provider.url, "audiences": ["bireme"], "certificateAuthority": trusted},
                    "claimMappings": {
                        "username": {"claim": "email", "prefix": "id:"},
                        "groups": {"claim": "groups", "prefix": "id:"},
                    },
                }
            ],
        }
        path = tmp_path / "authentication.yaml"
        path.write_text(yaml.safe_dump(said))
        (issuer,) = read_issuers(path)
        async with Session(tls=issuer.tls) as session:

            def authenticator(registry: Any, tokens: Any) -> Authenticator:
                return Authenticator([ForUs(OidcTokens(issuer, clock, session), tokens.issuer)])

            store = MemoryStore(clock=clock)
            async with serve_api(store, clock=clock, authenticator=authenticator, random=Random(7)) as api:
                yield Door(api)

    return run


class Door:
    """Asks the server with a token, or as the admin without."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def ask(self, method: str, path: str, body: Tree | None = None, *, token: str = "") -> tuple[int, Tree]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        peer = Peer(tls=True) if token else Peer(identity=Identity("admin", ("system:masters",)))
        data = b"" if body is None else json.dumps(body).encode()
        answer = await self._api.server.handle(Request(method, path, headers=headers, body=data, peer=peer))
        assert isinstance(answer, Response)
        return answer.status, json.loads(answer.body)

    async def lets_in(self, token: str) -> bool:
        """Whether the token's bearer is somebody to the server."""
        status, _ = await self.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
        assert status in (201, 401)
        return status == 201


async def test_a_provider_lets_its_people_in_and_its_groups_do_what_they_may(opened, provider):
    token = provider.token("rsa-1", jti="t-1")
    async with opened() as door:
        status, seen = await door.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
        assert status == 201, seen
        user = seen["status"]["userInfo"]
        assert (status, user["username"]) == (201, "id:ada@example.com")
        assert set(user["groups"]) == {"id:dev", "id:ops", "system:authenticated"}
        assert user["extra"] == {"authentication.kubernetes.io/credential-id": ["JTI=t-1"]}
        status, refusal = await door.ask("GET", MAPS, token=token)
        assert (status, 'User "id:ada@example.com" cannot list' in refusal["message"]) == (403, True)
        binding = {
            "metadata": {"name": "dev"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "dev"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "id:dev"}],
        }
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
        place = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        assert (await door.ask("POST", f"{place}/roles", {"metadata": {"name": "dev"}, "rules": rules}))[0] == 201
        assert (await door.ask("POST", f"{place}/rolebindings", binding))[0] == 201
        for _ in range(20):  # until those who decide have read it
            await asyncio.sleep(0)
        assert (await door.ask("GET", MAPS, token=token))[0] == 200
        assert (await door.ask("GET", MAPS, token=provider.token("rsa-1", groups="ops")))[0] == 403
        assert (await door.ask("GET", MAPS, token=provider.token("rsa-1", groups="dev")))[0] == 200
        review = {"spec": {"token": token}}
        _, told = await door.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        assert told["status"]["authenticated"] is True
        assert told["status"]["user"]["username"] == "id:ada@example.com"
        assert sorted(provider.asked) == ["/realm/.well-known/openid-configuration", "/realm/keys"]


async def test_keys_change_without_a_restart(opened, provider, clock):
    async with opened() as door:
        old = provider.token("rsa-1")
        assert await door.lets_in(old)
        provider.keys["ec-1"] = ec.generate_private_key(ec.SECP256R1())
        both = provider.token("ec-1")
        assert not await door.lets_in(both), "keys were fetched just now"
        await clock.advance(FETCH_AGAIN_S)
        assert await door.lets_in(both)
        assert await door.lets_in(old)
        del provider.keys["rsa-1"]
        provider.keys["ec-2"] = ec.generate_private_key(ec.SECP256R1())
        await clock.advance(FETCH_AGAIN_S)
        assert await door.lets_in(provider.token("ec-2"))
        assert not await door.lets_in(old), "its key is shown no more"
        fetched = len(provider.asked)
        for _ in range(20):
            assert not await door.lets_in(old)
        assert len(provider.asked) == fetched, "strangers do not make it ask all the time"


async def test_a_provider_that_is_down_keeps_out_only_those_by_new_keys(opened, provider, clock):
    async with opened() as door:
        assert await door.lets_in(provider.token("rsa-1"))
        provider.broken = True
        provider.keys["ec-1"] = ec.generate_private_key(ec.SECP256R1())
        await clock.advance(FETCH_AGAIN_S)
        assert not await door.lets_in(provider.token("ec-1"))
        assert await door.lets_in(provider.token("rsa-1"))
        provider.broken = False
        await clock.advance(FETCH_AGAIN_S)
        assert await door.lets_in(provider.token("ec-1"))


async def test_tokens_that_prove_nothing(opened, provider, clock):
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = (
        provider.keys["rsa-1"]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    begins = NOW.timestamp()
    cases = {
        "for others": provider.token("rsa-1", aud="other"),
        "for nobody": provider.token("rsa-1", aud=[]),
        "over": provider.token("rsa-1", exp=begins),
        "without end": provider.token("rsa-1", exp=None),
        "not yet": provider.token("rsa-1", nbf=begins + 1),
        "of another issuer": provider.token("rsa-1", iss=provider.url + "/"),
        "by another's key": provider.token("rsa-1", signer=other),
        "of no user": provider.token("rsa-1", email=""),
        "of an address that nobody checked": provider.token("rsa-1", email_verified=False),
        "of groups that are none": provider.token("rsa-1", groups={"a": 1}),
        "by the public key as a secret": by_secret(provider.token("rsa-1"), public),
        "by another way of signing": provider.token("rsa-1", algorithm="RS512"),
        "unsigned": jwt.encode({"iss": provider.url, "aud": "bireme", "email": "a"}, None, algorithm="none"),
    }
    async with opened() as door:
        good = provider.token("rsa-1")
        assert await door.lets_in(good)
        assert not await door.lets_in(good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"))
        assert {why for why, token in cases.items() if await door.lets_in(token)} == set()
        await clock.advance(HOUR - 1)
        assert await door.lets_in(good)
        await clock.advance(1)
        assert not await door.lets_in(good), "its time is over"


def by_secret(token: str, secret: bytes) -> str:
    """The token signed again, by a secret that is no secret; made by hand, since libraries refuse to."""

    def part(content: bytes) -> str:
        return urlsafe_b64encode(content).rstrip(b"=").decode()

    header = json.dumps({"alg": "HS256", "kid": "rsa-1"}).encode()
    signed = f"{part(header)}.{token.split('.')[1]}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), 'sha256'))}"


async def test_a_provider_that_is_another_is_not_believed(opened, provider, tmp_path):
    stranger = Authority.create(tmp_path / "stranger", now=RealClock().now()).certificate.decode()
    async with opened(authority=stranger) as door:
        assert not await door.lets_in(provider.token("rsa-1"))
    assert provider.asked == []
    provider.named = "https://id.example.com"
    async with opened() as door:
        assert not await door.lets_in(provider.token("rsa-1"))
    assert provider.asked == ["/realm/.well-known/openid-configuration"]
