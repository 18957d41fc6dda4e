#!/bin/sh
# Boots a systemd of its own in namespaces: the machine's root file system below an overlay (so nothing of it changes), own
# processes, network, mounts and cgroup, none of the machine's units. Usage: machine.sh FOLDER REPOSITORY CGROUP
# FOLDER/etc is copied over /etc before the boot; the boot goes to nodeplane-test.target. Ends when it is killed.
# The checkout is at /opt/nodeplane there: where it lies on this machine may be hidden from units (/tmp, /root, /home).
set -eu
export folder=$1 repository=$2
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder/disk"
mkdir "$folder/disk/upper" "$folder/disk/work" "$folder/disk/root" "$folder/disk/cgroup"
mount -t cgroup2 cgroup2 "$folder/disk/cgroup"
mkdir "$folder/disk/cgroup/$3"
echo $$ >"$folder/disk/cgroup/$3/cgroup.procs"
# The namespace's root is the group just made.
exec unshare --net --pid --uts --ipc --cgroup --fork --kill-child sh -eu -c '
  disk=$folder/disk root=$folder/disk/root
  mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  mount --rbind /dev "$root/dev"
  mkdir -p "$root/opt/nodeplane" "$root/etc/systemd/system" "$root/usr/local/bin"
  mount --bind "$repository" "$root/opt/nodeplane"
  mount -t tmpfs tmpfs "$root/etc/systemd/system"
  mount -t tmpfs tmpfs "$root/usr/lib/systemd/system-generators"
  : >"$root/etc/fstab"
  rm -f "$root/etc/machine-id"
  echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
  rm -rf "$root/etc/nodeplane" "$root/var/lib/nodeplane"
  cp -r "$folder/etc/." "$root/etc/"
  ln -sf /opt/nodeplane/bin/nodeplane "$root/usr/local/bin/nodeplane"
  ip link set lo up
  exec chroot "$root" env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=nodeplane-test.target --log-target=null --show-status=no
'
