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

cargo_install() {
  command -v "$1" >/dev/null && return
  echo "installing $1 $2 with cargo; this takes minutes"
  cargo install --locked --quiet "$1@$2"
}

packages=()
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql)
python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
[[ ${#packages[@]} == 0 ]] || apt_install "${packages[@]}"

venv=$target/venv
wanted=$(cat tests/sdk/requirements.txt tests/api/requirements.txt)
if [[ $wanted != "$(cat "$venv/requirements.txt" 2>/dev/null)" ]]; then
  echo "installing into $venv: $(tr '\n' ' ' <<<"$wanted")"
  python3 -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r tests/sdk/requirements.txt -r tests/api/requirements.txt
  echo "$wanted" >"$venv/requirements.txt"
fi

oidc=$target/oidc
if ! cmp -s tests/oidc/package-lock.json "$oidc/installed.json"; then
  echo "installing into $oidc: oidc-provider, an OpenID provider, from npm"
  mkdir -p "$oidc"
  cp tests/oidc/package.json tests/oidc/package-lock.json "$oidc/"
  npm ci --prefix "$oidc" --silent --no-audit --no-fund
  cp tests/oidc/package-lock.json "$oidc/installed.json"
fi
cp tests/oidc/server.mjs "$oidc/"

cargo_install cargo-nextest 0.9.143
cargo_install cargo-deny 0.20.2
cargo_install cargo-machete 0.9.2
