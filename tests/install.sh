#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, naming each thing before it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

apt_install() {
  echo "installing from Debian: $*"
  local as_root=()
  [[ $(id -u) == 0 ]] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

# Unoptimized: they check a few files, and optimizing them takes minutes more.
cargo_install() {
  command -v "$1" >/dev/null && return
  echo "installing $1 $2 with cargo; this takes minutes"
  cargo install --debug --locked --quiet "$1@$2"
}

packages=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
command -v chromium >/dev/null || packages+=(chromium)
command -v openssl >/dev/null || packages+=(openssl)
[[ ${#packages[@]} == 0 ]] || apt_install "${packages[@]}"

venv=$target/venv
requirements=(tests/{sdk,api,portal,mail}/requirements.txt)
wanted=$(cat "${requirements[@]}")
if [[ $wanted != "$(cat "$venv/requirements.txt" 2>/dev/null)" ]]; then
  echo "installing into $venv: $(tr '\n' ' ' <<<"$wanted")"
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${requirements[@]/#/--requirement=}"
  echo "$wanted" >"$venv/requirements.txt"
fi

npm_install() {
  local folder=$target/$1
  cmp -s "tests/$1/package-lock.json" "$folder/installed.json" && return
  echo "installing into $folder: $2, from npm"
  mkdir -p "$folder"
  cp "tests/$1/package.json" "tests/$1/package-lock.json" "$folder/"
  npm ci --prefix "$folder" --silent --no-audit --no-fund
  cp "tests/$1/package-lock.json" "$folder/installed.json"
}

npm_install agents 'Codex CLI and Claude Code, as people run them'
node "$target/agents/node_modules/@anthropic-ai/claude-code/install.cjs"
npm_install oidc 'oidc-provider, an OpenID provider'
cp tests/oidc/server.mjs "$target/oidc/"
npm_install axe 'axe-core, an accessibility checker'
npm_install mcp 'server-everything, an MCP server'

cargo_install cargo-nextest 0.9.143
cargo_install cargo-deny 0.20.2
cargo_install cargo-machete 0.9.2
