/* Validation schemes: their settings, and reading them. What they do to rows is in split_plan.c. */
#include "models/split.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Durations are kept so far from the ends of int64_t that sums of a time and four of them do not overflow. */
static const int64_t DURATION_MAX_US = INT64_C(1) << 60;

#define ROWS_MAX 1e12

static const char *const scheme_names[] = {"holdout", "k_fold", "stratified_k_fold", "grouped_k_fold", "time_split", "walk_forward", "purged_k_fold", NULL};
static const char *const tenant_choices[] = {"ignored", "separate", "pooled", NULL};
static const char *const tenant_choices_by_time[] = {"ignored", "separate", NULL};

#define AT(field) offsetof(weir_split, field)
#define SCHEME(name_)                                                                                                                                          \
    { .name = "scheme", .type = WEIR_CONF_ENUM, .offset = AT(scheme), .choices = scheme_names, .fallback = name_, .doc = "how rows are split" }
#define TENANTS                                                                                                                                                \
    {                                                                                                                                                          \
        .name = "tenants", .type = WEIR_CONF_ENUM, .offset = AT(tenants), .choices = tenant_choices, .fallback = "ignored",                                    \
        .doc = "pooled: every tenant is split by itself, folds are put together; separate: every tenant has folds of its own"                                  \
    }
#define TENANTS_BY_TIME                                                                                                                                        \
    {                                                                                                                                                          \
        .name = "tenants", .type = WEIR_CONF_ENUM, .offset = AT(tenants), .choices = tenant_choices_by_time, .fallback = "ignored",                            \
        .doc = "separate: every tenant has folds of its own"                                                                                                   \
    }
#define FOLDS(fallback_)                                                                                                                                       \
    { .name = "folds", .type = WEIR_CONF_INT, .offset = AT(folds), .min = 2, .max = WEIR_FOLDS_MAX, .fallback = fallback_, .doc = "how many folds" }
#define SHUFFLE(doc_)                                                                                                                                          \
    { .name = "shuffle", .type = WEIR_CONF_BOOL, .offset = AT(shuffle), .fallback = "true", .doc = doc_ }
#define SEED                                                                                                                                                   \
    { .name = "seed", .type = WEIR_CONF_INT, .offset = AT(seed), .min = 0, .max = 0x1p53, .fallback = "42", .doc = "of the shuffle" }
#define SHARE(name_, field, fallback_, doc_)                                                                                                                   \
    { .name = name_, .type = WEIR_CONF_NUMBER, .offset = AT(field), .min = 0, .max = 1, .fallback = fallback_, .doc = doc_ }
#define ROWS(name_, field, min_, doc_)                                                                                                                         \
    { .name = name_, .type = WEIR_CONF_INT, .offset = AT(field), .min = min_, .max = ROWS_MAX, .unit = "rows", .doc = doc_ }
#define DURATION(name_, field, doc_)                                                                                                                           \
    { .name = name_, .type = WEIR_CONF_DURATION, .offset = AT(field), .doc = doc_ }

static const weir_conf_item holdout_settings[] = {SCHEME("holdout"),
                                                  SHARE("share", test_share, "0.2", "share of the rows that is tested"),
                                                  {.name = "by_time",
                                                   .type = WEIR_CONF_BOOL,
                                                   .offset = AT(by_time),
                                                   .doc = "test the latest rows instead of drawn ones; tenants are then ignored or separate"},
                                                  SEED,
                                                  TENANTS,
                                                  {.name = NULL}};

static const weir_conf_item k_fold_settings[] = {SCHEME("k_fold"), FOLDS("5"),    SHUFFLE("shuffle the rows; false: blocks of rows in their order"), SEED,
                                                 TENANTS,          {.name = NULL}};

static const weir_conf_item stratified_settings[] = {
    SCHEME("stratified_k_fold"), FOLDS("5"), SHUFFLE("shuffle the rows of each class; false: in their order"), SEED, TENANTS, {.name = NULL}};

static const weir_conf_item grouped_settings[] = {SCHEME("grouped_k_fold"), FOLDS("5"), TENANTS, {.name = NULL}};

static const weir_conf_item time_settings[] = {SCHEME("time_split"),
                                               SHARE("train", train_share, "0.7", "share of the rows, the earliest, to train on"),
                                               SHARE("validation", validation_share, "0.2", "share of the rows after those to validate on; may be 0"),
                                               SHARE("test", test_share, "0.1", "share of the rows, the latest, to test on; the three add up to 1"),
                                               DURATION("gap", gap_us, "time before validation and test that is in no part"),
                                               TENANTS_BY_TIME,
                                               {.name = NULL}};

static const weir_conf_item walk_forward_settings[] = {
    SCHEME("walk_forward"),
    {.name = "folds",
     .type = WEIR_CONF_INT,
     .offset = AT(folds),
     .min = 1,
     .max = WEIR_FOLDS_MAX,
     .doc = "how many, the latest ones; default 5 by rows, by duration all"},
    {.name = "rolling", .type = WEIR_CONF_BOOL, .offset = AT(rolling), .doc = "train on a window of train_rows or train; false: on all rows before"},
    ROWS("train_rows", train_rows, 1, "by rows: length of the rolling training window"),
    ROWS("test_rows", test_rows, 1, "by rows: length of a test window; default rows / (folds + 1)"),
    ROWS("step_rows", step_rows, 1, "by rows: from a test window to the next; default test_rows"),
    ROWS("gap_rows", gap_rows, 0, "by rows: left out between training and test"),
    DURATION("train", train_us, "by duration: length of the rolling training window, or of the first expanding one"),
    DURATION("test", test_us, "by duration: length of a test window"),
    DURATION("step", step_us, "by duration: from a test window to the next; default test"),
    DURATION("gap", gap_us, "by duration: left out between training and test"),
    TENANTS_BY_TIME,
    {.name = NULL}};

static const weir_conf_item purged_settings[] = {SCHEME("purged_k_fold"),
                                                 FOLDS("5"),
                                                 DURATION("embargo", embargo_us, "time after a test block's labels are known that is not trained on"),
                                                 TENANTS_BY_TIME,
                                                 {.name = NULL}};

static const weir_split_scheme schemes[] = {
    {.name = "holdout", .doc = "one fold: a share of the rows is tested", .settings = holdout_settings},
    {.name = "k_fold", .doc = "every row is tested once", .settings = k_fold_settings},
    {.name = "stratified_k_fold", .doc = "k_fold with every class's share in every fold", .settings = stratified_settings, .needs_label = true},
    {.name = "grouped_k_fold", .doc = "k_fold with no entity in two folds", .settings = grouped_settings, .needs_group = true},
    {.name = "time_split", .doc = "one fold: the first rows train, the next validate, the last test", .settings = time_settings, .needs_time = true},
    {.name = "walk_forward", .doc = "test windows go forward in time, training ends before them", .settings = walk_forward_settings, .needs_time = true},
    {.name = "purged_k_fold",
     .doc = "blocks of time, without training rows whose labels overlap the tested ones",
     .settings = purged_settings,
     .needs_time = true,
     .needs_label_until = true},
    {.name = NULL},
};

const weir_split_scheme *weir_split_schemes(void) {
    return schemes;
}

static weir_status find_scheme(const cJSON *json, const char *path, const weir_split_scheme **ret_scheme, weir_err *err) {
    const char *known = "holdout, k_fold, stratified_k_fold, grouped_k_fold, time_split, walk_forward or purged_k_fold";
    if (!cJSON_IsObject(json)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: found no object, expected one with a scheme", path);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "scheme");
    const char *name = cJSON_GetStringValue(item);
    if (!name) return WEIR_FAIL(err, WEIR_EINVAL, "%s.scheme: found %s, expected %s", path, item ? "no string" : "nothing", known);
    for (const weir_split_scheme *s = schemes; s->name; s++) {
        if (strcmp(s->name, name) != 0) continue;
        *ret_scheme = s;
        return WEIR_OK;
    }
    const char *near = weir_conf_nearest(name, scheme_names);
    if (near) return WEIR_FAIL(err, WEIR_EINVAL, "%s.scheme: found \"%.40s\"; did you mean \"%s\"?", path, name, near);
    return WEIR_FAIL(err, WEIR_EINVAL, "%s.scheme: found \"%.40s\", expected %s", path, name, known);
}

static weir_status check_durations(const weir_split *s, const char *path, weir_err *err) {
    const struct {
        const char *key;
        int64_t us;
    } durations[] = {{"train", s->train_us}, {"test", s->test_us}, {"step", s->step_us}, {"gap", s->gap_us}, {"embargo", s->embargo_us}};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        if (durations[i].us > DURATION_MAX_US)
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: found %lld seconds, expected at most 36 000 years", path, durations[i].key,
                             (long long)(durations[i].us / 1000000));
    }
    return WEIR_OK;
}

static weir_status check_holdout(const weir_split *s, const char *path, weir_err *err) {
    if (!(s->test_share > 0 && s->test_share < 1))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.share: found %g, expected a number between 0 and 1", path, s->test_share);
    if (s->by_time && s->tenants == WEIR_TENANTS_POOLED)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.tenants: found \"pooled\" with by_time, expected ignored or separate", path);
    return WEIR_OK;
}

static weir_status check_time_split(const weir_split *s, const char *path, weir_err *err) {
    double sum = s->train_share + s->validation_share + s->test_share;
    if (!(s->train_share > 0)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.train: found 0, expected a share above 0", path);
    if (!(s->test_share > 0)) return WEIR_FAIL(err, WEIR_EINVAL, "%s.test: found 0, expected a share above 0", path);
    if (fabs(sum - 1) > 1e-9) return WEIR_FAIL(err, WEIR_EINVAL, "%s: train, validation and test add up to %.12g, expected 1", path, sum);
    return WEIR_OK;
}

/* The windows are measured either in rows or in time. */
static weir_status check_walk_forward(const cJSON *json, weir_split *s, const char *path, weir_err *err) {
    static const char *const by_rows[] = {"train_rows", "test_rows", "step_rows", "gap_rows"}, *const by_time[] = {"train", "test", "step", "gap"};
    bool timed = cJSON_HasObjectItem(json, "test");
    for (int i = 0; i < 4; i++) {
        const char *stray = timed ? by_rows[i] : by_time[i];
        if (cJSON_GetObjectItemCaseSensitive(json, stray))
            return WEIR_FAIL(err, WEIR_EINVAL, "%s.%s: %s", path, stray,
                             timed ? "\"test\" is a duration, so it has no place here" : "it needs the duration \"test\"");
    }
    if (timed && s->test_us == 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s.test: found 0, expected a duration such as \"7d\"", path);
    if (timed && s->train_us == 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s.train: found nothing, expected a duration such as \"28d\"", path);
    if (!timed && s->rolling && s->train_rows == 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.train_rows: found nothing, expected the length of the rolling window", path);
    if (!timed && !s->rolling && s->train_rows > 0) return WEIR_FAIL(err, WEIR_EINVAL, "%s.train_rows: found a length, but the window is not rolling", path);
    if (timed && cJSON_HasObjectItem(json, "step") && s->step_us == 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s.step: found 0, expected a duration such as \"1d\"", path);
    if (timed && s->step_us == 0) s->step_us = s->test_us;
    if (!timed && s->folds == 0) s->folds = 5;
    return WEIR_OK;
}

weir_status weir_split_from_json(const cJSON *json, const char *path, weir_split *ret_split, weir_err *err) {
    weir_split split = {0};
    const weir_split_scheme *scheme = NULL;
    weir_status status = find_scheme(json, path, &scheme, err);
    if (status == WEIR_OK) status = weir_conf_defaults(scheme->settings, &split, err);
    if (status == WEIR_OK) status = weir_conf_from_json(scheme->settings, &split, json, path, err);
    if (status == WEIR_OK) status = check_durations(&split, path, err);
    if (status != WEIR_OK) return status;
    if (split.scheme == WEIR_SPLIT_HOLDOUT) status = check_holdout(&split, path, err);
    if (split.scheme == WEIR_SPLIT_TIME) status = check_time_split(&split, path, err);
    if (split.scheme == WEIR_SPLIT_WALK_FORWARD) status = check_walk_forward(json, &split, path, err);
    if (status == WEIR_OK) *ret_split = split;
    return status;
}
