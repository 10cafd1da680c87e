"""The document at /version, and the same as a metric."""

import platform
from collections.abc import Mapping

import orjson

from bireme.http.exposition import family, sample

BIREME_VERSION = "0.1.0"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

VERSION: Mapping[str, str] = {
    "major": "1",
    "minor": "37",
    "emulationMajor": "1",
    "emulationMinor": "37",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "36",
    "gitVersion": f"v1.37.0+bireme{BIREME_VERSION}",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-11-23T00:00:00Z",
    "goVersion": f"python{platform.python_version()}",
    "compiler": platform.python_implementation(),
    "platform": f"{platform.system().lower()}/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
}
# Label of the metric to field of the document.
_LABELS = {
    "build_date": "buildDate",
    "compiler": "compiler",
    "git_commit": "gitCommit",
    "git_tree_state": "gitTreeState",
    "git_version": "gitVersion",
    "go_version": "goVersion",
    "major": "major",
    "minor": "minor",
    "platform": "platform",
}


def version_document() -> bytes:
    """The body of /version."""
    return orjson.dumps(VERSION)


def build_info() -> str:
    """The metric that tells the version."""
    name = "kubernetes_build_info"
    labels = {label: VERSION[field] for label, field in _LABELS.items()}
    return "\n".join(family(name, "gauge", "The version of this server.", [sample(name, labels, 1)]))
