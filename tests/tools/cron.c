/* Cron expressions over lines on stdin, for tests that compare them with an independent implementation.
 *
 *   next ZONE AFTER_S COUNT EXPRESSION    one line on stdout: the next COUNT due times, seconds since 1970, or "error: …"
 *   local ZONE LOCAL_S                    the instants at which the zone's clock shows that time; "gap S" where it never does */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/cron.h"

enum { LINE_BYTES_MAX = 1024 };

static void print_next(const weir_zone *zone, int64_t after_s, int count, const char *expression) {
    weir_cron cron;
    weir_err err;
    if (weir_cron_parse(expression, &cron, &err)) {
        printf("error: %s\n", err.message);
        return;
    }
    for (int64_t at_us = after_s * WEIR_SECOND_US; count > 0; count--) {
        at_us = weir_cron_next(&cron, zone, at_us);
        printf("%" PRId64 "%c", at_us / WEIR_SECOND_US, count == 1 ? '\n' : ' ');
    }
}

static void print_local(const weir_zone *zone, int64_t local_s) {
    weir_zone_instants at = weir_zone_instants_of(zone, local_s);
    if (!at.count) printf("gap %" PRId64 "\n", at.gap_end_s);
    for (int i = 0; i < at.count; i++) printf("%" PRId64 "%c", at.utc_s[i], i + 1 == at.count ? '\n' : ' ');
}

int main(void) {
    char line[LINE_BYTES_MAX], name[128];
    int64_t at_s;
    while (fgets(line, sizeof line, stdin)) {
        weir_zone *zone = NULL;
        weir_err err;
        int count = 0, used = 0;
        line[strcspn(line, "\n")] = 0;
        bool is_next = sscanf(line, "next %127s %" SCNd64 " %d %n", name, &at_s, &count, &used) == 3;
        if (!is_next && sscanf(line, "local %127s %" SCNd64, name, &at_s) != 2) return 1;
        if (weir_zone_load(name, &zone, &err)) {
            printf("error: %s\n", err.message);
            continue;
        }
        if (is_next)
            print_next(zone, at_s, count, line + used);
        else
            print_local(zone, at_s);
        weir_zone_free(zone);
    }
    return 0;
}
