"""Questions to answers, checked by an independent parser (dnspython)."""

import random

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.kinds import core, discovery, meta
from bireme.dns.answers import Answers, Malformed
from bireme.dns.records import FRAMEWORK, TASK_ID, TASK_NAME, VIP_ANNOTATION, Records, build


def service(name: str, ip: str, **extra: object) -> core.Service:
    port = core.ServicePort(name="http", port=80, protocol="TCP")
    return core.Service(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.ServiceSpec(**{"cluster_ip": ip, "ports": [port], **extra}),  # type: ignore[arg-type]
    )


def slice_of(name: str, *addresses: str, hostname: str = "") -> discovery.EndpointSlice:
    return discovery.EndpointSlice(
        metadata=meta.ObjectMeta(name=name, namespace="default", labels={"kubernetes.io/service-name": name}),
        address_type="IPv4",
        ports=[discovery.EndpointPort(name="http", port=8080, protocol="TCP")],
        endpoints=[discovery.Endpoint(addresses=[each], hostname=hostname) for each in addresses],
    )


def task(name: str, *, ip: str, host: str, port: int) -> core.Pod:
    ports = [core.ContainerPort(name="http", container_port=8080, host_port=port, protocol="TCP")]
    pod = core.Pod(
        metadata=meta.ObjectMeta(
            name="t", uid="abcde-1", annotations={TASK_ID: "t", TASK_NAME: name, FRAMEWORK: "marathon"}
        ),
        spec=core.PodSpec(containers=[core.Container(name="c", ports=ports)]),
    )
    pod.status.phase, pod.status.pod_ip, pod.status.host_ip = "Running", ip, host
    return pod


@pytest.fixture
def answers() -> Answers:
    vip = service("vip-cart", "10.96.0.40")
    vip.metadata.annotations = {VIP_ANNOTATION: "cart.marathon"}
    records = build(
        services=[
            service("echo", "10.96.0.9"),
            service("db", "None"),
            service("out", "", type="ExternalName", external_name="Example.org"),
            vip,
        ],
        slices=[slice_of("echo", "10.244.0.2"), slice_of("db", "10.244.0.3", "10.244.0.4")],
        tasks=[task("cart.shop", ip="10.244.0.7", host="192.0.2.2", port=31005)],
        domain="cluster.local",
        master="192.0.2.2",
    )
    return Answers(records, chance=random.Random(1))


def ask(answers: Answers, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
    question = dns.message.make_query(name, kind)
    answer = answers.answer(question.to_wire(), tcp=tcp)
    assert not answer.forward
    reply = dns.message.from_wire(answer.wire)
    assert question.is_response(reply)
    return reply


def texts(reply: dns.message.Message) -> set[str]:
    return {str(item) for answer in reply.answer for item in answer}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        pytest.param("echo.default.svc.cluster.local", "A", {"10.96.0.9"}, id="service"),
        pytest.param("ECHO.Default.svc.Cluster.Local", "A", {"10.96.0.9"}, id="in any case"),
        pytest.param("echo.default.svc.cluster.local", "AAAA", set(), id="no AAAA, yet no error"),
        pytest.param(
            "_http._tcp.echo.default.svc.cluster.local",
            "SRV",
            {"0 100 80 echo.default.svc.cluster.local."},
            id="named port",
        ),
        pytest.param("db.default.svc.cluster.local", "A", {"10.244.0.3", "10.244.0.4"}, id="headless"),
        pytest.param("10-244-0-3.db.default.svc.cluster.local", "A", {"10.244.0.3"}, id="one endpoint"),
        pytest.param("out.default.svc.cluster.local", "A", {"example.org."}, id="external name"),
        pytest.param("9.0.96.10.in-addr.arpa", "PTR", {"echo.default.svc.cluster.local."}, id="reverse"),
        pytest.param("dns-version.cluster.local", "TXT", {'"1.1.0"'}, id="version"),
        pytest.param("cart.shop.marathon.mesos", "A", {"10.244.0.7"}, id="task"),
        pytest.param("cart.shop.marathon.slave.mesos", "A", {"192.0.2.2"}, id="its agent"),
        pytest.param(
            "_cart.shop._tcp.marathon.mesos",
            "SRV",
            {"0 100 31005 cart.shop-abcde.marathon.slave.mesos."},
            id="its port",
        ),
        pytest.param("leader.mesos", "A", {"192.0.2.2"}, id="leading master"),
        pytest.param("cart.marathon.l4lb.thisdcos.directory", "A", {"10.96.0.40"}, id="named virtual IP"),
    ],
)
def test_names_of_both_decks(answers: Answers, name: str, kind: str, expected: set[str]) -> None:
    reply = ask(answers, name, kind)
    assert reply.rcode() == dns.rcode.NOERROR
    assert texts(reply) == expected


def test_an_unknown_name_of_ours_does_not_exist(answers: Answers) -> None:
    assert ask(answers, "nobody.default.svc.cluster.local").rcode() == dns.rcode.NXDOMAIN


def test_a_name_above_others_exists_without_records(answers: Answers) -> None:
    assert ask(answers, "default.svc.cluster.local").rcode() == dns.rcode.NOERROR


def test_other_names_go_upstream(answers: Answers) -> None:
    assert answers.answer(dns.message.make_query("example.org", "A").to_wire(), tcp=False).forward


def test_a_long_answer_is_cut_for_udp_and_whole_for_tcp() -> None:
    many = [f"10.244.{n // 250}.{n % 250 + 1}" for n in range(200)]
    records = build(
        services=[service("big", "None")], slices=[slice_of("big", *many)], tasks=[], domain="cluster.local"
    )
    answers = Answers(records, chance=random.Random(1))
    name = "big.default.svc.cluster.local"
    assert ask(answers, name).flags & dns.flags.TC
    assert len(texts(ask(answers, name, tcp=True))) == 200


def test_new_records_replace_ready_made_answers(answers: Answers) -> None:
    assert texts(ask(answers, "echo.default.svc.cluster.local")) == {"10.96.0.9"}
    answers.replace(Records(zones=("cluster.local",)))
    assert ask(answers, "echo.default.svc.cluster.local").rcode() == dns.rcode.NXDOMAIN


@given(st.binary(max_size=80))
def test_any_bytes_are_answered_or_refused(wire: bytes) -> None:
    answers = Answers(Records(zones=("cluster.local",)), chance=random.Random(1))
    try:
        answer = answers.answer(wire, tcp=False)
    except Malformed:
        return
    assert answer.forward or answer.wire[:2] == wire[:2]


def test_addresses_come_in_changing_order(answers: Answers) -> None:
    firsts = {str(ask(answers, "db.default.svc.cluster.local").answer[0][0]) for _ in range(64)}
    assert firsts == {"10.244.0.3", "10.244.0.4"}


def test_an_alias_to_a_name_of_others_needs_them(answers: Answers) -> None:
    wire = dns.message.make_query("out.default.svc.cluster.local", "A").to_wire()
    assert answers.answer(wire, tcp=False).alias == "example.org"
    assert answers.answer(wire, tcp=False).alias == "example.org"  # also when it comes ready-made


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("10-244-0-7.default.pod.cluster.local", ["10.244.0.7"]),
        ("10-244-0.default.pod.cluster.local", []),
        ("10-244-0-7.pod.cluster.local", []),
        ("a.b.10-244-0-7.default.pod.cluster.local", []),
    ],
)
def test_a_pods_own_name_spells_its_address(answers: Answers, name: str, expected: list[str]) -> None:
    reply = ask(answers, name)
    assert [str(each) for rrset in reply.answer for each in rrset] == expected
    assert reply.rcode() == (dns.rcode.NOERROR if expected else dns.rcode.NXDOMAIN)
