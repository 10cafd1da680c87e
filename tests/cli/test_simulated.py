"""Where simulated clusters stand, and who may bring them up."""

import os
from pathlib import Path

import pytest

from bireme.cli import clusters, leftovers, simulated
from bireme.cli.clusters import is_simulated, root_of
from bireme.cli.errors import CliError
from bireme.config import Config, user_root

SYSTEM, MINE = "system", "mine"


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    for module in (clusters, simulated):
        monkeypatch.setattr(module, "DEFAULT_ROOT", tmp_path / "var")
    return {SYSTEM: tmp_path / "var", MINE: user_root()}


def saved(root: Path, *, nodes: int) -> None:
    Config(cluster="ship", data=root / "ship", run=root / "run", simulated_nodes=nodes).save()


@pytest.mark.parametrize(
    ("there", "uid", "sudo", "expected"),
    [
        pytest.param("", 0, False, SYSTEM, id="root's clusters are the machine's"),
        pytest.param("", 1000, False, MINE, id="others have their own"),
        pytest.param("system", 1000, False, SYSTEM, id="but see the machine's"),
        pytest.param("mine", 0, False, MINE, id="root's own simulated one is found"),
        pytest.param("mine", 0, True, SYSTEM, id="sudo leaves the user's alone"),
        pytest.param("mine system", 1000, False, MINE, id="one's own goes first"),
    ],
)
def test_the_root_of_a_cluster(
    there: str, uid: int, sudo: bool, expected: str, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    if sudo:
        monkeypatch.setenv("SUDO_UID", "1000")
    for name in there.split():
        saved(roots[name], nodes=name == MINE)
    assert root_of("ship") == roots[expected]
    assert root_of("ship", simulated=True) == roots[MINE]


def test_only_a_simulated_cluster_needs_no_root(roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    simulated.check_may("ship", roots[MINE], simulated=True)
    with pytest.raises(CliError, match="needs root") as refused:
        simulated.check_may("ship", roots[MINE], simulated=False)
    assert "--sim" in refused.value.remedy
    saved(roots[MINE], nodes=2)
    simulated.check_may("ship", roots[MINE], simulated=False)
    saved(roots[SYSTEM], nodes=0)
    with pytest.raises(CliError, match="of its own"):
        simulated.check_may("ship", roots[MINE], simulated=True)


def test_what_is_left_of_a_simulated_cluster_is_known_without_its_settings(roots: dict[str, Path]) -> None:
    assert is_simulated("ship", roots[MINE])
    assert not is_simulated("ship", roots[SYSTEM])
    (roots[MINE] / "ship").mkdir(parents=True)
    assert f"folder {roots[MINE] / 'ship'}" in leftovers.traces("ship", roots[MINE])


@pytest.mark.parametrize("text", ["0", "many", "-1"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        simulated.check_hollow(Config(simulated_cpu=text))
