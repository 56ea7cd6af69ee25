/* Any bytes as a profile, a table of profiles or a detector: refused, or one whose bytes are these again and which can be used, merged and compared.
 * The first byte says which; what follows are the contents, which get a right frame, for the fuzzer need not guess a checksum. */
#include <math.h>
#include <stdlib.h>

#include "features/detect.h"
#include "features/drift.h"
#include "features/drift_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
    if (!ok) abort();
}

static void frame(weir_buf *out, uint32_t magic, const uint8_t *data, size_t size) {
    bool failed = false;
    size_t begin = drift_frame_begin(out, magic, &failed);
    drift_put(out, &failed, data, size);
    must(drift_frame_end(out, begin, failed));
}

static void same_bytes(const weir_buf *bytes, const weir_buf *again) {
    must(bytes->len == again->len && !memcmp(bytes->data, again->data, bytes->len));
}

static void use_profile(const weir_buf *bytes, weir_buf *again) {
    weir_drift_profile *profile = NULL;
    weir_err err = {0};
    weir_drift_test test;
    if (weir_drift_profile_decode(bytes->data, bytes->len, &profile, &err)) {
        must(err.message[0] && !profile);
        return;
    }
    must(weir_drift_profile_encode(profile, again));
    same_bytes(bytes, again);
    (void)weir_drift_profile_quantile(profile, 0.3);
    weir_drift_profile *other = weir_drift_profile_new(profile->type, profile->role, 5);
    must(other);
    for (int i = 0; i < 50; i++) weir_drift_profile_add(other, i % 7);
    for (int k = 0; k < WEIR_DRIFT_STATISTICS; k++) {
        weir_drift_settings settings = weir_drift_defaults;
        settings.permutations = 19;
        if (!weir_drift_test_columns(profile, other, (weir_drift_statistic)k, &settings, &test, &err)) must(test.p >= 0 && test.p <= 1);
    }
    must(!weir_drift_profile_merge(other, profile, &err));
    must(!weir_drift_profile_merge(profile, other, &err));
    must(weir_drift_profile_json(profile, "column", again));
    weir_drift_profile_free(profile);
    weir_drift_profile_free(other);
}

static void use_table(const weir_buf *bytes, weir_buf *again) {
    weir_drift_table *table = NULL;
    weir_err err = {0};
    if (weir_drift_table_decode(bytes->data, bytes->len, &table, &err)) {
        must(err.message[0] && !table);
        return;
    }
    must(weir_drift_table_encode(table, again));
    same_bytes(bytes, again);
    weir_drift_table_free(table);
}

static void use_detector(const weir_buf *bytes, weir_buf *again) {
    weir_detector detector;
    weir_err err = {0};
    if (weir_detector_decode(bytes->data, bytes->len, &detector, &err)) {
        must(err.message[0]);
        return;
    }
    must(weir_detector_encode(&detector, again));
    same_bytes(bytes, again);
    for (int i = 0; i < 100; i++) (void)weir_detector_update(&detector, i % 3 == 0);
    (void)weir_detector_mean(&detector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t magics[] = {DRIFT_PROFILE_MAGIC, DRIFT_TABLE_MAGIC, DRIFT_DETECTOR_MAGIC};
    static void (*const uses[])(const weir_buf *, weir_buf *) = {use_profile, use_table, use_detector};
    weir_buf bytes = {0}, again = {0};
    if (!size) return 0;
    frame(&bytes, magics[*data % 3], data + 1, size - 1);
    uses[*data % 3](&bytes, &again);
    weir_buf_done(&bytes);
    weir_buf_done(&again);
    return 0;
}
