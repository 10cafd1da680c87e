"""Volumes on this machine, as far as they need a file system and root."""

import os

import pytest
from kubelet_pods import container, pod

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core
from bireme.kubelet.beneath import mounts_under
from bireme.kubelet.environment import Facts
from bireme.kubelet.payload import VolumeProblem
from bireme.kubelet.volumes import Volumes, host_path, pod_folders

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting and giving away files needs root")


class Held:
    """Objects by kind and name; tokens count how often they are asked for."""

    def __init__(self, *objects):
        self.objects = {(type(obj), obj.metadata.name): obj for obj in objects}
        self.asked = 0

    async def get(self, kind, namespace="", name=""):
        if isinstance(kind, core.Pod):
            self.asked += 1
            return f"token-{self.asked}"
        return self.objects.get((kind, name))

    def forget(self, pod_uid):
        self.asked = -1


def named(kind, name, **fields):
    made = kind(**fields)
    made.metadata.name = name
    return made


@pytest.fixture
def held():
    return Held(named(core.ConfigMap, "m", data={"k": "text"}), named(core.Secret, "s", data={"pw": "cHc="}))


@pytest.fixture
async def volumes(tmp_path, held):
    made = Volumes(tmp_path, None, held, held, held, clock=VirtualClock(), privileged=True)
    yield made
    await made.remove("u-1")
    assert mounts_under(tmp_path) == []
    assert made.known() == []


async def test_each_kind_is_made_and_all_goes_again(volumes, held):
    token = {"serviceAccountToken": {"path": "token"}}
    wanted = pod(
        securityContext={"fsGroup": 4321},
        volumes=[
            {"name": "e", "emptyDir": {}},
            {"name": "t", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "m", "configMap": {"name": "m", "defaultMode": 0o400}},
            {"name": "s", "secret": {"secretName": "s"}},
            {"name": "p", "projected": {"sources": [token, {"configMap": {"name": "m"}}]}},
        ],
    )
    paths = await volumes.prepare(wanted, Facts())
    assert paths["e"].stat().st_gid == 4321
    assert paths["e"].stat().st_mode & 0o7777 == 0o2777
    assert os.path.ismount(paths["t"])
    assert (paths["m"] / "k").stat().st_mode & 0o777 == 0o440
    assert (paths["m"] / "k").stat().st_gid == 4321
    assert os.path.ismount(paths["s"]), "secrets never touch a disk"
    assert (paths["s"] / "pw").read_text() == "pw"
    assert sorted(name for name in os.listdir(paths["p"]) if not name.startswith("..")) == ["k", "token"]
    (paths["e"] / "kept").touch()
    assert await volumes.prepare(wanted, Facts()) == paths
    assert (paths["e"] / "kept").exists()


async def test_c3_a_sub_path_cannot_lead_out(volumes, tmp_path):
    mounts = [{"name": "e", "mountPath": "/x", "subPath": "evil/deep"}]
    wanted = pod(container(volumeMounts=mounts), volumes=[{"name": "e", "emptyDir": {}}])
    paths = await volumes.prepare(wanted, Facts())
    (paths["e"] / "evil").symlink_to("/etc")
    with pytest.raises(VolumeProblem):
        volumes.mounts(wanted, wanted.spec.containers[0], paths, {})
    (paths["e"] / "evil").unlink()
    (mount,) = volumes.mounts(wanted, wanted.spec.containers[0], paths, {})
    (paths["e"] / "evil/deep/file").write_text("mine")
    assert os.listdir(mount.host_path) == ["file"]
    assert mount.host_path.startswith(str(pod_folders(tmp_path, "u-1").root))


async def test_sub_path_expressions_take_the_environment(volumes):
    mounts = [{"name": "e", "mountPath": "/x", "subPathExpr": "logs/$(NAME)"}]
    wanted = pod(container(volumeMounts=mounts), volumes=[{"name": "e", "emptyDir": {}}])
    paths = await volumes.prepare(wanted, Facts())
    volumes.mounts(wanted, wanted.spec.containers[0], paths, {"NAME": "p"})
    assert (paths["e"] / "logs/p").is_dir()


async def test_claims_lead_to_volumes_of_the_host(volumes, held, tmp_path):
    (tmp_path / "disk").mkdir()
    claim = named(core.PersistentVolumeClaim, "c")
    claim.spec.volume_name = "v"
    volume = named(core.PersistentVolume, "v")
    volume.spec.host_path = core.HostPathVolumeSource(path=str(tmp_path / "disk"))
    wanted = pod(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}])
    with pytest.raises(VolumeProblem, match="not bound"):
        await volumes.prepare(wanted, Facts())
    held.objects |= {(type(claim), "c"): claim, (type(volume), "v"): volume}
    assert await volumes.prepare(wanted, Facts()) == {"d": tmp_path / "disk"}


@pytest.mark.parametrize(
    ("kind", "path", "good"),
    [
        ("Directory", "there", True),
        ("Directory", "file", False),
        ("Directory", "none", False),
        ("DirectoryOrCreate", "none", True),
        ("File", "file", True),
        ("File", "there", False),
        ("FileOrCreate", "none", True),
        ("Socket", "file", False),
        ("", "none", True),
        ("", "../x", False),
    ],
)
def test_host_paths_are_of_the_kind_asked_for(tmp_path, kind, path, good):
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    source = core.HostPathVolumeSource(path=f"{tmp_path}/{path}", type=kind)
    if good:
        assert host_path(source).exists()
    else:
        with pytest.raises(VolumeProblem):
            host_path(source)
