# shellcheck shell=bash
# Starts and stops the parts of the local stack, and tells whether they are running; sourced by bin/stack.

start_time_of() { # of a process, in clock ticks since boot: with its id, the process's identity
    local stat
    local -a field
    stat=$(< "/proc/$1/stat") || return 1
    read -ra field <<< "${stat##*) }" # what follows the name: the state first, the start time twentieth
    # A process whose first thread has ended keeps its ports until the last one has.
    [[ ${field[0]} != Z || ${field[17]} != 1 ]] && printf '%s\n' "${field[19]}"
} 2> /dev/null

pid_of() {
    local pid
    [[ -s $run/$1.pid ]] || return 1
    read -r pid < "$run/$1.pid"
    [[ -n $pid && -s $run/$1.started && $(start_time_of "$pid") == "$(< "$run/$1.started")" ]] || return 1
    printf '%s\n' "$pid"
}

is_running() { pid_of "$1" > /dev/null; }

# launch NAME COMMAND…: detached, in a session of its own, as the part's user, with its output in the part's log.
launch() {
    local name=$1 user deadline pid
    shift
    user=$(run_as "$name")
    rm -f "$run/$name.pid" "$run/$name.started"
    # only one old log is kept, so that a stack that runs for months does not fill the disk
    if [[ -f $run/log/$name.log ]] && (($(stat --format=%s "$run/log/$name.log") > 16777216)); then
        mv "$run/log/$name.log" "$run/log/$name.log.old"
    fi
    local -a prefix=()
    ((EUID != 0)) || [[ $user == root ]] ||
        prefix=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups)
    # shellcheck disable=SC2016  # expanded by the shell that becomes the part
    setsid --fork sh -c 'echo $$ > "$1.new" && mv "$1.new" "$1" && shift && exec "$@"' sh "$run/$name.pid" "${prefix[@]}" "$@" \
        < /dev/null >> "$run/log/$name.log" 2>&1 9>&-
    deadline=$((SECONDS + 10))
    until [[ -s $run/$name.pid ]]; do
        ((SECONDS < deadline)) || die "$name did not start"
        sleep 0.01
    done
    read -r pid < "$run/$name.pid"
    start_time_of "$pid" > "$run/$name.started" || true
}

fail_with_log() {
    say "stack: $1"
    if [[ -s $run/log/$2.log ]]; then
        say "The last lines of $run/log/$2.log:"
        tail -n 20 "$run/log/$2.log" >&2
    fi
    exit 1
}

# wait_until_up NAME TEST…: waits until the test succeeds; says why if the part ends or time runs out.
wait_until_up() {
    local name=$1 deadline=$((SECONDS + start_timeout))
    shift
    until "$@" > /dev/null 2>&1; do
        is_running "$name" || fail_with_log "$name ended at its start" "$name"
        ((SECONDS < deadline)) || fail_with_log "$name does not answer after $start_timeout s" "$name"
        sleep 0.05
    done
}

needs_port() { # needs_port NAME PORT_NAME
    port_is_taken "${port[$2]}" || return 0
    die "port ${port[$2]}, which $1 should listen on, is taken by another program. \`bin/stack down\`, then \`bin/stack up\` chooses another one."
}

needs_program() { # needs_program PROGRAM PACKAGE
    command -v "$1" > /dev/null || die "$1 is not installed (Debian package $2). \`bin/install\` installs what is missing."
}

# stop_part NAME SIGNAL SECONDS
stop_part() {
    local name=$1 pid deadline
    if pid=$(pid_of "$name"); then
        kill -s "$2" "$pid" 2> /dev/null || true
        deadline=$((SECONDS + $3))
        while is_running "$name"; do
            if ((SECONDS >= deadline)); then
                say "stack: $name did not stop within $3 s; killing it"
                kill -s KILL "$pid" 2> /dev/null || true
                deadline=$((SECONDS + 10))
            fi
            sleep 0.02
        done
    fi
    rm -f "$run/$name.pid" "$run/$name.started"
}
