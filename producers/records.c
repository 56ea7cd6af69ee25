/* What all sources of records share. */
#include "producers/records.h"

void weir_records_free(weir_records *records) {
    if (!records) return;
    if (records->ops && records->ops->done) records->ops->done(records->context);
    weir_mem.realloc(records, 0);
}
