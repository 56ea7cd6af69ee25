# shellcheck shell=sh
# Helpers of ./run: messages, waiting, processes that outlive the shell. Sourced; POSIX sh.

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "run: $*" >&2; }
# Used wrongly: 2; something it depends on failed: 3.
usage_error() { warn "$*"; exit 2; }
die() { warn "$*"; exit 3; }
has() { command -v "$1" >/dev/null 2>&1; }

# Runs a long command so that SIGTERM to this shell reaches it at once: a shell handles a trap only between commands, but `wait` is interruptible.
CHILD=
foreground() {
    "$@" &
    CHILD=$!
    foreground_rc=0
    wait "$CHILD" || foreground_rc=$?
    CHILD=
    return "$foreground_rc"
}

# Ends process $1 and all its descendants.
kill_tree() {
    # shellcheck disable=SC2013 # words are what is wanted
    for kill_child in $(cat "/proc/$1/task"/*/children 2>/dev/null); do kill_tree "$kill_child"; done
    kill -TERM "$1" 2>/dev/null
}

# Like foreground, its output kept in log $2 and shown only when it fails. $1 says what is being done.
quietly() {
    quietly_what=$1 quietly_log=$2
    shift 2
    say "$quietly_what"
    foreground "$@" >"$quietly_log" 2>&1 && return 0
    tail -n 25 "$quietly_log" >&2
    die "$quietly_what failed; all it said is in $quietly_log"
}

# A process is known by its pid and the time it started, so that a pid that the system gave to somebody else is never taken for ours.
process_birth() {
    # Field 22 of stat, counted after the command name, which may hold blanks and parentheses.
    birth=$(sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1,20)
    case $birth in '' | Z* | X*) return 1 ;; esac
    printf '%s@%s\n' "${birth#* }" "$(cat /proc/sys/kernel/random/boot_id)"
}

# service_note NAME PID ADDRESS: remembers a service.   service_pid NAME: prints its pid when it lives.   service_address NAME: where it was told to listen.
service_note() {
    note_birth=$(process_birth "$2") || return 1
    printf '%s %s %s\n' "$2" "$note_birth" "$3" >"$STACK/run/$1.pid.new"
    mv "$STACK/run/$1.pid.new" "$STACK/run/$1.pid"
}
service_pid() {
    [ -r "$STACK/run/$1.pid" ] || return 1
    read -r noted_pid noted_birth _ <"$STACK/run/$1.pid" || return 1
    [ "$(process_birth "$noted_pid")" = "$noted_birth" ] || return 1
    printf '%s\n' "$noted_pid"
}
service_address() {
    [ -r "$STACK/run/$1.pid" ] && cut -d' ' -f3 "$STACK/run/$1.pid"
}

# Who listens on TCP port $1: prints "name (pid N)", or "another program" when that cannot be seen. Fails when the port is free.
port_owner() {
    inode=$(awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10; exit }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    [ -n "$inode" ] || return 1
    owner=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | head -n 1 | cut -d/ -f3)
    if [ -n "$owner" ]; then
        say "$(cat "/proc/$owner/comm" 2>/dev/null) (pid $owner)"
    else
        say "another program"
    fi
}

# need_port SERVICE PORT VARIABLE
need_port() {
    case $2 in '' | *[!0-9]*) usage_error "$3 must be a port number, not '$2'" ;; esac
    { [ "$2" -ge 1 ] && [ "$2" -le 65535 ]; } || usage_error "$3 must be a port from 1 to 65535, not $2"
    taker=$(port_owner "$2") || return 0
    die "port $2, which $1 needs, is taken by $taker: stop that, or set $3 to a free port"
}

# start_process NAME ADDRESS COMMAND…: in a session of its own, so that Ctrl-C stops services in order rather than all at once; output to the log.
start_process() {
    start_name=$1 start_address=$2
    shift 2
    # 9 is the lock: a service that inherited it would hold it for ever.
    setsid "$@" >>"$STACK/log/$start_name.log" 2>&1 </dev/null 9>&- &
    service_note "$start_name" $! "$start_address" || die "$start_name did not start; see $STACK/log/$start_name.log"
}

# wait_ready NAME SECONDS COMMAND…: until COMMAND succeeds, the process dies, or the time is over.
wait_ready() {
    ready_name=$1 ready_until=$(($(date +%s) + $2)) ready_s=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        service_pid "$ready_name" >/dev/null || die "$ready_name stopped while it was starting; see $STACK/log/$ready_name.log"
        [ "$(date +%s)" -lt "$ready_until" ] || die "$ready_name did not answer within $ready_s s; see $STACK/log/$ready_name.log"
        sleep 0.2
    done
}

# stop_process NAME SIGNAL SECONDS: SIGNAL, then SIGKILL after the deadline.
stop_process() {
    stop_pid=$(service_pid "$1") || { rm -f "$STACK/run/$1.pid"; return 0; }
    kill "-$2" "$stop_pid" 2>/dev/null
    stop_tries=$(($3 * 10))
    while service_pid "$1" >/dev/null && [ "$stop_tries" -gt 0 ]; do
        stop_tries=$((stop_tries - 1))
        sleep 0.1
    done
    if service_pid "$1" >/dev/null; then
        warn "$1 did not stop within $3 s; killing it (pid $stop_pid)"
        kill -KILL "$stop_pid" 2>/dev/null
        sleep 0.2
    fi
    rm -f "$STACK/run/$1.pid"
}

# One ./run at a time may change a stack. The lock goes with the shell.
lock_stack() {
    mkdir -p "$STACK/run" "$STACK/log"
    exec 9>"$STACK/run/lock"
    flock -w 120 9 || die "another ./run has been busy with $STACK for two minutes; wait for it to end"
}
unlock_stack() { exec 9>&-; }
