/* Any bytes as what a worker says to the tracker of a distributed training, and to its leader: read, found wanting or wrong, never read beyond their end, and the same whether they come at once or one by one.
 * clang -fsanitize=fuzzer,address,undefined, linked with weir_models. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "models/distributed_wire.h"
#include "models/tracker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is whole stays so with more behind it; what is before its end asks for more. */
static void read_hello(const char *bytes, size_t size) {
    weir_tracker_hello hello = {.rank = -9, .task = -9};
    size_t used = 0;
    if (weir_tracker_read_hello(bytes, size, "t", 5, &hello, &used) != WEIR_TRACKER_WHOLE) return;
    if (used > size || hello.task < 0 || hello.task >= 5 || hello.rank < -1 || hello.rank >= 5) abort();
    for (size_t n = 0; n < used; n++) {
        weir_tracker_hello part;
        size_t ignored;
        if (weir_tracker_read_hello(bytes, n, "t", 5, &part, &ignored) != WEIR_TRACKER_MORE) abort();
    }
}

static void read_links(const char *bytes, size_t size) {
    uint64_t ranks = 0;
    size_t used = 0;
    if (weir_tracker_read_links(bytes, size, 5, &ranks, &used) == WEIR_TRACKER_WHOLE && (used > size || ranks >> 5)) abort();
}

static void read_wire(const char *bytes, size_t size) {
    uint32_t kind;
    uint64_t len;
    weir_xgb_progress progress;
    weir_wire_work work;
    weir_err err;
    if (size >= WEIR_WIRE_HEAD && weir_wire_head_read(bytes, &kind, &len) && len > weir_wire_max(kind)) abort();
    if (weir_wire_progress_read(bytes, size, &progress) && (progress.round < 1 || progress.best_round >= progress.round)) abort();
    cJSON *json = cJSON_ParseWithLength(bytes, size);
    if (json && !weir_wire_work_read(json, &work, &err)) {
        if (work.work.rank >= work.work.workers || work.rows[0] < 0 || work.rows[1] < 0) abort();
        weir_wire_work_done(&work);
    }
    cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *bytes = malloc(size + 1); /* of its very size: what reads beyond it is found */
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    read_hello(bytes, size);
    read_links(bytes, size);
    read_wire(bytes, size);
    free(bytes);
    return 0;
}
