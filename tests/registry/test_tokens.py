import base64
import hmac
import json
from itertools import count

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bireme.api.errors import ApiError
from bireme.registry.options import Call, DeleteOptions
from bireme.registry.token_requests import request_token
from bireme.registry.tokens import ISSUER, ServiceAccountTokens


@pytest.fixture(scope="module")
def keys() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def tokens_of(keys: tuple[bytes, bytes], registry) -> ServiceAccountTokens:
    numbers = count()
    tokens = ServiceAccountTokens(*keys, clock=registry.clock, uid=lambda: str(next(numbers)))
    tokens.look_up_in(registry)
    return tokens


async def ask(registry, tokens, **spec):
    kind = registry.kind("", "v1", "serviceaccounts")
    made = await request_token(registry, tokens, kind, "default", "default", {"spec": spec}, Call())
    return made["status"]["token"]


async def test_a_token_proves_its_account_until_it_expires(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        token = await ask(registry, tokens, expirationSeconds=600)
        proven = tokens.verify(token)
        assert proven.identity.name == "system:serviceaccount:default:default"
        assert "system:serviceaccounts:default" in proven.identity.groups
        assert proven.audiences == (ISSUER,)
        assert tokens.verify(token, ["other"]) is None
        assert tokens.verify(token[:-4] + "AAAA") is None
        await registry.clock.advance(601)
        assert tokens.verify(token) is None


async def test_a_token_dies_with_the_pod_it_is_bound_to(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        pods = registry.kind("", "v1", "pods")
        body = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await registry.create(pods, "default", body, Call())
        token = await ask(registry, tokens, boundObjectRef={"kind": "Pod", "name": "a"})
        assert tokens.verify(token).identity.extra["authentication.kubernetes.io/pod-name"] == ["a"]
        await registry.delete(pods, "default", "a", DeleteOptions(), Call())
        assert tokens.verify(token) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"expirationSeconds": 10},
        {"expirationSeconds": 1 << 33},
        {"expirationSeconds": "long"},
        {"boundObjectRef": {"kind": "Secret", "name": "s"}},
        {"boundObjectRef": {"kind": "Pod", "name": "missing"}},
    ],
)
async def test_requests_that_are_refused(opened, keys, spec):
    async with opened() as registry:
        with pytest.raises(ApiError):
            await ask(registry, tokens_of(keys, registry), **spec)


async def test_the_public_key_is_published(opened, keys):
    async with opened() as registry:
        key = tokens_of(keys, registry).key_set()["keys"][0]
        assert (key["kty"], key["crv"], key["use"]) == ("EC", "P-256", "sig")
        assert "d" not in key


async def test_a_token_bound_to_a_secret_or_a_node_dies_with_it(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        for plural, kind, namespace in (("secrets", "Secret", "default"), ("nodes", "Node", "")):
            where = registry.kind("", "v1", plural)
            await registry.create(where, namespace, {"metadata": {"name": "a"}}, Call())
            token = await ask(registry, tokens, boundObjectRef={"kind": kind, "name": "a"})
            assert tokens.verify(token) is not None
            await registry.delete(where, namespace, "a", DeleteOptions(), Call())
            assert tokens.verify(token) is None, kind


async def test_a_pods_own_token_lasts_a_year_but_warns_after_an_hour(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        body = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await registry.create(registry.kind("", "v1", "pods"), "default", body, Call())
        token = await ask(registry, tokens, expirationSeconds=3607, boundObjectRef={"kind": "Pod", "name": "a"})
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
        assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
        unbound = jwt.decode(await ask(registry, tokens, expirationSeconds=3607), options={"verify_signature": False})
        assert unbound["exp"] - unbound["iat"] == 3607


async def test_the_signing_key_can_be_exchanged(opened, keys):
    async with opened() as registry:
        token = await ask(registry, tokens_of(keys, registry), expirationSeconds=600)
        fresh = ec.generate_private_key(ec.SECP256R1())
        pems = (
            fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            fresh.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        )
        exchanged = ServiceAccountTokens(*pems, clock=registry.clock, uid=lambda: "u", earlier=[keys[1]])
        exchanged.look_up_in(registry)
        assert exchanged.verify(token) is not None
        assert tokens_of(pems, registry).verify(token) is None
        names = [key["kid"] for key in exchanged.key_set()["keys"]]
        assert jwt.get_unverified_header(await ask(registry, exchanged))["kid"] == names[0]
        assert jwt.get_unverified_header(token)["kid"] == names[1]


def forged(keys: tuple[bytes, bytes], claims: dict) -> dict[str, str]:
    """Tokens that nobody should believe, by what is wrong with them."""
    other = ec.generate_private_key(ec.SECP256R1())
    good = jwt.encode(claims, keys[0], algorithm="ES256")
    head, body, signature = good.split(".")

    def coded(value: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def signed_by_the_public_key(header: dict) -> str:
        text = f"{coded(header)}.{body}"
        mac = hmac.new(keys[1], text.encode(), "sha256").digest()
        return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    now = claims["iat"]
    changed = {
        "another audience": {"aud": ["others"]},
        "no audience": {"aud": None},
        "another issuer": {"iss": "https://evil.example"},
        "over": {"exp": now},
        "no end": {"exp": None},
        "an end that is no time": {"exp": "never"},
        "not yet": {"nbf": now + 11},
        "an account that is not there": {"kubernetes.io": {**claims["kubernetes.io"], "namespace": "other"}},
        "no account": {"kubernetes.io": {}},
        "the legacy issuer": {"iss": "kubernetes/serviceaccount"},
    }
    return {
        "no algorithm": f"{coded({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "no signature": f"{head}.{body}.",
        "the public key as a secret": signed_by_the_public_key({"alg": "HS256", "typ": "JWT"}),
        "another key": jwt.encode(claims, other, algorithm="ES256"),
        "a key name that is a path": jwt.encode(claims, other, algorithm="ES256", headers={"kid": "../../dev/null"}),
        "a key name that is a query": jwt.encode(claims, other, algorithm="ES256", headers={"kid": "' OR 1=1 --"}),
        "a key of its own": jwt.encode(claims, other, algorithm="ES256", headers={"jwk": {"kty": "EC"}}),
        "another body": f"{head}.{coded({**claims, 'sub': 'system:serviceaccount:kube-system:admin'})}.{signature}",
        "ten megabytes": f"{head}.{'A' * (10 << 20)}.{signature}",
        "a second token": f"{good}, {good}",
        "no parts": "abc",
        "empty": "",
        "not a text that can be coded": "\ud800.\ud800.\ud800",
        **{
            name: jwt.encode(
                {k: v for k, v in (claims | change).items() if v is not None}, keys[0], algorithm="ES256"
            )
            for name, change in changed.items()
        },
    }


async def test_forged_tokens_prove_nothing(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        good = await ask(registry, tokens, expirationSeconds=600)
        assert tokens.verify(good) is not None
        for wrong, token in forged(keys, jwt.decode(good, options={"verify_signature": False})).items():
            assert tokens.verify(token) is None, wrong


async def test_a_token_ends_on_the_second(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        token = await ask(registry, tokens, expirationSeconds=600)
        await registry.clock.advance(599)
        assert tokens.verify(token) is not None
        await registry.clock.advance(1)
        assert tokens.verify(token) is None


async def test_a_token_in_a_secret_ends_with_the_secret(opened, keys):
    async with opened() as registry:
        tokens = tokens_of(keys, registry)
        account = registry.find("", "v1", "serviceaccounts", "default", "default")
        token = tokens.issue_legacy("default", "default", account["metadata"]["uid"], "s")
        secrets = registry.kind("", "v1", "secrets")
        assert tokens.verify(token) is None
        data = {"token": base64.b64encode(token.encode()).decode()}
        await registry.create(secrets, "default", {"metadata": {"name": "s"}, "data": data}, Call())
        assert tokens.verify(token).identity.name == "system:serviceaccount:default:default"
        mark = {"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}}
        await registry.patch(
            secrets, "default", "s", lambda tree: {**tree, "metadata": tree["metadata"] | mark["metadata"]}, Call()
        )
        assert tokens.verify(token) is None
