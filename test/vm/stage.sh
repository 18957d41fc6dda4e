#!/bin/sh
# The stage `vm` of test/all.sh, inside one guest: drivers, the agent and packet cases of ipvs mode, for which other kernels lack
# ip_vs. Everything, and the other modes, are played by `npm run test:vm`.
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
modprobe sctp
# Cases with settings of their own need an agent each, which is what costs most here.
NODEPLANE_TEST_SCTP=sockets node test/packet-cases/main.ts --mode ipvs --default-config || status=1
say "end"
exit $status
