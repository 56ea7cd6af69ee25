/* Models that XGBoost saved, in JSON or UBJSON: arbitrary bytes are refused with a reason or pass, and then their trees' arrays can be read as they are. */
#include <stdlib.h>
#include <string.h>

#include "models/xgb_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weir_buf file = {0};
    weir_err err;
    if (!weir_buf_append(&file, data, size)) return 0;
    weir_status status = weir_xgb_check_file(&file, &err);
    if (status != WEIR_OK && (err.code == WEIR_OK || !*err.message || file.len != size || memcmp(file.data, data, size) != 0)) abort();
    if (status == WEIR_OK && weir_xgb_check_file(&file, &err) != WEIR_OK) abort(); /* taking out the list of categories leaves a file that passes */
    weir_buf_done(&file);
    return 0;
}
