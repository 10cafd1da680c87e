"""The files of volumes, and how they are put in place."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as some
from kubelet_pods import pod

from bireme.api.kinds import core
from bireme.kubelet.environment import Facts
from bireme.kubelet.payload import (
    File,
    VolumeProblem,
    config_map_files,
    downward_files,
    safe_path,
    secret_files,
    write_atomically,
)

MAP = core.ConfigMap(data={"a": "1", "b": "2"}, binary_data={"c": base64.b64encode(b"\0").decode()})


def test_all_keys_or_those_asked_for():
    assert [file.path for file in config_map_files("m", MAP, [], 0o644, optional=False)] == ["a", "b", "c"]
    items = [core.KeyToPath(key="b", path="x/y", mode=0o600)]
    assert config_map_files("m", MAP, items, 0o644, optional=False) == [File("x/y", b"2", 0o600)]


@pytest.mark.parametrize("items", [[], [core.KeyToPath(key="no", path="p")]])
def test_what_is_missing_is_named_unless_optional(items):
    present = MAP if items else None
    with pytest.raises(VolumeProblem, match=r"not found|non-existent key: no"):
        config_map_files("m", present, items, 0o644, optional=False)
    assert config_map_files("m", present, items, 0o644, optional=True) == []


def test_secrets_are_decoded():
    secret = core.Secret(data={"k": base64.b64encode(b"\xff").decode()})
    assert secret_files("s", secret, [], 0o400, optional=False) == [File("k", b"\xff", 0o400)]
    with pytest.raises(VolumeProblem):
        secret_files("s", core.Secret(data={"k": "%"}), [], 0o400, optional=False)


def test_downward_files():
    target = pod(metadata={"labels": {"b": 'x"y', "a": "1"}})
    items = [core.DownwardAPIVolumeFile(path="l", field_ref=core.ObjectFieldSelector(field_path="metadata.labels"))]
    assert downward_files(target, items, 0o644, Facts())[0].data == b'a="1"\nb="x\\"y"'


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../b", "..data", "a\0b"])
def test_c3_paths_that_lead_out_are_refused(path):
    with pytest.raises(VolumeProblem):
        safe_path(path)


@given(some.text(max_size=40))
def test_a_safe_path_stays_beneath(path):
    try:
        found = safe_path(path)
    except VolumeProblem:
        return
    assert os.path.normpath(os.path.join("/v", found)).startswith("/v/") or found == "."


def test_a_new_set_is_shown_at_once(tmp_path):
    assert write_atomically(tmp_path, [File("a", b"1"), File("d/e", b"2", 0o600)], stamp="1")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert (tmp_path / "d/e").stat().st_mode & 0o777 == 0o600
    assert not write_atomically(tmp_path, [File("a", b"1"), File("d/e", b"2", 0o600)], stamp="2")
    assert write_atomically(tmp_path, [File("a", b"new")], stamp="3")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["..3", "..data", "a"]


def test_f_node_11_readers_never_see_half_an_update(tmp_path):
    """Between any two system calls of an update, all files that can be read belong to one set."""
    names = [f"f{n}" for n in range(5)]
    write_atomically(tmp_path, [File(name, b"old") for name in names], stamp="0")
    real, seen = os.replace, []

    def replace(source, target):
        seen.append({(tmp_path / name).read_bytes() for name in names})
        real(source, target)
        seen.append({(tmp_path / name).read_bytes() for name in names})

    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(os, "replace", replace)
        write_atomically(tmp_path, [File(name, b"new") for name in names], stamp="1")
    assert seen == [{b"old"}, {b"new"}]
