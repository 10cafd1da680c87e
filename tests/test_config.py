"""Settings survive the file, and bad ones are refused in words."""

from pathlib import Path

import pytest

from bireme.config import Config, check_cluster_name, check_ranges


def test_saved_and_loaded(tmp_path: Path) -> None:
    config = Config(cluster="x", data=tmp_path / "x", run=tmp_path / "run", api_port=7443)
    config.save()
    assert Config.load(tmp_path / "x" / "config.json") == config


@pytest.mark.parametrize("text", ["{", '{"api_port": "many"}', "\x00"], ids=["cut", "wrong type", "binary"])
def test_a_damaged_file_is_a_value_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        Config.load(path)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 21, "../x", "a b"])
def test_names_that_will_not_do(name: str) -> None:
    with pytest.raises(ValueError, match="no cluster name"):
        check_cluster_name(name)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"pod_range": "10.96.0.0/12"}, id="overlap"),
        pytest.param({"pod_range": "10.244.0.0/28"}, id="too small"),
        pytest.param({"dns_address": "10.1.1.1"}, id="DNS elsewhere"),
        pytest.param({"service_range": "nonsense"}, id="no network"),
        pytest.param({"pod_range": "10.244.0.1/16"}, id="host bits set"),
    ],
)
def test_ranges_that_will_not_do(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        check_ranges(Config(**fields))  # type: ignore[arg-type]


def test_containers_reach_the_doors_by_the_bridge_while_they_are_on_loopback() -> None:
    assert Config().hosts == ("127.0.0.1", "10.96.0.10")
    assert Config(host="192.0.2.7", node_ip="192.0.2.7").hosts == ("192.0.2.7",)
