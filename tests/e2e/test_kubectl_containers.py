"""kubectl's verbs that need real containers: logs as they were written, files in and out, a look inside."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Cluster, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "bireme.local/busybox:1"
NAME = "kubectl-containers"
KEEPER = """
mkdir -p /www/cgi-bin
cat > /www/cgi-bin/book <<'END'
#!/bin/sh
echo "content-type: text/plain"; echo
case $QUERY_STRING in
set=*) echo "${QUERY_STRING#set=}" > /www/kept; echo saved ;;
*) cat /www/kept ;;
esac
END
chmod +x /www/cgi-bin/book; echo empty > /www/kept
exec httpd -f -p 80 -h /www
"""
FRONT = """
mkdir -p /www/cgi-bin
cat > /www/cgi-bin/book <<'END'
#!/bin/sh
echo "content-type: text/plain"; echo
exec wget -qO- "http://keeper/cgi-bin/book?$QUERY_STRING"
END
chmod +x /www/cgi-bin/book
exec httpd -f -p 80 -h /www
"""


def tier(name: str, script: str, replicas: int) -> list[dict[str, object]]:
    """A Deployment of one script and the Service in front of it."""
    labels = {"app": name}
    probe = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], "readinessProbe": probe}
    pods = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": pods}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        },
    ]


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    cluster.kubectl("create", "namespace", NAME)
    wait_until("the account", lambda: "default" in cluster.kubectl("get", "sa", "-n", NAME, "-o", "name"))
    yield NAME
    cluster.kubectl("delete", "namespace", NAME, "--wait=false")


@pytest.fixture(scope="module")
def talker(cluster: Cluster, namespace: str) -> str:
    """A pod that has said three lines and goes on running."""
    script = "echo first; echo second; echo last; mkdir /d; exec sleep 3600"
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "talker", "namespace": namespace}, "spec": spec}
    cluster.apply(pod)
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/talker", "--timeout=60s")
    return "talker"


@pytest.mark.conformance("CL-001")
def test_what_is_written_through_the_front_of_the_guestbook_is_read_back(cluster: Cluster, namespace: str) -> None:
    items = [*tier("keeper", KEEPER, 1), *tier("front", FRONT, 3)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    cluster.kubectl("apply", "-n", namespace, "-f", "-", text=text)
    for name in ("keeper", "front"):
        cluster.kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", "--timeout=90s")
    place = f"/api/v1/namespaces/{namespace}/services/front/proxy/cgi-bin/book"

    def ask(query: str = "") -> str:
        return cluster.kubectl("get", "--raw", place + query, check=False).strip()

    wait_until("the write", lambda: ask("?set=TestEntry") == "saved")
    assert ask() == "TestEntry"


@pytest.mark.conformance("CL-017")
def test_logs_are_cut_as_the_reader_wants(cluster: Cluster, namespace: str, talker: str) -> None:
    def logs(*flags: str) -> str:
        return cluster.kubectl("logs", "-n", namespace, talker, *flags)

    wait_until("the words", lambda: logs() == "first\nsecond\nlast\n")
    assert logs("--tail=1") == "last\n"
    assert logs("--limit-bytes=1") == "f"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z last\n", logs("--tail=1", "--timestamps"))
    assert logs("--since=24h") == "first\nsecond\nlast\n"
    wait_until("a second without words", lambda: logs("--since=1s") == "")


def test_files_are_copied_in_and_out(cluster: Cluster, namespace: str, talker: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one").write_text("1\n")
    (tmp_path / "in" / "two").write_text("2\n")
    cluster.kubectl("cp", str(tmp_path / "in"), f"{namespace}/{talker}:/d/folder")
    assert cluster.kubectl("exec", "-n", namespace, talker, "--", "cat", "/d/folder/one", "/d/folder/two") == "1\n2\n"
    cluster.kubectl("cp", f"{namespace}/{talker}:/d/folder", str(tmp_path / "out"))
    assert (tmp_path / "out" / "two").read_text() == "2\n"


def test_debug_looks_into_a_running_pod(cluster: Cluster, namespace: str, talker: str) -> None:
    if cluster.kubectl_minor() < 23:
        pytest.skip("this kubectl has no debug in its stable form")
    cluster.kubectl(
        "debug", "-n", namespace, talker, f"--image={IMAGE}", "--container=look", "--", "sh", "-c", "echo seen"
    )

    def said() -> bool:
        return cluster.kubectl("logs", "-n", namespace, talker, "-c", "look", check=False) == "seen\n"

    wait_until("the look", said)
