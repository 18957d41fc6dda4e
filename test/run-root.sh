#!/bin/sh
# Runs test files that need root: each in its own process, one after another, inside namespaces that they make.
set -eu
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo "these tests make network namespaces: run them as root" >&2
  exit 1
fi
exec node_modules/node/bin/node --test --test-concurrency=1 --test-timeout=600000 "$@"
