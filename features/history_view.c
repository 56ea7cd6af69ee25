/* A view's values at each row of the spine.
 *
 * "at": "event": the values that were stored with the newest record. As a rule they are looked up in one pass (history_latest.c); what is here serves labels that do not fit into
 * memory, and the events themselves, whose cutoffs are not their times. Rows are read twice, first what the join needs, then, of those that were found, the features; so features
 * of rows that nobody asks for cost their reading and no more:
 *
 *     files, PostgreSQL ──keys, times──> join ──(place of a row, row of the spine)──> by place ──┐
 *     files, PostgreSQL's (kept) ───────────────────────────────features, in the same order──────┴─> values
 *
 * "at": "read": operators are evaluated at the label's time, over the records that were known by then, which enter the state one by one: the same code as live. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "features/history_internal.h"
#include "features/intern.h"

enum { PLACES_PER_BUCKET = 1 << 22, PLACE_BUCKETS_MAX = 4096, KEPT_AT_ONCE = 1 << 16 };

/* A row that was found: the place-th of the view's, for a row of the spine. */
typedef struct match {
    int64_t place, row;
} match;

typedef struct joiner {
    history_reader *r;
    const history_view *use;
    int index;
    weir_intern keys;
    weir_buf key, last_key;
    uint32_t last_entity;
    weir_asof *asof;
    weir_wanted wanted[HISTORY_COLUMNS_MAX];
    int wanted_count;
    int64_t place; /* rows met so far */
    /* stored values */
    weir_spill *kept; /* features of PostgreSQL's rows, in order */
    weir_spill *matches;
    int64_t places_per_bucket;
    pthread_mutex_t lock;
    /* evaluated */
    weir_datum *record; /* [columns of the feed] */
    weir_state *states; /* [threads] */
    double *out; /* [threads][WEIR_FEATURES_MAX] */
} joiner;

static weir_status no_memory(const joiner *j, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for joining view %s", j->use->def->name);
}

/* --- labels --- */

static weir_status add_labels(joiner *j, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    weir_sql_add(&sql, "SELECT \"" SPINE_KEY "\", \"" SPINE_TIME "\", \"" SPINE_CUTOFF "\", \"" SPINE_PARTITION "\", \"" SPINE_OFFSET "\" FROM spine",
                 j->use->key);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(j->r->duck, sql.text.data, &cursor, err);
    int64_t rows = 1, first = 0;
    for (; !status && !(status = weir_duck_next_chunk(cursor, &rows, err)) && rows; first += rows) {
        for (int64_t i = 0; !status && i < rows; i++) {
            weir_duck_seek(cursor, i);
            weir_datum key = weir_duck_get(cursor, 0), partition = weir_duck_get(cursor, 3);
            if (key.type == WEIR_T_NULL) continue;
            weir_asof_label label = {.entity = weir_intern_add(&j->keys, key.p, key.len),
                                     .row = first + i,
                                     .time_us = weir_duck_get(cursor, 1).i,
                                     /* The primary view saw the event itself and what had arrived before it; another what was available at the event's time. */
                                     .cutoff_us = weir_duck_get(cursor, j->use->primary ? 2 : 1).i,
                                     .upto_partition = INT32_MAX,
                                     .upto_offset = INT64_MAX};
            if (label.entity == WEIR_INTERN_NONE) {
                status = no_memory(j, err);
                break;
            }
            if (j->use->primary && partition.type != WEIR_T_NULL) {
                label.upto_partition = (int32_t)partition.i;
                label.upto_offset = weir_duck_get(cursor, 4).i;
            }
            status = weir_asof_add_label(j->asof, &label, err);
        }
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

/* --- rows --- */

/* Number of the row's entity among the labels'. Rows of an entity mostly follow each other. */
static weir_status entity_of(joiner *j, const weir_stored_row *row, uint32_t *ret_entity, weir_err *err) {
    weir_buf_clear(&j->key);
    if (!weir_buf_append(&j->key, row->tenant, row->tenant_len) || !weir_buf_append(&j->key, "/", 1) || !weir_buf_append(&j->key, row->entity, row->entity_len))
        return no_memory(j, err);
    if (j->key.len != j->last_key.len || memcmp(j->key.data, j->last_key.data, j->key.len) != 0) {
        j->last_entity = weir_intern_find(&j->keys, j->key.data, j->key.len);
        weir_buf_clear(&j->last_key);
        if (!weir_buf_append(&j->last_key, j->key.data, j->key.len)) return no_memory(j, err);
    }
    *ret_entity = j->last_entity;
    return WEIR_OK;
}

static weir_status start_row(joiner *j, const weir_stored_row *row, weir_asof_row **ret_row, weir_err *err) {
    uint32_t entity = WEIR_INTERN_NONE;
    *ret_row = NULL;
    weir_status status = entity_of(j, row, &entity, err);
    if (status || entity == WEIR_INTERN_NONE) return status;
    weir_asof_row *to = weir_asof_add_row(j->asof, entity, err);
    if (!to) return err->code;
    to->partition = row->source.partition;
    to->offset = row->source.offset;
    to->event_us = row->event_us;
    to->known_us = row->known_us;
    to->version = row->version;
    *ret_row = to;
    return WEIR_OK;
}

static weir_status on_stored(void *context, const weir_stored_row *row, weir_err *err) {
    joiner *j = context;
    weir_asof_row *to;
    weir_status status = start_row(j, row, &to, err);
    if (to) to->place = j->place;
    j->place++;
    return status;
}

/* PostgreSQL's rows are read once: their features are kept. */
static weir_status on_kept(void *context, const weir_stored_row *row, weir_err *err) {
    joiner *j = context;
    weir_asof_row *to;
    weir_status status = start_row(j, row, &to, err);
    if (status || !to) return status;
    to->place = j->place++;
    double *values = weir_spill_add(j->kept, 0, err);
    if (!values) return err->code;
    for (int i = 0; i < j->wanted_count; i++) values[i] = weir_datum_number(&row->values[i]);
    return WEIR_OK;
}

static weir_status on_record(void *context, const weir_stored_row *row, weir_err *err) {
    joiner *j = context;
    weir_asof_row *to;
    weir_status status = start_row(j, row, &to, err);
    if (status || !to) return status;
    int count;
    const int *columns = weir_view_columns(j->use->view, &count);
    for (int i = 0; i < count; i++) j->record[columns[i]] = row->values[i];
    weir_view_slots(j->use->view, j->record, to->values);
    return WEIR_OK;
}

/* --- what is done at a label --- */

static weir_status keep_match(void *context, int thread, const weir_asof_label *label, const weir_asof_row *newest, bool expired, weir_err *err) {
    joiner *j = context;
    (void)thread, (void)expired;
    if (!newest) return WEIR_OK;
    pthread_mutex_lock(&j->lock);
    match *m = weir_spill_add(j->matches, (int)(newest->place / j->places_per_bucket), err);
    if (m) *m = (match){newest->place, label->row};
    pthread_mutex_unlock(&j->lock);
    return m ? WEIR_OK : err->code;
}

static void begin_state(void *context, int thread) {
    weir_state_clear(&((joiner *)context)->states[thread]);
}

static weir_status enter_state(void *context, int thread, const weir_asof_row *row, weir_err *err) {
    joiner *j = context;
    return weir_state_add(j->use->view, &j->states[thread], row->event_us, (weir_source){row->partition, row->offset}, row->values, err);
}

static weir_status eval_state(void *context, int thread, const weir_asof_label *label, const weir_asof_row *newest, bool expired, weir_err *err) {
    joiner *j = context;
    (void)newest;
    if (expired) return WEIR_OK;
    double *out = j->out + (size_t)thread * WEIR_FEATURES_MAX, chosen[WEIR_FEATURES_MAX];
    const weir_source upto = {label->upto_partition, label->upto_offset};
    weir_view_eval(j->use->view, &j->states[thread], label->time_us, label->upto_partition == INT32_MAX ? NULL : &upto, out);
    for (int i = 0; i < j->use->count; i++) chosen[i] = out[j->use->feature[i]];
    return history_values_put(j->r, j->index, label->row, chosen, err);
}

static const weir_asof_ops stored_ops = {.at = keep_match}, evaluated_ops = {.begin = begin_state, .enter = enter_state, .at = eval_state};

/* --- the features of rows that were found --- */

static int by_place(const void *a, const void *b) {
    const match *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Matches in the order of places, a bucket at a time. */
typedef struct matches {
    joiner *j;
    match *all;
    int64_t count, next;
    int bucket;
} matches;

/* The next match before `end`, or NULL. */
static weir_status next_match(matches *m, int64_t end, const match **ret_match, weir_err *err) {
    *ret_match = NULL;
    while (m->next == m->count) {
        int64_t first = (int64_t)(m->bucket + 1) * m->j->places_per_bucket;
        if (first >= end) return WEIR_OK;
        free(m->all);
        m->all = NULL;
        m->bucket++;
        m->next = 0;
        weir_status status = weir_spill_take(m->j->matches, m->bucket, INT64_MAX, (void **)&m->all, &m->count, err);
        if (status) return status;
        if (m->count) qsort(m->all, (size_t)m->count, sizeof *m->all, by_place);
    }
    if (m->all[m->next].place < end) *ret_match = &m->all[m->next++];
    return WEIR_OK;
}

static weir_status gather_chunk(joiner *j, matches *m, const weir_duck_cursor *cursor, int64_t first, int64_t rows, weir_err *err) {
    const double *values[WEIR_FEATURES_MAX];
    const uint64_t *valid[WEIR_FEATURES_MAX];
    double row[WEIR_FEATURES_MAX];
    const match *found;
    weir_status status;
    for (int i = 0; i < j->use->count; i++) values[i] = weir_duck_values(cursor, i, &valid[i]);
    while (!(status = next_match(m, first + rows, &found, err)) && found) {
        int64_t at = found->place - first;
        for (int i = 0; i < j->use->count; i++) row[i] = weir_duck_bit(valid[i], at) ? values[i][at] : NAN;
        if ((status = history_values_put(j->r, j->index, found->row, row, err))) break;
    }
    return status;
}

static weir_status gather_files(joiner *j, matches *m, const char *select, int64_t *ret_place, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    for (int i = 0; i < j->use->count; i++) weir_sql_add(&sql, "%sc%d", i ? ", " : "SELECT ", i);
    weir_sql_add(&sql, " FROM (");
    sql.failed |= !weir_buf_append(&sql.text, select, strlen(select));
    weir_sql_add(&sql, ")");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(j->r->duck, sql.text.data, &cursor, err);
    int64_t rows = 1;
    while (!status && !(status = weir_duck_next_chunk(cursor, &rows, err)) && rows) {
        status = gather_chunk(j, m, cursor, *ret_place, rows, err);
        *ret_place += rows;
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

static weir_status gather_kept(joiner *j, matches *m, int64_t first, weir_err *err) {
    int64_t count = 1;
    weir_status status = WEIR_OK;
    for (; !status && count; first += count) {
        double *kept = NULL;
        const match *found = NULL;
        status = weir_spill_take(j->kept, 0, KEPT_AT_ONCE, (void **)&kept, &count, err);
        while (!status && count && !(status = next_match(m, first + count, &found, err)) && found)
            status = history_values_put(j->r, j->index, found->row, kept + (found->place - first) * j->wanted_count, err);
        free(kept);
    }
    return status;
}

static weir_status gather(joiner *j, const char *select, int64_t in_files, weir_err *err) {
    matches m = {.j = j, .bucket = -1};
    int64_t place = 0;
    weir_status status = *select ? gather_files(j, &m, select, &place, err) : WEIR_OK;
    if (!status && place != in_files)
        status = WEIR_FAIL(err, WEIR_EIO, "the files of features_%s changed while they were read: %" PRId64 " rows, then %" PRId64, j->use->def->name, in_files,
                           place);
    if (!status) status = gather_kept(j, &m, place, err);
    free(m.all);
    return status;
}

/* --- the join --- */

static weir_status want(joiner *j, weir_err *err) {
    weir_status status = WEIR_OK;
    if (!j->use->view) {
        j->wanted_count = j->use->count;
        for (int i = 0; !status && i < j->use->count; i++) status = weir_wanted_feature(&j->use->def->features[j->use->feature[i]], &j->wanted[i], err);
        return status;
    }
    const weir_schema *schema = weir_view_feed(j->use->view)->schema;
    const int *columns = weir_view_columns(j->use->view, &j->wanted_count);
    for (int i = 0; !status && i < j->wanted_count; i++) status = weir_wanted_field(weir_schema_field_at(schema, columns[i]), "record_", &j->wanted[i], err);
    return status;
}

int64_t history_earliest(const history_reader *r, const history_view *view) {
    int64_t back = view->view ? weir_view_horizon_us(view->view) : view->def->ttl_us ? view->def->ttl_us : INT64_MAX;
    return back >= r->first_us - WEIR_TIME_MIN_US ? WEIR_TIME_MIN_US : r->first_us - back;
}

static weir_status init(joiner *j, weir_err *err) {
    int threads = j->r->query->thread_count ? j->r->query->thread_count : 2;
    weir_asof_conf conf = {
        .ttl_us = j->use->def->ttl_us, .thread_count = threads, .budget = &j->r->budget, .value_count = j->use->view ? weir_view_slot_count(j->use->view) : 0};
    weir_status status = want(j, err);
    if (!status) status = weir_asof_new(&conf, &j->asof, err);
    if (status) return status;
    if (!j->use->view) return weir_spill_new(1, (size_t)(j->wanted_count ? j->wanted_count : 1) * sizeof(double), &j->r->budget, &j->kept, err);
    size_t columns = (size_t)weir_schema_field_count(weir_view_feed(j->use->view)->schema);
    j->record = calloc(columns + 1, sizeof *j->record);
    j->states = calloc((size_t)threads, sizeof *j->states);
    j->out = calloc((size_t)threads * WEIR_FEATURES_MAX, sizeof *j->out);
    return j->record && j->states && j->out ? WEIR_OK : no_memory(j, err);
}

static void done(joiner *j) {
    int threads = j->r->query->thread_count ? j->r->query->thread_count : 2;
    for (int t = 0; j->states && t < threads; t++) weir_state_done(&j->states[t]);
    free(j->states);
    free(j->record);
    free(j->out);
    weir_asof_free(j->asof);
    weir_spill_free(j->kept);
    weir_spill_free(j->matches);
    weir_intern_done(&j->keys);
    weir_buf_done(&j->key);
    weir_buf_done(&j->last_key);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static weir_status add_rows(joiner *j, const weir_rows_query *query, const char *select, int64_t *ret_in_files, weir_err *err) {
    bool stored = !j->use->view;
    weir_rows_query keys = *query;
    if (stored) keys.wanted_count = 0;
    weir_sql sql = {0};
    weir_status status = WEIR_OK;
    if (*select) {
        weir_sql_add(&sql, "SELECT tenant, entity, event_us, known_us, source_partition, source_offset, version");
        for (int i = 0; i < keys.wanted_count; i++) weir_sql_add(&sql, ", c%d", i);
        weir_sql_add(&sql, " FROM (");
        sql.failed |= !weir_buf_append(&sql.text, select, strlen(select));
        weir_sql_add(&sql, ")");
        status = weir_sql_end(&sql, err);
        if (!status) status = weir_rows_scan_files(j->r->duck, sql.text.data, keys.wanted_count, stored ? on_stored : on_record, j, err);
    }
    *ret_in_files = j->place;
    if (!status) status = weir_rows_scan_table(j->r->pg, query, stored ? on_kept : on_record, j, err);
    weir_sql_done(&sql);
    return status;
}

static weir_status run(joiner *j, weir_err *err) {
    history_reader *r = j->r;
    char table[WEIR_COLUMN_NAME_MAX + 1];
    snprintf(table, sizeof table, "features_%s", j->use->def->name);
    const weir_rows_query query = {.pipeline = r->pipeline,
                                   .table = table,
                                   .objects_dir = r->query->objects_dir,
                                   .from_us = history_earliest(r, j->use),
                                   .to_us = r->last_us + 1,
                                   .as_of_us = r->as_of_us,
                                   .tenant = r->query->tenant,
                                   .records_only = j->use->view != NULL,
                                   .wanted = j->wanted,
                                   .wanted_count = j->wanted_count};
    weir_sql files = {0};
    int64_t rows, in_files = 0;
    weir_status status = add_labels(j, err);
    if (!status) status = weir_rows_files(r->pg, &query, &files, &rows, err);
    const char *select = files.text.data ? files.text.data : "";
    if (!status) status = add_rows(j, &query, select, &in_files, err);
    j->places_per_bucket = j->place / PLACE_BUCKETS_MAX > PLACES_PER_BUCKET ? j->place / PLACE_BUCKETS_MAX + 1 : PLACES_PER_BUCKET;
    if (!status && !j->use->view) status = weir_spill_new((int)(j->place / j->places_per_bucket) + 1, sizeof(match), &r->budget, &j->matches, err);
    if (!status) status = weir_asof_run(j->asof, j->use->view ? &evaluated_ops : &stored_ops, j, err);
    if (!status && !j->use->view) status = gather(j, select, in_files, err);
    weir_sql_done(&files);
    return status;
}

weir_status history_join(history_reader *r, int view, weir_err *err) {
    if (history_can_look_up(r, view)) return history_look_up(r, view, err);
    history_labels_done(r);
    history_values_clear(r, view, NULL);
    joiner *j = calloc(1, sizeof *j);
    if (!j) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for joining view %s", r->views[view].def->name);
    j->r = r;
    j->use = &r->views[view];
    j->index = view;
    j->last_entity = WEIR_INTERN_NONE;
    pthread_mutex_init(&j->lock, NULL);
    weir_status status = init(j, err);
    if (!status) status = run(j, err);
    done(j);
    return status;
}
