#!/bin/sh
# Fuzzes the DNS engine's parser and table: `sh native/fuzz/run.sh [SECONDS]`. Needs clang and libclang-rt-dev (Debian).
# New inputs go to native/build/fuzz; those in native/fuzz/corpus are committed.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
out=native/build/fuzz
mkdir -p "$out/corpus"
clang++ -std=c++20 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  native/fuzz/fuzz_engine.cpp native/src/dns_query.cpp native/src/dns_entry.cpp native/src/dns_table.cpp -o "$out/fuzz_engine"
"$out/fuzz_engine" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 -artifact_prefix="$out/" \
  "$out/corpus" native/fuzz/corpus
