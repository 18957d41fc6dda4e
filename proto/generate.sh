#!/bin/sh
# Compiles proto/ to TypeScript. For development only: needs protoc (Debian: protobuf-compiler) and the npm packages.
# The hash of what was compiled is kept beside the result: a test compares it, so tests do not need protoc.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
target="$root/src/codec/stream/generated"
command -v protoc >/dev/null || { echo "protoc is missing (Debian: apt-get install protobuf-compiler)" >&2; exit 3; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH="$root/node_modules/.bin:$(dirname "$root/node_modules/node/bin/node"):$PATH" \
  protoc -I "$root/proto" --es_out="$work" --es_opt=target=ts,import_extension=ts nodeplane/v1/nodestream.proto
mkdir -p "$target"
cp "$work/nodeplane/v1/nodestream_pb.ts" "$target/nodestream_pb.ts"
sha256sum "$root/proto/nodeplane/v1/nodestream.proto" | cut -d' ' -f1 > "$target/nodestream.proto.sha256"
