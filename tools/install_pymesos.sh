#!/bin/sh
# Puts pymesos, the outside framework of the e2e tests, into an environment: tools/install_pymesos.sh UV [PYTHON]
# From hashes alone. Its http-parser is built without C, by that package's own switch (see http_parser_without_c).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
uv=$1
python=${2:-$here/../.venv/bin/python}
PYTHONPATH="$here/http_parser_without_c" "$uv" pip install --quiet --python "$python" --no-deps \
    --require-hashes -r "$here/../requirements-pymesos.lock"
"$python" -c 'import pymesos'
