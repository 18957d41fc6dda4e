#!/bin/sh
# The whole test: what needs no privileges first, then what needs root and namespaces. Called by `npm test` after bin/bootstrap.
# NODEPLANE_TEST_STAGES selects stages (default: all, in this order).
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH
export PATH

# The first `ip netns add` on a machine turns /run/netns into a mount of its own and leaves it so: take that back.
if ! grep -q ' /run/netns ' /proc/self/mountinfo; then
  trap 'if [ -d /run/netns ] && [ -z "$(ls /run/netns)" ]; then umount /run/netns 2>/dev/null || true; rmdir /run/netns; fi' EXIT
fi

started=$(date +%s)
stage() {
  now=$(date +%s)
  printf '\n== %s (after %d s)\n' "$1" "$((now - started))"
}

for name in ${NODEPLANE_TEST_STAGES:-ok kernel packets walks dns e2e vm}; do
  case $name in
    ok) stage "format, lint, types, dead code, unit tests and rules"; npm run --silent ok ;;
    kernel) stage "drivers and agent in network namespaces"; npm run --silent test:kernel ;;
    packets) stage "packet cases with IPv6 twins, stateful and http cases, each mode"; sh test/packets.sh ;;
    walks)
      stage "random walks, each mode"
      npm run --silent walk -- --mode nftables --steps 60 --seed 35
      npm run --silent walk -- --mode iptables --variant legacy --steps 60 --seed 39
      npm run --silent walk -- --mode iptables --variant nft --steps 60 --seed 13 ;;
    dns) stage "DNS cases"; npm run --silent dns-cases -- --fixture test/cases/dns-fixture.yaml --cases test/cases/dns-cases.json ;;
    e2e) stage "end to end: kubectl, lab, systemd"; npm run --silent test:e2e ;;
    # What needs another kernel, in one boot; npm run test:vm plays everything there.
    vm)
      stage "stock kernel in a virtual machine: ipvs mode"
      if [ "$(uname -m)" = x86_64 ]; then npm run --silent vm -- --timeout 1500 sh test/vm/stage.sh; else echo "skipped: the guest is amd64"; fi ;;
    *) echo "unknown stage: $name" >&2; exit 2 ;;
  esac
done
stage "all stages passed"
