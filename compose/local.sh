# shellcheck shell=sh
# The private stack on loopback: Kafka, PostgreSQL, Weir's schema registry, Prometheus, and the workers. Sourced after lib.sh and deps.sh.
# Everything of a stack is below $STACK: run/ (pids), log/, and a folder a service.

SERVICES="kafka postgres registry prometheus alertmanager weir"

# Addresses and what the program is told of them; called again when the ports change (the tests' stack).
stack_settings() {
    : "${WEIR_KAFKA_PORT:=19092}" "${WEIR_KAFKA_CONTROLLER_PORT:=19093}" "${WEIR_PG_PORT:=15432}" "${WEIR_REGISTRY_PORT:=18081}"
    : "${WEIR_PROMETHEUS_PORT:=19090}" "${WEIR_ALERTMANAGER_PORT:=19094}" "${WEIR_HTTP_PORT:=18400}"
    WEIR_BROKERS=127.0.0.1:$WEIR_KAFKA_PORT
    WEIR_PG_URL=postgresql://weir@127.0.0.1:$WEIR_PG_PORT/weir
    WEIR_REGISTRY_URL=http://127.0.0.1:$WEIR_REGISTRY_PORT
    WEIR_PROMETHEUS_URL=http://127.0.0.1:$WEIR_PROMETHEUS_PORT
    WEIR_STATE_DIR=$STACK/state
    WEIR_OBJECTS_DIR=$STACK/objects
    export WEIR_BROKERS WEIR_PG_URL WEIR_REGISTRY_URL WEIR_PROMETHEUS_URL WEIR_STATE_DIR WEIR_OBJECTS_DIR WEIR_HTTP_PORT
    # OpenMP threads that spin while they wait starve the broker on a small machine.
    export OMP_WAIT_POLICY=passive
}

answers_kafka() { kcat -L -m 2 -b "$(service_address kafka)"; }
answers_postgres() {
    pg_address=$(service_address postgres)
    "$PG_BIN/pg_isready" -q -U weir -d postgres -h "${pg_address%:*}" -p "${pg_address#*:}"
}
answers_registry() { curl -fsS -m 2 "http://$(service_address registry)/subjects"; }
answers_prometheus() { curl -fsS -m 2 "http://$(service_address prometheus)/-/ready"; }
answers_alertmanager() { curl -fsS -m 2 "http://$(service_address alertmanager)/-/ready"; }
answers_weir() { curl -fsS -m 2 "http://$(service_address weir)/readyz"; }

launch_kafka() {
    need_port kafka "$WEIR_KAFKA_PORT" WEIR_KAFKA_PORT
    need_port "kafka's controller" "$WEIR_KAFKA_CONTROLLER_PORT" WEIR_KAFKA_CONTROLLER_PORT
    mkdir -p "$STACK/kafka"
    cat >"$STACK/kafka/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$WEIR_KAFKA_CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$WEIR_KAFKA_PORT,CONTROLLER://127.0.0.1:$WEIR_KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$WEIR_KAFKA_PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$STACK/kafka/data
log.retention.ms=-1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
END
    if [ ! -e "$STACK/kafka/data/meta.properties" ]; then
        rm -rf "$STACK/kafka/data"
        kafka_tool kafka.tools.StorageTool format -t "$(cat /proc/sys/kernel/random/uuid)" -c "$STACK/kafka/server.properties" >>"$STACK/log/kafka.log" 2>&1 ||
            die "kafka's storage could not be formatted; see $STACK/log/kafka.log"
    fi
    start_process kafka "$WEIR_BROKERS" "$JAVA" -Xms256m -Xmx768m -XX:+ExitOnOutOfMemoryError "-Dlog4j2.configurationFile=$ROOT/compose/log4j2.properties" \
        -cp "$KAFKA_DIR/*" kafka.Kafka "$STACK/kafka/server.properties"
}
kafka_tool() { "$JAVA" -Xmx256m "-Dlog4j2.configurationFile=$ROOT/compose/log4j2.properties" -cp "$KAFKA_DIR/*" "$@"; }
settle_kafka() { wait_ready kafka 60 answers_kafka; }

# PostgreSQL refuses to run as root: root hands it to the user postgres, who may not be able to reach $STACK (a home folder, say).
postgres_folder() {
    PG_DATA=$STACK/pg AS_POSTGRES=
    mkdir -p "$PG_DATA"
    [ "$(id -u)" = 0 ] || return 0
    id postgres >/dev/null 2>&1 || die "PostgreSQL may not run as root and there is no user postgres; run ./run as another user"
    AS_POSTGRES="setpriv --reuid postgres --regid postgres --init-groups"
    chown postgres: "$PG_DATA"
    $AS_POSTGRES test -w "$PG_DATA" && return 0
    rmdir "$PG_DATA" 2>/dev/null
    PG_DATA=/var/lib/postgresql/weir-$(printf '%s' "$STACK" | sha256sum | cut -c1-12)
    # Without the note this is a new stack, and what is there belongs to one whose folder was deleted.
    if [ ! -e "$STACK/pg.elsewhere" ]; then
        say "The user postgres cannot reach $STACK: the database goes to $PG_DATA"
        rm -rf "$PG_DATA"
        printf '%s\n' "$PG_DATA" >"$STACK/pg.elsewhere"
    fi
    mkdir -p "$PG_DATA"
    chown postgres: "$PG_DATA"
}

launch_postgres() {
    need_port postgres "$WEIR_PG_PORT" WEIR_PG_PORT
    postgres_folder
    cd / || return 1 # the user postgres may not be allowed to stand where we are
    if [ ! -e "$PG_DATA/ready" ]; then
        rm -rf "$PG_DATA/cluster"
        # shellcheck disable=SC2086 # AS_POSTGRES is a command prefix or nothing
        $AS_POSTGRES "$PG_BIN/initdb" -D "$PG_DATA/cluster" -U weir -A trust -E UTF8 --locale=C.UTF-8 --no-instructions >>"$STACK/log/postgres.log" 2>&1 ||
            die "the database cluster could not be made; see $STACK/log/postgres.log"
        touch "$PG_DATA/ready"
    fi
    # After kill -9 of the server its children need a moment to notice, and it cannot start before they have left; its lock file then means nothing,
    # even if a container's init has not yet buried the pid in it.
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -n "$(find /proc/[0-9]*/cwd -lname "$PG_DATA/cluster" 2>/dev/null)" ] || break
        sleep 0.5
    done
    [ -n "$(find /proc/[0-9]*/cwd -lname "$PG_DATA/cluster" 2>/dev/null)" ] || rm -f "$PG_DATA/cluster/postmaster.pid"
    # TCP on loopback only: the path of a socket file would be too long below some folders.
    # shellcheck disable=SC2086 # AS_POSTGRES is a command prefix or nothing
    start_process postgres "127.0.0.1:$WEIR_PG_PORT" $AS_POSTGRES "$PG_BIN/postgres" -D "$PG_DATA/cluster" -p "$WEIR_PG_PORT" -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories= -c shared_buffers=256MB -c max_wal_size=2GB -c checkpoint_timeout=15min -c jit=off -c timezone=UTC -c log_line_prefix='%m [%p] '
    cd "$ROOT" || return 1
}
settle_postgres() {
    wait_ready postgres 60 answers_postgres
    PGCONNECT_TIMEOUT=5 "$PG_BIN/psql" -qXAt -h 127.0.0.1 -p "$WEIR_PG_PORT" -U weir -d postgres -v ON_ERROR_STOP=1 >/dev/null 2>>"$STACK/log/postgres.log" <<'END' ||
SELECT 'CREATE DATABASE weir' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'weir') \gexec
END
        die "the database weir could not be made; see $STACK/log/postgres.log"
}

launch_registry() {
    need_port "the schema registry" "$WEIR_REGISTRY_PORT" WEIR_REGISTRY_PORT
    "$WEIR" migrate >>"$STACK/log/registry.log" 2>&1 || die "the database schema could not be brought up to date; see $STACK/log/registry.log"
    start_process registry "127.0.0.1:$WEIR_REGISTRY_PORT" "$WEIR" schema-registry --port "$WEIR_REGISTRY_PORT"
}
settle_registry() { wait_ready registry 30 answers_registry; }

launch_prometheus() {
    need_port prometheus "$WEIR_PROMETHEUS_PORT" WEIR_PROMETHEUS_PORT
    mkdir -p "$STACK/prometheus/targets"
    cp "$ROOT/monitoring/prometheus.yml" "$ROOT/monitoring/alerts.yml" "$STACK/prometheus/"
    cat >"$STACK/prometheus/targets/weir.yml" <<END
- targets: ["127.0.0.1:$WEIR_HTTP_PORT"]
- targets: ["127.0.0.1:$WEIR_REGISTRY_PORT"]
END
    start_process prometheus "127.0.0.1:$WEIR_PROMETHEUS_PORT" prometheus "--config.file=$STACK/prometheus/prometheus.yml" "--storage.tsdb.path=$STACK/prometheus/data" \
        "--web.listen-address=127.0.0.1:$WEIR_PROMETHEUS_PORT" --log.level=warn
}
settle_prometheus() { wait_ready prometheus 60 answers_prometheus; }

# Prometheus finds it by a file, whether it starts before or after.
launch_alertmanager() {
    need_port alertmanager "$WEIR_ALERTMANAGER_PORT" WEIR_ALERTMANAGER_PORT
    mkdir -p "$STACK/alertmanager" "$STACK/prometheus/alertmanagers"
    cp "$ROOT/monitoring/alertmanager.yml" "$STACK/alertmanager/"
    [ -z "${WEIR_ALERT_WEBHOOK:-}" ] || cat >>"$STACK/alertmanager/alertmanager.yml" <<END
    webhook_configs:
      - url: "$WEIR_ALERT_WEBHOOK"
END
    printf -- '- targets: ["127.0.0.1:%s"]\n' "$WEIR_ALERTMANAGER_PORT" >"$STACK/prometheus/alertmanagers/weir.yml"
    start_process alertmanager "127.0.0.1:$WEIR_ALERTMANAGER_PORT" prometheus-alertmanager "--config.file=$STACK/alertmanager/alertmanager.yml" \
        "--storage.path=$STACK/alertmanager/data" "--web.listen-address=127.0.0.1:$WEIR_ALERTMANAGER_PORT" --cluster.listen-address= --log.level=warn
}
settle_alertmanager() { wait_ready alertmanager 60 answers_alertmanager; }

launch_weir() {
    need_port "weir's HTTP API" "$WEIR_HTTP_PORT" WEIR_HTTP_PORT
    mkdir -p "$WEIR_STATE_DIR" "$WEIR_OBJECTS_DIR"
    start_process weir "127.0.0.1:$WEIR_HTTP_PORT" "$WEIR" run "${WEIR_RUN_PIPELINE:-fraud}"
}
settle_weir() { wait_ready weir 60 answers_weir; }

wanted_address() {
    case $1 in
    kafka) say "127.0.0.1:$WEIR_KAFKA_PORT" ;;
    postgres) say "127.0.0.1:$WEIR_PG_PORT" ;;
    registry) say "127.0.0.1:$WEIR_REGISTRY_PORT" ;;
    prometheus) say "127.0.0.1:$WEIR_PROMETHEUS_PORT" ;;
    alertmanager) say "127.0.0.1:$WEIR_ALERTMANAGER_PORT" ;;
    weir) say "127.0.0.1:$WEIR_HTTP_PORT" ;;
    *) usage_error "there is no service '$1'; there are: $SERVICES" ;;
    esac
}

# stack_up SERVICE…: starts what does not run yet. All are launched before the first is waited for, except that the registry needs the database.
# STARTED lists what this call began, newest first, for cleaning up after a failure.
STARTED=
stack_up() {
    mkdir -p "$STACK/run" "$STACK/log"
    launched=
    for service in "$@"; do
        if service_pid "$service" >/dev/null; then
            [ "$(service_address "$service")" = "$(wanted_address "$service")" ] && continue
            stack_down "$service"
        fi
        if [ "$service" = registry ] || [ "$service" = weir ]; then settle_launched; fi
        STARTED="$service $STARTED"
        "launch_$service"
        launched="$launched $service"
    done
    settle_launched
    for service in "$@"; do
        "answers_$service" >/dev/null 2>&1 || "settle_$service"
    done
}
settle_launched() {
    for settling in $launched; do "settle_$settling"; done
    launched=
}

# stack_down SERVICE…: in the order given.
stack_down() {
    for stopping in "$@"; do
        case $stopping in
        postgres) stop_process postgres INT 30 ;; # INT: "fast", does not wait for clients to leave
        alertmanager)
            rm -f "$STACK/prometheus/alertmanagers/weir.yml"
            stop_process alertmanager TERM 20
            ;;
        weir) stop_process weir TERM 30 ;;
        *) stop_process "$stopping" TERM 20 ;;
        esac
    done
}

# stack_status SERVICE…: a table; fails when one of them does not run.
stack_status() {
    status_rc=0
    printf '%-12s %-14s %8s  %s\n' service state pid address
    for service in "$@"; do
        if pid=$(service_pid "$service"); then
            state=running
            "answers_$service" >/dev/null 2>&1 || state="not answering"
        else
            state=stopped pid=-
        fi
        [ "$state" = running ] || status_rc=1
        address=$(service_address "$service") || address=$(wanted_address "$service")
        printf '%-12s %-14s %8s  %s\n' "$service" "$state" "$pid" "$address"
    done
    return "$status_rc"
}
