#!/bin/sh
# All packet cases in every mode on Debian's stock kernel, in one virtual machine: `npm run test:vm`. Stateless cases with SCTP over
# the kernel's own sockets, IPv6 twins in ipvs mode, stateful and http cases of ipvs mode, tests of ipvs. Half an hour and more: a
# script of its own, not a stage of test/all.sh. NODEPLANE_VM_MODES selects modes; words given are passed on to the player of packet
# cases (--only cip-), and then nothing else is played.
set -eu
cd "$(dirname "$0")/../.."
# One boot for everything; what fails does not keep the rest from being played.
# shellcheck disable=SC2016
exec node_modules/node/bin/node test/vm/main.ts --timeout 10800 bash -c '
modes=$1
shift
export NODEPLANE_TEST_SCTP=sockets
modprobe -q sctp || true
status=0
summary=""
play() { # NAME WORDS…
  name=$1
  shift
  echo "== packet cases, mode $name, Linux $(uname -r)"
  node test/packet-cases/main.ts "$@" >/tmp/cases 2>&1 || status=1
  cat /tmp/cases
  summary="$summary$name, Linux $(uname -r): $(tail -n 1 /tmp/cases)
"
}
for mode in $modes; do
  case $mode in
    iptables-*) play "$mode" --mode iptables --iptables "${mode#iptables-}" "$@" ;;
    ipvs) if [ $# -eq 0 ]; then play ipvs --mode ipvs --twins; else play ipvs --mode ipvs "$@"; fi ;;
    *) play "$mode" --mode "$mode" "$@" ;;
  esac
  if [ "$mode" = ipvs ] && [ $# -eq 0 ]; then
    node --test --test-concurrency=1 test/kernel/ipvs-*.test.ts test/kernel/dummy-conformance.test.ts || status=1
    node test/stateful/main.ts ipvs || status=1
  fi
done
printf "%s" "$summary"
exit $status' run "${NODEPLANE_VM_MODES:-ipvs nftables iptables-legacy iptables-nft}" "$@"
