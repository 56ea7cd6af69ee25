/* Any bytes as the state of an entity: refused, or a state in order whose bytes give the same state again. */
#include <math.h>
#include <stdlib.h>

#include "features/view_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_view *make_view(void) {
    weir_pipeline *pipeline = NULL;
    weir_view *view = NULL;
    if (weir_pipeline_load("fraud", &pipeline, NULL) || weir_view_new(pipeline, &pipeline->views[0], &view, NULL)) abort();
    return view;
}

/* The bytes of an empty state begin with what a decoder asks for; the fuzzer need not guess the hashes in it. What follows them in an empty state is four zeros and the
 * checksum. */
static void put_head(const weir_view *view, weir_buf *bytes, uint8_t unit) {
    if (!weir_state_encode(view, &(weir_state){0}, bytes)) abort();
    bytes->len -= 8;
    bytes->data[1] = (char)(unit % 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static weir_view *view;
    static weir_state state, again;
    static weir_buf bytes;
    double out[WEIR_FEATURES_MAX];
    weir_err err = {0};
    if (!view) view = make_view();
    if (!size) return 0;
    weir_buf_clear(&bytes);
    put_head(view, &bytes, data[0]);
    if (!weir_buf_append(&bytes, data + 1, size - 1)) abort();
    uint32_t checksum = state_checksum(bytes.data, bytes.len);
    if (!weir_buf_append(&bytes, &checksum, sizeof(checksum))) abort();
    if (weir_state_decode(view, bytes.data, bytes.len, &state, &err)) return 0;
    weir_view_eval(view, &state, state.count ? state.time[state.count / 2] : 0, NULL, out);
    weir_buf_clear(&bytes);
    if (!weir_state_encode(view, &state, &bytes) || weir_state_decode(view, bytes.data, bytes.len, &again, &err)) abort();
    if (again.count != state.count || (state.count && memcmp(again.time, state.time, sizeof(*state.time) * (size_t)state.count))) abort();
    for (int i = 0; i < state.count; i++) {
        if (i && state.time[i] < state.time[i - 1]) abort();
        if (again.source[i].partition != state.source[i].partition || again.source[i].offset != state.source[i].offset) abort();
        if (again.seq[i] != state.seq[i]) abort();
        for (int s = 0; s < weir_view_slot_count(view); s++) {
            double was = state.values[s * state.capacity + i], is = again.values[s * again.capacity + i];
            if (memcmp(&is, &was, sizeof(is)) && !(isnan(is) && isnan(was))) abort();
        }
    }
    return 0;
}
