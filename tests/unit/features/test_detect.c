/* Detectors: hand-worked cases, fixed memory, bytes, what is refused. Against definitions and river: tests/integration/features/test_drift_oracle.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "features/detect.h"
#include "tests/unit/starve.h"

static weir_detector detector_of(weir_detect_settings settings) {
    weir_detector d;
    weir_err err = {0};
    assert_int_equal(weir_detector_init(&d, &settings, &err), WEIR_OK);
    return d;
}

/* Values of a 64-bit linear congruential generator (Knuth's MMIX constants) in [0, 1). */
static double uniform(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*seed >> 11) * 0x1p-53;
}

/* Thirty zeros, then ones; δ = 0.1. After k ones the mean is k / (30 + k), and the sum grows by what is left of 1: 30/31 + 30/32 + 30/33 + 30/34 - 0.4 = 3.297. */
static void page_hinkley_is_as_worked_by_hand(void **state) {
    (void)state;
    weir_detector d =
        detector_of((weir_detect_settings){.kind = WEIR_DETECT_PAGE_HINKLEY, .delta = 0.1, .threshold = 3, .forget = 1, .direction = WEIR_DETECT_UP});
    for (int i = 0; i < 30; i++) assert_int_equal(weir_detector_update(&d, 0), WEIR_DETECT_NONE);
    for (int i = 0; i < 3; i++) assert_int_equal(weir_detector_update(&d, 1), WEIR_DETECT_NONE);
    assert_float_equal(weir_detector_mean(&d), 3.0 / 33, 1e-15);
    assert_int_equal(weir_detector_update(&d, 1), WEIR_DETECT_DRIFT);
    assert_true(d.drifts == 1 && d.seen == 34 && weir_detector_width(&d) == 0 && isnan(weir_detector_mean(&d)));
    d = detector_of((weir_detect_settings){.kind = WEIR_DETECT_PAGE_HINKLEY, .delta = 0.1, .threshold = 3, .forget = 1, .direction = WEIR_DETECT_DOWN});
    for (int i = 0; i < 50; i++) assert_int_equal(weir_detector_update(&d, i >= 30), WEIR_DETECT_NONE);
}

/* Each tenth of 100 values is an error: p + s is least after 39 of them. Then errors only: p + s > p_min + 2 s_min, then + 3 s_min. */
static void ddm_warns_and_then_alarms(void **state) {
    (void)state;
    weir_detector d = detector_of((weir_detect_settings){.kind = WEIR_DETECT_DDM});
    for (int i = 0; i < 100; i++) assert_int_equal(weir_detector_update(&d, i % 10 == 9), WEIR_DETECT_NONE);
    int warned = -1, drifted = -1;
    for (int i = 0; drifted < 0; i++) {
        weir_detection found = weir_detector_update(&d, 1);
        double p = (10.0 + i + 1) / (101 + i), s = sqrt(p * (1 - p) / (101 + i)), least_p = 3.0 / 39, least_s = sqrt(least_p * (1 - least_p) / 39);
        assert_int_equal(found, p + s > least_p + 3 * least_s ? WEIR_DETECT_DRIFT : p + s > least_p + 2 * least_s ? WEIR_DETECT_WARNING : WEIR_DETECT_NONE);
        if (found == WEIR_DETECT_WARNING && warned < 0) warned = i;
        if (found == WEIR_DETECT_DRIFT) drifted = i;
    }
    assert_true(warned >= 0 && warned < drifted && d.drifts == 1);
}

/* The window keeps 2^row values a bucket: a million values take 18 rows at most, and the mean is that of all. */
static void adwin_grows_by_logarithm_and_shrinks_at_a_change(void **state) {
    (void)state;
    weir_detector d = detector_of((weir_detect_settings){.kind = WEIR_DETECT_ADWIN});
    uint64_t seed = 4;
    double sum = 0;
    for (int i = 0; i < 1000000; i++) {
        double v = uniform(&seed);
        sum += v;
        assert_int_equal(weir_detector_update(&d, v), WEIR_DETECT_NONE);
    }
    assert_true(weir_detector_width(&d) == 1000000 && d.state.adwin.rows <= 19);
    assert_float_equal(weir_detector_mean(&d), sum / 1e6, 1e-12);
    assert_float_equal(d.state.adwin.variance / 1e6, 1.0 / 12, 1e-3);
    bool found = false;
    for (int i = 0; i < 20000; i++) found |= weir_detector_update(&d, uniform(&seed) + 1) == WEIR_DETECT_DRIFT;
    assert_true(found && weir_detector_width(&d) < 30000);
    assert_float_equal(weir_detector_mean(&d), 1.5, 0.05);
}

static void what_is_no_value_is_left_out(void **state) {
    (void)state;
    for (int kind = WEIR_DETECT_ADWIN; kind <= WEIR_DETECT_DDM; kind++) {
        weir_detector d = detector_of((weir_detect_settings){.kind = (weir_detect_kind)kind});
        assert_int_equal(weir_detector_update(&d, NAN), WEIR_DETECT_NONE);
        assert_int_equal(weir_detector_update(&d, INFINITY), WEIR_DETECT_NONE);
        assert_int_equal(weir_detector_update(&d, 1e200), WEIR_DETECT_NONE);
        if (kind == WEIR_DETECT_DDM) assert_int_equal(weir_detector_update(&d, 1.5), WEIR_DETECT_NONE);
        assert_true(d.seen == 0 && isnan(weir_detector_mean(&d)));
    }
}

static void bytes_give_the_detector_again(void **state) {
    (void)state;
    for (int kind = WEIR_DETECT_ADWIN; kind <= WEIR_DETECT_DDM; kind++) {
        for (int count = 0; count < 3000; count = count * 2 + 1) {
            weir_detector d = detector_of((weir_detect_settings){.kind = (weir_detect_kind)kind}), again;
            weir_buf bytes = {0}, twice = {0};
            weir_err err = {0};
            uint64_t seed = 9;
            for (int i = 0; i < count; i++) weir_detector_update(&d, uniform(&seed) < 0.2);
            assert_true(weir_detector_encode(&d, &bytes));
            assert_int_equal(weir_detector_decode(bytes.data, bytes.len, &again, &err), WEIR_OK);
            for (int i = 0; i < 500; i++) {
                double v = uniform(&seed) < 0.6;
                assert_int_equal(weir_detector_update(&d, v), weir_detector_update(&again, v));
            }
            for (size_t at = 0; at < bytes.len; at++) {
                bytes.data[at] ^= 4;
                assert_int_equal(weir_detector_decode(bytes.data, bytes.len, &again, &err), WEIR_EDATA);
                assert_int_equal(weir_detector_decode(bytes.data, at, &again, &err), WEIR_EDATA);
                bytes.data[at] ^= 4;
            }
            weir_buf_clear(&bytes);
            assert_true(weir_detector_encode(&d, &bytes) && weir_detector_encode(&again, &twice));
            assert_memory_equal(bytes.data, twice.data, bytes.len);
            weir_buf_done(&bytes);
            weir_buf_done(&twice);
        }
    }
}

static void wrong_settings_are_refused_by_name(void **state) {
    (void)state;
    static const struct {
        weir_detect_settings settings;
        const char *name;
    } cases[] = {{{.kind = WEIR_DETECT_ADWIN, .delta = 1}, "delta"},         {{.kind = WEIR_DETECT_PAGE_HINKLEY, .threshold = -1}, "threshold"},
                 {{.kind = WEIR_DETECT_DDM, .warning = 4}, "warning"},       {{.kind = WEIR_DETECT_PAGE_HINKLEY, .forget = 1.5}, "forget"},
                 {{.kind = WEIR_DETECT_DDM, .min_count = -1}, "min_count"},  {{.kind = WEIR_DETECT_ADWIN, .clock = -1}, "clock"},
                 {{.kind = WEIR_DETECT_PAGE_HINKLEY, .delta = NAN}, "delta"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        weir_detector d;
        weir_err err = {0};
        assert_int_equal(weir_detector_init(&d, &cases[i].settings, &err), WEIR_EINVAL);
        assert_non_null(strstr(err.message, cases[i].name));
    }
    assert_int_equal(weir_detect_kind_find("page_hinkley"), WEIR_DETECT_PAGE_HINKLEY);
    assert_int_equal(weir_detect_kind_find("cusum"), -1);
}

static void a_failed_allocation_is_reported(void **state) {
    (void)state;
    weir_detector d = detector_of((weir_detect_settings){.kind = WEIR_DETECT_ADWIN});
    weir_allocator before = weir_mem;
    bool encoded = false;
    for (int allowed = 0; !encoded; allowed++) {
        weir_buf out = {0};
        weir_mem.realloc = failing_realloc;
        allocations_left = allowed;
        encoded = weir_detector_encode(&d, &out);
        weir_mem = before;
        assert_true(encoded || out.len == 0);
        assert_in_range(allowed, 0, 20);
        weir_buf_done(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_hinkley_is_as_worked_by_hand),
        cmocka_unit_test(ddm_warns_and_then_alarms),
        cmocka_unit_test(adwin_grows_by_logarithm_and_shrinks_at_a_change),
        cmocka_unit_test(what_is_no_value_is_left_out),
        cmocka_unit_test(bytes_give_the_detector_again),
        cmocka_unit_test(wrong_settings_are_refused_by_name),
        cmocka_unit_test(a_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
