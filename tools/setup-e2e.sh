#!/usr/bin/env bash
# What the end-to-end tests need beyond the cluster itself: kubectl, curl, dig-like tools. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
command -v kubectl >/dev/null || missing+=(kubernetes-client)
command -v curl >/dev/null || missing+=(curl)
for program in containerd runc nft ip conntrack; do
  command -v "$program" >/dev/null || missing+=("$program")
done
packages=()
for name in "${missing[@]+"${missing[@]}"}"; do
  case $name in nft) packages+=(nftables) ;; ip) packages+=(iproute2) ;; *) packages+=("$name") ;; esac
done
[ -x /usr/lib/cni/bridge ] || packages+=(containernetworking-plugins)
[ -x /bin/busybox ] || packages+=(busybox-static)
if [ ${#packages[@]} -gt 0 ]; then
  echo "installing ${packages[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
