# shellcheck shell=sh
# Tests, measurements, fuzzing, formatting. Sourced after lib.sh, deps.sh and local.sh.

# A stack of its own for a command: other ports, its own folder, nothing left from before.
separate_stack() {
    STACK=$ROOT/.weir/$1
    for variable in WEIR_KAFKA_PORT WEIR_KAFKA_CONTROLLER_PORT WEIR_PG_PORT WEIR_REGISTRY_PORT WEIR_PROMETHEUS_PORT WEIR_ALERTMANAGER_PORT WEIR_HTTP_PORT; do
        eval "$variable=\$(($variable + $2)); export $variable"
    done
    stack_settings
    WEIR_STACK_DIR=$STACK
    export WEIR_STACK_DIR
    stack_down weir prometheus alertmanager registry postgres kafka
    [ ! -r "$STACK/pg.elsewhere" ] || rm -rf "$(cat "$STACK/pg.elsewhere")"
    rm -rf "$STACK"
    mkdir -p "$STACK/log" "$STACK/run"
}

# check NAME COMMAND…: a check that is no CTest test; counted with them.
CHECKS_PASSED=0 CHECKS_FAILED=0 CHECKS_SKIPPED=0
check() {
    check_name=$1
    shift
    if "$@" >"$STACK/log/check.log" 2>&1; then
        say "check $check_name: passed"
        CHECKS_PASSED=$((CHECKS_PASSED + 1))
    else
        say "check $check_name: FAILED"
        cat "$STACK/log/check.log"
        CHECKS_FAILED=$((CHECKS_FAILED + 1))
    fi
}
# check_with TOOL NAME COMMAND…: skipped where the tool is not installed.
check_with() {
    check_tool=$1
    shift
    has "$check_tool" && check "$@" && return
    say "check $1: skipped, $check_tool is not installed"
    CHECKS_SKIPPED=$((CHECKS_SKIPPED + 1))
}

static_checks() {
    check "prometheus.yml" promtool check config monitoring/prometheus.yml
    check "alert rules" promtool test rules monitoring/alerts_test.yml
    check "formatting" cmd_format
    check_with docker-compose "docker-compose.yml" docker-compose -f compose/docker-compose.yml config -q
    check_with shellcheck "shell scripts" shellcheck -x run compose/install-packages .ci/run
}

# ctest_in FOLDER NAME JOBS WHICH…: the results go to NAME.xml.
ctest_in() {
    ctest_folder=$1 ctest_name=$2 ctest_jobs=$3
    shift 3
    foreground ctest --test-dir "$ROOT/$ctest_folder" "$@" -j "$ctest_jobs" --output-on-failure --output-junit "$STACK/$ctest_name.xml" \
        --test-output-size-passed 4000000 --test-output-size-failed 4000000 || true
}

# The unit tests of what more than one thread uses, with ThreadSanitizer.
THREADED="core/test_bus core/test_http core/test_log core/test_metrics core/test_worker features/test_asof features/test_latest features/test_online models/test_model models/test_xgb \
producers/test_publish consumers/test_experiment consumers/test_serve"
build_threaded() {
    threaded_targets=
    for threaded_test in $THREADED; do threaded_targets="$threaded_targets unit_$(printf %s "$threaded_test" | tr / _)"; done
    build "$ROOT/build-tsan" "$threaded_targets" -DWEIR_SANITIZE=thread
}
test_threaded() { ctest_in build-tsan threads 2 -R "^unit/($(printf %s "$THREADED" | tr -s ' ' '|'))\$"; }

cmd_test() {
    kind=${1:-all}
    case $kind in unit | threads | integration | all) ;; *) usage_error "test knows unit, threads, integration and all, not '$kind'" ;; esac
    case $kind in unit | threads) need build test ;; *) need build stack test ;; esac
    case $kind in threads | all) build_threaded ;; esac
    case $kind in unit | all) build "$ROOT/build-release" weir -DCMAKE_BUILD_TYPE=Release ;; esac # -O3 sees warnings that the other builds do not
    [ "$kind" = threads ] || build "$ROOT/build-asan" all -DWEIR_SANITIZE=address
    lock_stack
    separate_stack test 1000
    WHEN_DONE=stack
    test_environment

    case $kind in unit | all)
        static_checks
        ctest_in build-asan unit 2 -L '^unit$'
        ;;
    esac
    case $kind in threads | all) test_threaded ;; esac
    case $kind in integration | all)
        stack_up kafka postgres registry
        unlock_stack # tests may stop and start services themselves: ./run down kafka, ./run up kafka
        ctest_in build-asan integration 1 -L '^integration$'
        ;;
    esac
    stack_down weir prometheus alertmanager registry postgres kafka

    counts=$(python3 tests/counts.py "$CHECKS_PASSED" "$CHECKS_FAILED" "$CHECKS_SKIPPED" "$STACK"/*.xml) && counts_rc=0 || counts_rc=$?
    say "$counts"
    exit "$counts_rc"
}

test_environment() {
    WEIR_BINARY=$ROOT/build-asan/weir
    export WEIR_BINARY
    WEIR_TEST_DATA=${WEIR_TEST_DATA:-../shared/data}
    if [ -d "$WEIR_TEST_DATA" ]; then
        WEIR_TEST_DATA=$(cd "$WEIR_TEST_DATA" && pwd -P)
        export WEIR_TEST_DATA
    else
        say "There is no folder $WEIR_TEST_DATA: tests that read real data are skipped (WEIR_TEST_DATA names another place)"
        unset WEIR_TEST_DATA
    fi
    ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:${ASAN_OPTIONS:-}
    UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}
    LSAN_OPTIONS=suppressions=$ROOT/tests/lsan.supp:print_suppressions=0:${LSAN_OPTIONS:-}
    TSAN_OPTIONS=suppressions=$ROOT/tests/tsan.supp:${TSAN_OPTIONS:-}
    export ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS
}

cmd_bench() {
    bench_what=${1:-all}
    case $bench_what in all | training | distributed | workers | decisions | drift | scorer | scoring) ;;
    *) usage_error "bench knows training, distributed, workers, decisions, drift, scorer, scoring and all, not '$bench_what'" ;; esac
    need build
    build "$ROOT/build-release" "weir weir_bench weir_bench_training weir_bench_distributed weir_bench_decisions weir_bench_drift weir_bench_scorer weir_bench_online" -DCMAKE_BUILD_TYPE=Release
    case $bench_what in distributed | drift | scorer) # need no stack
        shift
        foreground "$ROOT/build-release/weir_bench_$bench_what" "$@"
        return
        ;;
    esac
    need stack
    lock_stack
    separate_stack bench 2000
    WHEN_DONE=stack
    case $bench_what in training) stack_up postgres ;; *) stack_up kafka postgres registry ;; esac
    unlock_stack
    bench_rc=0
    case $bench_what in all) foreground "$ROOT/build-release/weir_bench_scorer" || bench_rc=$? ;; esac
    case $bench_what in all) foreground "$ROOT/build-release/weir_bench_drift" || bench_rc=$? ;; esac
    case $bench_what in all | training) foreground "$ROOT/build-release/weir_bench_training" || bench_rc=$? ;; esac
    case $bench_what in all) foreground "$ROOT/build-release/weir_bench_distributed" || bench_rc=$? ;; esac
    case $bench_what in all | workers) foreground "$ROOT/build-release/weir_bench" || bench_rc=$? ;; esac
    case $bench_what in all | decisions) bench_decisions || bench_rc=$? ;; esac
    case $bench_what in all) bench_scoring || bench_rc=$? ;; esac
    case $bench_what in scoring) shift && bench_scoring "$@" || bench_rc=$? ;; esac
    return "$bench_rc"
}

# Scoring on Kafka: how soon, how many, with how much memory.
bench_scoring() {
    need test
    c_peer paced
    WEIR_BINARY=$WEIR WEIR_BUILD=$ROOT/build-release WEIR_PEERS_DIR=$PEERS_DIR
    export WEIR_BINARY WEIR_BUILD WEIR_PEERS_DIR
    foreground "$ROOT/.weir/python/bin/python" -u "$ROOT/tests/bench/scoring.py" "$@"
}

# What a decision costs a prediction, then how fast it reaches running workers.
bench_decisions() {
    need test
    foreground "$ROOT/build-release/weir_bench_decisions" || return
    WEIR_BINARY=$WEIR WEIR_BUILD=$ROOT/build-release
    export WEIR_BINARY WEIR_BUILD
    foreground "$ROOT/.weir/python/bin/python" -u "$ROOT/tests/bench/decisions.py"
}

# The chaos run has a stack of its own, because it stops services.
cmd_chaos() {
    need build stack test
    build "$ROOT/build" weir
    lock_stack
    separate_stack chaos 3000
    WHEN_DONE=stack
    WEIR_BINARY=$WEIR
    export WEIR_BINARY
    stack_up kafka postgres registry
    unlock_stack
    foreground "$ROOT/.weir/python/bin/python" -u "$ROOT/tests/chaos/chaos.py" "$@"
}

cmd_fuzz() {
    # shellcheck disable=SC2086 # a list of names
    ensure_packages $PACKAGES_FUZZ
    need build
    [ $# -gt 0 ] || set -- "$ROOT"/tests/fuzz/fuzz_*.c
    mkdir -p "$ROOT/.weir/log"
    quietly "Building the fuzz targets" "$ROOT/.weir/log/build.log" build_now "$ROOT/build-fuzz" all -DCMAKE_C_COMPILER=clang -DWEIR_SANITIZE=fuzz
    fuzz_failed=0
    for target in "$@"; do
        target=${target##*/} target=fuzz_${target#fuzz_} target=${target%.c}
        [ -x "$ROOT/build-fuzz/$target" ] || usage_error "there is no fuzz target tests/fuzz/$target.c"
        fuzz_dir=$ROOT/.weir/fuzz/$target
        mkdir -p "$fuzz_dir/corpus"
        fuzz_seeds=$ROOT/tests/fuzz/corpus/$target
        [ -d "$fuzz_seeds" ] || fuzz_seeds=
        say "Fuzzing $target for ${WEIR_FUZZ_SECONDS:-30} s"
        # shellcheck disable=SC2086 # fuzz_seeds may be nothing
        if foreground "$ROOT/build-fuzz/$target" "-max_total_time=${WEIR_FUZZ_SECONDS:-30}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            "-artifact_prefix=$fuzz_dir/" "$fuzz_dir/corpus" ${fuzz_seeds:+"$fuzz_seeds"} >"$fuzz_dir/log" 2>&1; then
            sed -n 's/^stat::number_of_executed_units: */  executions: /p' "$fuzz_dir/log"
        else
            warn "$target found something: see $fuzz_dir/log"
            fuzz_failed=1
        fi
    done
    return "$fuzz_failed"
}

cmd_format() {
    # shellcheck disable=SC2086 # a list of names
    ensure_packages $PACKAGES_FORMAT
    case ${1:-check} in
    fix) git ls-files -z '*.c' '*.h' | xargs -0 clang-format -i ;;
    check)
        misformed=$(git ls-files '*.c' '*.h' | while read -r file; do clang-format --dry-run --Werror "$file" 2>/dev/null || say "$file"; done)
        [ -z "$misformed" ] && return
        printf '%s\n' "$misformed"
        say "\`./run format fix\` formats these."
        return 1
        ;;
    *) usage_error "format knows check and fix, not '$1'" ;;
    esac
}
