"""Bad input at every door: an error of the right kind, whole state, no secret in any log, nothing read elsewhere."""

import base64
import http.client
import json
import os
import re
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests.e2e import conftest
from tests.e2e.conftest import Cluster, run, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "bireme.local/busybox:1"
CANARY = "c4n4ry-0f-the-hold"
JSON = "application/json"
YAML = "application/yaml"


def data() -> Path:
    return conftest.ROOT / conftest.NAME


def port(flag: str) -> int:
    return int(conftest.FLAGS[flag])


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.tree["message"])


@dataclass(frozen=True)
class Door:
    """One HTTPS server, asked with bytes that no client would send."""

    number: int
    context: ssl.SSLContext

    def connect(self, *, timeout: float = 20.0) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.number), timeout=timeout)
        try:
            return self.context.wrap_socket(raw, server_hostname="127.0.0.1")
        except BaseException:
            raw.close()
            raise

    def ask(self, method: str, path: str, body: bytes | str = b"", kind: str = JSON, **headers: str) -> Answer:
        """The answer to a request whose path is sent as it stands."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.number, timeout=20, context=self.context)
        content = body.encode() if isinstance(body, str) else body
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            with suppress(OSError):  # the server may answer and hang up before it has read all
                connection.send(content)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def trusting(certificate: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(data() / "pki" / "ca.crt"))
    if certificate:
        context.load_cert_chain(data() / "pki" / f"{certificate}.crt", data() / "pki" / f"{certificate}.key")
    return context


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Door:
    return Door(port("--api-port"), trusting("admin"))


@pytest.fixture(scope="module", autouse=True)
def logs(cluster: Cluster) -> dict[str, int]:
    """How long the logs were before this file's tests."""
    return {name: (data() / "log" / name).stat().st_size for name in ("core.log", "node.log")}


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Door:
    context = trusting("apiserver-kubelet-client")
    context.check_hostname = False
    return Door(port("--kubelet-port"), context)


@pytest.fixture(scope="module")
def maps(cluster: Cluster, api: Door) -> Iterator[str]:
    """The path of a namespace's config maps."""
    cluster.kubectl("create", "namespace", "bad-input")
    wait_until("its root certificate", lambda: cluster.get("configmaps", "-n", "bad-input")["items"])
    yield "/api/v1/namespaces/bad-input/configmaps"
    cluster.kubectl("delete", "namespace", "bad-input", "--wait=false")


def refused(answer: Answer, code: int, reason: str, *words: str) -> None:
    """A Status of that code and reason, whose message has those words; and nothing of our inside in it."""
    assert answer.status == code, answer
    assert answer.tree["kind"] == "Status"
    assert answer.tree["status"] == "Failure"
    assert answer.tree["code"] == code
    assert answer.tree["reason"] == reason
    assert "Traceback" not in answer.message
    assert ".py" not in answer.message
    for word in words:
        assert word in answer.message


def config_map(name: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **fields}


def pod(name: str, *command: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": IMAGE, "command": list(command) or ["sleep", "3600"]}
    container |= spec.pop("container", {})
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class TestBodies:
    """What is no object of that kind."""

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            pytest.param(JSON, "", id="nothing"),
            pytest.param(JSON, "{", id="cut JSON"),
            pytest.param(JSON, '{"metadata":{"name":"x"}} trailing', id="JSON and more"),
            pytest.param(JSON, "[]", id="a list"),
            pytest.param(JSON, "null", id="null"),
            pytest.param(JSON, '"text"', id="a string"),
            pytest.param(JSON, b"\xff\xfe{}", id="no UTF-8"),
            pytest.param(JSON, '{"metadata":{"name":"\\ud800"}}', id="half a surrogate pair"),
            pytest.param(JSON, '{"metadata":{"name":"x"},"data":{"n":NaN}}', id="NaN"),
            pytest.param(YAML, "a: [1, 2", id="cut YAML"),
            pytest.param(YAML, "\tb: 1", id="a tab in YAML"),
            pytest.param(YAML, "!!python/object/apply:os.system ['true']", id="a YAML tag that runs things"),
            pytest.param(
                YAML,
                "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e]\n",
                id="a billion laughs",
            ),
        ],
    )
    def test_what_cannot_be_read(self, api: Door, maps: str, kind: str, body: str | bytes) -> None:
        answer = api.ask("POST", maps, body, kind)
        if answer.status == 413:  # few bytes that stand for many values
            refused(answer, 413, "RequestEntityTooLarge", "values")
        else:
            refused(answer, 400, "BadRequest")

    @pytest.mark.parametrize(
        "tree",
        [
            pytest.param(config_map("x", data=["a"]), id="a list for a map"),
            pytest.param(config_map("x", data={"a": 1}), id="a number for text"),
            pytest.param(config_map("x", immutable="yes"), id="text for a truth"),
            pytest.param({**config_map("x"), "metadata": "x"}, id="text for metadata"),
            pytest.param({**config_map("x"), "metadata": {"name": 5}}, id="a number for a name"),
            pytest.param({**config_map("x"), "metadata": {"name": "x", "labels": {"a": None, "b": 1}}}, id="labels"),
            pytest.param({**config_map("x"), "kind": "Secret"}, id="another kind"),
            pytest.param({**config_map("x"), "apiVersion": "v2"}, id="another version"),
            pytest.param(config_map("x", binaryData={"a": "!"}), id="no base64"),
        ],
    )
    def test_wrong_types(self, api: Door, maps: str, tree: dict[str, Any]) -> None:
        refused(api.ask("POST", maps, json.dumps(tree)), 400, "BadRequest")

    def test_unknown_and_double_fields_as_asked(self, api: Door, maps: str) -> None:
        body = '{"metadata":{"name":"odd","nmae":"odd"},"data":{"a":"1","a":"2"}}'
        strict = api.ask("POST", f"{maps}?fieldValidation=Strict", body)
        refused(strict, 400, "BadRequest", 'unknown field "metadata.nmae"', 'duplicate field "data.a"')
        for mode, warned in (("?fieldValidation=Warn", True), ("", True), ("?fieldValidation=Ignore", False)):
            answer = api.ask("POST", maps + mode, body)
            assert answer.status == 201, answer
            assert ('unknown field \\"metadata.nmae\\"' in answer.headers.get("warning", "")) == warned
            assert "nmae" not in answer.tree["metadata"]
            assert answer.tree["data"] == {"a": "2"}
            api.ask("DELETE", f"{maps}/odd")
        assert api.ask("POST", f"{maps}?fieldValidation=Perhaps", body).status in (400, 422)

    def test_other_content_types(self, api: Door, maps: str) -> None:
        refused(api.ask("POST", maps, "<x/>", "application/xml"), 415, "UnsupportedMediaType")
        refused(api.ask("PATCH", f"{maps}/kube-root-ca.crt", "{}", "text/plain"), 415, "UnsupportedMediaType")
        assert api.ask("GET", maps, accept="image/png").status == 406

    def test_four_megabytes(self, api: Door, maps: str) -> None:
        body = json.dumps(config_map("large", data={"a": "x" * 4 * 2**20}))
        refused(api.ask("POST", maps, body), 413, "RequestEntityTooLarge")
        under = json.dumps(config_map("large", data={"a": "x" * 2 * 2**20}))
        assert api.ask("POST", maps, under).status in (413, 422)  # one object may hold 1 MiB of data

    def test_four_megabytes_in_pieces(self, api: Door, maps: str) -> None:
        with api.connect() as door:
            head = f"POST {maps} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n"
            door.sendall(head.encode())
            with suppress(OSError):
                for _ in range(64):
                    door.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                door.sendall(b"0\r\n\r\n")
            assert door.recv(64).startswith(b"HTTP/1.1 413 ")

    @pytest.mark.parametrize("depth", [1_000, 100_000])
    @pytest.mark.parametrize("kind", [JSON, YAML])
    def test_deep_nesting(self, api: Door, maps: str, depth: int, kind: str) -> None:
        began = time.monotonic()
        body = '{"metadata":{"name":"deep"},"data":' + "[" * depth + "]" * depth + "}"
        refused(api.ask("POST", maps, body, kind), 400, "BadRequest")
        body = '{"metadata":{"name":"deep"},"x":' + '{"x":' * depth + "1" + "}" * depth + "}"
        assert api.ask("POST", maps, body, kind).status == 400
        assert time.monotonic() - began < 40

    def test_patches_that_do_not_fit(self, api: Door, maps: str) -> None:
        target = f"{maps}/kube-root-ca.crt"
        kinds = {"json": "application/json-patch+json", "merge": "application/merge-patch+json"}
        strategic = "application/strategic-merge-patch+json"
        for kind, body, codes in (
            (kinds["json"], "{}", (400,)),
            (kinds["json"], '[{"op":"jump","path":"/a"}]', (400, 422)),
            (kinds["json"], '[{"op":"remove","path":"/data/none"}]', (422,)),
            (kinds["json"], '[{"op":"replace","path":"/metadata/name","value":"other"}]', (400, 422)),
            (kinds["merge"], "[]", (400,)),
            (kinds["merge"], '{"metadata":{"namespace":"other"}}', (400,)),
            (kinds["merge"], '{"metadata":{"uid":"other"}}', (409, 422)),
            (strategic, '{"data":5}', (400, 422)),
            (strategic, '{"$patch":"jump"}', (400, 422, 500)),
        ):
            answer = api.ask("PATCH", target, body, kind)
            assert answer.status in codes, (body, answer)
            assert answer.tree["kind"] == "Status"


NAMES = ["Upper", "-x", "x-", "a" * 254, "a b", "a/b", "..", ".", "ä", "a\x00b", "x\n", "<script>", "$(id)", "a_b"]


class TestNames:
    """Names, labels and selectors are words, never paths, queries or programs."""

    @pytest.mark.parametrize("name", NAMES)
    def test_invalid_names(self, api: Door, maps: str, name: str) -> None:
        refused(api.ask("POST", maps, json.dumps(config_map(name))), 422, "Invalid", "metadata.name")

    def test_invalid_metadata(self, api: Door, maps: str) -> None:
        for metadata, word in (
            ({"name": "x", "labels": {"a b": "c"}}, "metadata.labels"),
            ({"name": "x", "labels": {"a": "c" * 64}}, "metadata.labels"),
            ({"name": "x", "annotations": {"-": "x"}}, "metadata.annotations"),
            ({"name": "x", "annotations": {"a": "x" * 270_000}}, "metadata.annotations"),
            ({"name": "x", "finalizers": ["no qualified name"]}, "metadata.finalizers"),
            ({"name": "x", "ownerReferences": [{"kind": "Pod"}]}, "metadata.ownerReferences"),
            ({"generateName": "Up-"}, "metadata.generateName"),
            ({}, "name"),
        ):
            answer = api.ask("POST", maps, json.dumps({**config_map("x"), "metadata": metadata}))
            refused(answer, 422, "Invalid", word)
        answer = api.ask(
            "POST", maps, json.dumps({**config_map("x"), "metadata": {"name": "x", "namespace": "kube-system"}})
        )
        refused(answer, 400, "BadRequest", "namespace")

    @pytest.mark.parametrize(
        "selector",
        ["a in (b", "a in b)", "a==b==c", "a b", "'; DROP TABLE objects; --", "a=b' OR '1'='1", "a\x00=b", "=x", "a!",
         "a in ()" + ",x" * 9000 + "!!", "../../x=y", "a=%27", "a>b", "(" * 500],
    )  # fmt: skip
    def test_label_selectors_that_are_none(self, api: Door, maps: str, selector: str) -> None:
        for verb in ("GET", "DELETE"):
            answer = api.ask(verb, f"{maps}?labelSelector={quote(selector, safe='')}")
            refused(answer, 400, "BadRequest")
        assert api.ask("GET", f"{maps}/kube-root-ca.crt").status == 200

    @pytest.mark.parametrize(
        "selector", ["data.a=x", "metadata.name", "metadata.name=a=b", "x'--=y", "spec.nodeName=x"]
    )
    def test_field_selectors_that_are_none(self, api: Door, maps: str, selector: str) -> None:
        refused(api.ask("GET", f"{maps}?fieldSelector={quote(selector)}"), 400, "BadRequest")
        refused(api.ask("DELETE", f"{maps}?fieldSelector={quote(selector)}"), 400, "BadRequest")
        assert api.ask("GET", f"{maps}/kube-root-ca.crt").status == 200

    def test_resource_versions_that_are_none(self, api: Door, maps: str) -> None:
        for query in ("resourceVersion=abc", "resourceVersion=-1", "limit=-1", "limit=x", "continue=abc",
                      "resourceVersionMatch=Exact", "resourceVersion=1&resourceVersionMatch=Nearly",
                      "watch=1&resourceVersion=abc", "watch=1&timeoutSeconds=x"):  # fmt: skip
            answer = api.ask("GET", f"{maps}?{query}")
            assert answer.status in (400, 422), (query, answer)
            assert answer.tree["kind"] == "Status"
        future = api.ask("GET", f"{maps}?resourceVersion=999999999999")
        refused(future, 504, "Timeout", "Too large resource version")

    def test_updates_of_another_version(self, api: Door, maps: str) -> None:
        made = api.ask("POST", maps, json.dumps(config_map("versions"))).tree
        for version, code, reason in (
            ("1", 409, "Conflict"),
            ("999999999", 409, "Conflict"),
            ("abc", 409, "Conflict"),
        ):
            tree = {**made, "metadata": {**made["metadata"], "resourceVersion": version}}
            answer = api.ask("PUT", f"{maps}/versions", json.dumps(tree))
            refused(answer, code, reason)
        other = {**made, "metadata": {**made["metadata"], "uid": "0000"}}
        refused(api.ask("PUT", f"{maps}/versions", json.dumps(other)), 409, "Conflict")
        refused(api.ask("PUT", f"{maps}/another", json.dumps(made)), 400, "BadRequest", "name")
        body = json.dumps({"preconditions": {"uid": "0000"}})
        refused(api.ask("DELETE", f"{maps}/versions", body), 409, "Conflict")
        assert api.ask("GET", f"{maps}/versions").tree == made


SEGMENTS = ["..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "%2f", "%00", "%c0%ae%c0%ae", "%252e%252e", "..;",
            "a%0d%0ab", "%ff", "...", "%5c..%5c", "*", "%25"]  # fmt: skip


class TestPaths:
    """No segment of any path leads anywhere else."""

    @pytest.mark.parametrize("segment", SEGMENTS)
    def test_every_segment_of_an_object_path(self, api: Door, maps: str, segment: str) -> None:
        """Neither an object of another key, nor a list, nor a document is given; nor does anything break."""
        segments = [*maps.strip("/").split("/"), "kube-root-ca.crt"]
        for place in range(len(segments)):
            path = "/" + "/".join([*segments[:place], segment, *segments[place + 1 :]])
            for method in ("GET", "DELETE"):
                answer = api.ask(method, path)
                if (answer.status, method) == (200, "GET"):  # a namespace or a list of none
                    assert answer.tree.get("items") == [], (path, answer.body[:200])
                else:
                    assert 400 <= answer.status < 500, (method, path, answer.status)
        assert api.ask("GET", f"{maps}/kube-root-ca.crt").status == 200

    @pytest.mark.parametrize("segment", SEGMENTS)
    def test_the_kubelet_and_its_logs(self, api: Door, kubelet: Door, segment: str) -> None:
        for path in (
            f"/containerLogs/{segment}/x/y",
            f"/containerLogs/default/{segment}/y",
            f"/containerLogs/default/x/{segment}",
            f"/logs/{segment}",
            f"/logs/{segment}/{segment}/etc/passwd",
            f"/exec/{segment}/x/y",
        ):
            answer = kubelet.ask("GET", path)
            assert 400 <= answer.status < 500, (path, answer.status)
            assert b"root:" not in answer.body
        pods = "/api/v1/namespaces/default/pods"
        for path in (f"{pods}/{segment}/log", f"{pods}/x/log?container={segment}", f"{pods}/x/{segment}"):
            assert 400 <= api.ask("GET", path).status < 500, path
        proxied = f"/api/v1/nodes/{segment}/proxy/logs/"
        assert 400 <= api.ask("GET", proxied).status < 500

    @pytest.mark.parametrize(
        "path", ["/etc/passwd", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/proc/1/environ", "\x00", ""]
    )
    def test_sandbox_files_of_the_mesos_agent(self, cluster: Cluster, path: str) -> None:
        for verb in ("read", "download", "browse"):
            status, body = agent(cluster, f"/files/{verb}?path={quote(path, safe='%/')}&offset=0")
            assert status in (400, 403, 404), (verb, path, status)
            assert b"root:" not in body


def agent(cluster: Cluster, path: str) -> tuple[int, bytes]:
    login = urlsplit(cluster.mesos)
    secret = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port("--agent-port"), timeout=10)
    try:
        connection.request("GET", path, headers={"authorization": f"Basic {secret}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class TestVolumes:
    """A pod reaches no file of the machine but those that it was given."""

    @pytest.mark.parametrize(
        ("mount", "volume", "field"),
        [
            ({"subPath": "../x"}, {"emptyDir": {}}, "subPath"),
            ({"subPath": "/etc"}, {"emptyDir": {}}, "subPath"),
            ({"subPath": "a/../../x"}, {"emptyDir": {}}, "subPath"),
            ({"subPathExpr": "../$(X)"}, {"emptyDir": {}}, "subPathExpr"),
            ({}, {"configMap": {"name": "c", "items": [{"key": "a", "path": "../../x"}]}}, "path"),
            ({}, {"configMap": {"name": "c", "items": [{"key": "a", "path": "/etc/x"}]}}, "path"),
            ({}, {"hostPath": {"path": "/var/../etc"}}, "hostPath.path"),
            ({}, {"downwardAPI": {"items": [{"path": "..", "fieldRef": {"fieldPath": "metadata.name"}}]}}, "path"),
        ],
    )
    @pytest.mark.usefixtures("maps")
    def test_paths_that_climb_are_refused(
        self, api: Door, mount: dict[str, str], volume: dict[str, Any], field: str
    ) -> None:
        tree = pod(
            "climber",
            container={"volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]},
            volumes=[{"name": "v", **volume}],
        )
        answer = api.ask("POST", "/api/v1/namespaces/bad-input/pods?dryRun=All", json.dumps(tree))
        refused(answer, 422, "Invalid", field)

    def test_a_sub_path_through_a_link_leads_nowhere(self, cluster: Cluster, namespace: str) -> None:
        mounts = [{"name": "v", "mountPath": "/v"}]
        tree = pod(
            "escapee",
            "sh",
            "-c",
            "cat /stolen/hostname /stolen/shadow; ls /stolen; sleep 3600",
            container={"volumeMounts": [{"name": "v", "mountPath": "/stolen", "subPath": "door/etc"}]},
            volumes=[{"name": "v", "emptyDir": {}}],
            initContainers=[
                {"name": "link", "image": IMAGE, "command": ["ln", "-s", "/", "/v/door"], "volumeMounts": mounts}
            ],
        )
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(tree))

        def settled() -> bool:
            status = cluster.get("pod", "-n", namespace, "escapee")["status"]
            state = (status.get("containerStatuses") or [{}])[0].get("state", {})
            return state.get("waiting", {}).get("reason") == "CreateContainerConfigError" or "running" in state

        wait_until("a verdict", settled)
        said = cluster.kubectl("logs", "-n", namespace, "escapee", check=False)
        assert "root:" not in said
        assert "shadow" not in said.replace("/stolen/shadow", "")
        assert "CreateContainerConfigError" in cluster.kubectl("get", "pods", "-n", namespace)

    def test_a_log_that_is_a_link_is_not_followed(self, cluster: Cluster, namespace: str, tmp_path: Path) -> None:
        (tmp_path / "0.log").write_text(f"2026-01-01T00:00:00.000000000Z stdout F {CANARY}\n")
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("linked")))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/linked", "--timeout=60s")
        uid = cluster.get("pod", "-n", namespace, "linked")["metadata"]["uid"]
        (log,) = (data() / "pod-logs").glob(f"*{uid}*/main/0.log")
        log.unlink()
        log.symlink_to(tmp_path / "0.log")
        said = cluster.kubectl("logs", "-n", namespace, "linked", check=False)
        assert CANARY not in said
        folder = log.parent
        os.rename(folder, folder.with_name("moved"))
        folder.symlink_to(tmp_path)
        said = cluster.kubectl("logs", "-n", namespace, "linked", check=False)
        assert CANARY not in said
        folder.unlink()
        os.rename(folder.with_name("moved"), folder)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that calls itself admin, by a CA of its own."""
    folder = tmp_path_factory.mktemp("foreign")
    openssl = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/O=system:masters/CN=admin",
    )
    run(*openssl, "-keyout", folder / "key", "-out", folder / "crt")
    return folder


CLOSED = [
    "/api",
    "/apis",
    "/api/v1/pods",
    "/api/v1/namespaces/default/secrets",
    "/metrics",
    "/openapi/v2",
    "/bireme/v1/status",
    "/nowhere",
]


class TestWhoAsks:
    """Every door is closed to those without credentials of ours."""

    @pytest.mark.parametrize("path", CLOSED)
    def test_nobody_at_the_api(self, cluster: Cluster, path: str) -> None:
        door = Door(port("--api-port"), trusting())
        answer = door.ask("GET", path)
        assert answer.status in (401, 403), answer
        assert answer.tree["kind"] == "Status"
        for word in ("Bearer nonsense", "Bearer a.b.c", "Basic YWRtaW46YWRtaW4=", "Bearer " + "x" * 9000):
            assert door.ask("GET", path, authorization=word).status in (401, 403)

    def test_health_is_open_and_says_nothing(self, cluster: Cluster) -> None:
        door = Door(port("--api-port"), trusting())
        for path in ("/healthz", "/livez", "/readyz"):
            answer = door.ask("GET", path)
            assert (answer.status, answer.body) == (200, b"ok")

    @pytest.mark.parametrize(
        "path", ["/pods", "/logs/", "/exec/a/b/c", "/containerLogs/a/b/c", "/stats/summary", "/metrics"]
    )
    def test_nobody_at_the_kubelet(self, cluster: Cluster, path: str) -> None:
        context = trusting()
        context.check_hostname = False
        with suppress(OSError):  # it may not even shake hands
            assert Door(port("--kubelet-port"), context).ask("GET", path).status in (401, 403)

    @pytest.mark.parametrize("flag", ["--api-port", "--kubelet-port"])
    def test_a_certificate_of_another_authority(self, cluster: Cluster, foreign: Path, flag: str) -> None:
        context = trusting()
        context.check_hostname = False
        context.load_cert_chain(foreign / "crt", foreign / "key")
        with suppress(OSError):
            assert Door(port(flag), context).ask("GET", "/api/v1/pods").status in (401, 403)

    def test_nobody_at_the_mesos_doors(self, cluster: Cluster) -> None:
        for flag, path in (("--mesos-port", "/state"), ("--mesos-port", "/api/v1/scheduler"),
                           ("--agent-port", "/state"), ("--agent-port", "/files/browse?path=/")):  # fmt: skip
            for login in ((), ("-u", "admin:wrong"), ("-H", "Authorization: Bearer wrong")):
                url = f"http://127.0.0.1:{port(flag)}{path}"
                assert cluster.curl(url, "-o", "/dev/null", "-w", "%{http_code}", *login) == "401", (url, login)

    def test_a_service_account_may_not_read_secrets(self, cluster: Cluster, maps: str) -> None:
        token = cluster.token("bad-input")
        door = Door(port("--api-port"), trusting())
        answer = door.ask("GET", "/api/v1/namespaces/bad-input/secrets", authorization=f"Bearer {token}")
        refused(answer, 403, "Forbidden")
        cut = token[:-8] + "AAAAAAAA"
        assert door.ask("GET", "/api/v1", authorization=f"Bearer {cut}").status == 401
        assert door.ask("GET", "/api/v1", authorization=f"Bearer {token}").status == 200


class TestConnections:
    """Clients that are slow, loud or cut short."""

    def test_headers_that_are_too_large_or_too_many(self, api: Door) -> None:
        for head in (
            "GET /healthz HTTP/1.1\r\nhost: x\r\nx: " + "y" * 2**21 + "\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nhost: x\r\n" + "".join(f"x{n}: y\r\n" for n in range(5000)) + "\r\n",
            "GET /" + "y" * 2**20 + " HTTP/1.1\r\nhost: x\r\n\r\n",
        ):
            with api.connect() as door:
                with suppress(OSError):
                    door.sendall(head.encode())
                try:
                    line = door.recv(64)
                except OSError:
                    continue  # hung up on
                assert re.match(rb"HTTP/1.1 (400|414|431) ", line), line

    @pytest.mark.parametrize(
        "head",
        [
            "nonsense\r\n\r\n",
            "GET /healthz HTTP/9.9\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n",
            "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
            "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            "POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST /api HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ],
    )
    def test_no_http(self, api: Door, head: str) -> None:
        with api.connect() as door:
            door.sendall(head.encode())
            try:
                line = door.recv(64)
            except OSError:
                return
            assert not line or re.match(rb"HTTP/1.1 (4\d\d|505) ", line), line

    def test_slow_headers_are_cut_off_and_disturb_nobody(self, api: Door) -> None:
        slow = [api.connect(timeout=30) for _ in range(50)]
        for door in slow:
            door.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: ")
        silent = socket.create_connection(("127.0.0.1", api.number), timeout=30)
        began = time.monotonic()
        worst = 0.0
        try:
            alive = list(slow)
            while alive and time.monotonic() - began < 40:
                for door in list(alive):
                    try:
                        door.sendall(b"y")
                    except OSError:
                        alive.remove(door)
                asked = time.monotonic()
                assert api.ask("GET", "/healthz").status == 200
                worst = max(worst, time.monotonic() - asked)
                time.sleep(0.5)
            assert not alive, f"{len(alive)} of 50 are still let in after {time.monotonic() - began:.1f}s"
            assert silent.recv(1) == b""
            assert worst < 5
        finally:
            for door in (*slow, silent):
                door.close()

    def test_a_body_that_never_comes_holds_nothing_up(self, api: Door, maps: str) -> None:
        with api.connect() as door:
            head = f"POST {maps} HTTP/1.1\r\nhost: x\r\ncontent-type: {JSON}\r\ncontent-length: 1000\r\n\r\n"
            door.sendall(head.encode() + b'{"metadata":')
            assert api.ask("GET", "/healthz").status == 200
        assert api.ask("GET", f"{maps}/kube-root-ca.crt").status == 200


class TestSecrets:
    """What is secret stands in its file alone."""

    def test_files_are_for_root_alone(self, cluster: Cluster) -> None:
        def mode(path: Path) -> int:
            return stat.S_IMODE(path.stat().st_mode)

        for folder in ("pki", "store"):
            assert mode(data() / folder) == 0o700, folder
        keys = [*data().glob("pki/*.key"), data() / "credentials.json", data() / "admin.kubeconfig"]
        assert len(keys) >= 7
        assert {path.name: oct(mode(path)) for path in keys if mode(path) != 0o600} == {}

    def test_no_secret_in_any_log(self, cluster: Cluster, namespace: str, api: Door) -> None:
        """Canaries through every way in, right and wrong; then no log has one, nor any standing secret."""
        door = Door(port("--api-port"), trusting())
        secrets = f"/api/v1/namespaces/{namespace}/secrets"
        encoded = base64.b64encode(CANARY.encode()).decode()
        good = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": encoded}}
        assert api.ask("POST", secrets, json.dumps(good)).status == 201
        bad = [
            {**good, "data": {"password": CANARY}},
            {**good, "data": [CANARY]},
            {**good, "stringData": {"password": [CANARY]}},
            {**good, "metadata": {"name": "UP"}, "stringData": {"password": CANARY}},
            {**good, "unknown": CANARY},
        ]
        for tree in bad:
            assert api.ask("POST", f"{secrets}?fieldValidation=Strict", json.dumps(tree)).status in (400, 409, 422)
        api.ask("POST", secrets, json.dumps(good)[:-3])
        for words in (f"Bearer {CANARY}", f"Basic {CANARY}"):
            door.ask("GET", secrets, authorization=words)
            for flag in ("--mesos-port", "--agent-port"):
                cluster.curl(
                    f"http://127.0.0.1:{port(flag)}/state", "-H", f"Authorization: {words}", "-o", "/dev/null"
                )
        environment = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]
        mounts = [{"name": "v", "mountPath": "/v"}]
        tree = pod(
            "holder",
            container={"env": environment, "volumeMounts": mounts},
            volumes=[{"name": "v", "secret": {"secretName": "s"}}],
        )
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(tree))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/holder", "--timeout=60s")
        assert CANARY in cluster.kubectl("exec", "-n", namespace, "holder", "--", "cat", "/v/password")
        token = cluster.token(namespace)
        door.ask("GET", "/api", authorization=f"Bearer {token}")
        users = json.loads((data() / "credentials.json").read_text())["users"]
        key = (data() / "pki" / "sa.key").read_text().splitlines()[1]
        hidden = [CANARY, encoded, token, key, *(user[word] for user in users for word in ("password", "token"))]
        logs = list((data() / "log").iterdir())
        assert {"core.log", "node.log"} <= {log.name for log in logs}
        for log in logs:
            text = log.read_text(errors="replace")
            assert [word for word in hidden if word in text] == [], log
        processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert [word for word in hidden if word in processes] == []


def test_nothing_of_all_that_has_hurt_the_cluster(cluster: Cluster, api: Door, logs: dict[str, int]) -> None:
    report = cluster.status()
    assert all(part["alive"] for part in report["parts"].values())
    assert api.ask("GET", "/readyz").status == 200
    for name, size in logs.items():
        text = (data() / "log" / name).read_bytes()[size:].decode(errors="replace")
        assert "Traceback" not in text, text[text.index("Traceback") :][:3000]
