"""A question to an answer, from the records: the decision, without sockets.

Wire bytes are made by dnslib; the answer of a question is kept ready-made until the records change, and only
its id is patched, since parsing and packing in Python cost more than finding the answer.
"""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dnslib import AAAA, CNAME, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSHeader, DNSQuestion, DNSRecord

from bireme.dns.records import Records

TTL = 5
MAX_UDP = 512
CACHE_LIMIT = 10_000
ORDERS = 8


class Malformed(Exception):
    """The bytes are no DNS question."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Wire bytes to send; with `forward` the question must go upstream, with `alias` one for that name too."""

    wire: bytes = b""
    forward: bool = False
    alias: str = ""
    shuffled: bool = False

    @property
    def needs_others(self) -> bool:
        """It is not complete without a server that knows other names."""
        return self.forward or bool(self.alias)


class Answers:
    """Answers from `records`, which may be replaced at any time."""

    def __init__(self, records: Records, *, chance: random.Random) -> None:
        self._records = records
        self._chance = chance
        self._ready: dict[tuple[bytes, bool], list[Answer]] = {}

    def replace(self, records: Records) -> None:
        """From now on answer from these."""
        self._records = records
        self._ready.clear()

    def answer(self, wire: bytes, *, tcp: bool) -> Answer:
        """The answer to one question. Raises Malformed."""
        if len(wire) < 12 or wire[2] & 0x80:
            raise Malformed("no question")
        key = (wire[2:], tcp)
        ready = self._ready.get(key)
        if ready is None or (ready[0].shuffled and len(ready) < ORDERS):
            made = self._make(wire, tcp=tcp)
            if made.forward:
                return made
            if len(self._ready) >= CACHE_LIMIT:
                self._ready.clear()
            ready = self._ready.setdefault(key, [])
            ready.append(made)
        else:
            made = self._chance.choice(ready) if len(ready) > 1 else ready[0]
        return Answer(wire[:2] + made.wire[2:], alias=made.alias)

    def _make(self, wire: bytes, *, tcp: bool) -> Answer:
        try:
            asked = DNSRecord.parse(wire)
        except Exception as error:  # dnslib raises many kinds for bad bytes
            raise Malformed(str(error)) from error
        if asked.header.opcode != 0:
            return Answer(_failed(asked, RCODE.NOTIMP))
        if len(asked.questions) != 1:
            return Answer(_failed(asked, RCODE.FORMERR))
        name = str(asked.q.qname).lower().rstrip(".")
        if not self._is_ours(name):
            return Answer(forward=True)
        reply = self._reply(asked, name)
        kinds = [record.rtype for record in reply.rr]
        alias = str(reply.rr[-1].rdata).rstrip(".") if kinds[-1:] == [QTYPE.CNAME] else ""
        if alias and (QTYPE[asked.q.qtype] not in ("A", "AAAA") or self._is_ours(alias.lower())):
            alias = ""
        return Answer(_fitting(asked, reply, tcp=tcp), alias=alias, shuffled=kinds.count(QTYPE.A) > 1)

    def _is_ours(self, name: str) -> bool:
        return self._records.is_ours(name) or (name.endswith(".in-addr.arpa") and name in self._records.pointers)

    def _reply(self, asked: DNSRecord, name: str) -> DNSRecord:
        header = DNSHeader(id=asked.header.id, qr=1, aa=1, ra=1, rd=asked.header.rd)
        reply = DNSRecord(header, q=DNSQuestion(asked.q.qname, asked.q.qtype))
        found = self._find(name, QTYPE[asked.q.qtype])
        for each in found:
            reply.add_answer(each)
        if QTYPE[asked.q.qtype] == "SRV":
            for each in found:
                for address in self._records.addresses.get(str(each.rdata.target).rstrip("."), ()):
                    reply.add_ar(RR(each.rdata.target, QTYPE.A, rdata=A(address), ttl=TTL))
        if not found:
            zone = next((zone for zone in self._records.zones if name.endswith(zone)), name)
            reply.add_auth(RR(zone, QTYPE.SOA, rdata=SOA(f"ns.dns.{zone}", f"hostmaster.{zone}"), ttl=TTL))
            known = self._records.knows(name) or name in self._records.zones or self._records.pod_address(name)
            if not known:
                reply.header.rcode = RCODE.NXDOMAIN
        return reply

    def _find(self, name: str, kind: str) -> Sequence[RR]:
        records = self._records
        if target := records.aliases.get(name):
            alias = RR(name, QTYPE.CNAME, rdata=CNAME(target), ttl=TTL)
            follow = self._find(target, kind) if kind in ("A", "AAAA") and target not in records.aliases else ()
            return [alias, *follow]
        found: list[RR] = []
        if kind in ("A", "ANY"):
            pod = records.pod_address(name)
            addresses = [pod] if pod else list(records.addresses.get(name, ()))
            self._chance.shuffle(addresses)
            found += [RR(name, QTYPE.A, rdata=A(each), ttl=TTL) for each in addresses if ":" not in each]
        if kind in ("AAAA", "ANY"):
            sixes = [each for each in records.addresses.get(name, ()) if ":" in each]
            found += [RR(name, QTYPE.AAAA, rdata=AAAA(each), ttl=TTL) for each in sixes]
        if kind in ("SRV", "ANY"):
            services = records.services.get(name, ())
            found += [RR(name, QTYPE.SRV, rdata=SRV(0, 100, each.port, each.target), ttl=TTL) for each in services]
        if kind in ("PTR", "ANY"):
            found += [RR(name, QTYPE.PTR, rdata=PTR(each), ttl=TTL) for each in records.pointers.get(name, ())]
        if kind in ("TXT", "ANY") and name in records.texts:
            found.append(RR(name, QTYPE.TXT, rdata=TXT(records.texts[name]), ttl=TTL))
        return found


def failure(wire: bytes, code: int) -> bytes:
    """An answer of nothing but `code` (2 SERVFAIL, 5 REFUSED) to the question in `wire`."""
    (flags,) = struct.unpack("!H", wire[2:4])
    asked = _question(wire)
    counts = struct.pack("!HHHH", 1 if asked else 0, 0, 0, 0)
    return wire[:2] + struct.pack("!H", 0x8080 | (flags & 0x0100) | code) + counts + asked


def _question(wire: bytes) -> bytes:
    """The bytes of the first question, without which resolvers don't take an answer as theirs; b"" if broken."""
    at = 12
    while at < len(wire) and wire[at] and wire[at] < 64:
        at += wire[at] + 1
    end = at + 5
    return wire[12:end] if end <= len(wire) and not wire[at] else b""


def question(wire: bytes, name: str) -> bytes:
    """The question in `wire`, of its type and id, but for `name`."""
    asked = DNSRecord.parse(wire)
    header = DNSHeader(id=asked.header.id, rd=1)
    return bytes(DNSRecord(header, q=DNSQuestion(name, asked.q.qtype)).pack())


def joined(wire: bytes, ours: bytes, theirs: bytes, *, tcp: bool) -> bytes:
    """Our alias and, behind it, what the server that knows its target says."""
    asked, answer = DNSRecord.parse(wire), DNSRecord.parse(ours)
    try:
        known = DNSRecord.parse(theirs)
    except Exception:  # dnslib raises many kinds for bad bytes
        return failure(wire, RCODE.SERVFAIL)
    if known.header.rcode in (RCODE.SERVFAIL, RCODE.REFUSED):
        return failure(wire, RCODE.SERVFAIL)
    for record in known.rr:
        answer.add_answer(record)
    return _fitting(asked, answer, tcp=tcp)


def _fitting(asked: DNSRecord, reply: DNSRecord, *, tcp: bool) -> bytes:
    packed = bytes(reply.pack())
    return packed if len(packed) <= (65535 if tcp else _udp_limit(asked)) else _truncated(asked, reply)


def _failed(asked: DNSRecord, code: int) -> bytes:
    header = DNSHeader(id=asked.header.id, qr=1, ra=1, rd=asked.header.rd, rcode=code)
    return bytes(DNSRecord(header).pack())


def _udp_limit(asked: DNSRecord) -> int:
    sizes: list[int] = [record.edns_len for record in asked.ar if record.rtype == QTYPE.OPT]
    return min(max([MAX_UDP, *sizes]), 4096)


def _truncated(asked: DNSRecord, reply: DNSRecord) -> bytes:
    header = DNSHeader(id=asked.header.id, qr=1, aa=1, tc=1, ra=1, rd=asked.header.rd, rcode=reply.header.rcode)
    return bytes(DNSRecord(header, q=asked.q).pack())
