/* libweirscore: the scores of a model that Weir compiled, in a process of your own. C99 and C++; needs nothing but libc and libm.
 *
 *   weirscore *model;
 *   char why[WEIRSCORE_MESSAGE_MAX];
 *   if (weirscore_open("fraud.score", &model, why, sizeof why)) fail(why);
 *   if (weirscore_score(model, row, 1, &score)) ...
 *   weirscore_close(model);
 *
 * A file is mapped, not read: processes share its pages. It is immutable, and refused when it is damaged. Scoring takes no lock and no memory, and any number of threads may score by one model
 * at once. Equal rows give equal bits, alone or among others: those of the library that trained the model. */
#ifndef WEIRSCORE_H
#define WEIRSCORE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIRSCORE_API __attribute__((visibility("default")))

typedef struct weirscore weirscore;

enum {
    WEIRSCORE_OK,
    WEIRSCORE_IO, /* the file cannot be read */
    WEIRSCORE_DAMAGED, /* it is no compiled model, or not as it was written */
    WEIRSCORE_VERSION, /* it is of another version of the format */
    WEIRSCORE_MEMORY,
    WEIRSCORE_INFINITE, /* a value of a row, or a score, is not finite */
};
enum { WEIRSCORE_MESSAGE_MAX = 256 };

/** Opens a file. message (may be NULL) gets what is wrong with it. *ret_model is untouched on failure. */
WEIRSCORE_API int weirscore_open(const char *path, weirscore **ret_model, char *message, size_t message_size);
/** The same from memory, which must stay as it is until the model is closed, and begin at a multiple of 64. */
WEIRSCORE_API int weirscore_open_memory(const void *bytes, size_t len, weirscore **ret_model, char *message, size_t message_size);
WEIRSCORE_API void weirscore_close(weirscore *model); /* NULL is fine */

/** Values a row, in this order; scores a row: of several classes one each, of a binary model that of its second class. */
WEIRSCORE_API size_t weirscore_input_count(const weirscore *model);
WEIRSCORE_API size_t weirscore_output_count(const weirscore *model);
WEIRSCORE_API const char *weirscore_input_name(const weirscore *model, size_t i);
WEIRSCORE_API const char *weirscore_output_name(const weirscore *model, size_t i); /* class or target; "score" where it has no name */
/** Hex SHA-256 of the artifact that the model was compiled from: what Weir's registry and predictions call its digest. */
WEIRSCORE_API const char *weirscore_digest(const weirscore *model);

/** Shapes: rows [row_count][input_count], out [row_count][output_count], row-major; NaN: missing. WEIRSCORE_INFINITE: out is then not to be used. */
WEIRSCORE_API int weirscore_score(const weirscore *model, const double *rows, size_t row_count, double *out);

#ifdef __cplusplus
}
#endif

#endif
