"""A file of identity providers that changes while the server runs."""

import asyncio
from pathlib import Path

import pytest

from bireme.aio.clock import Clock, VirtualClock
from bireme.apiserver.authenticators.configuration import AuthenticationConfigError
from bireme.apiserver.authenticators.oidc import Issuer, OidcTokens
from bireme.apiserver.authenticators.reloading import LOOK_S, ReloadedIssuers
from bireme.assembly.api import serve_api
from bireme.assembly.authentication import authenticator
from bireme.config import Config
from bireme.http.certificates import Authority
from bireme.http.interface import Identity, Peer, Request
from bireme.registry.tokens import Proven
from bireme.store.memory import MemoryStore


class OfName(OidcTokens):
    """Takes its issuer's URL for a token."""

    made: list["OfName"]

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        super().__init__(issuer, clock)
        self.issuer, self.closed = issuer, False
        self.made.append(self)

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        return Proven(Identity(token), audiences) if token == self.issuer.url else None

    async def close(self) -> None:
        self.closed = True
        await super().close()


def file_of(path: Path, *names: str) -> Path:
    jwt = "".join(
        f"\n- issuer: {{url: 'https://{name}', audiences: [a]}}\n"
        "  claimMappings: {username: {claim: sub, prefix: ''}}"
        for name in names
    )
    path.write_text(f"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:{jwt}\n")
    return path


async def proves(provers: ReloadedIssuers, *names: str) -> list[bool]:
    return [await provers.prove(f"https://{name}", ()) is not None for name in names]


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    clock, path = VirtualClock(), file_of(tmp_path / "config.yaml", "a", "b")
    OfName.made = []
    provers = ReloadedIssuers(path, clock, OfName)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(provers.run())
        assert await proves(provers, "a", "b", "c") == [True, True, False]
        file_of(path, "b", "c")
        assert await proves(provers, "a", "b", "c") == [True, True, False]
        await clock.advance(LOOK_S)
        assert await proves(provers, "a", "b", "c") == [False, True, True]
        assert [(one.issuer.url[-1], one.closed) for one in OfName.made] == [("a", True), ("b", False), ("c", False)]
        await clock.advance(LOOK_S)
        assert len(OfName.made) == 3
        running.cancel()


@pytest.mark.parametrize("bad", ["kind: [", "kind: Pod\n", None])
async def test_a_file_that_cannot_be_used_leaves_what_was(tmp_path: Path, bad: str | None) -> None:
    path = file_of(tmp_path / "config.yaml", "a")
    OfName.made = []
    provers = ReloadedIssuers(path, VirtualClock(), OfName)
    if bad is None:
        path.unlink()
    else:
        path.write_text(bad)
    await provers.look()
    assert await proves(provers, "a") == [True]
    file_of(path, "b")
    await provers.look()
    assert await proves(provers, "a", "b") == [False, True]


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationConfigError):
        ReloadedIssuers(tmp_path / "none.yaml", VirtualClock())


async def test_a_cluster_reads_its_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bireme.assembly.authentication.ReloadedIssuers", lambda p, c: ReloadedIssuers(p, c, OfName))
    clock = VirtualClock()
    OfName.made = []
    config = Config(data=tmp_path, authentication_config=file_of(tmp_path / "config.yaml", "a"))
    Authority.create(config.pki, now=clock.now(), common_name="ca")

    async def asked() -> int:
        headers = {"authorization": "Bearer https://b"}
        answer = await api.server.handle(Request("GET", "/api/v1/nodes", headers=headers, peer=Peer(tls=True)))
        return answer.status  # type: ignore[union-attr]

    def make(registry, tokens):  # type: ignore[no-untyped-def]
        return authenticator(config, registry, tokens, clock=clock)

    async with serve_api(MemoryStore(clock=clock), clock=clock, authenticator=make) as api:
        assert await asked() == 401
        file_of(tmp_path / "config.yaml", "b")
        await clock.advance(LOOK_S)
        assert await asked() == 403
