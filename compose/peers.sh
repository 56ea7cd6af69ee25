# shellcheck shell=sh
# Comparisons with other programs, installed on demand below .weir/peer-tools. Sourced after checks.sh.

PEERS_DIR=$ROOT/.weir/peer-tools # separate_stack makes .weir/peers anew

# python_peer NAME: an environment with tests/peers/NAME's requirements, made once.
python_peer() {
    peer_wanted=$(sha256sum <"$ROOT/tests/peers/$1/requirements.txt")
    [ "$(cat "$PEERS_DIR/$2/.made" 2>/dev/null)" = "$peer_wanted" ] && return 0
    quietly "Installing $2" "$ROOT/.weir/log/peer-$2.log" make_python_peer "$1" "$2"
    printf '%s\n' "$peer_wanted" >"$PEERS_DIR/$2/.made"
}
make_python_peer() {
    rm -rf "${PEERS_DIR:?}/$2"
    python3 -m venv "$PEERS_DIR/$2" && "$PEERS_DIR/$2/bin/pip" install -q -r "$ROOT/tests/peers/$1/requirements.txt"
}

c_peer() {
    mkdir -p "$PEERS_DIR"
    quietly "Compiling $1" "$ROOT/.weir/log/peer-$1.log" gcc -O2 -Wall -Wextra -Werror -o "$PEERS_DIR/$1" "$ROOT/tests/peers/stream/$1.c" -lrdkafka -lpthread
}

kafka_streams_peer() {
    [ -d "$PEERS_DIR/streams/libs" ] && return 0
    quietly "Building the Kafka Streams peer" "$ROOT/.weir/log/peer-streams.log" make_kafka_streams_peer
}
make_kafka_streams_peer() {
    rm -rf "${PEERS_DIR:?}/streams.new" "${PEERS_DIR:?}/streams"
    mkdir -p "$PEERS_DIR/streams.new"
    cp -r "$ROOT/tests/peers/stream/pom.xml" "$ROOT/tests/peers/stream/src" "$PEERS_DIR/streams.new/" &&
        mvn -q -B -f "$PEERS_DIR/streams.new/pom.xml" package && mv "$PEERS_DIR/streams.new/target" "$PEERS_DIR/streams" && rm -rf "$PEERS_DIR/streams.new"
}

# What peers of the stream and of online reads need, beside Weir.
peers_stream() {
    build "$ROOT/build-release" "weir weir_bench" -DCMAKE_BUILD_TYPE=Release
    c_peer passthrough
    c_peer paced
    kafka_streams_peer
    python_peer stream quix
    PEERS_PYTHON=$PYTHON_DIR/bin/python PEERS_SCRIPT=stream.py
}
peers_feast() {
    # shellcheck disable=SC2086 # a list of names
    ensure_packages $PACKAGES_FEAST
    build "$ROOT/build-release" "weir weir_bench_online" -DCMAKE_BUILD_TYPE=Release
    python_peer feast feast
    PEERS_PYTHON=$PEERS_DIR/feast/bin/python PEERS_SCRIPT=feast_online.py
    WEIR_BENCH_ONLINE=$ROOT/build-release/weir_bench_online
    export WEIR_BENCH_ONLINE
}
peers_feast_remote() {
    build "$ROOT/build-release" weir -DCMAKE_BUILD_TYPE=Release
    python_peer feast feast
    PEERS_PYTHON=$PEERS_DIR/feast/bin/python PEERS_SCRIPT=feast_remote.py
}
peers_asof() {
    build "$ROOT/build-release" weir -DCMAKE_BUILD_TYPE=Release
    python_peer asof asof
    case " $* " in *" --feast "*) python_peer feast feast ;; esac
    PEERS_PYTHON=$PEERS_DIR/asof/bin/python PEERS_SCRIPT=asof.py
}
peers_visible() {
    build "$ROOT/build-release" weir -DCMAKE_BUILD_TYPE=Release
    c_peer paced
    PEERS_PYTHON=$PYTHON_DIR/bin/python PEERS_SCRIPT=visible.py
}

peers_mlserver() {
    ensure_packages python3:python3 python3-venv
    build "$ROOT/build-release" "weir weir_bench_online" -DCMAKE_BUILD_TYPE=Release
    python_peer mlserver mlserver
    PEERS_PYTHON=$PEERS_DIR/mlserver/bin/python PEERS_SCRIPT=mlserver.py
    WEIR_BENCH_ONLINE=$ROOT/build-release/weir_bench_online
    export WEIR_BENCH_ONLINE
}

peers_accuracy() {
    build "$ROOT/build-release" "weir weir_tool_training weir_tool_models" -DCMAKE_BUILD_TYPE=Release
    WEIR_BUILD=$ROOT/build-release
    export WEIR_BUILD
    PEERS_PYTHON=$PYTHON_DIR/bin/python PEERS_SCRIPT=accuracy.py
}

# Nothing of a stack: both run in one process each.
peers_tuning() {
    ensure_packages python3:python3 python3-venv
    build "$ROOT/build-release" weir_tool_tuning -DCMAKE_BUILD_TYPE=Release
    python_peer tuning optuna
    WEIR_TOOL_TUNING=$ROOT/build-release/weir_tool_tuning
    export WEIR_TOOL_TUNING
    foreground "$PEERS_DIR/optuna/bin/python" -u "$ROOT/tests/peers/tuning.py" "$@"
}

peers_drift() {
    ensure_packages python3:python3 python3-venv
    build "$ROOT/build-release" "weir weir_bench_drift" -DCMAKE_BUILD_TYPE=Release
    python_peer drift evidently
    WEIR_BINARY=$ROOT/build-release/weir WEIR_BENCH_DRIFT=$ROOT/build-release/weir_bench_drift
    export WEIR_BINARY WEIR_BENCH_DRIFT
    foreground "$PEERS_DIR/evidently/bin/python" -u "$ROOT/tests/peers/drift.py" "$@"
}

peers_scorer() {
    ensure_packages python3:python3 python3-venv
    build "$ROOT/build-release" "weir weirscore weir_tool_export" -DCMAKE_BUILD_TYPE=Release
    python_peer scorer scorer
    WEIR_BUILD=$ROOT/build-release
    export WEIR_BUILD
    foreground "$PEERS_DIR/scorer/bin/python" -u "$ROOT/tests/peers/scorer.py" "$@"
}

cmd_peers() {
    peers_what=${1:-}
    case $peers_what in
    stream | asof | feast | feast-remote | visible | tuning | drift | accuracy | scorer | mlserver) ;;
    *) usage_error "peers knows stream, asof, feast, feast-remote, visible, tuning, drift, accuracy, scorer and mlserver, not '$peers_what'" ;;
    esac
    shift
    case $peers_what in tuning | drift | scorer)
        "peers_$peers_what" "$@"
        return
        ;;
    esac
    need build stack test
    "peers_$(printf %s "$peers_what" | tr - _)" "$@"
    lock_stack
    separate_stack peers 4000
    WHEN_DONE=stack
    stack_up kafka postgres registry
    unlock_stack
    WEIR_BINARY=$ROOT/build-release/weir WEIR_PEERS_DIR=$PEERS_DIR WEIR_JAVA=${JAVA_HOME:+$JAVA_HOME/bin/}java
    export WEIR_BINARY WEIR_PEERS_DIR WEIR_JAVA
    foreground "$PEERS_PYTHON" -u "$ROOT/tests/peers/$PEERS_SCRIPT" "$@"
}
