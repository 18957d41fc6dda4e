#!/bin/bash
# Inside a guest: all packet cases in every mode on its kernel. Stateless cases with SCTP over the kernel's own sockets, in ipvs mode IPv6
# twins, stateful and http cases and the tests of ipvs too. Prints the number of cases for each mode. What fails keeps nothing else
# from being played.
# Usage: matrix.sh "MODE…" [WORDS for the player of packet cases]; modes: ipvs nftables iptables-legacy iptables-nft
set -uo pipefail
cd "$(dirname "$0")/../.."
modes=$1
shift
export NODEPLANE_TEST_SCTP=sockets
modprobe sctp
status=0
summary=()
step() { # NAME COMMAND…: plays it, keeps its last line
  local name=$1 seconds=$SECONDS
  shift
  echo "== $name, Linux $(uname -r)"
  "$@" 2>&1 | tee /tmp/step || status=1
  summary+=("$name, Linux $(uname -r): $(tail -n 1 /tmp/step) ($((SECONDS - seconds)) s)")
}
kernel_tests() {
  node --test --test-reporter=dot --test-concurrency=1 test/kernel/ipvs-*.test.ts test/kernel/dummy-conformance.test.ts && echo passed
}
for mode in $modes; do
  case $mode in
    iptables-*) words=(--mode iptables --iptables "${mode#iptables-}") ;;
    ipvs) words=(--mode ipvs --twins) ;;
    *) words=(--mode "$mode") ;;
  esac
  step "packet cases, mode $mode" node test/packet-cases/main.ts "${words[@]}" "$@"
  if [ "$mode" = ipvs ] && [ $# -eq 0 ]; then
    step "stateful and http cases, mode ipvs" node test/stateful/main.ts --verbose ipvs
    step "drivers and agent of ipvs mode" kernel_tests
  fi
done
printf '%s\n' "== summary" "${summary[@]}"
exit $status
