#!/bin/sh
# Provisions the control plane: builds nodeplane from the shared checkout, installs and starts the control plane, issues the
# nodes' certificates into the shared folder. Arguments: own address, then the names of the nodes.
set -eu
address=$1
shift
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends npm rsync kubernetes-client

# Built in a folder of the machine's own: the shared one may not carry links and executables.
rsync -a --delete --exclude node_modules --exclude dist --exclude native/build --exclude .cache --exclude .vagrant /vagrant/ /opt/nodeplane/
cd /opt/nodeplane
sh bin/bootstrap
npm run --silent bundle
sh packaging/install.sh

mkdir -p /etc/nodeplane
printf 'NODEPLANE_CONTROL_PLANE_FLAGS=--advertise-address=%s\n' "$address" >/etc/nodeplane/control-plane.env
systemctl enable nodeplane-control-plane
systemctl restart nodeplane-control-plane

# What the nodes need: the bundle and their certificates. The folder holds keys: it lies under .vagrant, which git ignores.
share=/vagrant/.vagrant/nodeplane
rm -rf "$share"
mkdir -p "$share"
tar -C /opt/nodeplane -czf "$share/nodeplane.tar.gz" dist packaging
for node in "$@"; do
  nodeplane certificate node "$node" --server "$address:6444" --out "$share/$node"
done

mkdir -p "$HOME/.kube"
install -m 0600 /var/lib/nodeplane/control-plane/admin.kubeconfig "$HOME/.kube/config"
kubectl version --short || true
