#!/bin/sh
# Plays all packet cases with their IPv6 twins in every mode of this machine's kernel, then the stateful and http cases. Modes
# run side by side, since they mostly wait for silence. Needs root and node in PATH (test/all.sh).
set -u
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

play() { node test/packet-cases/main.ts test/cases/packet-cases.yaml --twins "$@"; }
play --mode nftables >"$out/nftables" 2>&1 & nftables=$!
play --mode iptables --iptables legacy >"$out/iptables-legacy" 2>&1 & legacy=$!
play --mode iptables --iptables nft >"$out/iptables-nft" 2>&1 & nft=$!

status=0
for mode in "nftables $nftables" "iptables-legacy $legacy" "iptables-nft $nft"; do
  wait "${mode#* }" || status=1
  printf 'packet cases, %s:\n' "${mode% *}"
  cat "$out/${mode% *}"
done
node test/stateful/main.ts || status=1
exit $status
