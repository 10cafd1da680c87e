#!/usr/bin/env bash
# Build .venv from a hashed lock, with uv, on a machine that may have nothing but python3. Safe to run again.
#   setup.sh LOCK MARK
set -euo pipefail
cd "$(dirname "$0")/.."
UV_VERSION=0.13.9
lock=$1 mark=$2

# The distribution's interpreter first: it is built with profile-guided optimisation and without a shared library, and
# runs this program about 1.4 times as fast as one compiled with the defaults (pyenv's, say).
find_python() {
  local name
  for name in python3.11 python3.12 python3.13 python3; do PATH="/usr/bin:$PATH" command -v "$name" && return; done
}
python=$(find_python)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: Python 3.11 or newer is needed; $python is $("$python" --version)" >&2
  echo "  fix: apt-get install -y python3.11" >&2
  exit 1
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "error: python3-venv is missing" >&2
    echo "  fix: sudo apt-get install -y python3-venv" >&2
    exit 1
  fi
  echo "installing python3-venv"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
fi
if [ ! -x .build/uv/bin/uv ] || [ "$(.build/uv/bin/uv --version | cut -d' ' -f2)" != "$UV_VERSION" ]; then
  "$python" -m venv .build/uv
  .build/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tools/uv.lock
fi
[ -x .venv/bin/python ] || .build/uv/bin/uv venv --quiet --python "$python" .venv
.build/uv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r "$lock"
.build/uv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
touch "$mark"
