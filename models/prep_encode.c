/* Encoding of categories as numbers. Nothing here looks at the label.
 *
 *   one_hot   a column NAME=LEVEL for each level, 1 where the value is that                scikit-learn's OneHotEncoder
 *   ordinal   the number of the level from 0                                              OrdinalEncoder
 *   hashing   columns NAME=#0 … NAME=#(buckets − 1), 1 in the bucket of the value
 *                                               Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009, without signs
 *
 * Levels are the values of the training rows. They are ordered by their texts, byte by byte; those whose text is unknown come last, by number. Of more than max_levels the
 * most frequent stay (of equally frequent ones the first), and the others are treated as unseen.
 *
 *             unseen "other"           unseen "none"    missing "none"    missing "other"     missing "own"
 *   one_hot   1 in NAME=<other>        all zeros        all zeros         as unseen "other"   1 in NAME=<missing>
 *   ordinal   the number of levels     missing          missing           as unseen "other"   the number of levels, one more with unseen "other"
 *   hashing   (every value has a bucket)                all zeros         —                   1 in NAME=<missing>
 *
 * Columns for other and missing are there whether or not the training rows have such values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/operator.h"
#include "features/sort.h"
#include "models/memory.h"
#include "models/prep_internal.h"

enum { ONE_HOT, ORDINAL, HASHING };
enum { UNSEEN_OTHER, UNSEEN_NONE };
enum { MISSING_NONE, MISSING_OTHER, MISSING_OWN };
static const char *const methods[] = {"one_hot", "ordinal", "hashing", NULL};
static const char *const unseen_choices[] = {"other", "none", NULL};
static const char *const missing_choices[] = {"none", "other", "own", NULL};

typedef struct encode_params {
    weir_prep_common common;
    int method, unseen, missing;
    int64_t max_levels, buckets;
} encode_params;

static const weir_conf_item params_table[] = {
    WEIR_PREP_COLUMNS_ITEM,
    {.name = "encode", .type = WEIR_CONF_ENUM, .offset = offsetof(encode_params, method), .choices = methods, .doc = "how categories become numbers"},
    {.name = "max_levels",
     .type = WEIR_CONF_INT,
     .offset = offsetof(encode_params, max_levels),
     .min = 1,
     .max = WEIR_PREP_LEVELS_MAX,
     .fallback = "50",
     .doc = "of one_hot and ordinal: how many levels a category may have"},
    {.name = "buckets",
     .type = WEIR_CONF_INT,
     .offset = offsetof(encode_params, buckets),
     .min = 1,
     .max = WEIR_PREP_LEVELS_MAX,
     .fallback = "16",
     .doc = "of hashing"},
    {.name = "unseen",
     .type = WEIR_CONF_ENUM,
     .offset = offsetof(encode_params, unseen),
     .choices = unseen_choices,
     .fallback = "other",
     .doc = "what a level that was not seen while fitting becomes"},
    {.name = "missing",
     .type = WEIR_CONF_ENUM,
     .offset = offsetof(encode_params, missing),
     .choices = missing_choices,
     .fallback = "none",
     .doc = "what a missing value becomes"},
    {0},
};

static weir_status check(const void *params, const cJSON *given, const char *path, weir_err *err) {
    const encode_params *p = params;
    bool hashing = p->method == HASHING;
    weir_status status = weir_prep_only(given, path, "buckets", hashing, "\"hashing\"", err);
    if (status == WEIR_OK) status = weir_prep_only(given, path, "max_levels", !hashing, "\"one_hot\" and \"ordinal\"", err);
    if (status == WEIR_OK) status = weir_prep_only(given, path, "unseen", !hashing, "\"one_hot\" and \"ordinal\"", err);
    if (status == WEIR_OK && p->missing == MISSING_OTHER && (hashing || p->unseen == UNSEEN_NONE))
        status = WEIR_FAIL(err, WEIR_EINVAL, "%s.missing: found \"other\", expected it only where unseen levels are \"other\"", path);
    return status;
}

static bool takes(const void *params, weir_prep_kind kind, bool named) {
    (void)params;
    (void)named;
    return kind == WEIR_PREP_CATEGORY;
}

static weir_prep_kind becomes(const void *params, weir_prep_kind kind) {
    (void)kind;
    return ((const encode_params *)params)->method == ORDINAL ? WEIR_PREP_NUMBER : WEIR_PREP_FLAG;
}

/* The finalizer of splitmix64 over the bits of the number. Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, 2014, mix64variant13. */
int weir_prep_bucket(double x, int count) {
    uint64_t z;
    x += 0.0; /* -0 is 0 */
    memcpy(&z, &x, sizeof z);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (int)((z ^ (z >> 31)) % (uint64_t)count);
}

/* ---- levels ---- */

typedef struct level {
    double value;
    const char *text; /* NULL: unknown */
    int64_t count;
} level;

static int in_order(const void *a, const void *b) {
    const level *x = a, *y = b;
    if (!x->text != !y->text) return x->text ? -1 : 1;
    int by_text = x->text ? strcmp(x->text, y->text) : 0;
    return by_text ? by_text : (x->value > y->value) - (x->value < y->value);
}

static int by_count(const void *a, const void *b) {
    const level *x = a, *y = b;
    return x->count != y->count ? (x->count > y->count ? -1 : 1) : in_order(a, b);
}

/* The texts that a column's values may stand for: those of the column, then those that imputations brought in. */
static const char *text_at(const weir_prep_fitting *f, int input, int own_count, int i) {
    return i < own_count ? f->columns[input].texts[i] : f->texts[i - own_count];
}

/* levels [count] ascending by value. */
static weir_status find_texts(const weir_prep_fitting *f, int input, level *levels, int count, weir_err *err) {
    int own = 0, l = 0;
    while (f->columns[input].texts && f->columns[input].texts[own]) own++;
    int all = own + f->text_count;
    weir_pair *pairs = weir_models_calloc((size_t)all, sizeof *pairs);
    if (!pairs) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d texts", all);
    for (int i = 0; i < all; i++) {
        const char *text = text_at(f, input, own, i);
        pairs[i] = (weir_pair){weir_text_number(text, strlen(text)), i};
    }
    weir_sort_pairs(pairs, all);
    for (int i = 0; i < all; i++) {
        while (l < count && levels[l].value < pairs[i].key) l++;
        if (l < count && levels[l].value == pairs[i].key && !levels[l].text) levels[l].text = text_at(f, input, own, (int)pairs[i].with);
    }
    weir_models_free(pairs);
    return WEIR_OK;
}

/* values [n] ascending → *ret_levels [*ret_count], heap, in order, no more than most. */
static weir_status find_levels(const weir_prep_fitting *f, int node, const double *values, int n, int most, level **ret_levels, int *ret_count, weir_err *err) {
    int count = 0;
    for (int i = 0; i < n; i++) count += i == 0 || values[i] != values[i - 1];
    level *levels = weir_models_calloc((size_t)count, sizeof *levels);
    if (!levels) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d levels", count);
    for (int i = 0, l = -1; i < n; i++) {
        if (i == 0 || values[i] != values[i - 1]) levels[++l].value = values[i];
        levels[l].count++;
    }
    weir_status status = find_texts(f, f->prep->nodes[node].input, levels, count, err);
    if (status != WEIR_OK) {
        weir_models_free(levels);
        return status;
    }
    if (count > most) {
        qsort(levels, (size_t)count, sizeof *levels, by_count);
        count = most;
    }
    qsort(levels, (size_t)count, sizeof *levels, in_order);
    *ret_levels = levels;
    *ret_count = count;
    return WEIR_OK;
}

static weir_status keep_levels(weir_prep_fitting *f, const level *levels, int count, int *ret_index, weir_err *err) {
    double *values = weir_models_calloc((size_t)count, sizeof *values);
    const char **texts = weir_models_calloc((size_t)count, sizeof *texts);
    for (int i = 0; values && texts && i < count; i++) {
        values[i] = levels[i].value;
        texts[i] = levels[i].text;
    }
    weir_status status =
        values && texts ? weir_prep_add_levels(f->prep, values, texts, count, ret_index, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d levels", count);
    weir_models_free(texts);
    weir_models_free(values);
    return status;
}

/* ---- what is made of them ---- */

/* Adds the 0/1 column NAME=SUFFIX of the category that is the flag's parent. */
static weir_status emit_flag(weir_prep_fitting *f, weir_prep_node flag, const char *suffix, weir_err *err) {
    flag.kind = WEIR_PREP_FLAG;
    weir_status status = weir_prep_name(f->prep, f->prep->nodes[flag.parent].name, suffix, &flag.name, err);
    return status == WEIR_OK ? weir_prep_emit_new(f, flag, err) : status;
}

static weir_status emit_missing(weir_prep_fitting *f, const encode_params *p, int node, weir_err *err) {
    if (p->missing != MISSING_OWN) return WEIR_OK;
    return emit_flag(f, (weir_prep_node){.op = WEIR_PREP_MISSING, .parent = node, .levels = -1}, "<missing>", err);
}

static weir_status one_hot(weir_prep_fitting *f, const encode_params *p, int node, const level *levels, int count, int index, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int i = 0; status == WEIR_OK && i < count; i++) {
        char number[32];
        snprintf(number, sizeof number, "%.17g", levels[i].value);
        weir_prep_node flag = {.op = WEIR_PREP_EQUALS, .parent = node, .levels = -1, .a = levels[i].value};
        status = emit_flag(f, flag, levels[i].text ? levels[i].text : number, err);
    }
    weir_prep_node other = {.op = WEIR_PREP_OTHER, .parent = node, .levels = index, .a = p->missing == MISSING_OTHER};
    if (status == WEIR_OK && p->unseen == UNSEEN_OTHER) status = emit_flag(f, other, "<other>", err);
    return status == WEIR_OK ? emit_missing(f, p, node, err) : status;
}

static weir_status ordinal(weir_prep_fitting *f, const encode_params *p, int node, int count, int index, weir_err *err) {
    bool other = p->unseen == UNSEEN_OTHER;
    weir_prep_node code = {.op = WEIR_PREP_CODE, .kind = WEIR_PREP_NUMBER, .parent = node, .levels = index, .a = other ? count : NAN};
    code.b = p->missing == MISSING_OWN ? count + other : p->missing == MISSING_OTHER ? count : NAN;
    return weir_prep_emit_new(f, code, err);
}

static weir_status hashing(weir_prep_fitting *f, const encode_params *p, int node, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int64_t i = 0; status == WEIR_OK && i < p->buckets; i++) {
        char number[32];
        snprintf(number, sizeof number, "#%d", (int)i);
        status = emit_flag(f, (weir_prep_node){.op = WEIR_PREP_BUCKET, .parent = node, .levels = -1, .a = (double)p->buckets, .b = (double)i}, number, err);
    }
    return status == WEIR_OK ? emit_missing(f, p, node, err) : status;
}

static weir_status fit(weir_prep_fitting *f, const void *params, int node, weir_err *err) {
    const encode_params *p = params;
    if (p->method == HASHING) return hashing(f, p, node, err);
    level *levels = NULL;
    int count = 0, index = -1, n = weir_prep_present(f, node, f->values);
    weir_status status = find_levels(f, node, f->values, n, (int)p->max_levels, &levels, &count, err);
    if (status == WEIR_OK) status = keep_levels(f, levels, count, &index, err);
    if (status == WEIR_OK) status = p->method == ONE_HOT ? one_hot(f, p, node, levels, count, index, err) : ordinal(f, p, node, count, index, err);
    weir_models_free(levels);
    return status;
}

const weir_prep_step weir_prep_encode = {
    .key = "encode", .params = params_table, .params_size = sizeof(encode_params), .check = check, .takes = takes, .becomes = becomes, .fit = fit};
