#!/usr/bin/env bash
# What the scenarios with clients of other languages need: node and @kubernetes/client-node, from a lock without
# addresses; with "spark", also a Java runtime and pyspark, 340 MB. Where node can't be installed its scenario is
# skipped. Safe to run again.
#   setup-other-clients.sh [spark]
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
command -v npm >/dev/null || packages+=(nodejs npm)
[ "${1:-}" != spark ] || command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
if [ ${#packages[@]} -gt 0 ]; then
  [ "$(id -u)" -eq 0 ] || { echo "left out, for want of root: ${packages[*]}"; exit 0; }
  echo "installing ${packages[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
folder=.build/client-node
lock=tests/clients/node/package-lock.json
if ! cmp -s "$lock" "$folder/package-lock.json" || [ ! -d "$folder/node_modules" ]; then
  mkdir -p "$folder"
  cp tests/clients/node/package.json "$lock" "$folder"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
fi
if [ "${1:-}" = spark ]; then
  [ -x .build/spark/bin/python ] || .build/uv/bin/uv venv --quiet --python .venv/bin/python .build/spark
  .build/uv/bin/uv pip install --quiet --no-deps --require-hashes --python .build/spark/bin/python \
    -r requirements-spark.lock
fi
