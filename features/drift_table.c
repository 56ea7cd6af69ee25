/* Profiles of all columns of a set. */
#include <stdlib.h>

#include "features/drift_internal.h"

static char *copy_name(const char *name) {
    size_t size = strlen(name) + 1;
    char *copy = weir_mem.realloc(NULL, size);
    return copy ? memcpy(copy, name, size) : NULL;
}

static weir_status check_fields(const weir_drift_field *fields, int count, weir_err *err) {
    if (count < 1 || count > WEIR_DRIFT_COLUMNS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d columns, expected 1 to %d", count, WEIR_DRIFT_COLUMNS_MAX);
    for (int i = 0; i < count; i++) {
        size_t len = strlen(fields[i].name);
        if (!len || len > WEIR_DRIFT_NAME_MAX)
            return WEIR_FAIL(err, WEIR_EINVAL, "the name of column %d has %zu bytes, expected 1 to %d", i, len, WEIR_DRIFT_NAME_MAX);
        for (int k = 0; k < i; k++)
            if (!strcmp(fields[k].name, fields[i].name)) return WEIR_FAIL(err, WEIR_EINVAL, "column %s is there twice", fields[i].name);
    }
    return WEIR_OK;
}

weir_status weir_drift_table_new(const weir_drift_field *fields, int count, uint64_t seed, weir_drift_table **ret_table, weir_err *err) {
    weir_status status = check_fields(fields, count, err);
    if (status != WEIR_OK) return status;
    weir_drift_table *t = weir_mem.realloc(NULL, sizeof(*t));
    if (!t) goto no_memory;
    *t = (weir_drift_table){.fields = weir_mem.realloc(NULL, (size_t)count * sizeof(*t->fields)),
                            .profiles = weir_mem.realloc(NULL, (size_t)count * sizeof(*t->profiles))};
    if (!t->fields || !t->profiles) goto no_memory;
    for (; t->count < count; t->count++) {
        weir_drift_field *field = &t->fields[t->count];
        *field = fields[t->count];
        if (!(field->name = copy_name(field->name))) goto no_memory;
        drift_profile_init(&t->profiles[t->count], field->type, field->role, drift_mix(seed) + (uint64_t)t->count);
    }
    *ret_table = t;
    return WEIR_OK;
no_memory:
    weir_drift_table_free(t);
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for profiles of %d columns", count);
}

void weir_drift_table_free(weir_drift_table *t) {
    if (!t) return;
    for (int i = 0; i < t->count; i++) weir_mem.realloc((char *)t->fields[i].name, 0);
    if (t->fields) weir_mem.realloc(t->fields, 0);
    if (t->profiles) weir_mem.realloc(t->profiles, 0);
    weir_mem.realloc(t, 0);
}

void weir_drift_table_clear(weir_drift_table *t, uint64_t seed) {
    for (int i = 0; i < t->count; i++) weir_drift_profile_clear(&t->profiles[i], drift_mix(seed) + (uint64_t)i);
}

int weir_drift_table_count(const weir_drift_table *t) {
    return t->count;
}

weir_drift_field weir_drift_table_field(const weir_drift_table *t, int column) {
    return t->fields[column];
}

weir_drift_profile *weir_drift_table_profile(const weir_drift_table *t, int column) {
    return &t->profiles[column];
}

int weir_drift_table_find(const weir_drift_table *t, const char *name) {
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->fields[i].name, name)) return i;
    return -1;
}

void weir_drift_table_add(weir_drift_table *t, const double *values) {
    for (int i = 0; i < t->count; i++) weir_drift_profile_add(&t->profiles[i], values[i]);
}

void weir_drift_table_add_block(weir_drift_table *t, const double *rows, int64_t row_count) {
    for (int i = 0; i < t->count; i++) weir_drift_profile_add_many(&t->profiles[i], rows + i, row_count, t->count);
}

void weir_drift_table_add_row(weir_drift_table *t, const weir_datum *row) {
    for (int i = 0; i < t->count; i++) {
        if (row[i].type == WEIR_T_STR || row[i].type == WEIR_T_BYTES)
            weir_drift_profile_add_text(&t->profiles[i], row[i].p, row[i].len);
        else
            weir_drift_profile_add(&t->profiles[i], weir_datum_number(&row[i]));
    }
}

weir_status weir_drift_table_merge(weir_drift_table *t, const weir_drift_table *other, weir_err *err) {
    weir_status status = WEIR_OK;
    if (t->count != other->count) return WEIR_FAIL(err, WEIR_EINVAL, "profiles of %d and %d columns cannot be merged", t->count, other->count);
    for (int i = 0; i < t->count; i++) {
        const weir_drift_field *field = &t->fields[i];
        int from = weir_drift_table_find(other, field->name);
        if (from < 0 || other->fields[from].type != field->type || other->fields[from].role != field->role)
            return WEIR_FAIL(err, WEIR_EINVAL, "column %s: %s", field->name,
                             from < 0 ? "the other table has none" : "the other table's has another type or role");
    }
    for (int i = 0; i < t->count && status == WEIR_OK; i++)
        status = weir_drift_profile_merge(&t->profiles[i], &other->profiles[weir_drift_table_find(other, t->fields[i].name)], err);
    return status;
}
