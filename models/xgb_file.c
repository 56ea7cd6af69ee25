/* Since 3.1 XGBoost keeps the categories of a data frame, and gives each its place among them as its code:
 *
 *   "learner": {"feature_names": ["amount", "channel"], "gradient_booster": {"model": {"cats": {
 *     "enc": [{"offsets": [], "values": []},                   amount: none
 *             {"offsets": [0, 3, 7], "values": [97, …]}]}}}}   channel: texts; of numbers {"type": 15, "values": [0, 1, …]}
 *
 * A row of Weir holds numbers. Where categories are the numbers 0, 1, 2, … each is its own code; of others it could not be told whether a number is meant or a code. */
#include "models/xgb_file.h"

#include <string.h>

#include "models/memory.h"
#include "models/trees.h"
#include "models/ubjson.h"

enum { KNOWN_MAX = 1 << 24 /* categories of a column */ };

/* A column as a message names it. */
static const char *column_name(weir_ubjson learner, int column, char *text, size_t size) {
    weir_ubjson names, name = {0};
    weir_ubjson_array array;
    const char *found;
    size_t len;
    snprintf(text, size, "%d", column);
    if (!weir_ubjson_find(learner, "feature_names", &names) || !weir_ubjson_begin(names, &array)) return text;
    for (int i = 0; i <= column; i++)
        if (!weir_ubjson_next(&array, &name)) return text;
    if (weir_ubjson_text(name, &found, &len)) snprintf(text, size, "'%.*s'", (int)(len < size - 3 ? len : size - 3), found);
    return text;
}

/* Whether the known categories of a column are 0, 1, 2, … */
static weir_status are_codes(weir_ubjson encoding, bool *ret_codes, weir_err *err) {
    weir_ubjson values, offsets;
    *ret_codes = !weir_ubjson_find(encoding, "offsets", &offsets) || !weir_ubjson_count_numbers(offsets, 1);
    if (!*ret_codes || !weir_ubjson_find(encoding, "values", &values)) return WEIR_OK;
    int count = weir_ubjson_count_numbers(values, KNOWN_MAX);
    double *known = weir_models_calloc((size_t)count + 1, sizeof *known);
    if (!known) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d categories", count);
    *ret_codes = weir_ubjson_read_numbers(values, known, count);
    for (int i = 0; i < count; i++) *ret_codes = *ret_codes && known[i] == i;
    weir_models_free(known);
    return WEIR_OK;
}

static bool find_cats(weir_ubjson root, weir_ubjson *ret_learner, weir_ubjson *ret_cats) {
    weir_ubjson value;
    return weir_ubjson_find(root, "learner", ret_learner) && weir_ubjson_find(*ret_learner, "gradient_booster", &value) &&
           weir_ubjson_find(value, "model", &value) && weir_ubjson_find(value, "cats", ret_cats);
}

static weir_status check_encodings(weir_ubjson root, weir_err *err) {
    weir_ubjson learner, cats, encoding;
    weir_ubjson_array array;
    char name[96];
    if (!find_cats(root, &learner, &cats) || !weir_ubjson_find(cats, "enc", &cats) || !weir_ubjson_begin(cats, &array)) return WEIR_OK;
    for (int c = 0; weir_ubjson_next(&array, &encoding); c++) {
        bool codes;
        weir_status status = are_codes(encoding, &codes, err);
        if (status) return status;
        if (!codes)
            return WEIR_FAIL(err, WEIR_EDATA,
                             "cats: the categories of column %s are texts, or numbers other than 0, 1, 2, …, which the model knows by their places: rows hold "
                             "numbers, so train with those codes",
                             column_name(learner, c, name, sizeof name));
    }
    return WEIR_OK;
}

/* Leaves an empty object. */
static void take_out_cats(weir_buf *file) {
    weir_ubjson root, learner, cats;
    size_t len;
    if (!weir_ubjson_open(file->data, file->len, &root) || !find_cats(root, &learner, &cats) || cats.type != '{' || !weir_ubjson_length(cats, &len)) return;
    size_t at = (size_t)((const char *)cats.at - file->data);
    if (len < 1) return;
    file->data[at] = '}';
    memmove(file->data + at + 1, file->data + at + len, file->len - at - len);
    file->len -= len - 1;
}

/* The library tells both forms apart in the same way. Its older, binary form has no categories. */
weir_status weir_xgb_check_file(weir_buf *file, weir_err *err) {
    weir_buf made = {0};
    weir_ubjson root;
    if (file->len < 2 || file->data[0] != '{') return WEIR_OK;
    bool json = file->data[1] == '"';
    weir_status status = json ? weir_ubjson_of_json(file->data, file->len, &made, err) : WEIR_OK;
    const weir_buf *read = json ? &made : file;
    if (!status && !weir_ubjson_open(read->data, read->len, &root)) status = WEIR_FAIL(err, WEIR_EDATA, "the file of %zu bytes holds no model", file->len);
    if (!status) status = weir_trees_check_arrays(root, err);
    if (!status) status = check_encodings(root, err);
    weir_buf_done(&made);
    if (!status && !json) take_out_cats(file);
    return status;
}
