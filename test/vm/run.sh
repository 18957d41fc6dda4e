#!/bin/sh
# `npm run test:vm`: plays test/vm/matrix.sh in one virtual machine with Debian's stock kernel. An hour and more: a script of its own, not
# a stage of test/all.sh. NODEPLANE_VM_MODES selects modes; words given are passed on to the player of packet cases (--only cip-),
# and then nothing else is played.
set -eu
cd "$(dirname "$0")/../.."
exec node_modules/node/bin/node test/vm/main.ts --timeout 21600 \
  bash test/vm/matrix.sh "${NODEPLANE_VM_MODES:-ipvs nftables iptables-legacy iptables-nft}" "$@"
