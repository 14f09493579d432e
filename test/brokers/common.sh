# Shared by the broker scripts beside this file and by ../with-brokers; sourced,
# never run. The sourcing script sets `me` (its own name) and, if it calls
# `parse "$@"`, `own` (the options of its own that take a value).
# shellcheck shell=bash

set -euo pipefail
export LC_ALL=C
umask 022

say() { printf '%s: %s\n' "$me" "$*" >&2; }
die() { say "$@"; exit 1; }
# The comment at the head of the script is its manual.
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# Sets verb and args from the command line, and from its options dir, port_base,
# tls, conf, prefix, timeout and a variable for each of `own`.
parse() {
  local o all=" dir port_base conf prefix timeout $own "
  for o in $all; do printf -v "$o" %s ''; done
  timeout=120 tls=
  while [ $# -gt 0 ]; do
    o=${1#--}; o=${o//-/_}
    case $1 in
      --tls) tls=1; shift; continue ;;
      -h|--help) usage; exit 0 ;;
      -*) case $all in
            *" $o "*) [ $# -ge 2 ] || die "$1 needs a value" ;;
            *) die "unknown option $1 (see --help)" ;;
          esac ;;
      *) break ;;
    esac
    if [ "$o" = conf ]; then conf+=${conf:+$'\n'}$2; else printf -v "$o" %s "$2"; fi
    shift 2
  done
  [ $# -gt 0 ] || { usage >&2; exit 2; }
  verb=$1; shift; args=("$@")
  [[ $timeout =~ ^[0-9]+$ ]] || die "--timeout is in seconds"
  [[ -z $prefix || $prefix =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] || die "--prefix '$prefix' is no name"
}

# --- state directory ---------------------------------------------------------

# Sets all, the directory of everything that this user's brokers keep. One that
# another user made in a shared /tmp is refused.
common_dir() {
  all=$(realpath -m -- "${TMPDIR:-/tmp}")/polyport-brokers-$(id -u)
  private_dir "$all"
}
private_dir() {
  (umask 077 && mkdir -p -- "$1") 2>/dev/null || true
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || die "$1 is not a directory of ours"
  # It goes into configuration files and, by env, into the shell.
  [[ $1 =~ ^/[A-Za-z0-9/._+@-]+$ ]] || die "the state directory's name must be plain: '$1'"
}
# Makes dir absolute; without --dir it is the one named $1 under the common one.
state_dir() {
  common_dir
  dir=$(realpath -m -- "${dir:-$all/$1}")
}
# One run of a script at a time for one state directory.
lock() {
  private_dir "$dir"
  exec 9>"$dir/lock"
  flock -w $((timeout * 2)) 9 || die "another run holds $dir/lock"
}

# --- processes: only those that a pid file of ours names, and only those very ones

start_time() { # of process $1; fails for one that is gone or wholly a zombie
  local stat tasks
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  tasks=("/proc/$1/task"/*)
  read -r -a stat <<<"${stat##*) }"
  [ ${#stat[@]} -gt 19 ] || return 1
  # A zombie with more than one task still has threads at work.
  case ${stat[0]}${#tasks[@]} in Z1|X1) return 1 ;; esac
  printf '%s\n' "${stat[19]}"
}
remember() { # our background process $2 by the name of $1
  disown "$2"
  printf '%s %s\n' "$2" "$(start_time "$2")" >"$dir/$1.pid"
}
alive() { # prints the pid of our process $1
  local pid began
  { read -r pid began <"$dir/$1.pid"; } 2>/dev/null || return 1
  [ -n "$began" ] && [ "$(start_time "$pid")" = "$began" ] && printf '%s\n' "$pid"
}
signal() { # sends signal $2 to our process $1, then waits for its end at most $3 s
  local pid i
  pid=$(alive "$1") || { rm -f -- "$dir/$1.pid"; return 0; }
  kill "-$2" "$pid" 2>/dev/null || true
  for ((i = 0; i < $3 * 20; i++)); do
    alive "$1" >/dev/null || { rm -f -- "$dir/$1.pid"; return 0; }
    sleep 0.05
  done
  return 1
}
end() { # ends our process $1 in an orderly way within $2 s, else by force
  signal "$1" TERM "$2" || { say "$1 did not end in $2 s, killing it"; signal "$1" KILL 10; } || die "cannot end $1"
}

# A signal must not end a start between the launch of a process and the note of
# its pid, since nobody could end that process then; nor cut apt in half. So it
# is noted, and the start gives up at the next safe place.
interrupted=
defer_signals() { trap 'interrupted=1' INT TERM HUP; }
check_interrupted() { [ -z "$interrupted" ] || die "interrupted"; }

# Waits until the log $2 of process $1 has the line $3 and all ports answer.
wait_ready() {
  local name=$1 log=$2 line=$3 i p up; shift 3
  for ((i = 0; i < timeout * 10; i++)); do
    [ -z "$interrupted" ] || return 1
    if grep -qs -- "$line" "$log"; then
      up=1; for p in "$@"; do listening "$p" || up=; done
      [ -z "$up" ] || return 0
    fi
    alive "$name" >/dev/null || return 1
    sleep 0.1
  done
  return 1
}

# --- settings ----------------------------------------------------------------

# What start was told is kept in the variables named s_*, for the later verbs.
load_settings() {
  [ -r "$dir/settings" ] || return 1
  # shellcheck disable=SC1091
  . "$dir/settings"
}
save_settings() { # names
  local v
  for v in "$@"; do printf '%s=%q\n' "$v" "${!v}"; done >"$dir/settings.new"
  mv -- "$dir/settings.new" "$dir/settings"
}
# Fails when an option, as asked for now, contradicts what runs.
same() { [ -z "$1" ] || [ "$1" = "$2" ]; }

# --- ports -------------------------------------------------------------------

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
# Whether the ports from s_base on are nobody else's. A broker that is down for
# now keeps its ports, so that it can come back on them: while its state
# directory is there, a link to it reserves them.
ports_free() {
  local p mark=$all/ports-$s_base
  if [ -e "$mark" ] && [ "$(readlink -- "$mark")" != "$dir" ]; then busy=$s_base; return 1; fi
  for p in $(wanted_ports); do
    if listening "$p"; then busy=$p; return 1; fi
  done
}
# Settles s_base; set_ports and wanted_ports are the script's.
choose_ports() {
  exec 7>"$all/ports.lock"; flock 7
  if [ "$s_base" = auto ]; then
    s_base=$default_base
    until set_ports; ports_free; do
      s_base=$((s_base + 300)) # the default bases of all brokers are less apart
      [ "$s_base" -lt 32000 ] || die "no free ports" # above begin those that clients get
    done
  else
    [[ $s_base =~ ^[0-9]+$ ]] && [ "$s_base" -ge 1024 ] && [ "$s_base" -le 65000 ] || die "bad --port-base '$s_base'"
    set_ports
    ports_free || die "port $busy is another's (try --port-base auto)"
  fi
  ln -sfn -- "$dir" "$all/ports-$s_base"
  exec 7>&-
}

# --- certificates ------------------------------------------------------------

# A CA, a server certificate (localhost) and a client certificate (CN client)
# in $dir/tls; kept while valid.
make_certificates() {
  local t=$dir/tls
  if [ -e "$t/.complete" ] && openssl x509 -checkend 86400 -noout -in "$t/server.pem" >/dev/null; then return; fi
  rm -rf -- "$t"; mkdir -m 700 -- "$t"
  (
    cd "$t"
    key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1-key.pem" 2>/dev/null; }
    key ca
    openssl req -x509 -new -key ca-key.pem -out ca.pem -days 30 -subj '/CN=test broker CA' \
      -addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
    leaf() { # file, common name, extended key usage, alternative names
      key "$1"
      openssl req -new -key "$1-key.pem" -out "$1.csr" -subj "/CN=$2" 2>/dev/null
      printf 'basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s\n' \
        "$3" "${4:+subjectAltName=$4}" >"$1.ext"
      openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 30 \
        -extfile "$1.ext" -out "$1.pem" 2>/dev/null
      rm -f -- "$1.csr" "$1.ext"
    }
    leaf server localhost serverAuth 'DNS:localhost,IP:127.0.0.1,IP:::1'
    leaf client client clientAuth
    : >.complete
  ) || die "cannot make the certificates"
}

# --- verbs -------------------------------------------------------------------

# Installs what is missing of the given packages' commands; see there.
apt_install() { "$(dirname -- "$(realpath -- "$0")")/../install-packages" "$@" || exit 1; }

# One NAME=VALUE line of `env`; all values are plain.
line() { printf '%s_%s=%s\n' "$prefix" "$1" "$2"; }
print_env() {
  line STOMP_URL "stomp://guest:guest@127.0.0.1:$stomp"
  if [ -n "$s_tls" ]; then
    line STOMPS_URL "stomps://guest:guest@localhost:$stomps"
    line CA_FILE "$dir/tls/ca.pem"
    line CLIENT_CERT_FILE "$dir/tls/client.pem"
    line CLIENT_KEY_FILE "$dir/tls/client-key.pem"
  fi
  print_own_env
  line LOG "$dir/log/broker.log"
  line DIR "$dir"
  line SCRIPT "$(realpath -- "$0")"
}

start() {
  do_start
  if [ -n "$interrupted" ]; then do_kill; check_interrupted; fi
}

# The verbs that every script has; it brings install_broker, do_start, do_stop,
# do_kill, set_ports, describe and print_own_env.
run_verb() {
  case $verb in
    install) defer_signals; install_broker ;;
    start) defer_signals; lock; start; print_env ;;
    stop) if [ -d "$dir" ]; then lock; do_stop; fi ;;
    kill) if [ -d "$dir" ]; then lock; do_kill; fi ;;
    restart) defer_signals; lock; do_stop; start; print_env ;;
    status)
      local pid
      if pid=$(alive broker) && load_settings; then
        set_ports; echo "running: pid $pid, $(describe), state in $dir"
      else echo "not running"; exit 3; fi ;;
    env) load_settings || die "it was never started in $dir"; set_ports; print_env ;;
    clean)
      if [ -d "$dir" ]; then
        lock; do_kill
        if load_settings; then rm -f -- "$all/ports-$s_base"; fi
        rm -rf --one-file-system -- "$dir"
      fi ;;
    help) usage ;;
    *) die "unknown verb '$verb' (see --help)" ;;
  esac
}
