/* Between model.c, which knows artifacts, and the models of several (models/composite.c). */
#ifndef WEIR_MODELS_MODEL_INTERNAL_H
#define WEIR_MODELS_MODEL_INTERNAL_H

#include "models/composite.h"

static inline void weir_put_le(unsigned char *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t weir_get_le(const unsigned char *in, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)in[i] << (8 * i);
    return value;
}

/* What an artifact's header says. Everything is borrowed. */
typedef struct weir_artifact_header {
    const weir_algorithm *algorithm;
    const cJSON *params;
    const weir_matrix *train; /* its columns, which are those of the rows to be scored, task and classes */
    const char *const *targets; /* [target_count] of a model of several, else 0 */
    int target_count;
    const char *chain, *feature_hash; /* the fitted chain's JSON; both may be NULL */
    uint64_t seed;
    int threads;
} weir_artifact_header;
/** Appends an artifact: header, body, checksum. Errors: WEIR_ENOMEM; *artifact is then as it was. */
weir_status weir_artifact_append(const weir_artifact_header *header, const weir_buf *body, weir_buf *artifact, weir_err *err) WEIR_MUST_CHECK;

/** weir_model_load of a member: which it is is known before anything of it is loaded, so that artifacts in artifacts in artifacts do not go deep. */
weir_status weir_model_load_member(const void *artifact, size_t len, bool may_be_ensemble, weir_model **ret_model, weir_err *err) WEIR_MUST_CHECK;

#endif
