"""Rules to the kernel, each change as one transaction, and the flows that outlived their rules taken away."""

import asyncio
from collections.abc import Iterable

from bireme.network.services import Flow


class NftError(Exception):
    """nft refused a transaction; nothing of it was done."""


async def run(*command: str, text: str = "") -> tuple[int, str]:
    """Run a program of the machine's; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if text else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(text.encode() if text else None)
    return process.returncode or 0, output.decode(errors="replace")


async def apply(script: str) -> None:
    """Do all of `script` or nothing. Raises NftError."""
    code, output = await run("nft", "-f", "-", text=script)
    if code != 0:
        raise NftError(output.strip()[:2000])


async def has_chain(table: str, chain: str) -> bool:
    """The chain is there and has a rule: someone else's flush is noticed by this."""
    code, output = await run("nft", "list", "chain", "ip", table, chain)
    return code == 0 and "jump" in output


async def forget_flows(flows: Iterable[Flow]) -> None:
    """Drop tracked UDP flows, so that the next packet finds its way anew.

    TCP needs no help: its peer answers, or its connection times out.
    """
    for flow in flows:
        await run("conntrack", "-D", "-p", "udp", *selection(flow))


def selection(flow: Flow) -> list[str]:
    """The flow as conntrack's options name it."""
    if flow.backend:
        return ["--dst-nat", flow.backend]
    address = ["--orig-dst", flow.address] if flow.address else []
    return [*address, "--orig-port-dst", str(flow.port)]
