#!/bin/sh
# Builds the addon native/build/nodeplane.node and the test tool native/build/netprobe with plain g++
# (docs/adr/0010-native-build.md). Does nothing when no source changed.
set -eu
cd "$(dirname "$0")/.."
out=native/build
cxx=${CXX:-g++}
flags="-std=c++20 -O2 -g1 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Wconversion -fstack-protector-strong
  -D_FORTIFY_SOURCE=3 -D_GNU_SOURCE -DNAPI_VERSION=9 -DNODE_GYP_MODULE_NAME=nodeplane
  -isystem node_modules/node-api-headers/include ${NODEPLANE_CXXFLAGS:-}"
link="-shared -static-libstdc++ -static-libgcc -Wl,-z,relro,-z,now -Wl,--as-needed"
mkdir -p "$out"

# One stamp for each output: a hash of compiler, flags, this script and all its sources.
stamp() { # FILES…, the variable $step too
  { echo "$step"; "$cxx" -dumpfullversion -dumpmachine; echo "$flags"; cat native/build.sh "$@"; } | sha256sum | cut -d' ' -f1
}

build() { # NAME SOURCES… : objects in parallel, then the link given by $step
  name=$1
  shift
  want=$(stamp "$@" "$(dirname "$1")"/*.hpp)
  if [ -f "$out/$name" ] && [ "$(cat "$out/$name.stamp" 2>/dev/null)" = "$want" ]; then return 0; fi
  work=$(mktemp -d "$out/.work.XXXXXX")
  trap 'rm -rf "$work"' EXIT INT TERM
  pids=
  for source in "$@"; do
    # shellcheck disable=SC2086
    "$cxx" $flags -c "$source" -o "$work/$(basename "$source").o" &
    pids="$pids $!"
  done
  for pid in $pids; do wait "$pid"; done
  # shellcheck disable=SC2086
  "$cxx" $step "$work"/*.o -o "$work/result"
  mv "$work/result" "$out/$name"
  echo "$want" >"$out/$name.stamp"
  rm -rf "$work"
  trap - EXIT INT TERM
  echo "built $out/$name"
}

step="$link -pthread"
build nodeplane.node native/src/*.cpp

# A package has no test folder.
if [ -f test/packet-cases/native/netprobe.cpp ]; then
  step="-static-libstdc++ -static-libgcc -Wl,-z,relro,-z,now -pthread"
  build netprobe test/packet-cases/native/netprobe.cpp
fi
