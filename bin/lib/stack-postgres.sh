# shellcheck shell=bash
# The PostgreSQL of the local stack: its cluster, the migrations, and what they leave to the installation; sourced by bin/stack.

# A killed server leaves its lock file and, for a moment, processes that prevent the next one from starting.
wait_for_the_last_of() { # wait_for_the_last_of DATA_DIRECTORY
    local pid deadline=$((SECONDS + 15)) is_there=1
    while [[ -n $is_there ]] && ((SECONDS < deadline)); do
        is_there=''
        if [[ -s $1/postmaster.pid ]]; then
            read -r pid < "$1/postmaster.pid"
            [[ ! -d /proc/$pid ]] || start_time_of "$pid" > /dev/null || is_there=1
        fi
        ! grep --quiet --line-regexp --fixed-strings -- "$1" < <(readlink /proc/[0-9]*/cwd 2> /dev/null) || is_there=1
        [[ -z $is_there ]] || sleep 0.1
    done
}

start_postgres() {
    local data=$place/postgres user
    find_postgres
    user=$(run_as postgres)
    [[ -f $data/PG_VERSION ]] || say "stack: making a PostgreSQL cluster in $data"
    if [[ ! -f $data/PG_VERSION && -n ${TOPICBASE_TEMPLATE:-} ]]; then
        local template_place=$TOPICBASE_TEMPLATE
        [[ ! -f $TOPICBASE_TEMPLATE/place ]] || template_place=$(< "$TOPICBASE_TEMPLATE/place")
        cp --archive "$template_place/postgres" "$data"
    elif [[ ! -f $data/PG_VERSION ]]; then
        rm -rf "$data"
        mkdir -m 700 "$data"
        own "$user" "$data"
        private_file "$place/superuser" "$user" "${secret[SUPERUSER_PASSWORD]}"
        (cd / && as "$user" "$pg_bin/initdb" --pgdata="$data" --username=postgres --pwfile="$place/superuser" \
            --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums) > "$run/log/initdb.log" 2>&1 ||
            fail_with_log "initdb failed" initdb
        rm -f "$place/superuser"
    fi
    wait_for_the_last_of "$data"
    needs_port postgres PG
    pg_socket_dir=$(socket_dir)
    if [[ -n $pg_socket_dir ]]; then
        mkdir -p "$pg_socket_dir"
        own "$user" "$pg_socket_dir"
    fi
    template=([PG_PORT]=${port[PG]} [PG_SOCKET_DIR]=$pg_socket_dir [PG_PRELOAD]=${TOPICBASE_PG_PRELOAD-pg_stat_statements})
    render postgresql.conf > "$data/topicbase.conf"
    [[ -z ${TOPICBASE_PG_CONF:-} ]] || cat "$TOPICBASE_PG_CONF" >> "$data/topicbase.conf"
    render pg_hba.conf > "$data/pg_hba.conf"
    own "$user" "$data/topicbase.conf" "$data/pg_hba.conf"
    grep -qx "include 'topicbase.conf'" "$data/postgresql.conf" || printf "include 'topicbase.conf'\n" >> "$data/postgresql.conf"
    # PL/Python takes its packages from the first python3 on PATH, which must be the system's, whatever the caller has active.
    (
        cd /
        unset "${!PG@}" VIRTUAL_ENV PYTHONHOME
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        launch postgres "$pg_bin/postgres" -D "$data"
    )
    wait_until_up postgres superuser_psql --dbname=postgres --command='SELECT'
}

# A unix socket's path has at most 107 bytes; with a longer run directory, only TCP is used.
socket_dir() {
    local dir=$place/socket
    ((${#dir} + 16 > 107)) || [[ $dir == *[\'\"%\ ?\&]* ]] || printf '%s\n' "$dir"
}

# Apply the migrations; sets `migrated` if that changed anything.
migrated=''
migrate() {
    local before after exists
    exists=$(superuser_psql --dbname=postgres --tuples-only --no-align \
        --command="SELECT 1 FROM pg_database WHERE datname = '$database'")
    [[ -n $exists ]] || superuser_psql --dbname=postgres --command="CREATE DATABASE $database"
    before=$(deployed_changes)
    [[ -n $before ]] || say "stack: applying the migrations"
    if ! run_sqitch deploy --verify > "$run/log/sqitch.log" 2>&1; then
        say "stack: the migrations failed:"
        sed '/^Reverting/,$d' "$run/log/sqitch.log" | tail -n 12 >&2
        say "The full log is $run/log/sqitch.log. If the plan or a script that this database already has was edited, start over with"
        say "\`bin/stack down --clean\`, which deletes its data (\`bin/apply\` re-runs the script of a function without that)."
        exit 1
    fi
    after=$(deployed_changes)
    [[ $before == "$after" ]] || migrated=1
    name_differences
}

# How the database differs from this checkout, in the words of `topicbase doctor`.
readonly differences='
import json, sys
from bridge import shipped

facts = json.load(sys.stdin)
for what, found in (
    ("has other versions of {} script{}, and keeps them", shipped.altered(facts["changes"])),
    ("has {} function{} that are not as in this checkout", shipped.differences(facts["functions"])),
):
    if found:
        words = what.format(len(found), "s" if len(found) > 1 else "")
        print(f"stack: this database {words}: " + ", ".join(found[:10]) + (", …" if len(found) > 10 else ""))
'

# sqitch looks at names only: it neither runs a script again that was edited after its deploy, nor mends a function that was changed or
# dropped by hand.
name_differences() {
    local facts found
    [[ -f $root/bridge/shipped.py ]] || return 0
    if ! facts=$(superuser_psql --tuples-only --no-align \
        --command="SELECT jsonb_build_object('changes', mqtt.deployed_changes(), 'functions', mqtt.present_functions())"); then
        say "stack: so this database cannot be compared with this checkout; \`bin/apply bridge/diagnose\` makes what that needs."
        return 0
    fi
    found=$(cd "$root" && PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -c "$differences" <<< "$facts")
    [[ -n $found ]] || return 0
    say "$found"
    say "\`bin/apply NAME\` runs the script of a function or view again, DROP FUNCTION removes what is left over;"
    say "\`make clean up\` deploys everything, and deletes the data."
}

deployed_changes() {
    superuser_psql --tuples-only --no-align << 'SQL'
SELECT to_regclass('sqitch.changes') IS NOT NULL AS is_deployed \gset
\if :is_deployed
SELECT count(*), max(committed_at) FROM sqitch.changes;
\endif
SQL
}

run_sqitch() {
    find_pgmq_sql
    (cd "$root" && use_superuser && exec sqitch "$@" --target "db:pg://postgres@127.0.0.1:${port[PG]}/$database")
}

# The key pair that broker passwords are sealed with: the private key for the bridge alone, the public key for the database.
make_sealing_key() {
    local dir=$place/bridge user
    [[ -f $root/bridge/__main__.py && ! -f $dir/private.key ]] || return 0
    user=$(run_as bridge)
    mkdir -p "$dir"
    chmod 700 "$dir"
    (cd "$root" && .venv/bin/python -m bridge keygen "$dir/private.key" 2> /dev/null) > "$run/sealing_public_key"
    own "$user" "$dir" "$dir/private.key"
}

# What the migrations leave to the installation: passwords of the login roles, and its own settings.
configure_database() {
    {
        if [[ -s $run/sealing_public_key ]]; then
            printf "UPDATE mqtt.configuration SET sealing_public_key = decode('%s', 'base64');\n" "$(< "$run/sealing_public_key")"
        fi
        printf 'SET pg_stat_statements.track_utility = off;\n'
        printf 'SET log_statement = none;\nSET log_min_duration_statement = -1;\nSET log_duration = off;\n'
        printf 'SET log_min_error_statement = panic;\n'
        printf "ALTER ROLE authenticator LOGIN PASSWORD '%s';\n" "${secret[AUTHENTICATOR_PASSWORD]}"
        printf "ALTER ROLE mqtt_bridge LOGIN PASSWORD '%s';\n" "${secret[MQTT_BRIDGE_PASSWORD]}"
        printf "ALTER ROLE topicbase_stream LOGIN PASSWORD '%s';\n" "${secret[STREAM_PASSWORD]}"
        printf "UPDATE mqtt.configuration SET hosted_broker_url = 'mqtt://127.0.0.1:%s', allow_private_addresses = true\n" "${port[MQTT]}"
        printf "WHERE (hosted_broker_url, allow_private_addresses) IS DISTINCT FROM ('mqtt://127.0.0.1:%s', true);\n" "${port[MQTT]}"
        cat "$root/packaging/restrict-public.sql"
    } | superuser_psql --file=- > /dev/null
    rm -f "$run/sealing_public_key"
}
