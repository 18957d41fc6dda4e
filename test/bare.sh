#!/bin/sh
# Proves the two commands of the README on a bare Debian 12: a debootstrap root with only git, curl and npm added, sharing the
# machine's network namespace. Clones this checkout's HEAD into it, runs the commands named (default: demo, then test), and
# compares the machine before and after: rules, addresses, routes, sysctls, mounts, namespaces, processes.
# Usage: test/bare.sh [demo] [test] [-- SHELL COMMAND]      environment: BARE_ROOT (default .cache/bare)
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "bare.sh: run this as root" >&2; exit 1; }
repo=$PWD
root=${BARE_ROOT:-$repo/.cache/bare}
# The mirror that this machine itself uses.
mirror=${BARE_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1)}

if ! [ -x "$root/usr/bin/apt-get" ]; then
  command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap >/dev/null
  echo "bare.sh: making a Debian 12 root in $root (some minutes, once)" >&2
  mkdir -p "$root"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
    tail -5 "$root.log" >&2
    exit 1
  }
fi
# How this machine reaches its package registries: certificates and configuration, no programs.
cp -f /etc/resolv.conf /etc/hosts "$root/etc/"
mkdir -p "$root/etc/ssl/certs" "$root/etc/apt/apt.conf.d"
cp -f /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
for file in /etc/apt/apt.conf.d/*artifact*; do [ -f "$file" ] && cp -f "$file" "$root/etc/apt/apt.conf.d/"; done
for file in "$(npm config get globalconfig 2>/dev/null)" "${HOME:-/root}/.npmrc"; do
  [ -f "$file" ] && grep -v '^nodedir' "$file"
done >"$root/etc/npmrc" || true

if ! [ -x "$root/usr/bin/npm" ]; then
  # Not by debootstrap itself: it does not follow the versioned alternatives that npm depends on.
  chroot "$root" sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update && apt-get install -y --no-install-recommends git curl npm' \
    >>"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 1; }
fi

snapshot() {
  echo "# nft";       nft list ruleset 2>/dev/null || true
  echo "# iptables";  for t in iptables-legacy-save ip6tables-legacy-save iptables-nft-save ip6tables-nft-save; do command -v $t >/dev/null && $t 2>/dev/null | grep -v '^#' | sed 's/\[[0-9:]*\]//'; done || true
  echo "# addresses"; ip -o address | awk '{print $2, $4}'
  echo "# routes";    ip route show table all; ip -6 route show table all | sed 's/expires [0-9a-z]*//'
  echo "# sysctl";    sysctl -a 2>/dev/null | grep -E '^net\.(ipv4|ipv6|netfilter|bridge)' | grep -vE 'count|nf_conntrack_(count|buckets)|tcp_metrics|random|\.mtu|fib_sync|inode|cookie' || true
  echo "# mounts";    awk '{print $5}' /proc/self/mountinfo | grep -v "^$root" | sort
}

run_inside() {
  unshare --mount --pid --fork --kill-child --propagation private sh -eu -c '
    # Every command begins with the bare root: what it installs goes to an overlay in memory.
    mount -t tmpfs tmpfs "$3"
    mkdir "$3/upper" "$3/work" "$3/root"
    root=$3/root
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" "$root"
    git clone -q "$4" "$root/srv/nodeplane"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    exec chroot "$root" env -i HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt CI=true sh -c "
        cd /srv/nodeplane || exit 1
        mounts=\$(cut -d\" \" -f5 /proc/self/mountinfo | sort)
        $2
        status=\$?
        [ \"\$mounts\" = \"\$(cut -d\" \" -f5 /proc/self/mountinfo | sort)\" ] || { echo left mounted: something; cat /proc/self/mountinfo; status=1; }
        [ -z \"\$(ls /run/netns 2>/dev/null)\" ] || { echo left namespaces: \$(ls /run/netns); status=1; }
        # This is process 1 of a process namespace of its own: whatever else still runs here was left behind.
        sleep 1
        for entry in /proc/[0-9]*; do
          words=\$(xargs -0 echo 2>/dev/null <\$entry/cmdline)
          case \${entry#/proc/}:\$words in 1:* | *:) ;; *) echo left running: \$words; status=1 ;; esac
        done
        exit \$status
      "
  ' sh "$root" "$1" "$scratch" "$repo"
}

scratch=$(mktemp -d)
before=$(mktemp); after=$(mktemp)
trap 'rm -f "$before" "$after"; rmdir "$scratch"' EXIT
snapshot >"$before"
status=0
[ $# -gt 0 ] || set -- demo test
while [ $# -gt 0 ]; do
  case $1 in
    demo) command="npm run demo" ;;
    test) command="npm test" ;;
    --) shift; command=$*; set -- last ;;
    *) echo "bare.sh: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
  echo "bare.sh: $command"
  run_inside "$command" || status=$?
done
snapshot >"$after"
if diff "$before" "$after"; then echo "bare.sh: nothing was left behind"; else status=1; fi
exit "$status"
