#!/usr/bin/env bash
# with-postgres.sh CMD…: runs a command beside a throwaway PostgreSQL, and removes it afterwards.
# LATCHKEY_TEST_POSTGRES_URL is a superuser's URL; tests create databases of their own.
set -euo pipefail

bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -1 || true)
if [[ -z $bin ]]; then
  echo "with-postgres.sh: no PostgreSQL under /usr/lib/postgresql (tests/install.sh installs it)" >&2
  exit 1
fi

dir=$(mktemp -d)
# PostgreSQL refuses to run as root; Debian's package brings a user for it.
as_owner=()
if [[ $(id -u) == 0 ]]; then
  chown postgres: "$dir"
  as_owner=(runuser -u postgres --)
fi

command_pid=
stop() {
  trap '' INT TERM
  [[ -z $command_pid ]] || kill -TERM "$command_pid" 2>/dev/null || true
  "${as_owner[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$dir"
"${as_owner[@]}" "$bin/initdb" -D "$dir/data" -U latchkey --auth=trust --encoding=UTF8 --no-sync >"$dir/initdb.log" 2>&1 ||
  { cat "$dir/initdb.log" >&2; exit 1; }

# A free port may be taken between the asking and the using, so another is tried.
for attempt in 1 2 3 4 5; do
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  options="-c listen_addresses=127.0.0.1 -p $port -k $dir -c max_connections=300"
  options+=" -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
  if "${as_owner[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -o "$options" -w start >/dev/null; then
    break
  elif [[ $attempt == 5 ]]; then
    cat "$dir/data/server.log" >&2
    exit 1
  fi
done
cd "$OLDPWD"

export LATCHKEY_TEST_POSTGRES_URL="postgres://latchkey@127.0.0.1:$port/postgres"
"$@" &
command_pid=$!
status=0
wait "$command_pid" || status=$?
command_pid=
exit "$status"
