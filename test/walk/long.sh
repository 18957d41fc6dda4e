#!/bin/sh
# Random walks of 1,000 steps in every mode and variant, one after another. Seeds: those given, else one of the moment.
set -eu
cd "$(dirname "$0")/../.."
node=node_modules/node/bin/node
[ $# -gt 0 ] || set -- "$(date +%s)"
status=0
for seed in "$@"; do
  for mode in "--mode nftables" "--mode iptables --variant legacy" "--mode iptables --variant nft"; do
    # shellcheck disable=SC2086 # words of the mode
    $node test/walk/main.ts $mode --steps 1000 --seed "$seed" || status=1
  done
done
exit $status
