#!/bin/sh
# Provisions a node: installs the bundle that the control plane made, its certificate, the resolver and the agent.
# Arguments: name, own address, address of the control plane.
set -eu
name=$1
address=$2
control_plane=$3
share=/vagrant/.vagrant/nodeplane
export DEBIAN_FRONTEND=noninteractive
[ -d "$share/$name" ] || { echo "no certificate for $name in $share: bring up the control plane ($control_plane) first" >&2; exit 1; }
apt-get update -q
apt-get install -y -q --no-install-recommends nftables iproute2 conntrack libatomic1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf "$share/nodeplane.tar.gz"
sh "$work/packaging/install.sh" "$work/dist/nodeplane"

install -d -m 0755 /etc/nodeplane /etc/nodeplane/manifests
install -d -m 0700 /etc/nodeplane/pki
install -m 0644 "$share/$name/ca.crt" "$share/$name/node.crt" /etc/nodeplane/pki/
install -m 0600 "$share/$name/node.key" /etc/nodeplane/pki/
install -m 0644 "$share/$name/agent.yaml" /etc/nodeplane/agent.yaml
printf 'NODEPLANE_DNS_FLAGS=%s\n' "$(cat "$share/$name/dns.flags")" >/etc/nodeplane/dns.env
# The private network's address, not the one through which the machine reaches the world.
printf 'nodeAddresses: [%s]\n' "$address" >>/etc/nodeplane/agent.yaml
sed "s/^    errors$/    bind $address\n    errors/" "$work/packaging/node/Corefile" >/etc/nodeplane/Corefile
sed "s/NODE/$name/" "$work/packaging/node/dns-manifest.yaml" >/etc/nodeplane/manifests/dns.yaml

systemctl enable nodeplane-agent nodeplane-dns
systemctl restart nodeplane-agent nodeplane-dns
nodeplane status
