"""The images that come with the cluster."""

import io
import json
import os
import subprocess
import tarfile

import pytest

from bireme.runtime.images import (
    BUSYBOX_NAMES,
    PAUSE,
    Config,
    Entry,
    archive,
    busybox_entries,
    pause_archive,
    pause_program,
)


def read(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_pause_is_a_static_executable(architecture, machine):
    program = pause_program(architecture)
    assert program[:6] == b"\x7fELF\x02\x01"
    assert int.from_bytes(program[18:20], "little") == machine
    assert len(program) < 400


def test_arm64_instructions():
    """The first signal's: mov x8, #134; mov x0, #17; adr x1, ...; mov x2, #0; mov x3, #8; svc #0."""
    code = pause_program("arm64")[120:]
    words = [int.from_bytes(code[4 * n : 4 * n + 4], "little") for n in range(6)]
    assert words[:2] == [0xD28010C8, 0xD2800220]
    assert words[3:] == [0xD2800002, 0xD2800103, 0xD4000001]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the program is of another machine")
def test_pause_waits_and_ends_well_on_sigterm(tmp_path):
    path = tmp_path / "pause"
    path.write_bytes(pause_program("amd64"))
    path.chmod(0o755)
    process = subprocess.Popen([path])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    process.terminate()
    assert process.wait(5) == 0


def test_an_archive_is_the_same_each_time_and_names_its_image():
    made = pause_archive("amd64")
    assert made == pause_archive("amd64")
    files = read(made)
    (manifest,) = json.loads(files["index.json"])["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == PAUSE
    layers = json.loads(files["blobs/sha256/" + manifest["digest"].removeprefix("sha256:")])["layers"]
    assert read(files["blobs/sha256/" + layers[0]["digest"].removeprefix("sha256:")]) == {
        "pause": pause_program("amd64")
    }


def test_an_image_may_have_several_names():
    files = read(archive(BUSYBOX_NAMES, [Entry("x", b"y")], Config(command=["sh"]), architecture="amd64"))
    assert len(json.loads(files["index.json"])["manifests"]) == 2


def test_busybox_has_a_link_for_each_applet():
    entries = {
        entry.path: entry for entry in busybox_entries(b"#!", ["bin/sh", "usr/bin/wget", "bin/busybox", "linuxrc"])
    }
    assert entries["bin/sh"].link == entries["usr/bin/wget"].link == "/bin/busybox"
    assert entries["bin/busybox"].content == b"#!"
    assert "linuxrc" not in entries
    assert entries["tmp"].mode == 0o1777
