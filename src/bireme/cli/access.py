"""Which cluster a verb is about, when it may be any: as kubectl finds it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bireme.cli.clusters import root_of
from bireme.cli.errors import CliError
from bireme.cli.kubeconfig import default_path

if TYPE_CHECKING:
    from bireme.client.kubeconfig import Access


def find_access(kubeconfig: Path | None, context: str, *, may_run: bool = True) -> "Access":
    """Where the cluster is: as kubectl would find it, or else the cluster of this machine. Raises CliError.

    `may_run` is whether a command of the kubeconfig may be asked for credentials.
    """
    from bireme.client.kubeconfig import KubeconfigError, read_access

    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    paths = [kubeconfig] if kubeconfig else listed or [default_path()]
    own = root_of("bireme") / "bireme" / "admin.kubeconfig"
    if not kubeconfig and not any(path.exists() for path in paths) and os.access(own, os.R_OK):
        paths = [own]
    try:
        return read_access(paths, context, may_run=may_run)
    except KubeconfigError as error:
        remedy = "kubectl config get-contexts" if context else "bireme up, or --kubeconfig FILE"
        raise CliError("BIR-110", str(error), remedy=remedy) from error
