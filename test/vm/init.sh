#!/bin/busybox sh
# The initrd's only process: makes the root (base image, project image, files of this run, a scratch layer in memory) and goes there.
# Disks in the order of test/vm/guest.ts: vda the base, vdb the project, vdc a tar of the files of this run.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" || echo "init: no $module"; done </modules/order
tries=0
while [ ! -b /dev/vdc ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.05; done
mount -t ext4 -o ro /dev/vda /base
mount -t ext4 -o ro /dev/vdb /project
mount -t tmpfs -o size=75% scratch /scratch
mkdir /scratch/upper /scratch/work
mount -t overlay -o lowerdir=/project:/base,upperdir=/scratch/upper,workdir=/scratch/work root /system
tar -x -f /dev/vdc -C /system
mount --move /dev /system/dev
exec switch_root /system /usr/sbin/vm-guest
