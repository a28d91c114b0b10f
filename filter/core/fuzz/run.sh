#!/usr/bin/env bash
# Fuzzes a target with libFuzzer: filter/core/fuzz/run.sh TARGET [SECONDS]
# TARGET is the name of a file in fuzz_targets/. What it finds is written to target/fuzz/found/; what it adds to the
# corpus is merged into corpus/TARGET/, which `make test` replays (filter/core/tests/corpus.rs).
# It needs no nightly compiler: the coverage that libFuzzer needs is asked of LLVM.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:?which target?}
seconds=${2:-600}
root=$(cd ../../.. && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/fuzz
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
# With a target named, build scripts and macros are built without it.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --target "$host" --bin "$target"
binary=$CARGO_TARGET_DIR/$host/release/$target
work=$CARGO_TARGET_DIR/work/$target
mkdir -p "$work" "$CARGO_TARGET_DIR/found" "corpus/$target"
"$binary" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -dict=answers.dict \
  -artifact_prefix="$CARGO_TARGET_DIR/found/$target-" "$work" "corpus/$target"
# As few as reach all that these reach, beside those that were chosen by hand.
merged=$(mktemp -d)
"$binary" -set_cover_merge=1 -use_counters=0 -max_len=4096 "$merged" "corpus/$target" "$work"
find "corpus/$target" -type f ! -name 'seed-*' ! -name 'found-*' -delete
find "$merged" -type f -exec cp -t "corpus/$target/" {} +
rm -rf "$merged"
