#!/bin/sh
# Makes the parts of a guest that do not depend on this project, in .cache/vm/base-HASH: vmlinuz and initrd of Debian's stock
# kernel, and root.ext4, a small Debian made of packages that are only unpacked: nothing is installed on this machine except
# QEMU itself. Prints the folder. HASH covers the names and versions of all packages and the scripts of this folder.
# Limits: Debian 12 on amd64, root.
set -eu
cd "$(dirname "$0")/../.."
here=$PWD/test/vm
cache=$PWD/.cache/vm
PATH=$PATH:/usr/sbin:/sbin
say() { printf 'vm: %s\n' "$*" >&2; }
[ "$(id -u)" = 0 ] || { say "run this as root"; exit 2; }

PACKAGES="bash dash coreutils util-linux mount kmod iproute2 nftables iptables ipvsadm conntrack procps iputils-ping busybox-static tar
grep sed findutils diffutils gzip cpio hostname libc-bin libstdc++6 libatomic1 openssl bind9-dnsutils"
# Modules that must be there before the root is, in this order with what they need.
EARLY="virtio_pci virtio_blk ext4 overlay virtio_console"
# Folders of modules in the root image: the network, and what it is made of.
MODULES="kernel/net kernel/lib kernel/crypto kernel/arch kernel/drivers/net/dummy.ko kernel/drivers/net/veth.ko
kernel/drivers/net/virtio_net.ko kernel/drivers/net/net_failover.ko kernel/drivers/net/macvlan.ko kernel/drivers/net/vxlan
kernel/drivers/net/wireguard kernel/drivers/net/tun.ko kernel/fs/overlayfs kernel/fs/fuse kernel/net/core/failover.ko"

mkdir -p "$cache/archives/partial"
exec 9>"$cache/lock"
flock 9

# Lists that are missing or older than the mirror's packages are fetched once, and then everything begins anew.
with_new_lists() { # WHY
  [ -z "${VM_NEW_LISTS:-}" ] || { tail -5 "$cache/apt.log" >&2; say "$1"; exit 1; }
  say "$1: fetching apt's lists"
  apt-get update -q >"$cache/apt.log" 2>&1 || { tail -5 "$cache/apt.log" >&2; exit 1; }
  VM_NEW_LISTS=1 exec sh "$here/base-image.sh"
}

if ! command -v qemu-system-x86_64 >/dev/null || ! command -v mke2fs >/dev/null; then
  say "installing qemu-system-x86 and e2fsprogs (the processor is emulated: neither /dev/kvm nor any other device is needed)"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o Acquire::Retries=3 qemu-system-x86 e2fsprogs \
    >"$cache/apt.log" 2>&1 || with_new_lists "apt-get cannot install qemu-system-x86 and e2fsprogs"
fi

# Asking apt takes seconds: only when it has new lists, or these scripts changed.
scripts=$(cat "$here/base-image.sh" "$here/init.sh" "$here/guest.sh" | sha256sum | cut -c1-16)
if [ "$cache/current" -nt /var/lib/apt/lists ] && [ "$(sed -n 1p "$cache/current")" = "$scripts" ]; then
  base=$(sed -n 2p "$cache/current")
  if [ -f "$base/complete" ]; then
    echo "$base"
    exit 0
  fi
fi

# An empty list of installed packages makes apt resolve and fetch the whole set, dependencies included.
resolve() { # FOLDER OF ARCHIVES, ACTION…
  folder=$1
  shift
  apt-get -q -y -o Dir::State::status=/dev/null -o APT::Install-Recommends=false -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=3 \
    -o Dir::Cache::archives="$folder" "$@"
}
newest() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: *\(linux-image-.*\)/\1/p' | head -1; }
kernel=$(newest)
[ -n "$kernel" ] || with_new_lists "apt knows no linux-image-amd64"
# Asked with an empty folder, apt names all archives, not only those that are still to fetch.
mkdir -p "$cache/none/partial"
# shellcheck disable=SC2086
resolve "$cache/none" --print-uris install $PACKAGES | sed -n "s/^'[^']*' \([^ ]*\.deb\) .*/\1/p" >"$cache/list"
kernel_version=$(apt-cache show "$kernel" | sed -n 's/^Version: //p' | head -1)
hash=$({ echo "$scripts $kernel $kernel_version"; cat "$cache/list"; } | sha256sum | cut -c1-16)
base=$cache/base-$hash
finish() {
  printf '%s\n' "$scripts" "$base" >"$cache/current"
  echo "$base"
  exit 0
}
[ ! -f "$base/complete" ] || finish

started=$(date +%s)
say "fetching $(wc -l <"$cache/list") packages and $kernel"
# shellcheck disable=SC2086
resolve "$cache/archives" --download-only install $PACKAGES >"$cache/apt.log" 2>&1 || with_new_lists "packages cannot be fetched"
rm -rf "$cache/kernel"
mkdir -p "$cache/kernel"
(cd "$cache/kernel" && apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$kernel" >"$cache/apt.log" 2>&1) ||
  with_new_lists "$kernel cannot be fetched"
say "making the root image and the initrd"
rm -rf "$cache"/base-*
mkdir -p "$base"
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
root=$work/root
mkdir -p "$root" "$work/kernel" "$work/initrd"

unpack() { # ARCHIVE FOLDER
  dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2" --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
    --exclude='./usr/share/locale/*' --exclude='./usr/share/info/*' --exclude='./usr/share/perl*' --exclude='*/perl/*' \
    --exclude='*/perl-base/*' --exclude='*/gconv/*' --exclude='./usr/share/bash-completion/*'
}

for dir in bin sbin lib lib64; do mkdir -p "$root/usr/$dir"; ln -s "usr/$dir" "$root/$dir"; done
while read -r name; do
  case $name in *perl*_* | *usrmerge_* | *debconf_* | dpkg_*) continue ;; esac
  unpack "$cache/archives/$name" "$root"
done <"$cache/list"
# What the packages' own scripts would have done.
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/root" "$root/var/tmp" "$root/var/lib" "$root/mnt" "$root/opt" "$root/etc"
chmod 1777 "$root/tmp" "$root/var/tmp"
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
  ln -sf "$(echo "$name" | sed 's/tables/tables-nft/')" "$root/usr/sbin/$name"
done
ln -sf mawk "$root/usr/bin/awk"
ln -sf dash "$root/usr/bin/sh"
ln -sf which.debianutils "$root/usr/bin/which"
echo 'root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'root:x:0:
nogroup:x:65534:' >"$root/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 guest\n' >"$root/etc/hosts"
echo guest >"$root/etc/hostname"
: >"$root/etc/fstab"
install -m 755 "$here/guest.sh" "$root/usr/sbin/vm-guest"
chroot "$root" ldconfig

dpkg-deb -x "$cache"/kernel/*.deb "$work/kernel"
version=$(ls "$work/kernel/lib/modules")
from=$work/kernel/lib/modules/$version
to=$root/lib/modules/$version
for path in $MODULES; do
  [ -e "$from/$path" ] || continue
  mkdir -p "$(dirname "$to/$path")"
  cp -R "$from/$path" "$to/$path"
done
cp "$from/modules.builtin" "$from/modules.builtin.modinfo" "$from/modules.order" "$to/"
chroot "$root" depmod "$version"

# The initrd: busybox, the modules that make the root readable, and init.sh.
install -D -m 755 "$root/bin/busybox" "$work/initrd/bin/busybox"
install -m 755 "$here/init.sh" "$work/initrd/init"
mkdir -p "$work/initrd/modules" "$work/initrd/dev" "$work/initrd/proc" "$work/initrd/base" "$work/initrd/project" "$work/initrd/scratch" "$work/initrd/system"
mkdir -p "$root/tmp/all/lib/modules"
cp -R "$from" "$root/tmp/all/lib/modules/"
chroot "$root" depmod -b /tmp/all "$version"
for module in $EARLY; do chroot "$root" modprobe -d /tmp/all -S "$version" --show-depends "$module"; done |
  sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r path; do
  cp "$root$path" "$work/initrd/modules/"
  basename "$path"
done >"$work/initrd/modules/order"
rm -rf "$root/tmp/all"
(cd "$work/initrd" && find . | "$root/bin/cpio" --quiet -o -H newc) >"$base/initrd"
cp "$work/kernel/boot/vmlinuz-$version" "$base/vmlinuz"

size=$(($(du -sm "$root" | cut -f1) * 5 / 4 + 16))
mke2fs -q -t ext4 -O ^has_journal -L base -d "$root" "$base/root.ext4" "${size}M" >/dev/null
echo "$version" >"$base/version"
touch "$base/complete"
say "made $base in $(($(date +%s) - started)) s: Linux $version, root image ${size} MB"
finish
