/* Is a record fit to be taken in, and which key is it under? */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/clock.h"
#include "features/checks.h"

enum { KEY_LEN_MAX = WEIR_KEY_MAX - 1 }; /* the online store puts four bytes in front, LMDB takes 511 */

/* Length of the UTF-8 sequence at p, 0 when there is none; table 3-7 of the Unicode standard. */
static size_t utf8_len(const unsigned char *p, size_t left) {
    if (p[0] < 0x80) return p[0] != 0;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) return 0;
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80, high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    return n;
}

bool weir_text_valid(const char *text, size_t len) {
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0, n; i < len; i += n) {
        if (!(n = utf8_len(p + i, len - i))) return false;
    }
    return true;
}

/* Fit for every store: whatever the checks of the pipeline say. */
static weir_status check_storable(const weir_schema *schema, const weir_datum *row, weir_err *err) {
    int n = weir_schema_field_count(schema);
    for (int i = 0; i < n; i++) {
        if (row[i].type == WEIR_T_STR && !weir_text_valid(row[i].p, row[i].len))
            return WEIR_REJECT(err, WEIR_EDATA, "%s: found bytes that are no UTF-8 text without NUL", weir_schema_field_at(schema, i)->name);
        if (row[i].type == WEIR_T_I64 && (row[i].i < WEIR_TIME_MIN_US || row[i].i > WEIR_TIME_MAX_US) && weir_schema_field_at(schema, i)->is_timestamp)
            return WEIR_REJECT(err, WEIR_EDATA, "%s: found %" PRId64 " microseconds since 1970, expected a time in the years 1 to 9999",
                               weir_schema_field_at(schema, i)->name, row[i].i);
    }
    return WEIR_OK;
}

static bool is_in(const weir_check_values *set, double value) {
    int low = 0, n = set->count;
    while (n > 1) {
        int half = n / 2;
        low += set->values[low + half - 1] < value ? half : 0;
        n -= half;
    }
    return set->values[low] == value;
}

/* A value as a message shows it. */
static const char *shown(const weir_datum *value, char text[96]) {
    if (value->type == WEIR_T_STR)
        snprintf(text, 96, "\"%.*s\"", value->len > 64 ? 64 : (int)value->len, value->p);
    else
        snprintf(text, 96, "%.17g", weir_datum_number(value));
    return text;
}

static weir_status check_sets(const weir_check_def *check, const weir_datum *value, weir_err *err) {
    char found[96];
    double v = weir_check_number(value);
    const char *example = check->in.text ? check->in.text : "a number of them";
    if (check->in.values && !is_in(&check->in, v))
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found %s, expected one of the allowed values (\"%s\", ...)", check->name, shown(value, found), example);
    if (check->not_in.values && is_in(&check->not_in, v))
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found %s, expected none of the values that are not allowed", check->name, shown(value, found));
    return WEIR_OK;
}

static weir_status check_text(const weir_check_def *check, const weir_datum *value, weir_err *err) {
    char found[96];
    int64_t length = 0;
    for (uint32_t i = 0; i < value->len; i++) length += (value->p[i] & 0xc0) != 0x80; /* every byte but those that continue a code point */
    if (length < check->min_length || (check->max_length && length > check->max_length))
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found %" PRId64 " characters, expected at %s %" PRId64, check->name, length,
                           length < check->min_length ? "least" : "most", length < check->min_length ? check->min_length : check->max_length);
    if (check->matches && !weir_pattern_matches(check->matches, value->p, value->len))
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found %s, expected a text that matches %s", check->name, shown(value, found),
                           weir_pattern_text(check->matches));
    return WEIR_OK;
}

static weir_status check_column(const weir_check_def *check, const weir_datum *value, weir_err *err) {
    weir_status status;
    if (value->type == WEIR_T_NULL) return check->not_null ? WEIR_REJECT(err, WEIR_EDATA, "%s: found null, expected a value", check->name) : WEIR_OK;
    if ((check->in.values || check->not_in.values) && (status = check_sets(check, value, err))) return status;
    if ((check->matches || check->min_length || check->max_length) && (status = check_text(check, value, err))) return status;
    if (!check->has_min && !check->has_max) return WEIR_OK;
    double v = weir_datum_number(value);
    if (isnan(v)) return WEIR_REJECT(err, WEIR_EDATA, "%s: found NaN, expected a number", check->name);
    if (check->has_min && v < check->min) return WEIR_REJECT(err, WEIR_EDATA, "%s: found %.17g, expected at least %.17g", check->name, v, check->min);
    if (check->has_max && v > check->max) return WEIR_REJECT(err, WEIR_EDATA, "%s: found %.17g, expected at most %.17g", check->name, v, check->max);
    return WEIR_OK;
}

weir_status weir_check_rule_failed(const weir_check_def *check, const weir_schema *schema, const double *vars, weir_err *err) {
    int count, columns = weir_schema_field_count(schema);
    const int *read = weir_expr_variables(check->expr, &count);
    char found[240] = "";
    for (int i = 0; i < count; i++) {
        bool previous = read[i] < 2 * columns ? read[i] >= columns : read[i] > 2 * columns;
        const weir_schema_field *field = read[i] < 2 * columns ? weir_schema_field_at(schema, read[i] % columns) : NULL;
        size_t len = strlen(found);
        double v = vars[read[i]];
        char number[32];
        snprintf(number, sizeof(number), v == v ? "%.10g" : "null", v);
        snprintf(found + len, sizeof(found) - len, "%s%s%.40s %s", i ? ", " : "", previous ? "previous." : "", field ? field->name : "event_time",
                 field && field->type == WEIR_T_STR && v == v ? "a text" : number);
    }
    return WEIR_REJECT(err, WEIR_EDATA, "%s: found %s, expected that %.120s", check->name, found, check->rule);
}

static weir_status check_rule(const weir_check_def *check, const weir_feed_def *feed, const weir_datum *row, weir_err *err) {
    double vars[WEIR_CHECK_VARIABLES_MAX];
    int count, columns = weir_schema_field_count(feed->schema);
    const int *read = weir_expr_variables(check->expr, &count);
    for (int i = 0; i < count; i++) vars[read[i]] = weir_check_number(&row[read[i] < columns ? read[i] : feed->time_index]);
    return weir_check_is_good(check, weir_expr_eval(check->expr, vars)) ? WEIR_OK : weir_check_rule_failed(check, feed->schema, vars, err);
}

weir_status weir_pipeline_check_hits(const weir_pipeline *pipeline, weir_feed feed, const weir_datum *row, int64_t now_us, weir_check_hits *hits,
                                     const char **ret_class, weir_err *err) {
    const weir_feed_def *def = feed == WEIR_FROM_LABELS ? &pipeline->labels : &pipeline->events;
    *ret_class = "check";
    weir_status status = check_storable(def->schema, row, err);
    if (status) return status;
    const weir_datum *time = &row[def->time_index];
    if (time->i > now_us && time->i - now_us > def->max_future_us) {
        char found[WEIR_TIME_TEXT_MAX], now[WEIR_TIME_TEXT_MAX];
        *ret_class = "future";
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found %s, expected at most %" PRId64 " s ahead of the clock, which says %s",
                           weir_schema_field_at(def->schema, def->time_index)->name, weir_time_format(time->i, found), def->max_future_us / WEIR_SECOND_US,
                           weir_time_format(now_us, now));
    }
    for (int i = 0; i < pipeline->check_count; i++) {
        const weir_check_def *check = &pipeline->checks[i];
        if (check->on != feed || check->kind > WEIR_CHECK_RULE) continue;
        weir_err why;
        status = check->kind == WEIR_CHECK_COLUMN ? check_column(check, &row[check->column_index], &why) : check_rule(check, def, row, &why);
        if (!status) continue;
        if (hits) weir_check_hit(hits, i);
        if (check->severity != WEIR_REJECTS) continue;
        if (err) *err = why;
        return status;
    }
    return WEIR_OK;
}

weir_status weir_pipeline_check(const weir_pipeline *pipeline, weir_feed feed, const weir_datum *row, int64_t now_us, const char **ret_class, weir_err *err) {
    return weir_pipeline_check_hits(pipeline, feed, row, now_us, NULL, ret_class, err);
}

size_t weir_check_marks(const weir_pipeline *pipeline, const weir_check_hits *hits, char text[WEIR_MARKS_MAX]) {
    size_t len = 0;
    for (int i = 0; i < pipeline->check_count; i++) {
        const weir_check_def *check = &pipeline->checks[i];
        if (check->severity != WEIR_MARKS || !weir_check_is_hit(hits, i)) continue;
        size_t n = strlen(check->name); /* at most 64 */
        if (len) text[len++] = ',';
        memcpy(text + len, check->name, n);
        len += n;
    }
    return len;
}

/* Appends a column's text; `apart` is the character that must not be in it (0: any may). */
static weir_status put_part(const weir_feed_def *feed, int column, const weir_datum *value, char apart, char *key, size_t *len, weir_err *err) {
    const char *name = weir_schema_field_at(feed->schema, column)->name, *text = value->p;
    char digits[24];
    size_t n = value->len;
    if (value->type == WEIR_T_I64) {
        n = (size_t)snprintf(digits, sizeof(digits), "%" PRId64, value->i);
        text = digits;
    } else if (value->type != WEIR_T_STR) {
        return WEIR_REJECT(err, WEIR_EDATA, "%s: found %s, expected a text or a whole number, for it is part of the key", name,
                           value->type == WEIR_T_NULL ? "null" : "another type");
    }
    if (!n) return WEIR_REJECT(err, WEIR_EDATA, "%s: found an empty text, expected a value, for it is part of the key", name);
    if (apart && memchr(text, apart, n)) return WEIR_REJECT(err, WEIR_EDATA, "%s: found '%c' in it, which separates the parts of a key", name, apart);
    if (*len + n > KEY_LEN_MAX) return WEIR_REJECT(err, WEIR_EDATA, "%s: the key gets longer than %d bytes", name, KEY_LEN_MAX);
    memcpy(key + *len, text, n);
    *len += n;
    return WEIR_OK;
}

weir_status weir_key_make(const weir_feed_def *feed, const int *columns, int column_count, const weir_datum *row, char key[WEIR_KEY_MAX], size_t *ret_len,
                          weir_err *err) {
    size_t len = 0;
    weir_datum constant = weir_text(feed->tenant ? feed->tenant : "default");
    bool has = feed->tenant_index >= 0;
    weir_status status = put_part(feed, has ? feed->tenant_index : feed->time_index, has ? &row[feed->tenant_index] : &constant, '/', key, &len, err);
    for (int i = 0; !status && i < column_count; i++) {
        if (len >= KEY_LEN_MAX) return WEIR_REJECT(err, WEIR_EDATA, "the key gets longer than %d bytes", KEY_LEN_MAX);
        key[len++] = i ? '|' : '/';
        status = put_part(feed, columns[i], &row[columns[i]], column_count > 1 ? '|' : 0, key, &len, err);
    }
    if (status) return status;
    key[len] = 0;
    *ret_len = len;
    return WEIR_OK;
}
