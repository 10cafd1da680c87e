import pytest

from bireme.aio.clock import RealClock
from bireme.apiserver.authenticators.configuration import AuthenticationConfigError
from bireme.assembly.api import serve_api
from bireme.assembly.authentication import authenticator, earlier_keys, front_proxy, trusted
from bireme.config import Config
from bireme.http.certificates import Authority, load_or_create_signing_key
from bireme.http.interface import Peer, Request
from bireme.store.memory import MemoryStore


@pytest.fixture
def config(tmp_path) -> Config:
    config = Config(data=tmp_path)
    Authority.create(config.pki, now=RealClock().now(), common_name="ca")
    return config


async def test_a_cluster_lets_in_whom_its_settings_name(config, tmp_path):
    people = tmp_path / "tokens.csv"
    people.write_text("abc,ada,7,dev\n")
    Authority.create(config.pki, now=RealClock().now(), common_name="gateways", name="front-proxy-ca")
    settings = Config(data=tmp_path, token_file=people, oidc_issuer_url="https://id.example", oidc_client_id="a")
    clock = RealClock()
    made = []

    def make(registry, tokens):
        made.append(authenticator(settings, registry, tokens, clock=clock))
        return made[0]

    async with serve_api(MemoryStore(clock=clock), clock=clock, authenticator=make) as api:
        answer = await api.server.handle(
            Request("GET", "/api/v1/namespaces", headers={"authorization": "Bearer abc"}, peer=Peer(tls=True))
        )
        assert b'User \\"ada\\" cannot list' in answer.body
        gateway = Peer(common_name="gateway", issuer="gateways", organizations=("system:masters",), tls=True)
        spoken = Request("GET", "/api/v1/namespaces", headers={"x-remote-user": "bob"}, peer=gateway)
        assert b'User \\"bob\\" cannot list' in (await api.server.handle(spoken)).body
        alone = Request("GET", "/api/v1/namespaces", peer=gateway)
        assert (await api.server.handle(alone)).status == 401
    assert trusted(config).count(b"BEGIN CERTIFICATE") == 2


def test_the_authority_of_gateways_has_a_name_of_its_own(config):
    assert front_proxy(config) is None
    Authority.create(config.pki, now=RealClock().now(), common_name="ca", name="front-proxy-ca")
    with pytest.raises(AuthenticationConfigError):
        front_proxy(config)


def test_keys_that_were_exchanged_are_found(config):
    _, public = load_or_create_signing_key(config.pki)
    assert earlier_keys(config) == []
    (config.pki / "sa-2025.pub").write_bytes(public)
    assert earlier_keys(config) == [public]
