#!/usr/bin/env bash
# Installs the gateways that `make bench ARGS="--only peers"` compares with. Nothing else needs them.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/peers
mkdir -p "$target"
cd tests/peers

if ! cmp -s requirements.txt "$target/requirements.txt"; then
  echo "installing into $target: $(cat requirements.txt), from PyPI"
  python3 -m venv --clear "$target/litellm"
  "$target/litellm/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
  cp requirements.txt "$target/"
fi

if ! cmp -s package-lock.json "$target/installed.json"; then
  echo "installing into $target: Portkey's gateway, from npm"
  cp package.json package-lock.json "$target/"
  npm ci --prefix "$target" --silent --no-audit --no-fund
  cp package-lock.json "$target/installed.json"
fi
