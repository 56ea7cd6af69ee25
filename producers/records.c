/* What all sources of records share. */
#include "producers/records.h"

#include <string.h>

void weir_records_free(weir_records *records) {
    if (!records) return;
    if (records->ops && records->ops->done) records->ops->done(records->context);
    weir_mem.realloc(records, 0);
}

typedef struct skipping {
    weir_records *inner;
    int64_t from_us;
} skipping;

static weir_status skipping_next(void *context, weir_record *ret_record, bool *ret_more, weir_err *err) {
    skipping *s = context;
    weir_status st;
    do {
        st = weir_records_next(s->inner, ret_record, ret_more, err);
    } while (!st && *ret_more && ret_record->at_us < s->from_us);
    return st;
}

static void skipping_done(void *context) {
    skipping *s = context;
    weir_records_free(s->inner);
    weir_mem.realloc(s, 0);
}

static const weir_records_ops skipping_ops = {.next = skipping_next, .done = skipping_done};

weir_status weir_records_skip_before(weir_records **records, int64_t from_us, weir_records **ret_records, weir_err *err) {
    weir_records *inner = *records, *outer = weir_mem.realloc(NULL, sizeof *outer);
    skipping *s = weir_mem.realloc(NULL, sizeof *s);
    *records = NULL;
    if (!outer || !s) {
        weir_mem.realloc(outer, 0);
        weir_mem.realloc(s, 0);
        weir_records_free(inner);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a source of records");
    }
    *s = (skipping){inner, from_us};
    *outer = (weir_records){.ops = &skipping_ops, .context = s, .event_count = -1};
    *ret_records = outer;
    return WEIR_OK;
}
