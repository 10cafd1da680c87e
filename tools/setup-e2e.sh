#!/usr/bin/env bash
# What the end-to-end tests need beyond the cluster itself: kubectl, curl, dig-like tools. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
command -v kubectl >/dev/null || missing+=(kubernetes-client)
command -v curl >/dev/null || missing+=(curl)
command -v ps >/dev/null || missing+=(procps)
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
# The kubectl that Debian carries, which the stories hold against the cluster too; beside the machine's own.
if [ ! -x .build/kubectl-1.20/usr/bin/kubectl ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  chmod 755 "$folder"
  (cd "$folder" && { apt-get download -qq kubernetes-client || { apt-get update -qq && apt-get download -qq kubernetes-client; }; } 2>/dev/null)
  mkdir -p .build
  rm -rf .build/kubectl-1.20
  dpkg -x "$folder"/kubernetes-client_*.deb .build/kubectl-1.20
fi
