"""How a pod finds names."""

import pytest
from kubelet_pods import pod

from bireme.kubelet.dns import Cluster, hostname, hosts_file, parse_resolv_conf, resolv_conf
from bireme.runtime.interface import DnsConfig

CLUSTER = Cluster(("10.96.0.10",), "cluster.local")
NODE = parse_resolv_conf("# made by hand\nnameserver 192.0.2.53\nsearch example.com .\noptions timeout:1\n")
INSIDE = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({}, DnsConfig(CLUSTER.servers, INSIDE, ("ndots:5",)), id="the cluster first"),
        pytest.param({"hostNetwork": True}, NODE, id="on the node's network, the node's"),
        pytest.param(
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            DnsConfig(CLUSTER.servers, INSIDE, ("ndots:5",)),
            id="unless asked otherwise",
        ),
        pytest.param({"dnsPolicy": "Default"}, NODE, id="Default is the node's"),
        pytest.param(
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": ["a.b"]}},
            DnsConfig(("192.0.2.1",), ("a.b",)),
            id="None is only what the pod says",
        ),
        pytest.param(
            {
                "dnsConfig": {
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                    "nameservers": ["10.96.0.10"],
                }
            },
            DnsConfig(CLUSTER.servers, INSIDE, ("ndots:2", "edns0")),
            id="the pod's options go over, servers are told once",
        ),
    ],
)
def test_resolv_conf(spec, expected):
    assert resolv_conf(pod(**spec), CLUSTER, NODE) == expected


def test_limits_of_resolvers():
    config = {"nameservers": [f"192.0.2.{n}" for n in range(9)], "searches": [f"s{n}" for n in range(90)]}
    made = resolv_conf(pod(dnsConfig=config), CLUSTER, NODE)
    assert (len(made.servers), len(made.searches)) == (3, 32)


def test_hosts_file_names_the_pod_and_its_aliases():
    wanted = pod(hostname="web", subdomain="front", hostAliases=[{"ip": "192.0.2.9", "hostnames": ["x", "y"]}])
    text = hosts_file(wanted, ["10.0.0.2"], "cluster.local", "")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "10.0.0.2\tweb.front.default.svc.cluster.local\tweb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n192.0.2.9\tx\ty\n")


def test_hosts_file_on_the_nodes_network_is_the_nodes():
    text = hosts_file(pod(hostNetwork=True), [], "cluster.local", "127.0.0.1 me\n")
    assert text == "# Kubernetes-managed hosts file (host network).\n127.0.0.1 me\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "p"),
        ({"hostname": "h"}, "h"),
        ({"metadata": {"name": "x" * 62 + "-yy"}}, "x" * 62),
        ({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": True}, "h.s.default.svc.cluster.local"),
        ({"hostnameOverride": "o"}, "o"),
    ],
)
def test_hostname(spec, expected):
    assert hostname(pod(**spec), "cluster.local") == expected
