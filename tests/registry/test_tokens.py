from itertools import count

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
