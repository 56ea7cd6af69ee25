/* Signals set the flag; the same signal sent twice at once does not kill, one that comes again later does. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/stop.h"

static int status_after(unsigned pause_s) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        const volatile int *stop = weir_stop_flag();
        if (*stop) _exit(9);
        (void)raise(SIGTERM);
        if (!*stop) _exit(9);
        (void)sleep(pause_s);
        (void)raise(SIGTERM);
        _exit(5);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_signal_sent_twice_at_once_is_one(void **state) {
    (void)state;
    int status = status_after(0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 5);
}

static void a_signal_sent_again_later_ends_the_process(void **state) {
    (void)state;
    int status = status_after(2);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static int status_of_flags(void) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        static _Atomic bool first, second;
        (void)weir_stop_flag();
        weir_stop_sets(&first);
        weir_stop_sets(&second);
        (void)raise(SIGINT);
        if (first || !second) _exit(9);
        second = false;
        weir_stop_sets(NULL);
        (void)raise(SIGINT);
        _exit(second ? 9 : 5);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_signal_sets_the_flag_that_was_named_last(void **state) {
    (void)state;
    int status = status_of_flags();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_signal_sent_twice_at_once_is_one), cmocka_unit_test(a_signal_sets_the_flag_that_was_named_last),
                                       cmocka_unit_test(a_signal_sent_again_later_ends_the_process)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
