#!/bin/sh
# Fuzzes the DNS engine: `sh native/fuzz/run.sh [SECONDS [TARGET…]]`, each target for as long: query (the parser), engine
# (learned answers), names, reply (of upstreams). Needs clang and libclang-rt-dev (Debian). New inputs go to native/build/fuzz; those in
# native/fuzz/corpus are committed.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -eq 0 ] || shift
for target in ${*:-query engine names reply}; do
  out=native/build/fuzz/$target
  mkdir -p "$out/corpus" "native/fuzz/corpus/$target"
  clang++ -std=c++20 -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    "native/fuzz/fuzz_$target.cpp" native/src/dns_query.cpp native/src/dns_entry.cpp native/src/dns_epochs.cpp \
    native/src/dns_table.cpp native/src/dns_config.cpp native/src/dns_unit.cpp native/src/dns_names.cpp \
    native/src/dns_finding.cpp native/src/dns_answer.cpp native/src/dns_forward_plan.cpp native/src/dns_upstream_reply.cpp \
    -o "$out/fuzz"
  "$out/fuzz" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 -artifact_prefix="$out/" \
    "$out/corpus" "native/fuzz/corpus/$target"
done
