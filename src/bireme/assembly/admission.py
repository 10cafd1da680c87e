"""How a cluster's settings configure admission."""

from bireme.config import Config
from bireme.registry.admission.configuration import AdmissionConfig, read_admission_config
from bireme.registry.admission.plugins import OPTIONAL


def admission_config(config: Config) -> AdmissionConfig:
    """What the file of the settings says, if there is one. Raises ValueError where that makes no sense."""
    if unknown := sorted(set(config.admission_plugins) - set(OPTIONAL)):
        raise ValueError(f"no admission plugin that may be turned on: {', '.join(unknown)}")
    return read_admission_config(config.admission_config) if config.admission_config else AdmissionConfig()
