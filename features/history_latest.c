/* Stored values of a view ("at": "event") at each row of the spine, in one pass over the keys of its rows and one over its features, both on DuckDB's own threads, vector by vector:
 *
 *     files: entity, times, source, place ──> newest row of each label (latest.h) ──(place, row of the spine), by place──┐
 *     files: place, features ────────────────────────────────────────────────────────────────────────────────────────────┴─> values
 *
 * PostgreSQL's rows, those that are not yet compacted, are read once: their features are kept. */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/history_internal.h"

enum { KEPT_AT_ONCE = 1 << 16, BATCH_ROWS = 512, MATCHES_AHEAD = 8 };

typedef struct seeker {
    history_reader *r;
    const history_view *use;
    int index;
    history_labels *labels; /* the reader's */
    weir_wanted wanted[WEIR_FEATURES_MAX];
    weir_spill *kept; /* features of PostgreSQL's rows; their places begin with WEIR_PLACES_END */
    int64_t kept_count;
    weir_latest_match *matches; /* [match_count] by place */
    int64_t match_count;
    _Atomic int64_t taken; /* matches whose features were found in files */
} seeker;

static weir_status no_memory(const seeker *s, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for joining view %s", s->use->def->name);
}

/* A label's cutoff is its time, but for events in the view that they themselves are records of. */
bool history_can_look_up(const history_reader *r, int view) {
    const history_view *use = &r->views[view];
    return !use->view && (r->query->labels || !use->primary) && r->row_count < UINT32_MAX &&
           r->budget.used_bytes - r->labels.bytes + weir_latest_bytes(r->row_count) <= r->budget.max_bytes;
}

void history_labels_done(history_reader *r) {
    weir_intern_done(&r->labels.keys);
    weir_latest_free(r->labels.latest);
    r->budget.used_bytes -= r->labels.bytes;
    r->labels = (history_labels){0};
}

/* --- labels --- */

static weir_status add_chunk(seeker *s, const weir_duck_cursor *cursor, int64_t rows, weir_err *err) {
    const uint64_t *valid, *unused;
    const void *keys = weir_duck_values(cursor, 0, &valid);
    const int64_t *times = weir_duck_values(cursor, 1, &unused), *labels = weir_duck_values(cursor, 2, &unused);
    uint64_t hashes[BATCH_ROWS];
    for (int64_t first = 0; first < rows; first += BATCH_ROWS) {
        int64_t end = first + BATCH_ROWS < rows ? first + BATCH_ROWS : rows;
        for (int64_t i = first; i < end; i++) {
            weir_duck_text key = weir_duck_bit(valid, i) ? weir_duck_text_at(keys, i) : (weir_duck_text){0};
            hashes[i - first] = weir_intern_hash(WEIR_INTERN_HASH_START, key.p, key.len);
            weir_intern_prefetch(&s->labels->keys, hashes[i - first]);
        }
        for (int64_t i = first; i < end; i++) weir_intern_prefetch_text(&s->labels->keys, hashes[i - first]);
        for (int64_t i = first; i < end; i++) {
            if (!weir_duck_bit(valid, i)) continue;
            weir_duck_text key = weir_duck_text_at(keys, i);
            uint32_t entity = weir_intern_add_hashed(&s->labels->keys, hashes[i - first], key.p, key.len);
            if (entity == WEIR_INTERN_NONE) return no_memory(s, err);
            weir_latest_add(s->labels->latest, entity, times[i], labels[i]);
        }
    }
    return WEIR_OK;
}

/* Unless the view before had the same. */
static weir_status add_labels(seeker *s, weir_err *err) {
    char sql[160];
    weir_duck_cursor *cursor = NULL;
    if (s->labels->latest && s->labels->key == s->use->key) return WEIR_OK;
    history_labels_done(s->r);
    s->labels->key = s->use->key;
    s->labels->bytes = weir_latest_bytes(s->r->row_count);
    s->r->budget.used_bytes += s->labels->bytes;
    snprintf(sql, sizeof sql, "SELECT \"" SPINE_KEY "\", \"" SPINE_TIME "\", rowid FROM spine", s->use->key);
    weir_status status = weir_latest_new(s->r->row_count, &s->labels->latest, err);
    if (!status) status = weir_duck_query(s->r->duck, sql, &cursor, err);
    int64_t rows = 1;
    while (!status && !(status = weir_duck_next_chunk(cursor, &rows, err)) && rows) status = add_chunk(s, cursor, rows, err);
    weir_duck_cursor_free(cursor);
    return status ? status : weir_latest_start(s->labels->latest, s->labels->keys.count, err);
}

/* --- rows of files --- */

enum { TENANT, ENTITY, EVENT, KNOWN, PARTITION, OFFSET, VERSION, PLACE, KEY_ARGUMENTS };

static uint64_t hash_tenant(const char *tenant, size_t len) {
    return weir_intern_hash(weir_intern_hash(WEIR_INTERN_HASH_START, tenant, len), "/", 1);
}

static uint32_t entity_of(const seeker *s, uint64_t hash, weir_duck_text tenant, weir_duck_text entity) {
    const weir_intern_part parts[] = {{tenant.p, tenant.len}, {"/", 1}, {entity.p, entity.len}};
    return weir_intern_find_hashed(&s->labels->keys, hash, parts, 3);
}

/* Rows of an entity mostly follow each other: the first row of each such run, and its hash of tenant/entity. How many there are. */
static int hash_runs(const seeker *s, const weir_duck_vectors *in, int64_t first, int64_t end, uint64_t *hashes, int64_t *runs) {
    const void *tenants = in->data[TENANT], *entities = in->data[ENTITY];
    uint64_t tenant = 0;
    int count = 0;
    for (int64_t i = first; i < end; i++) {
        bool same_tenant = i > first && weir_duck_text_equal(tenants, i, i - 1);
        if (same_tenant && weir_duck_text_equal(entities, i, i - 1)) continue;
        weir_duck_text t = weir_duck_text_at(tenants, i), e = weir_duck_text_at(entities, i);
        if (!same_tenant) tenant = hash_tenant(t.p, t.len);
        runs[count] = i;
        hashes[count] = weir_intern_hash(tenant, e.p, e.len);
        weir_intern_prefetch(&s->labels->keys, hashes[count++]);
    }
    for (int k = 0; k < count; k++) weir_intern_prefetch_text(&s->labels->keys, hashes[k]);
    return count;
}

static void offer_batch(const seeker *s, const weir_duck_vectors *in, int64_t first, int64_t end) {
    const int64_t *const *longs = (const int64_t *const *)in->data;
    uint64_t hashes[BATCH_ROWS];
    int64_t runs[BATCH_ROWS + 1];
    weir_latest_row rows[BATCH_ROWS];
    int run_count = hash_runs(s, in, first, end, hashes, runs), count = 0;
    runs[run_count] = end;
    for (int k = 0; k < run_count; k++) {
        uint32_t entity = entity_of(s, hashes[k], weir_duck_text_at(in->data[TENANT], runs[k]), weir_duck_text_at(in->data[ENTITY], runs[k]));
        for (int64_t i = runs[k]; entity != WEIR_INTERN_NONE && i < runs[k + 1]; i++)
            rows[count++] = (weir_latest_row){.entity = entity,
                                              .event_us = longs[EVENT][i],
                                              .known_us = longs[KNOWN][i],
                                              .partition = (int32_t)longs[PARTITION][i],
                                              .offset = longs[OFFSET][i],
                                              .version = longs[VERSION][i],
                                              .place = longs[PLACE][i]};
    }
    weir_latest_offer(s->labels->latest, rows, count);
}

static weir_status offer_rows(void *context, const weir_duck_vectors *in, double *const *results, weir_err *err) {
    (void)results, (void)err;
    for (int64_t first = 0; first < in->rows; first += BATCH_ROWS)
        offer_batch(context, in, first, first + BATCH_ROWS < in->rows ? first + BATCH_ROWS : in->rows);
    return WEIR_OK;
}

/* First match at or after a place. */
static int64_t match_from(const seeker *s, int64_t place) {
    int64_t low = 0, high = s->match_count;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        if (s->matches[mid].place < place)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Arguments: place, then the features. */
static weir_status take_row(seeker *s, const weir_duck_vectors *in, int64_t i, int64_t label, weir_err *err) {
    double row[WEIR_FEATURES_MAX];
    for (int f = 0; f < s->use->count; f++) row[f] = weir_duck_bit(in->valid[f + 1], i) ? ((const double *)in->data[f + 1])[i] : NAN;
    return history_values_put(s->r, s->index, label, row, err);
}

static weir_status take_rows(void *context, const weir_duck_vectors *in, double *const *results, weir_err *err) {
    seeker *s = context;
    const int64_t *places = in->data[0];
    int64_t at = match_from(s, places[0]), taken = 0;
    weir_status status = WEIR_OK;
    (void)results;
    for (int64_t k = at; k < at + MATCHES_AHEAD && k < s->match_count; k++) history_values_expect(s->r, s->index, s->matches[k].label);
    for (int64_t i = 0; !status && i < in->rows; i++) {
        if (at && s->matches[at - 1].place >= places[i]) at = match_from(s, places[i]); /* not in the order of the file */
        while (at < s->match_count && s->matches[at].place < places[i]) at++;
        for (; !status && at < s->match_count && s->matches[at].place == places[i]; at++, taken++) {
            if (at + MATCHES_AHEAD < s->match_count) history_values_expect(s->r, s->index, s->matches[at + MATCHES_AHEAD].label);
            status = take_row(s, in, i, s->matches[at].label, err);
        }
    }
    s->taken += taken;
    return status;
}

/* Hands the columns that `arguments` names to a function, for all rows of the files. */
static weir_status scan_files(seeker *s, const weir_rows_query *query, const weir_duck_function *function, const char *arguments, weir_err *err) {
    weir_sql files = {0}, sql = {0};
    int64_t rows;
    weir_status status = weir_rows_files(s->r->pg, query, &files, &rows, err);
    if (!status && files.text.len) {
        weir_sql_add(&sql, "SELECT CAST(sum(%s(%s)) AS BIGINT) FROM (", function->name, arguments);
        sql.failed |= !weir_buf_append(&sql.text, files.text.data, files.text.len);
        weir_sql_add(&sql, ")");
        status = weir_sql_end(&sql, err);
        if (!status) status = weir_duck_add_function(s->r->duck, function, err);
        if (!status) status = weir_duck_number(s->r->duck, sql.text.data, &rows, err);
    }
    weir_sql_done(&files);
    weir_sql_done(&sql);
    return status;
}

static weir_status offer_files(seeker *s, const weir_rows_query *query, weir_err *err) {
    static const weir_type types[KEY_ARGUMENTS] = {[TENANT] = WEIR_T_STR,    [ENTITY] = WEIR_T_STR, [EVENT] = WEIR_T_I64,   [KNOWN] = WEIR_T_I64,
                                                   [PARTITION] = WEIR_T_I64, [OFFSET] = WEIR_T_I64, [VERSION] = WEIR_T_I64, [PLACE] = WEIR_T_I64};
    char name[40];
    snprintf(name, sizeof name, "weir_offer_%d", s->index);
    const weir_duck_function function = {.name = name, .arguments = types, .argument_count = KEY_ARGUMENTS, .call = offer_rows, .context = s};
    weir_rows_query keys = *query;
    keys.wanted_count = 0;
    return scan_files(s, &keys, &function, "tenant, entity, event_us, known_us, source_partition, source_offset, version, place", err);
}

static weir_status take_files(seeker *s, const weir_rows_query *query, weir_err *err) {
    weir_type types[WEIR_FEATURES_MAX + 1] = {WEIR_T_I64};
    char name[40];
    weir_sql arguments = {0};
    snprintf(name, sizeof name, "weir_take_%d", s->index);
    weir_sql_add(&arguments, "place");
    for (int i = 0; i < s->use->count; i++) {
        types[i + 1] = WEIR_T_F64;
        weir_sql_add(&arguments, ", c%d", i);
    }
    const weir_duck_function function = {.name = name, .arguments = types, .argument_count = s->use->count + 1, .call = take_rows, .context = s};
    weir_rows_query features = *query;
    features.every_row = true;
    int64_t wanted = match_from(s, WEIR_PLACES_END);
    weir_status status = weir_sql_end(&arguments, err);
    if (!status && wanted) status = scan_files(s, &features, &function, arguments.text.data, err);
    if (!status && s->taken != wanted)
        status = WEIR_FAIL(err, WEIR_EIO, "the files of %s changed while they were read: %" PRId64 " of %" PRId64 " rows are gone", query->table,
                           wanted - s->taken, wanted);
    weir_sql_done(&arguments);
    return status;
}

/* --- rows of PostgreSQL --- */

static weir_status keep_row(void *context, const weir_stored_row *row, weir_err *err) {
    seeker *s = context;
    uint64_t hash = weir_intern_hash(hash_tenant(row->tenant, row->tenant_len), row->entity, row->entity_len);
    uint32_t entity = entity_of(s, hash, (weir_duck_text){row->tenant, row->tenant_len}, (weir_duck_text){row->entity, row->entity_len});
    if (entity == WEIR_INTERN_NONE) return WEIR_OK;
    double *values = weir_spill_add(s->kept, 0, err);
    if (!values) return err->code;
    for (int i = 0; i < s->use->count; i++) values[i] = weir_datum_number(&row->values[i]);
    weir_latest_offer(s->labels->latest,
                      &(weir_latest_row){.entity = entity,
                                         .event_us = row->event_us,
                                         .known_us = row->known_us,
                                         .partition = row->source.partition,
                                         .offset = row->source.offset,
                                         .version = row->version,
                                         .place = WEIR_PLACES_END + s->kept_count++},
                      1);
    return WEIR_OK;
}

static weir_status take_kept(seeker *s, weir_err *err) {
    int64_t at = match_from(s, WEIR_PLACES_END), first = WEIR_PLACES_END, count = 1;
    weir_status status = WEIR_OK;
    for (; !status && count && at < s->match_count; first += count) {
        double *kept = NULL;
        status = weir_spill_take(s->kept, 0, KEPT_AT_ONCE, (void **)&kept, &count, err);
        for (; !status && at < s->match_count && s->matches[at].place < first + count; at++)
            status = history_values_put(s->r, s->index, s->matches[at].label, kept + (s->matches[at].place - first) * s->use->count, err);
        free(kept);
    }
    return status;
}

/* --- the look-up --- */

/* Rows of the spine that found nothing; last, when several threads have filled the others, and with them the pages of memory. */
static weir_status clear_others(const seeker *s, weir_err *err) {
    size_t words = (size_t)s->r->row_count / 64 + 1;
    uint64_t *found = weir_mem.realloc(NULL, words * sizeof *found);
    if (!found) return no_memory(s, err);
    memset(found, 0, words * sizeof *found);
    for (int64_t i = 0; i < s->match_count; i++) found[s->matches[i].label / 64] |= UINT64_C(1) << s->matches[i].label % 64;
    history_values_clear(s->r, s->index, found);
    free(found);
    return WEIR_OK;
}

static weir_status run(seeker *s, weir_err *err) {
    history_reader *r = s->r;
    char table[WEIR_COLUMN_NAME_MAX + 1];
    snprintf(table, sizeof table, "features_%s", s->use->def->name);
    const weir_rows_query query = {.pipeline = r->pipeline,
                                   .table = table,
                                   .objects_dir = r->query->objects_dir,
                                   .from_us = history_earliest(r, s->use),
                                   .to_us = r->last_us + 1,
                                   .as_of_us = r->as_of_us,
                                   .tenant = r->query->tenant,
                                   .wanted = s->wanted,
                                   .wanted_count = s->use->count};
    weir_status status = weir_spill_new(1, (size_t)s->use->count * sizeof(double), &r->budget, &s->kept, err);
    for (int i = 0; !status && i < s->use->count; i++) status = weir_wanted_feature(&s->use->def->features[s->use->feature[i]], &s->wanted[i], err);
    if (!status) status = add_labels(s, err);
    if (!status) status = offer_files(s, &query, err);
    if (!status) status = weir_rows_scan_table(r->pg, &query, keep_row, s, err);
    if (!status) status = weir_latest_end(s->labels->latest, s->use->def->ttl_us, &s->matches, &s->match_count, err);
    if (!status) status = take_files(s, &query, err);
    if (!status) status = take_kept(s, err);
    return status ? status : clear_others(s, err);
}

weir_status history_look_up(history_reader *r, int view, weir_err *err) {
    seeker *s = calloc(1, sizeof *s);
    if (!s) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for joining view %s", r->views[view].def->name);
    s->r = r;
    s->labels = &r->labels;
    s->use = &r->views[view];
    s->index = view;
    weir_status status = run(s, err);
    weir_spill_free(s->kept);
    free(s->matches);
    free(s);
    return status;
}
