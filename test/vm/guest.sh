#!/bin/bash
# Process 1 of a guest: mounts what a Linux root has, runs /vm/command with its output on virtio ports, reports the exit status
# and powers off. Ports in the order of test/vm/guest.ts: 1 standard output, 2 standard error, 3 exit status.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 run /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
ln -sfn /proc/self/fd /dev/fd
ln -sfn fd/0 /dev/stdin
ln -sfn fd/1 /dev/stdout
ln -sfn fd/2 /dev/stderr
hostname guest
ip link set lo up
# A machine with so little memory tracks 8,192 connections at most, and forgets those that are just being made when there are more.
modprobe nf_conntrack
echo 65536 >/sys/module/nf_conntrack/parameters/hashsize
echo 262144 >/proc/sys/net/netfilter/nf_conntrack_max
# shellcheck source=/dev/null
. /vm/environment
if [ -n "${VM_ADDRESS:-}" ]; then
  modprobe virtio_net
  ip link set eth0 up
  ip address add "$VM_ADDRESS/24" dev eth0
fi
# Each port can be opened once, and the command may reopen /dev/stdout: so it gets pipes.
mkfifo /run/vm-output /run/vm-errors
cat /run/vm-output >"$(echo /dev/vport*p1)" &
readers=$!
cat /run/vm-errors >"$(echo /dev/vport*p2)" &
readers="$readers $!"
/bin/bash /vm/command </dev/null >/run/vm-output 2>/run/vm-errors
status=$?
# What was left running and still holds the pipes keeps the guest for 3 seconds, no longer.
for _ in $(seq 30); do
  # shellcheck disable=SC2086
  kill -0 $readers 2>/dev/null || break
  sleep 0.1
done
echo "$status" >"$(echo /dev/vport*p3)"
sync
echo o >/proc/sysrq-trigger
sleep 60
