"""Paths that must not lead out, and mounts."""

import os
from pathlib import Path

import pytest

from bireme.kubelet import beneath

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def volume(tmp_path):
    """A volume with links that lead out of it, and a canary outside."""
    (tmp_path / "canary").write_text("secret")
    made = tmp_path / "volume"
    (made / "inner").mkdir(parents=True)
    (made / "out").symlink_to(tmp_path)
    (made / "up").symlink_to("../canary")
    (made / "root").symlink_to("/")
    (made / "good").symlink_to("inner")
    return made


@pytest.mark.parametrize("path", ["out", "up", "root", "out/canary", "inner/../../canary", "/etc", "root/etc"])
def test_c3_nothing_outside_can_be_opened(volume, path):
    with pytest.raises(OSError), beneath.opened(volume, path):
        pass


@pytest.mark.parametrize("path", ["", "inner", "good", "inner/../inner"])
def test_what_stays_inside_can(volume, path):
    with beneath.opened(volume, path) as place:
        assert beneath.is_folder(place)


def test_folders_are_made_inside_only(volume, tmp_path):
    beneath.make_folders(volume, "good/a/b", mode=0o777)
    assert (volume / "inner/a/b").stat().st_mode & 0o777 == 0o777
    with pytest.raises(OSError):
        beneath.make_folders(volume, "out/made")
    assert not (tmp_path / "made").exists()


def test_c4_removing_a_volume_follows_no_link(volume, tmp_path):
    beneath.remove_tree(volume)
    assert not volume.exists()
    assert (tmp_path / "canary").read_text() == "secret"
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(OSError):
        beneath.remove_tree(link)


@root_only
def test_a_bind_stands_for_the_place_even_when_its_name_is_swapped(volume, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (volume / "inner/file").write_text("mine")
    try:
        with beneath.opened(volume, "inner") as place:
            (volume / "inner").rename(volume / "moved")
            (volume / "inner").symlink_to("/")
            beneath.bind(place, target)
        assert os.listdir(target) == ["file"]
        assert beneath.mounts_under(target) == [Path(os.path.realpath(target))]
    finally:
        beneath.unmount(target)
    assert os.listdir(target) == []
    beneath.unmount(target)


@root_only
def test_memory_file_systems_are_unmounted_before_their_folder_goes(tmp_path):
    folder = tmp_path / "pod" / "memory with space"
    folder.mkdir(parents=True)
    beneath.mount_tmpfs(folder, mode=0o750, size=1 << 20)
    (folder / "x").write_text("y")
    assert os.path.ismount(folder)
    beneath.remove_tree(tmp_path / "pod")
    assert not (tmp_path / "pod").exists()
