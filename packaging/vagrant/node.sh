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

# The private network's address, not the one through which the machine reaches the world.
sh "$work/packaging/node/configure.sh" "$share/$name" "$address"

systemctl enable nodeplane-agent nodeplane-dns
systemctl restart nodeplane-agent nodeplane-dns
nodeplane status
