#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/err.h"

static void set_fills_every_field_and_returns_the_code(void **state) {
    (void)state;
    weir_err err;
    assert_int_equal(WEIR_REJECT(&err, WEIR_EDATA, "found %d, expected %s", 7, "8"), WEIR_EDATA);
    assert_int_equal(err.code, WEIR_EDATA);
    assert_int_equal(err.action, WEIR_ACTION_REJECT);
    assert_string_equal(err.where, __func__);
    assert_string_equal(err.message, "found 7, expected 8");
    assert_int_equal(WEIR_RETRY(&err, WEIR_ENET, "away"), WEIR_ENET);
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
    assert_int_equal(WEIR_FAIL(&err, WEIR_EINVAL, "wrong"), WEIR_EINVAL);
    assert_int_equal(err.action, WEIR_ACTION_FATAL);
}

static void null_err_is_taken(void **state) {
    (void)state;
    assert_int_equal(WEIR_FAIL(NULL, WEIR_EIO, "nobody reads %s", "this"), WEIR_EIO);
    assert_int_equal(weir_err_prefix(NULL, "context"), WEIR_EINTERNAL);
}

static void message_may_be_its_own_argument(void **state) {
    (void)state;
    weir_err err;
    (void)WEIR_FAIL(&err, WEIR_EIO, "disk full");
    (void)WEIR_FAIL(&err, WEIR_ENET, "again: %s", err.message);
    assert_string_equal(err.message, "again: disk full");
}

static void prefix_goes_in_front_and_keeps_the_rest(void **state) {
    (void)state;
    weir_err err;
    (void)WEIR_RETRY(&err, WEIR_ENET, "refused");
    assert_int_equal(weir_err_prefix(&err, "broker %d", 2), WEIR_ENET);
    assert_string_equal(err.message, "broker 2: refused");
    assert_int_equal(err.action, WEIR_ACTION_RETRY);
}

static void long_messages_are_cut_between_characters(void **state) {
    (void)state;
    /* 510 letters and a two-byte "é" do not fit in 511 bytes and a NUL. */
    char text[600];
    memset(text, 'a', 510);
    strcpy(text + 510, "\xC3\xA9tail");
    weir_err err;
    (void)WEIR_FAIL(&err, WEIR_EDATA, "%s", text);
    assert_int_equal(strlen(err.message), 510);
    assert_int_equal(err.message[509], 'a');

    /* One that fits to the last byte stays whole. */
    strcpy(text + 509, "\xC3\xA9tail");
    (void)WEIR_FAIL(&err, WEIR_EDATA, "%s", text);
    assert_int_equal(strlen(err.message), 511);
    assert_string_equal(err.message + 509, "\xC3\xA9");

    (void)weir_err_prefix(&err, "p");
    assert_true(strlen(err.message) < WEIR_ERR_MESSAGE_MAX);
    assert_memory_equal(err.message, "p: aaa", 6);
    (void)weir_err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), WEIR_ERR_MESSAGE_MAX - 1);
}

static void every_status_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int a = WEIR_OK; a <= WEIR_EINTERNAL; a++)
        for (int b = a + 1; b <= WEIR_EINTERNAL; b++) assert_string_not_equal(weir_status_name((weir_status)a), weir_status_name((weir_status)b));
    assert_string_equal(weir_status_name(WEIR_EDATA), "data");
    assert_string_equal(weir_status_name(WEIR_ENET), "net");
}

static void exit_codes_follow_the_contract(void **state) {
    (void)state;
    assert_int_equal(weir_status_exit(WEIR_OK), 0);
    assert_int_equal(weir_status_exit(WEIR_EINVAL), 2);
    assert_int_equal(weir_status_exit(WEIR_ENET), 3);
    assert_int_equal(weir_status_exit(WEIR_ETIMEOUT), 3);
    assert_int_equal(weir_status_exit(WEIR_EIO), 3);
    assert_int_equal(weir_status_exit(WEIR_ENOTFOUND), 1);
    assert_int_equal(weir_status_exit(WEIR_EDATA), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_every_field_and_returns_the_code),
        cmocka_unit_test(null_err_is_taken),
        cmocka_unit_test(message_may_be_its_own_argument),
        cmocka_unit_test(prefix_goes_in_front_and_keeps_the_rest),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
        cmocka_unit_test(exit_codes_follow_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
