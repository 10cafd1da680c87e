"""Certificates as TLS sees them: real handshakes on the loopback."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bireme.http.certificates import (
    Authority,
    Pair,
    client_context,
    load_or_create_signing_key,
    server_context,
)
from bireme.http.interface import Answer, Peer, Request, Response
from bireme.http.requests import RequestFailed, Session
from bireme.http.server import serve

NOW = datetime.now(UTC)  # noqa: TID251 - the TLS library compares with the machine's clock


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("pki"), now=NOW)


async def seen(authority: Authority, client: Pair | None) -> Peer:
    """What the server sees of a client that shows `client`."""
    peers: list[Peer] = []

    async def handle(request: Request) -> Answer:
        peers.append(request.peer)
        return Response()

    pair = authority.issue("server", hosts=["localhost", "127.0.0.1"], server=True, client=False, now=NOW)
    server = await serve(handle, host="127.0.0.1", tls=server_context(pair, trusted=authority.certificate))
    async with Session(tls=client_context(authority.certificate, client)) as session:
        try:
            await session.request("GET", f"https://127.0.0.1:{server.port}/")
        finally:
            await server.close()
    return peers[0]


async def test_the_server_sees_the_name_and_groups_of_a_client(authority: Authority) -> None:
    peer = await seen(authority, authority.issue("system:node:n1", ["system:nodes", "others"], now=NOW))
    assert (peer.common_name, peer.organizations, peer.tls) == ("system:node:n1", ("system:nodes", "others"), True)


async def test_a_client_may_come_without_a_certificate(authority: Authority) -> None:
    peer = await seen(authority, None)
    assert (peer.common_name, peer.organizations, peer.tls) == ("", (), True)


@pytest.mark.parametrize("flaw", ["another authority's", "expired", "for servers only"])
async def test_a_certificate_that_does_not_hold_is_refused(authority: Authority, tmp_path: Path, flaw: str) -> None:
    if flaw == "expired":
        pair = authority.issue("x", now=NOW - timedelta(days=2), days=1)
    elif flaw == "for servers only":
        pair = authority.issue("x", now=NOW, server=True, client=False)
    else:
        pair = Authority.create(tmp_path, now=NOW).issue("x", now=NOW)
    with pytest.raises(RequestFailed):
        await seen(authority, pair)


async def test_a_server_by_another_name_is_refused(authority: Authority) -> None:
    pair = authority.issue("server", hosts=["elsewhere"], server=True, now=NOW)

    async def handle(_: Request) -> Answer:
        return Response()

    server = await serve(handle, host="127.0.0.1", tls=server_context(pair))
    async with Session(tls=client_context(authority.certificate)) as session:
        with pytest.raises(RequestFailed):
            await session.request("GET", f"https://127.0.0.1:{server.port}/")
    await server.close()


async def test_a_certificate_bears_the_name_without_the_dot_at_its_end(authority: Authority) -> None:
    pair = authority.issue("server", hosts=["api.example"], server=True, now=NOW)

    async def handle(_: Request) -> Answer:
        return Response()

    server = await serve(handle, host="127.0.0.1", tls=server_context(pair))
    async with Session(tls=client_context(authority.certificate)) as session:
        url = f"https://127.0.0.1:{server.port}/"
        assert (await session.request("GET", url, server_name="api.example.")).status == 200
    await server.close()


async def test_old_tls_is_refused(authority: Authority) -> None:
    pair = authority.issue("server", hosts=["127.0.0.1"], server=True, now=NOW)

    async def handle(_: Request) -> Answer:
        return Response()

    server = await serve(handle, host="127.0.0.1", tls=server_context(pair))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", server.port, ssl=old)
    await server.close()


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    authority = Authority.create(folder, now=NOW)
    authority.issue("x", now=NOW).write(folder / "deeper", "x")
    load_or_create_signing_key(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "deeper").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.*") if path.is_file()} == {0o600}


def test_an_authority_can_be_loaded(tmp_path: Path) -> None:
    created = Authority.create(tmp_path, now=NOW)
    loaded = Authority.load(tmp_path)
    assert loaded.certificate == created.certificate
    assert loaded.issue("x", now=NOW, days=3).expires() == (NOW + timedelta(days=3)).replace(microsecond=0)


def test_the_signing_key_stays_the_same(tmp_path: Path) -> None:
    assert load_or_create_signing_key(tmp_path) == load_or_create_signing_key(tmp_path)
