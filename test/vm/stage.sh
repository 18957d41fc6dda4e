#!/bin/sh
# What `npm test` plays on the stock kernel, inside one guest: drivers, the agent and the first packet cases of ipvs mode, for which
# other kernels lack ip_vs. Everything is played by `npm run test:vm`.
set -u
cd "$(dirname "$0")/../.."
status=0
say() { printf -- '-- %s, Linux %s, up %s s\n' "$1" "$(uname -r)" "$(cut -d. -f1 /proc/uptime)"; }
# A test file runs itself again in a namespace: this spares the first of the two.
inside() {
  unshare -n sh -c 'ip link set lo up && NODEPLANE_TEST_NAMESPACE=1 exec node "$1"' inside "$1" || status=1
}
say "drivers of ipvs and of the dummy device"
inside test/kernel/ipvs-conformance.test.ts
inside test/kernel/dummy-conformance.test.ts
# A thousand of each in `npm run test:vm`.
export NODEPLANE_TEST_SIZE=200
say "the agent in ipvs mode, with connections"
inside test/kernel/ipvs-agent.test.ts
say "packet cases, mode ipvs"
node test/packet-cases/main.ts --mode ipvs --only cip-,noep- || status=1
say "end"
exit $status
