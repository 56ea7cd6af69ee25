/* Who works on a run: this process lives, one that ended is gone, and of other machines nothing is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "consumers/train_identity.h"

static weir_train_identity me;

static int begin(void **state) {
    (void)state;
    weir_err err;
    return weir_train_identity_init(&me, "", "7", &err);
}

static void a_process_has_the_name_of_its_machine_or_another(void **state) {
    (void)state;
    weir_train_identity other;
    weir_err err;
    char host[128] = "", worker[256];
    gethostname(host, sizeof host - 1);
    snprintf(worker, sizeof worker, "%s/7/%ld", host, (long)getpid());
    assert_string_equal(me.host, host);
    assert_string_equal(me.worker, worker);
    assert_int_equal(weir_train_identity_init(&other, "node-3", "7", &err), WEIR_OK);
    assert_string_equal(other.host, "node-3");
    assert_string_equal(other.process, me.process);
}

static void who_lives_is_not_gone(void **state) {
    (void)state;
    assert_false(weir_train_identity_gone(&me, me.process));
}

static void who_ended_is_gone_even_before_anybody_waits_for_it(void **state) {
    (void)state;
    char process[sizeof me.process];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (!pid) {
        weir_err err;
        ssize_t written = weir_train_identity_init(&me, "", "8", &err) ? -1 : write(ends[1], me.process, sizeof me.process);
        _exit(written < 0);
    }
    assert_int_equal(read(ends[0], process, sizeof process), sizeof process);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(weir_train_identity_gone(&me, process));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(weir_train_identity_gone(&me, process));
    close(ends[0]);
    close(ends[1]);
}

static void who_has_the_process_id_of_one_that_ended_is_another(void **state) {
    (void)state;
    char process[sizeof me.process + 1];
    snprintf(process, sizeof process, "%s1", me.process);
    assert_true(weir_train_identity_gone(&me, process));
}

static void of_another_machine_nothing_is_known(void **state) {
    (void)state;
    char process[sizeof me.process];
    memcpy(process, me.process, sizeof process);
    process[0] = process[0] == '0' ? '1' : '0';
    assert_false(weir_train_identity_gone(&me, process));
    assert_false(weir_train_identity_gone(&me, ""));
    snprintf(process, sizeof process, "%.*snobody", (int)me.machine_len, me.process);
    assert_false(weir_train_identity_gone(&me, process));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_the_name_of_its_machine_or_another),
        cmocka_unit_test(who_lives_is_not_gone),
        cmocka_unit_test(who_ended_is_gone_even_before_anybody_waits_for_it),
        cmocka_unit_test(who_has_the_process_id_of_one_that_ended_is_another),
        cmocka_unit_test(of_another_machine_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
