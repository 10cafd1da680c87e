"""URIs become the steps of an init container."""

from typing import Any

import pytest

from bireme.mesos import task_fetch
from bireme.mesos.task_command import Placement

PLACEMENT = Placement("fw", {}, "S0", "n", "10.0.0.1:5051", "*", "/data", "c1", "t1")


def script(*uris: dict[str, Any]) -> list[str]:
    made, _ = task_fetch.init_container(uris, PLACEMENT, image="i", host_root=False, sandbox="/mnt/mesos/sandbox")
    return made.command[2].split("\n")[3:]


@pytest.mark.parametrize(
    ("uri", "lines"),
    [
        ({"value": "http://h/a/app.tgz"}, ["wget -q -O ./app.tgz http://h/a/app.tgz", "tar -xzf ./app.tgz"]),
        ({"value": "http://h/app.tgz", "extract": False}, ["wget -q -O ./app.tgz http://h/app.tgz"]),
        ({"value": "http://h/run", "executable": True}, ["wget -q -O ./run http://h/run", "chmod 0755 ./run"]),
        ({"value": "file:///srv/x.zip"}, ["cp /fetch/0 ./x.zip", "unzip -o -q ./x.zip"]),
        ({"value": "/srv/x", "output_file": "in/y"}, ["mkdir -p ./in", "cp /fetch/0 ./in/y"]),
        ({"value": "http://h/a;rm -rf"}, ["wget -q -O './a;rm -rf' 'http://h/a;rm -rf'"]),
    ],
)
def test_steps(uri: dict[str, Any], lines: list[str]) -> None:
    assert script(uri) == lines


def test_plain_files_are_mounted_read_only() -> None:
    made, volumes = task_fetch.init_container(
        [{"value": "/srv/x"}], PLACEMENT, image="i", host_root=True, sandbox="/mnt/mesos/sandbox"
    )
    assert [volume.host_path.path for volume in volumes if volume.host_path] == ["/srv/x"]
    assert [mount.read_only for mount in made.volume_mounts] == [True]
    assert f"cd /host{PLACEMENT.sandbox}" in made.command[2]


@pytest.mark.parametrize(
    "uri",
    [
        {"value": "hdfs://x/y"},
        {"value": "relative"},
        {"value": "http://h/"},
        {"value": "http://h/.."},
        {"value": "http://h/x", "output_file": "../up"},
        {"value": "http://h/x", "output_file": "/etc/passwd"},
    ],
)
def test_what_is_not_fetched(uri: dict[str, Any]) -> None:
    assert task_fetch.problem(uri)
