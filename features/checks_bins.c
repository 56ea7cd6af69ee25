/* Bins of a profile, as `weir features profile` writes them; see checks.h. */
#include <math.h>
#include <stdlib.h>

#include "features/checks.h"
#include "features/pipeline_file.h"

/* An array of exactly n numbers from 0 to 1; their sum is added to *sum. */
static bool read_shares(const cJSON *json, int n, double *out, double *sum) {
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != n) return false;
    const cJSON *child;
    int i = 0;
    cJSON_ArrayForEach(child, json) {
        if (!cJSON_IsNumber(child) || !(child->valuedouble >= 0 && child->valuedouble <= 1)) return false;
        *sum += out[i++] = child->valuedouble;
    }
    return true;
}

typedef struct text_bin {
    double value, share;
} text_bin;

static int by_value(const void *a, const void *b) {
    double x = ((const text_bin *)a)->value, y = ((const text_bin *)b)->value;
    return (x > y) - (x < y);
}

/* Edges ascend strictly; texts are put into the order of their numbers, with their shares. */
static bool read_edges(const cJSON *json, weir_bins *bins) {
    text_bin texts[WEIR_BINS_MAX];
    const cJSON *child;
    int i = 0;
    cJSON_ArrayForEach(child, json) {
        const char *text = cJSON_GetStringValue(child);
        if (bins->texts ? !text : !cJSON_IsNumber(child)) return false;
        texts[i] = (text_bin){bins->texts ? weir_text_number(text, strlen(text)) : child->valuedouble, bins->expected[i]};
        i++;
    }
    if (bins->texts) qsort(texts, (size_t)i, sizeof(*texts), by_value);
    for (int k = 0; k < i; k++) {
        if (k && !(texts[k - 1].value < texts[k].value)) return false;
        bins->edges[k] = texts[k].value;
        bins->expected[k] = texts[k].share;
    }
    return true;
}

static const cJSON *find_column(const cJSON *json, const char *name) {
    const cJSON *columns = pf_get(json, "columns"), *column;
    cJSON_ArrayForEach(column, columns) {
        const char *text = cJSON_GetStringValue(pf_get(column, "name"));
        if (text && !strcmp(text, name)) return column;
    }
    return NULL;
}

static weir_status read_column(const cJSON *json, const char *name, weir_bins *bins, weir_err *err) {
    const cJSON *column = find_column(json, name);
    if (!column) return WEIR_FAIL(err, WEIR_EINVAL, "the profile has no column %s", name);
    const cJSON *parts = pf_get(column, "bins"), *missing = pf_get(column, "missing_share");
    const cJSON *edges = pf_get(parts, bins->texts ? "values" : "edges");
    if (!cJSON_IsObject(parts) || !cJSON_IsArray(edges))
        return WEIR_FAIL(err, WEIR_EINVAL, "the profile has no bins of %s for column %s", bins->texts ? "texts" : "numbers", name);
    int n = cJSON_GetArraySize(edges) + 1;
    double sum = 0;
    bins->count = n;
    if (n > WEIR_BINS_MAX || !read_shares(pf_get(parts, "shares"), n, bins->expected, &sum) || !read_edges(edges, bins) || !cJSON_IsNumber(missing) ||
        fabs(sum + missing->valuedouble - 1) > 1e-6)
        return WEIR_FAIL(err, WEIR_EINVAL,
                         "the bins of column %s are damaged: expected up to %d edges that ascend, one share more, and shares that make 1 with missing_share",
                         name, WEIR_BINS_MAX - 1);
    bins->expected[n] = missing->valuedouble;
    return WEIR_OK;
}

weir_status weir_bins_read(const char *path, const char *column, bool texts, weir_bins **ret_bins, weir_err *err) {
    weir_buf text = {0};
    bool there = false;
    weir_status status = pf_read_file(path, &text, &there, err);
    if (!status && !there) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "there is no file %s", path);
    cJSON *json = NULL;
    if (!status && !(json = cJSON_Parse(text.data ? text.data : ""))) status = WEIR_FAIL(err, WEIR_EINVAL, "%s is no JSON", path);
    weir_bins *bins = NULL;
    if (!status && !(bins = weir_mem.realloc(NULL, sizeof(*bins)))) status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a profile");
    if (!status) {
        *bins = (weir_bins){.texts = texts};
        if ((status = read_column(json, column, bins, err))) weir_err_prefix(err, "%s", path);
    }
    cJSON_Delete(json);
    weir_buf_done(&text);
    if (status)
        free(bins);
    else
        *ret_bins = bins;
    return status;
}
