#!/bin/sh
# Puts what `nodeplane certificate node NAME` made in its place on the node NAME, with a Corefile and the resolver's own manifest beside
# it, so that the units start: certificates are replaced, configuration that is already there is kept. Starts nothing.
# Usage: packaging/node/configure.sh FOLDER [ADDRESS]      environment: DESTDIR (default: this machine)
#   ADDRESS  the node's address in the cluster, where that is not the one of the default route; the resolver then binds it alone
set -eu
fail() { echo "configure.sh: $*" >&2; exit 1; }
[ $# -ge 1 ] && [ $# -le 2 ] || fail "say which folder: configure.sh FOLDER [ADDRESS]"
from=$1
address=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
etc=${DESTDIR:-}/etc/nodeplane
[ -n "${DESTDIR:-}" ] || [ "$(id -u)" = 0 ] || fail "run this as root"
for file in ca.crt node.crt node.key agent.yaml dns.flags; do
  [ -f "$from/$file" ] || fail "$from/$file is missing; 'nodeplane certificate node NAME' on the control plane makes this folder"
done
name=$(sed -n 's/^hostnameOverride: "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$from/agent.yaml")
[ -n "$name" ] || fail "$from/agent.yaml has no hostnameOverride"

install -d -m 0755 "$etc" "$etc/manifests"
install -d -m 0700 "$etc/pki"
install -m 0644 "$from/ca.crt" "$from/node.crt" "$etc/pki/"
install -m 0600 "$from/node.key" "$etc/pki/"

# Writes standard input to the file named, unless there is one.
keep() {
  if [ -e "$1" ]; then
    echo "configure.sh: kept $1" >&2
  else
    cat >"$1.new" && mv "$1.new" "$1"
  fi
}
{ cat "$from/agent.yaml"; [ -z "$address" ] || printf 'nodeAddresses: ["%s"]\n' "$address"; } | keep "$etc/agent.yaml"
printf 'NODEPLANE_DNS_FLAGS=%s\n' "$(cat "$from/dns.flags")" | keep "$etc/dns.env"
if [ -n "$address" ]; then sed "s/^    errors\$/    bind $address\n    errors/" "$here/Corefile"; else cat "$here/Corefile"; fi |
  keep "$etc/Corefile"
sed "s/NODE/$name/" "$here/dns-manifest.yaml" | keep "$etc/manifests/dns.yaml"
echo "node $name is configured in $etc; start it: systemctl enable --now nodeplane-agent nodeplane-dns"
