#!/bin/sh
# Installs dist/nodeplane (made by `npm run bundle`) on this machine: program in /usr/local/lib/nodeplane, link in
# /usr/local/bin, units in /etc/systemd/system. Starts nothing. Run it again to upgrade; running daemons keep their old files
# until they are restarted. Usage: packaging/install.sh [FOLDER OF THE BUNDLE]
set -eu
bundle=${1:-$(dirname "$0")/../dist/nodeplane}
[ "$(id -u)" = 0 ] || { echo "install.sh: run this as root" >&2; exit 1; }
[ -f "$bundle/nodeplane.mjs" ] || { echo "install.sh: $bundle is not a bundle; make it with 'npm run bundle'" >&2; exit 1; }

new=/usr/local/lib/nodeplane.new
rm -rf "$new"
mkdir -p /usr/local/lib /usr/local/bin /etc/nodeplane/manifests
cp -a "$bundle" "$new"
rm -rf /usr/local/lib/nodeplane.old
[ ! -d /usr/local/lib/nodeplane ] || mv /usr/local/lib/nodeplane /usr/local/lib/nodeplane.old
mv "$new" /usr/local/lib/nodeplane
rm -rf /usr/local/lib/nodeplane.old
ln -sf ../lib/nodeplane/bin/nodeplane /usr/local/bin/nodeplane
for unit in /usr/local/lib/nodeplane/systemd/*.service; do
  install -m 0644 "$unit" /etc/systemd/system/
done
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "installed $(nodeplane --version 2>/dev/null || /usr/local/bin/nodeplane --version)"
