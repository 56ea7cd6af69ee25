/* Any bytes as a file of the tz database, and any text as a cron expression: an error, or what can be asked without a crash or an endless search.
 * clang -fsanitize=fuzzer,address,undefined, linked with weir_core; seeds: files of /usr/share/zoneinfo. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/cron.h"
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const weir_zone *zone, const weir_cron *cron) {
    static const int64_t times_s[] = {-4000000000, 0, 1700000000, 4102444800};
    for (size_t i = 0; i < sizeof times_s / sizeof *times_s; i++) {
        weir_zone_instants at = weir_zone_instants_of(zone, times_s[i]);
        for (int k = 0; k < at.count; k++) {
            if (at.utc_s[k] + weir_zone_offset(zone, at.utc_s[k]) != times_s[i]) abort();
        }
        if (weir_cron_next(cron, zone, times_s[i] * WEIR_SECOND_US) <= times_s[i] * WEIR_SECOND_US) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_zone *zone = NULL;
    weir_cron cron, weekly;
    weir_buf text = {0};
    weir_err err;
    if (!weir_buf_append(&text, data, size) || weir_cron_parse("30 2 * * 0", &weekly, &err)) abort();
    bool parsed = !weir_cron_parse(text.data, &cron, &err);
    if (parsed && !weir_zone_load("UTC", &zone, &err)) ask(zone, &cron);
    weir_zone_free(zone);
    zone = NULL;
    if (!weir_zone_parse("fuzzed", data, size, &zone, &err)) ask(zone, &weekly);
    weir_zone_free(zone);
    weir_buf_done(&text);
    return 0;
}
