#!/usr/bin/env bash
# What the scenarios with clients of other languages need: node and @kubernetes/client-node, from a lock without
# addresses; with "spark", also a Java runtime and pyspark (400 MB). Safe to run again.
#   setup-clients.sh [spark]
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
[ "${1:-}" != spark ] || command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing ${packages[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
node_folder=.build/client-node
if ! cmp -s tests/clients/node/package-lock.json "$node_folder/package-lock.json" || [ ! -d "$node_folder/node_modules" ]; then
  rm -rf "$node_folder"
  mkdir -p "$node_folder"
  cp tests/clients/node/package.json "$node_folder"
  cp tests/clients/node/package-lock.json "$node_folder/package-lock.fresh"
  (cd "$node_folder" && cp package-lock.fresh package-lock.json && npm ci --ignore-scripts --no-audit --no-fund --silent)
  rm "$node_folder/package-lock.fresh"
fi
