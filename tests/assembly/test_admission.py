"""Admission by a cluster's settings."""

from pathlib import Path

import pytest

from bireme.assembly.admission import admission_config
from bireme.config import Config

TEXT = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline}
"""


def test_read_from_the_file_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "admission.yaml"
    path.write_text(TEXT)
    assert str(admission_config(Config(admission_config=path)).pod_security.enforce) == "baseline:latest"
    assert str(admission_config(Config()).pod_security.enforce) == "privileged:latest"
    path.write_text(TEXT.replace("baseline", "high"))
    with pytest.raises(ValueError, match="a level is one of"):
        admission_config(Config(admission_config=path))


def test_plugins_that_may_not_be_turned_on_are_refused() -> None:
    admission_config(Config(admission_plugins=("DenyServiceExternalIPs",)))
    with pytest.raises(ValueError, match="no admission plugin that may be turned on: AlwaysDeny"):
        admission_config(Config(admission_plugins=("AlwaysDeny",)))
