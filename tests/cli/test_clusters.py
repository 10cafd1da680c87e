"""Which cluster is meant, which of its parts live, and what is refused before anything is touched."""

import json
import os
from pathlib import Path

import pytest

from bireme.cli.clusters import find, parts
from bireme.cli.errors import CliError
from bireme.config import Config
from bireme.runtime.host_changes import process_start


def saved(tmp_path: Path, **fields: object) -> Config:
    config = Config(cluster="ship", data=tmp_path / "ship", run=tmp_path / "run", **fields)  # type: ignore[arg-type]
    config.save()
    config.run.mkdir()
    return config


def test_the_settings_of_a_cluster_are_found(tmp_path: Path) -> None:
    config = saved(tmp_path)
    assert find("ship", tmp_path) == config


@pytest.mark.parametrize("name", ["../ship", "Ship", "", "a/b", "x" * 21])
def test_a_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no cluster name"):
        find(name, tmp_path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("{", "BIR-050", id="cut"),
        pytest.param('{"api_port": "x"}', "BIR-050", id="wrong type"),
        pytest.param('{"cluster": "ship", "data": "/etc"}', "BIR-050", id="another folder"),
        pytest.param('{"cluster": "boat", "data": "HERE"}', "BIR-050", id="another name"),
        pytest.param(None, "BIR-011", id="none"),
    ],
)
def test_settings_that_will_not_do(text: str | None, code: str, tmp_path: Path) -> None:
    folder = tmp_path / "ship"
    folder.mkdir()
    if text is not None:
        (folder / "config.json").write_text(text.replace("HERE", str(folder)))
    with pytest.raises(CliError) as refusal:
        find("ship", tmp_path)
    assert refusal.value.code == code


def test_a_part_lives_only_with_its_own_start_time(tmp_path: Path) -> None:
    config = saved(tmp_path)
    me = os.getpid()
    written = {
        "core": {"pid": me, "started": process_start(me), "restarts": 2},
        "node": {"pid": me, "started": "1", "restarts": 0},
    }
    config.parts.write_text(json.dumps(written))
    assert {name: part["alive"] for name, part in parts(config).items()} == {"core": True, "node": False}


def test_a_process_id_that_is_not_containerd_is_not_taken_for_it(tmp_path: Path) -> None:
    config = saved(tmp_path)
    config.containerd_state.mkdir()
    (config.containerd_state / "containerd.pid").write_text(str(os.getpid()))
    assert parts(config) == {}


def test_parts_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    config = saved(tmp_path)
    assert parts(config) == {}
    config.parts.write_text('{"core": {"pi')
    assert parts(config) == {}
