#!/usr/bin/env bash
# build.sh [FEATURE]: builds the filter for Envoy and prints the path of the .wasm, alone on standard output. With a
# feature it is another build, in a folder of its own.
#
# With rustup's wasm32 target where it is there or can be added; else with Debian's toolchain, which
# builds the standard library from source. LATCHKEY_WASM_TOOLCHAIN=debian asks for the second.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
out=${CARGO_TARGET_DIR:-target}/wasm
# Searching in texts goes by 16 bytes at once. V8, which is what Envoy has, knows these instructions.
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-C target-feature=+simd128"
[[ -z ${1:-} ]] || out+=-$1
build=(build --package latchkey-filter --target "$target" --profile wasm --target-dir "$out" --features "${1:-}")

has_target() {
  [[ -d $(rustc --print target-libdir --target "$target" 2>/dev/null) ]]
}

with_rustup() {
  has_target && return
  command -v rustup >/dev/null || return 1
  echo "adding Rust's target $target" >&2
  rustup target add "$target" >&2 && has_target
}

# rustup's linker knows WebAssembly; so does wasm-ld, of Debian's package lld.
linker() {
  local lld
  lld=$(rustc --print sysroot 2>/dev/null)/lib/rustlib/$(uname -m)-unknown-linux-gnu/bin/rust-lld
  if [[ -x $lld ]]; then echo "$lld"; else command -v wasm-ld; fi
}

install_debian() {
  local packages=() package
  for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || packages+=("$package")
  done
  [[ ${#packages[@]} == 0 ]] && return
  echo "installing ${packages[*]}, to build WebAssembly" >&2
  local as_root=()
  [[ $(id -u) == 0 ]] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}" >&2
}

if [[ ${LATCHKEY_WASM_TOOLCHAIN:-} != debian ]] && with_rustup; then
  cargo "${build[@]}" >&2
else
  install_debian rustc-web cargo-web rust-web-src
  linker >/dev/null || install_debian lld
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(linker) RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort >&2
fi

# Binaryen makes of the compiler's module one that costs Envoy some 6 % less CPU per request. Without it the gate works
# all the same.
built=$out/$target/wasm/latchkey_filter.wasm
filter=$out/latchkey_filter.wasm
optimize=(wasm-opt -Os --enable-simd --enable-bulk-memory --enable-sign-ext --enable-mutable-globals
  --enable-nontrapping-float-to-int)
if ! command -v wasm-opt >/dev/null && command -v apt-get >/dev/null && [[ $(id -u) == 0 ]]; then
  install_debian binaryen || true
fi
made_by="not optimized"
if command -v wasm-opt >/dev/null; then
  made_by="$(wasm-opt --version) ${optimize[*]}"
fi
if [[ ! $filter -nt $built || $(cat "$filter.made-by" 2>/dev/null) != "$made_by" ]]; then
  cp "$built" "$filter.new"
  if [[ $made_by == "not optimized" ]]; then
    echo "the filter is left as it is: wasm-opt, of the package binaryen, would make it faster" >&2
  else
    echo "optimizing the filter; this takes a minute" >&2
    "${optimize[@]}" "$built" -o "$filter.new" >&2 ||
      echo "the filter is left as it is: wasm-opt could not read it" >&2
  fi
  mv "$filter.new" "$filter"
  echo "$made_by" >"$filter.made-by"
fi
realpath "$filter"
