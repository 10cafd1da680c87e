"""Our entry goes in and out of a kubeconfig; everything else stays as it was."""

from pathlib import Path

import pytest
import yaml

from bireme.cli import kubeconfig
from bireme.cli.errors import CliError
from bireme.config import Config

OTHER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "prod", "cluster": {"server": "https://prod"}}],
    "users": [{"name": "prod", "user": {"token": "t"}}],
    "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "prod"}}],
    "current-context": "prod",
    "preferences": {"colors": True},
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(data=tmp_path / "data", run=tmp_path / "run")
    made.pki.mkdir(parents=True)
    for name in ("ca.crt", "admin.crt", "admin.key"):
        (made.pki / name).write_text(name)
    return made


def test_merged_beside_others_and_taken_out_again(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "kube" / "config"
    path.parent.mkdir()
    path.write_text(yaml.dump(OTHER))
    assert kubeconfig.merge(config, path) == "prod"
    tree = yaml.safe_load(path.read_text())
    assert [item["name"] for item in tree["contexts"]] == ["prod", "bireme"]
    assert tree["current-context"] == "bireme"
    assert path.stat().st_mode & 0o777 == 0o600
    assert kubeconfig.is_merged(config, path)
    assert kubeconfig.remove(config, path)
    assert yaml.safe_load(path.read_text()) == OTHER
    assert sorted(each.name for each in path.parent.iterdir()) == ["config"]


def test_a_file_that_held_only_us_goes_too(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "config"
    kubeconfig.merge(config, path)
    kubeconfig.merge(config, path)
    assert len(yaml.safe_load(path.read_text())["clusters"]) == 1
    assert kubeconfig.remove(config, path)
    assert not path.exists()
    assert not kubeconfig.remove(config, path)


def test_an_entry_of_another_cluster_is_not_overwritten(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "config"
    foreign = {**OTHER, "clusters": [{"name": "bireme", "cluster": {"server": "https://elsewhere"}}]}
    path.write_text(yaml.dump(foreign))
    with pytest.raises(CliError, match="holds another cluster"):
        kubeconfig.merge(config, path)
    assert yaml.safe_load(path.read_text()) == foreign
    assert not kubeconfig.remove(config, path)


@pytest.mark.parametrize("text", ["[1, 2", "just words"], ids=["no YAML", "no mapping"])
def test_a_damaged_file_is_refused_with_advice(config: Config, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CliError):
        kubeconfig.merge(config, path)
    assert path.read_text() == text
