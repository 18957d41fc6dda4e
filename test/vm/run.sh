#!/bin/sh
# All packet cases in every mode on Debian's stock kernel, in one virtual machine: `npm run test:vm`. Minutes to an hour: a script of
# its own, not a stage of test/all.sh. NODEPLANE_VM_MODES selects modes; words given are passed on to the player (--only cip-).
set -eu
cd "$(dirname "$0")/../.."
# One boot for everything; what fails does not keep the rest from being played.
# shellcheck disable=SC2016
exec node_modules/node/bin/node test/vm/main.ts --timeout 7200 bash -c '
modes=$1
shift
status=0
for mode in $modes; do
  echo "== mode $mode, Linux $(uname -r)"
  case $mode in
    iptables-*) node test/packet-cases/main.ts --mode iptables --iptables "${mode#iptables-}" "$@" || status=1 ;;
    *) node test/packet-cases/main.ts --mode "$mode" "$@" || status=1 ;;
  esac
done
exit $status' run "${NODEPLANE_VM_MODES:-nftables iptables-legacy iptables-nft}" "$@"
