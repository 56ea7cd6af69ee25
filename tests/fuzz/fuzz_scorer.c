/* Compiled models: whatever is in a file, opening it comes back, and so does scoring by one that was opened. The digest is set right, so that what lies behind it is reached. */
#include <stdlib.h>
#include <string.h>

#include "models/scorer/internal.h"

enum { INPUTS_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static const double values[INPUTS_MAX] = {0, 1, -1, 1e300, -1e300};
    double out[SCORE_OUTPUTS_MAX];
    char message[WEIRSCORE_MESSAGE_MAX];
    weirscore *model = NULL;
    uint8_t *bytes = aligned_alloc(SCORE_ALIGN, (len + SCORE_ALIGN) / SCORE_ALIGN * SCORE_ALIGN);
    if (!bytes) return 0;
    memcpy(bytes, data, len);
    if (len >= sizeof(score_head)) {
        score_head *head = (score_head *)(void *)bytes;
        memcpy(head->magic, SCORE_MAGIC, sizeof head->magic);
        head->version = SCORE_VERSION;
        head->length = len;
        score_digest(bytes, len, head->digest);
    }
    if (!weirscore_open_memory(bytes, len, &model, message, sizeof message) && weirscore_input_count(model) <= INPUTS_MAX)
        (void)weirscore_score(model, values, 1, out);
    weirscore_close(model);
    free(bytes);
    return 0;
}
