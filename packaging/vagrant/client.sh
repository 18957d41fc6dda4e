#!/bin/sh
# Provisions the client outside the cluster: only tools, and a route to the service addresses through one node.
# Argument: address of that node.
set -eu
node=$1
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends curl bind9-dnsutils netcat-openbsd
ip route replace 10.96.0.0/12 via "$node"
