# shellcheck shell=bash
# The other parts of the local stack: Mosquitto, PostgREST, the gateway, the bridge; sourced by bin/stack.

# Mosquitto's access file with the bridge's own account, whose password it reads.
readonly first_access='
from bridge import mosquitto
print("topicbase-access\t1\t20000\t67108864\t\n" + mosquitto.account_line("topicbase_bridge", input()) + mosquitto.LAST_LINE, end="")
'

start_mosquitto() {
    local dir=$place/mosquitto user
    needs_program mosquitto mosquitto
    [[ -n $(command -v cc) ]] || needs_program "${CC:-tcc}" "tcc libc6-dev"
    user=$(run_as mosquitto)
    mkdir -p "$dir/data"
    "$root/bin/mosquitto-plugin" "$dir/topicbase.so" > /dev/null
    # The bridge keeps it in step with the database; before its first run it holds only its own account.
    if [[ ! -s $dir/access ]]; then
        private_file "$dir/access" "$user" "$(printf '%s\n' "${secret[BROKER_PASSWORD]}" | (cd "$root" && .venv/bin/python -c "$first_access"))"
    fi
    own "$user" "$dir" "$dir/data"
    needs_port mosquitto MQTT
    needs_port mosquitto MQTT_WS
    template=(
        [MQTT_PORT]=${port[MQTT]} [MQTT_WS_PORT]=${port[MQTT_WS]} [MOSQUITTO_USER]=$user [MOSQUITTO_DATA_DIR]=$dir/data [MOSQUITTO_PLUGIN]=$dir/topicbase.so [MOSQUITTO_ACCESS_FILE]=$dir/access
        [MOSQUITTO_SESSIONS_FILE]=$dir/sessions
    )
    render mosquitto.conf > "$dir/mosquitto.conf"
    launch mosquitto "$(command -v mosquitto)" -c "$dir/mosquitto.conf"
    wait_until_up mosquitto port_is_taken "${port[MQTT]}"
    wait_until_up mosquitto port_is_taken "${port[MQTT_WS]}"
}

start_postgrest() {
    local program configuration dir=$place/postgrest
    program=$(postgrest_program)
    [[ -x $program ]] || die "PostgREST is not at $program. \`bin/install\` installs it; POSTGREST names another one."
    needs_port postgrest API
    needs_port postgrest API_ADMIN
    mkdir -p "$dir"
    pg_socket_dir=$(socket_dir)
    template=(
        [DATABASE]=$database [AUTHENTICATOR_PASSWORD]=${secret[AUTHENTICATOR_PASSWORD]} [JWT_SECRET]=${secret[JWT_SECRET]}
        [JWT_AUDIENCE]=$jwt_audience [API_PORT]=${port[API]} [API_ADMIN_PORT]=${port[API_ADMIN]}
    )
    if [[ -n $pg_socket_dir ]]; then
        template+=([PG_URI_HOST]='' [PG_URI_QUERY]="?host=$pg_socket_dir&port=${port[PG]}")
    else
        template+=([PG_URI_HOST]="127.0.0.1:${port[PG]}" [PG_URI_QUERY]='')
    fi
    configuration=$(render postgrest.conf)
    private_file "$dir/postgrest.conf" "$(run_as postgrest)" "$configuration"
    launch_postgrest postgrest
    wait_until_up postgrest http_answers 200 "http://127.0.0.1:${port[API_ADMIN]}/ready"
    wait_until_up postgrest http_answers 200 "http://127.0.0.1:${port[API]}/"
}

launch_postgrest() { # launch_postgrest NAME [SETTING…]
    local name=$1 cores
    shift
    # By default its garbage collector runs after every 4 MiB per core, several times while it reads one large body.
    cores=$(nproc)
    (
        cd /
        unset "${!PG@}" "${!PGRST@}"
        export GHCRTS="${GHCRTS--A$((cores < 32 ? 128 / cores : 4))m}" "$@"
        launch "$name" "$(postgrest_program)" "$place/postgrest/postgrest.conf"
    )
}

# The same for devices and brokers behind the gateway: with connections of its own, which no member's query holds.
start_intake() {
    [[ -s $place/postgrest/postgrest.conf ]] || die "the intake has the API's configuration: start postgrest first"
    needs_port intake INTAKE
    needs_port intake INTAKE_ADMIN
    launch_postgrest intake PGRST_SERVER_PORT="${port[INTAKE]}" PGRST_ADMIN_SERVER_PORT="${port[INTAKE_ADMIN]}" PGRST_DB_POOL=10
    wait_until_up intake http_answers 200 "http://127.0.0.1:${port[INTAKE_ADMIN]}/ready"
}

http_answers() { # http_answers STATUS URL
    [[ $(curl --silent --noproxy '*' --output /dev/null --max-time 5 --write-out '%{http_code}' "$2") == "$1" ]]
}

start_gateway() {
    local dir=$place/gateway
    needs_program nginx nginx-light
    needs_port gateway GATEWAY
    mkdir -p "$dir"
    own "$(run_as gateway)" "$dir"
    template=([GATEWAY_DIR]=$dir [GATEWAY_PORT]=${port[GATEWAY]} [API_PORT]=${port[API]} [INTAKE_PORT]=${port[INTAKE]} [STREAM_PORT]=${port[STREAM]} [CONSOLE_DIR]=$root/console [IDENTITY_PROVIDER]='')
    # The gateway's user may be unable to reach the checkout.
    if ((EUID == 0)) && ! as "$(run_as gateway)" test -r "$root/console/index.html"; then
        rm -rf "$dir/console"
        cp --recursive "$root/console" "$dir/console"
        template[CONSOLE_DIR]=$dir/console
    fi
    render nginx.conf > "$dir/nginx.conf"
    render nginx-headers.conf > "$dir/headers.conf"
    render nginx-device.conf > "$dir/device.conf"
    render nginx-document.conf > "$dir/document.conf"
    render nginx-answers.conf > "$dir/answers.conf"
    echo '{}' > "$dir/console.json"
    launch gateway "$(command -v nginx)" -e stderr -p "$dir" -c "$dir/nginx.conf"
    wait_until_up gateway http_answers 200 "http://127.0.0.1:${port[GATEWAY]}/healthz"
}

# The bridge's settings, for itself and for `topicbase`.
use_bridge() {
    local dir=$place/bridge
    unset "${!PG@}"
    pg_socket_dir=$(socket_dir)
    export PGHOST=${pg_socket_dir:-127.0.0.1} PGPORT=${port[PG]} PGUSER=mqtt_bridge PGDATABASE=$database PGPASSFILE=$dir/pgpass
    export TOPICBASE_HOSTED_BROKER_URL=mqtt://127.0.0.1:${port[MQTT]}
    export TOPICBASE_HOSTED_BROKER_USERNAME=topicbase_bridge
    export TOPICBASE_HOSTED_BROKER_PASSWORD_FILE=$dir/broker-password
    export TOPICBASE_MOSQUITTO_ACCESS_FILE=$place/mosquitto/access TOPICBASE_MOSQUITTO_SESSIONS_FILE=$place/mosquitto/sessions
    export TOPICBASE_METRICS_ADDRESS=127.0.0.1:${port[METRICS]}
    export TOPICBASE_PRIVATE_KEY_FILE=$dir/private.key
    export TOPICBASE_ALLOW_PRIVATE_ADDRESSES=1
}

# The bridge's commands with its settings; the others with a token of the demo's admin, or of the service where only that may.
command_topicbase() {
    local role=authenticated
    [[ ! -f $run/place ]] || place=$(< "$run/place")
    [[ -s $run/demo && -s $run/jwt-secret && -s $place/bridge/pgpass ]] || die "the stack was never started here: run make up"
    load_ports
    export TOPICBASE_API_URL=http://127.0.0.1:${port[API]} TOPICBASE_STREAM_URL=http://127.0.0.1:${port[GATEWAY]}/stream TOPICBASE_JWT_SECRET_FILE=$run/jwt-secret TOPICBASE_JWT_AUDIENCE=$jwt_audience
    case ${1:-} in
        run | status | doctor | keygen | reseal)
            use_bridge
            export TOPICBASE_STACK=bin/stack # for what doctor says
            ;;
        operators) use_superuser ;;
        '' | --* | token) [[ ${2:-} != show ]] || set_token authenticated ;;
        *)
            [[ "${1:-} ${2:-}" != org\ @(add|limit) ]] || role=service_role
            set_token "$role"
            ;;
    esac
    PYTHONDONTWRITEBYTECODE=1 exec "$root/.venv/bin/topicbase" "$@"
}

set_token() { # set_token ROLE, unless the caller has one
    if [[ -z ${TOPICBASE_TOKEN:-}${TOPICBASE_TOKEN_FILE:-} ]]; then
        require_demo_user
        TOPICBASE_TOKEN=$("$root/.venv/bin/topicbase" token add --role "$1" --user "$demo_user_id")
    fi
    export TOPICBASE_TOKEN
}

start_bridge() {
    local dir=$place/bridge user
    if [[ ! -f $root/bridge/__main__.py ]]; then
        say "stack: there is no bridge/ in this checkout; continuing without the bridge"
        return
    fi
    needs_port bridge METRICS
    user=$(run_as bridge)
    mkdir -p "$dir"
    chmod 700 "$dir"
    own "$user" "$dir"
    [[ ! -f $dir/private.key ]] || own "$user" "$dir/private.key"
    private_file "$dir/pgpass" "$user" "*:${port[PG]}:*:mqtt_bridge:${secret[MQTT_BRIDGE_PASSWORD]}"
    private_file "$dir/broker-password" "$user" "${secret[BROKER_PASSWORD]}"
    (
        cd "$root"
        use_bridge
        export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=$dir
        launch bridge "$root/.venv/bin/python" -m bridge run
    )
    wait_until_up bridge http_answers 200 "http://127.0.0.1:${port[METRICS]}/readyz"
}

start_stream() {
    local dir=$place/stream user
    needs_port stream STREAM
    user=$(run_as stream)
    mkdir -p "$dir"
    chmod 700 "$dir"
    own "$user" "$dir"
    private_file "$dir/pgpass" "$user" "*:${port[PG]}:*:topicbase_stream:${secret[STREAM_PASSWORD]}"
    private_file "$dir/jwt-secret" "$user" "${secret[JWT_SECRET]}"
    (
        cd "$root"
        unset "${!PG@}"
        pg_socket_dir=$(socket_dir)
        export PGHOST=${pg_socket_dir:-127.0.0.1} PGPORT=${port[PG]} PGUSER=topicbase_stream PGDATABASE=$database PGPASSFILE=$dir/pgpass
        export TOPICBASE_STREAM_ADDRESS=127.0.0.1:${port[STREAM]} TOPICBASE_JWT_SECRET_FILE=$dir/jwt-secret TOPICBASE_JWT_AUDIENCE=$jwt_audience
        export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=$dir
        ulimit -n "$(ulimit -Hn)" # for as many connections
        launch stream "$root/.venv/bin/python" -m bridge stream
    )
    wait_until_up stream http_answers 200 "http://127.0.0.1:${port[STREAM]}/healthz"
}

stop_postgres() { stop_part postgres INT 30; }
stop_mosquitto() { stop_part mosquitto TERM 10; }
stop_postgrest() { stop_part postgrest TERM 10; }
stop_intake() { stop_part intake TERM 10; }
stop_gateway() { stop_part gateway TERM 10; }
stop_stream() { stop_part stream TERM 15; }
stop_bridge() { stop_part bridge TERM 15; }
