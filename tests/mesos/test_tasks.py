"""TaskInfo to Pod."""

from typing import Any

import pytest

from bireme.mesos import amounts, tasks
from bireme.mesos.task_command import Placement, escaped

PLACEMENT = Placement(
    "fw-1", {"user": "root", "name": "marathon"}, "S0", "node-1", "10.0.0.1:5051", "*", "/data/mesos",
    "0123456789abcdef", "t1",
)  # fmt: skip


def info(**more: Any) -> dict[str, Any]:
    return {
        "name": "cart.shop",
        "task_id": {"value": "shop_Cart.1"},
        "agent_id": {"value": "S0"},
        "resources": amounts.write(amounts.Amounts({"cpus": 500, "mem": 64_000}, {"ports": ((31000, 31001),)})),
        "command": {"value": "echo $HOME $(date) $$"},
    } | more


def docker(**more: Any) -> dict[str, Any]:
    return {"type": "DOCKER", "docker": {"image": "busybox", "network": "BRIDGE"} | more}


def test_a_command_task_enters_the_hosts_root() -> None:
    pod = tasks.make_pod([info()], PLACEMENT)
    (container,) = pod.spec.containers
    assert pod.metadata.annotations[tasks.HOST_ROOT] == "true"
    assert (pod.spec.host_network, pod.spec.host_pid, pod.spec.host_ipc) == (True, True, True)
    assert container.command[:2] == ["/bin/sh", "-c"]
    assert container.command[2].endswith('exec chroot /host /bin/sh -c "$0"')
    assert container.image == tasks.HOST_IMAGE
    sandbox = "/data/mesos/slaves/S0/frameworks/fw-1/executors/t1/runs/0123456789abcdef"
    assert pod.metadata.annotations[tasks.SANDBOX] == sandbox
    environment = {each.name: each.value for each in container.env}
    assert environment["MESOS_SANDBOX"] == environment["MESOS_DIRECTORY"] == sandbox
    assert environment["MESOS_TASK_ID"] == "shop_Cart.1"
    assert [port.host_port for port in container.ports] == [31000, 31001]


def test_a_task_in_an_image_keeps_to_its_image() -> None:
    pod = tasks.make_pod(
        [info(container=docker(port_mappings=[{"host_port": 31000, "container_port": 80}]))], PLACEMENT
    )
    (container,) = pod.spec.containers
    assert tasks.HOST_ROOT not in pod.metadata.annotations
    assert pod.spec.host_network is None
    assert [(port.host_port, port.container_port, port.protocol) for port in container.ports] == [(31000, 80, "TCP")]
    assert {each.name: each.value for each in container.env}["MESOS_SANDBOX"] == "/mnt/mesos/sandbox"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param({"value": "run me"}, (["/bin/sh", "-c", "run me"], []), id="shell"),
        pytest.param({"shell": False, "arguments": ["a", "b"]}, ([], ["a", "b"]), id="the image's entrypoint"),
        pytest.param(
            {"shell": False, "value": "x", "arguments": ["a"]}, ([], ["x", "a"]), id="words for the entrypoint"
        ),
    ],
)
def test_docker_commands(command: dict[str, Any], expected: tuple[list[str], list[str]]) -> None:
    (container,) = tasks.make_pod([info(container=docker(), command=command)], PLACEMENT).spec.containers
    assert (container.command, container.args) == expected


def test_mesos_images_take_argv_with_its_first_word() -> None:
    image = {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "busybox"}}}}
    command = {"shell": False, "value": "/bin/ls", "arguments": ["ls", "-l"]}
    (container,) = tasks.make_pod([info(container=image, command=command)], PLACEMENT).spec.containers
    assert (container.command, container.args) == (["/bin/ls"], ["-l"])


def test_resources_are_requests_and_memory_is_also_a_limit() -> None:
    (container,) = tasks.make_pod([info()], PLACEMENT).spec.containers
    assert container.resources is not None
    assert container.resources.requests == {"cpu": "500m", "memory": str(64 * 2**20)}
    assert container.resources.limits == {"memory": str(96 * 2**20)}


@pytest.mark.parametrize(
    ("text", "kept"),
    [("$HOME", "$HOME"), ("$(date)", "$$(date)"), ("$$", "$$$"), ("a$$(b)", "a$$$$(b)"), ("100$", "100$")],
)
def test_text_survives_the_kubelets_expansion(text: str, kept: str) -> None:
    assert escaped(text) == kept


def test_health_checks_become_probes() -> None:
    check = {"type": "HTTP", "http": {"port": 31000, "path": "/ping"}, "interval_seconds": 5.0, "delay_seconds": 2.0}
    (container,) = tasks.make_pod([info(health_check=check)], PLACEMENT).spec.containers
    startup, liveness = container.startup_probe, container.liveness_probe
    assert startup is not None
    assert liveness is not None
    assert (startup.initial_delay_seconds, startup.failure_threshold) == (2, 5)
    assert (liveness.failure_threshold, liveness.period_seconds) == (3, 5)
    assert liveness.http_get is not None
    assert (liveness.http_get.host, liveness.http_get.port) == ("127.0.0.1", 31000)


def test_kill_policy_and_deadline() -> None:
    spec = tasks.make_pod(
        [
            info(
                kill_policy={"grace_period": {"nanoseconds": 7_500_000_000}},
                max_completion_time={"nanoseconds": 10**9},
            )
        ],
        PLACEMENT,
    ).spec
    assert (spec.termination_grace_period_seconds, spec.active_deadline_seconds) == (8, 1)


@pytest.mark.parametrize(
    ("role", "namespace"),
    [("*", "mesos-default"), ("eng", "mesos-eng"), ("default", "mesos-default-37a8eec1")],
)
def test_namespaces(role: str, namespace: str) -> None:
    assert tasks.namespace_of(role) == namespace


def test_roles_that_look_alike_get_namespaces_of_their_own() -> None:
    names = {tasks.namespace_of(role) for role in ("a/b", "a-b", "A-b", "a_b", "x" * 80, "x" * 81)}
    assert len(names) == 6
    assert all(len(name) <= 63 for name in names)


def test_what_a_pod_was_made_from_can_be_read_back() -> None:
    pod = tasks.make_pod([info()], PLACEMENT)
    (again,) = tasks.infos_of(pod)
    assert again["task_id"] == {"value": "shop_Cart.1"}
    assert tasks.executor_of(pod) is None


def test_volumes() -> None:
    volumes = [
        {"mode": "RO", "container_path": "/etc/x", "host_path": "/srv/x"},
        {"mode": "RW", "container_path": "data", "host_path": "cache"},
    ]
    pod = tasks.make_pod([info(container=docker() | {"volumes": volumes})], PLACEMENT)
    paths = [volume.host_path.path for volume in pod.spec.volumes if volume.host_path]
    mounts = [(mount.mount_path, mount.read_only) for mount in pod.spec.containers[0].volume_mounts]
    assert paths == ["/srv/x", f"{PLACEMENT.sandbox}/cache"]
    assert mounts == [("/etc/x", True), ("/mnt/mesos/sandbox/data", None)]


def test_volumes_without_an_image_stand_in_the_hosts_root() -> None:
    """A relative place is in the sandbox, as Mesos has it."""
    volumes = [
        {"mode": "RO", "container_path": "in", "host_path": "/srv/x"},
        {"mode": "RW", "container_path": "/opt/data", "host_path": "/srv/y"},
    ]
    pod = tasks.make_pod([info(container={"type": "MESOS", "volumes": volumes})], PLACEMENT)
    mounts = [(mount.mount_path, mount.read_only) for mount in pod.spec.containers[0].volume_mounts]
    assert mounts == [(f"/host{PLACEMENT.sandbox}/in", True), ("/host/opt/data", None)]


def test_a_user_owns_the_sandbox() -> None:
    pod = tasks.make_pod([info(command={"value": "touch mine", "user": "nobody"})], PLACEMENT)
    script = pod.spec.containers[0].command[-1]
    assert "chown -hR nobody . && exec su -s /bin/sh nobody -c" in script
