#include "consumers/rebuild.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/corrections.h"
#include "consumers/shared.h"
#include "core/clock.h"
#include "features/compact.h"
#include "features/offline.h"
#include "features/rows.h"

enum { ASK_TIMEOUT_MS = 10000, FLUSH_MS = 30000, COPY_BYTES = 16 << 20, PROGRESS_EVERY = 10000, STORE_WAIT_MAX = 120 };
#define STORE_WAIT_US (WEIR_SECOND_US / 4)

/* One view while it is rebuilt. */
typedef struct rebuild {
    const weir_pipeline *pipeline;
    const weir_rebuild_conf *conf;
    const weir_view_def *def;
    weir_rebuilt *done;
    weir_pg *pg; /* where rows are written */
    weir_producer *producer;
    weir_view *view;
    weir_features_codec codec;
    char *topic, table[80];
    weir_wanted *wanted; /* [codec.record_count] */
    double *slots, *values, *values_without;
    weir_partition *ends; /* [partitions] of the features topic: before the fence */
    int32_t *epochs; /* [partitions] of this rebuild */
    int64_t *sent; /* [partitions] */

    weir_state state; /* of the entity under way */
    char key[WEIR_KEY_MAX];
    size_t key_len;
    int32_t partition;
    weir_buf newest; /* its newest value, encoded */
    weir_buf state_bytes, rows; /* rows: for the staging table, not copied yet */
} rebuild;

static weir_status no_memory(const rebuild *r, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for rebuilding view %s", r->def->name);
}

/* ---- who writes ---- */

static weir_status refuse_ingest(const rebuild *r, weir_err *err) {
    char group[300];
    int members = 0;
    snprintf(group, sizeof group, "weir.ingest.%s", r->pipeline->name);
    weir_status status = weir_bus_group_members(r->conf->brokers, group, &members, err);
    if (!status && members)
        status = WEIR_FAIL(err, WEIR_ECONFLICT,
                           "%d ingest workers of pipeline %s run (one that was killed counts for some seconds): stop them, records wait meanwhile", members,
                           r->pipeline->name);
    return status;
}

static weir_status ask_ends(const rebuild *r, weir_partition *ends, weir_err *err) {
    weir_consumer *consumer = NULL;
    size_t count = (size_t)r->pipeline->partitions;
    for (size_t p = 0; p < count; p++) ends[p] = (weir_partition){.topic = r->topic, .partition = (int32_t)p};
    weir_status status = weir_consumer_new_assigned(r->conf->brokers, ends, count, &consumer, err);
    if (!status) status = weir_consumer_ends(consumer, ends, count, ASK_TIMEOUT_MS, err);
    weir_consumer_free(consumer);
    return status;
}

/* What the store worker has of each partition: *ret_whole, and the epochs after those it met. */
static weir_status ask_store(rebuild *r, bool *ret_whole, weir_err *err) {
    const char *params[] = {r->pipeline->name, r->topic, WEIR_STORE_SINK, WEIR_STORE_EPOCH_SINK};
    PGresult *result = NULL;
    weir_status status =
        weir_pg_exec(r->pg,
                     "SELECT partition, coalesce(max(next_offset) FILTER (WHERE sink = $3), 0), coalesce(max(next_offset) FILTER (WHERE sink = $4), 0) "
                     "FROM weir.sink_offsets WHERE pipeline = $1 AND topic = $2 GROUP BY partition",
                     4, params, &result, err);
    if (status) return status;
    int left = 0;
    for (int p = 0; p < r->pipeline->partitions; p++) left += r->ends[p].offset > 0;
    for (int p = 0; p < r->pipeline->partitions; p++) r->epochs[p] = 1;
    for (int i = 0; i < PQntuples(result); i++) {
        int p = atoi(PQgetvalue(result, i, 0));
        if (p < 0 || p >= r->pipeline->partitions) continue;
        left -= r->ends[p].offset > 0 && strtoll(PQgetvalue(result, i, 1), NULL, 10) >= r->ends[p].offset;
        r->epochs[p] = (int32_t)strtoll(PQgetvalue(result, i, 2), NULL, 10) + 1;
    }
    PQclear(result);
    *ret_whole = !left;
    return WEIR_OK;
}

static weir_status await_store(rebuild *r, weir_err *err) {
    bool whole = false;
    weir_status status = ask_ends(r, r->ends, err);
    for (int i = 0; !status && i < STORE_WAIT_MAX && !(status = ask_store(r, &whole, err)) && !whole; i++)
        weir_clock_sleep_us(weir_clock_system(), STORE_WAIT_US);
    if (!status && !whole)
        status = WEIR_RETRY(err, WEIR_ETIMEOUT, "the offline store does not have all of %s yet: a store worker has to run until it does", r->topic);
    return status;
}

/* From here on nobody who wrote before counts. */
static weir_status put_fences(rebuild *r, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int32_t p = 0; !status && p < r->pipeline->partitions; p++) {
        status = weir_features_fence(r->producer, r->topic, p, r->epochs[p], err);
        r->sent[p] = 1;
    }
    return status ? status : weir_producer_flush(r->producer, FLUSH_MS, err);
}

/* Everything behind the fences is this rebuild's own. */
static weir_status check_alone(const rebuild *r, weir_err *err) {
    weir_partition *now = calloc((size_t)r->pipeline->partitions, sizeof *now);
    if (!now) return no_memory(r, err);
    weir_status status = ask_ends(r, now, err);
    for (int p = 0; !status && p < r->pipeline->partitions; p++)
        if (now[p].offset != r->ends[p].offset + r->sent[p])
            status = WEIR_FAIL(err, WEIR_ECONFLICT, "somebody else wrote to %s [%d] meanwhile: stop the ingest workers and run it again", r->topic, p);
    free(now);
    return status ? status : refuse_ingest(r, err);
}

/* ---- rows out ---- */

static weir_status stage_table(const rebuild *r, weir_err *err) {
    weir_sql sql = {0};
    weir_sql_add(
        &sql,
        "CREATE TEMP TABLE rebuilt (tenant text, entity text, event_time timestamptz, available_time timestamptz, source_partition int4, source_offset int8, "
        "seq int8, version int8");
    for (int i = 0; i < r->codec.feature_count; i++) weir_sql_add(&sql, ", \"features_%s\" float8", r->def->features[r->codec.features[i]].name);
    weir_sql_add(&sql, "); SELECT pg_advisory_xact_lock(hashtextextended('weir.offline', 0))");
    for (int i = 0; i < r->codec.feature_count; i++)
        weir_sql_add(&sql, "; ALTER TABLE \"%s\".\"%s\" ADD COLUMN IF NOT EXISTS \"features_%s\" double precision", r->pipeline->name, r->table,
                     r->def->features[r->codec.features[i]].name);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_script(r->pg, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

static weir_status copy_rows(rebuild *r, weir_err *err) {
    weir_status status = r->rows.len ? weir_pg_copy_in(r->pg, "COPY rebuilt FROM STDIN (FORMAT binary)", &r->rows, err) : WEIR_OK;
    weir_buf_clear(&r->rows);
    return status;
}

static weir_status stage_row(rebuild *r, const weir_tail_record *at, int64_t available_us, weir_err *err) {
    weir_buf *rows = &r->rows;
    size_t tenant = (size_t)((const char *)memchr(r->key, '/', r->key_len) - r->key);
    bool ok = weir_pg_put_tuple(rows, 8 + r->codec.feature_count) && weir_pg_put_bytes(rows, r->key, tenant) &&
              weir_pg_put_bytes(rows, r->key + tenant + 1, r->key_len - tenant - 1) && weir_pg_put_timestamptz(rows, at->event_time_us) &&
              weir_pg_put_timestamptz(rows, available_us) && weir_pg_put_int4(rows, at->source.partition) && weir_pg_put_int8(rows, at->source.offset) &&
              weir_pg_put_int8(rows, at->seq) && weir_pg_put_int8(rows, r->state.version);
    for (int i = 0; ok && i < r->codec.feature_count; i++) {
        double value = r->values[r->codec.features[i]];
        ok = value == value ? weir_pg_put_float8(rows, value) : weir_pg_put_null(rows);
    }
    if (!ok) return no_memory(r, err);
    return rows->len < COPY_BYTES ? WEIR_OK : copy_rows(r, err);
}

static void list_features(const rebuild *r, weir_sql *sql, const char *format) {
    for (int i = 0; i < r->codec.feature_count; i++) {
        const char *name = r->def->features[r->codec.features[i]].name;
        char column[128];
        snprintf(column, sizeof column, "\"features_%s\"", name);
        weir_sql_add(sql, "%s", i ? ", " : "");
        for (const char *f = format; *f; f++) weir_sql_add(sql, *f == '@' ? "%s" : "%.1s", *f == '@' ? column : f);
    }
}

/* The rows of a view become what they should be all at once. */
static weir_status write_rows(rebuild *r, weir_err *err) {
    weir_sql update = {0}, insert = {0};
    PGresult *result = NULL;
    const char *params[] = {r->pipeline->name, r->table};
    weir_sql_add(&update, "UPDATE \"%s\".\"%s\" t SET ", r->pipeline->name, r->table);
    list_features(r, &update, "@ = s.@");
    weir_sql_add(&update, " FROM rebuilt s WHERE t.event_time = s.event_time AND t.source_partition = s.source_partition AND t.source_offset = s.source_offset "
                          "AND t.version = s.version AND (");
    list_features(r, &update, "t.@");
    weir_sql_add(&update, ") IS DISTINCT FROM (");
    list_features(r, &update, "s.@");
    weir_sql_add(&update, ")");
    weir_sql_add(&insert, "INSERT INTO \"%s\".\"%s\" (tenant, entity, event_time, available_time, source_partition, source_offset, seq, version, ",
                 r->pipeline->name, r->table);
    list_features(r, &insert, "@");
    weir_sql_add(
        &insert,
        ") SELECT s.* FROM rebuilt s WHERE s.version > s.seq AND NOT EXISTS (SELECT FROM weir.offline_files o WHERE o.pipeline = $1 AND o.table_name = $2 "
        "AND o.day = (s.event_time AT TIME ZONE 'UTC')::date) ON CONFLICT DO NOTHING");
    weir_status status = weir_sql_end(&update, err);
    if (!status) status = weir_sql_end(&insert, err);
    if (!status) status = copy_rows(r, err);
    if (!status) status = weir_pg_script(r->pg, "ANALYZE rebuilt", err);
    if (!status) status = weir_pg_begin(r->pg, err);
    if (!status && !(status = weir_pg_exec(r->pg, update.text.data, 0, NULL, &result, err))) r->done->rows += atoll(PQcmdTuples(result));
    PQclear(result);
    result = NULL;
    if (!status && !(status = weir_pg_exec(r->pg, insert.text.data, 2, params, &result, err))) r->done->corrections += atoll(PQcmdTuples(result));
    PQclear(result);
    if (!status) status = weir_pg_commit(r->pg, err);
    if (status) weir_pg_rollback(r->pg);
    weir_sql_done(&update);
    weir_sql_done(&insert);
    return status;
}

/* ---- an entity ---- */

static weir_status encode_newest(rebuild *r, const weir_stored_row *row, weir_err *err) {
    weir_datum *out = r->codec.row, *features = out + r->codec.feature_base;
    out[FEAT_TENANT] = weir_str(row->tenant, row->tenant_len);
    out[FEAT_ENTITY] = weir_str(row->entity, row->entity_len);
    out[FEAT_EVENT_TIME] = weir_i64(row->event_us);
    out[FEAT_AVAILABLE_TIME] = weir_i64(row->known_us);
    out[FEAT_SOURCE_PARTITION] = weir_i64(row->source.partition);
    out[FEAT_SOURCE_OFFSET] = weir_i64(row->source.offset);
    out[FEAT_SEQ] = out[FEAT_VERSION] = weir_i64(row->version);
    out[FEAT_EPOCH] = weir_i64(r->epochs[r->partition]);
    out[FEAT_HAS_RECORD] = weir_bool(true);
    memcpy(out + FEAT_RECORD, row->values, sizeof *out * (size_t)r->codec.record_count);
    for (int i = 0; i < r->codec.feature_count; i++) {
        double value = r->values[r->codec.features[i]];
        features[i] = value == value ? weir_f64(value) : weir_null();
    }
    out[r->codec.state_index] = weir_null();
    weir_buf_clear(&r->newest);
    return weir_serde_encode(r->codec.codec.serde, out, &r->newest, err);
}

/* The entity's newest value with its state, under the epoch of the rebuild. */
static weir_status end_entity(rebuild *r, weir_err *err) {
    static const weir_bus_header header = {WEIR_HEADER_REBUILT, "1", 1};
    weir_buf *out = &r->codec.codec.buf;
    if (!r->key_len) return WEIR_OK;
    weir_buf_clear(&r->state_bytes);
    weir_buf_clear(out);
    if (!weir_state_encode(r->view, &r->state, &r->state_bytes)) return no_memory(r, err);
    weir_status status = weir_serde_decode(r->codec.codec.serde, r->newest.data, r->newest.len, r->codec.row, NULL, err);
    r->codec.row[r->codec.state_index] = weir_bytes(r->state_bytes.data, r->state_bytes.len);
    if (!status) status = weir_serde_encode(r->codec.codec.serde, r->codec.row, out, err);
    if (!status) status = weir_producer_send(r->producer, r->topic, r->partition, r->key, r->key_len, out->data, out->len, &header, 1, 0, err);
    r->sent[r->partition]++;
    r->done->entities++;
    return status;
}

static weir_status begin_entity(rebuild *r, const weir_stored_row *row, weir_err *err) {
    weir_status status = end_entity(r, err);
    if (!status && row->tenant_len + row->entity_len + 1 > sizeof r->key)
        status = WEIR_FAIL(err, WEIR_EDATA, "table %s: a key is longer than any can be", r->table);
    if (status) return status;
    memcpy(r->key, row->tenant, row->tenant_len);
    r->key[row->tenant_len] = '/';
    memcpy(r->key + row->tenant_len + 1, row->entity, row->entity_len);
    r->key_len = row->tenant_len + row->entity_len + 1;
    r->partition = weir_bus_partition_of(r->key, r->key_len, r->pipeline->partitions);
    weir_state_clear(&r->state);
    return WEIR_OK;
}

static bool is_current(const rebuild *r, const weir_stored_row *row) {
    return r->key_len == row->tenant_len + row->entity_len + 1 && !memcmp(r->key, row->tenant, row->tenant_len) && r->key[row->tenant_len] == '/' &&
           !memcmp(r->key + row->tenant_len + 1, row->entity, row->entity_len);
}

static weir_status stage_corrections(rebuild *r, const weir_stored_row *late, int position, weir_err *err) {
    weir_corrections changed = {.view = r->view,
                                .codec = &r->codec,
                                .state = &r->state,
                                .position = position,
                                .late_us = late->event_us,
                                .values = r->values,
                                .values_without = r->values_without,
                                .at = position};
    weir_tail_record at;
    weir_status status = WEIR_OK;
    while (!status && weir_corrections_next(&changed, &at)) status = stage_row(r, &at, weir_correction_available_us(late->known_us, &at), err);
    return status;
}

/* A record, in the order of arrival in its entity: what ingest did with it then. */
static weir_status on_record(void *context, const weir_stored_row *row, weir_err *err) {
    rebuild *r = context;
    weir_applied applied;
    int position = 0;
    weir_status status = is_current(r, row) ? WEIR_OK : begin_entity(r, row, err);
    if (status) return status;
    if (row->version != (int64_t)r->state.version + 1)
        return WEIR_FAIL(err, WEIR_EDATA, "table %s lacks record %" PRId64 " of %.*s (the next it has is %" PRId64 "): states cannot be made from it", r->table,
                         (int64_t)r->state.version + 1, (int)r->key_len, r->key, row->version);
    weir_view_slots(r->view, row->values, r->slots);
    status = weir_view_apply(r->view, &r->state, row->event_us, row->source, r->slots, (uint32_t)row->version, &applied, &position, err);
    if (!status && applied != WEIR_APPLIED)
        status = WEIR_FAIL(err, WEIR_EDATA, "record %" PRId64 " of %.*s is %s under the definition of now: allowed_lateness must not become less", row->version,
                           (int)r->key_len, r->key, applied == WEIR_LATE ? "late" : "a repeat");
    if (status) return status;
    weir_view_eval(r->view, &r->state, row->event_us, &row->source, r->values);
    const weir_tail_record at = {row->event_us, row->source, (uint32_t)row->version};
    status = stage_row(r, &at, row->known_us, err);
    if (!status) status = encode_newest(r, row, err);
    if (!status && weir_view_affected(r->view, &r->state, position)) status = stage_corrections(r, row, position, err);
    if (++r->done->records % PROGRESS_EVERY == 0 && r->conf->progress) r->conf->progress(r->conf->progress_context, r->def->name, r->done->records);
    return status;
}

/* ---- records in ---- */

typedef struct loading {
    weir_duck_appender *appender;
    weir_datum *row;
    int count;
} loading;

static weir_status load_row(void *context, const weir_stored_row *row, weir_err *err) {
    loading *l = context;
    const weir_datum head[] = {weir_str(row->tenant, row->tenant_len), weir_str(row->entity, row->entity_len), weir_i64(row->event_us), weir_i64(row->known_us),
                               weir_i64(row->source.partition),        weir_i64(row->source.offset),           weir_i64(row->version)};
    memcpy(l->row, head, sizeof head);
    memcpy(l->row + 7, row->values, sizeof *l->row * (size_t)l->count);
    return weir_duck_append(l->appender, l->row, 7 + l->count, err);
}

/* The records of the view, from PostgreSQL and files, into the table "records". */
static weir_status load_records(const rebuild *r, weir_duck *duck, weir_pg *pg, const weir_rows_query *query, weir_err *err) {
    weir_sql create = {0}, files = {0}, insert = {0};
    int64_t rows;
    loading l = {.count = query->wanted_count, .row = calloc((size_t)query->wanted_count + 7, sizeof *l.row)};
    weir_sql_add(&create, "CREATE TABLE records (tenant VARCHAR, entity VARCHAR, event_us BIGINT, known_us BIGINT, source_partition BIGINT, source_offset "
                          "BIGINT, version BIGINT");
    for (int i = 0; i < query->wanted_count; i++)
        weir_sql_add(&create, ", c%d %s", i, query->wanted[i].is_timestamp ? "BIGINT" : weir_sql_type(query->wanted[i].type));
    weir_sql_add(&create, ")");
    weir_status status = l.row ? weir_sql_end(&create, err) : no_memory(r, err), ended;
    if (!status) status = weir_duck_exec(duck, create.text.data, err);
    if (!status) status = weir_duck_append_to(duck, "records", &l.appender, err);
    if (!status) status = weir_rows_scan_table(pg, query, load_row, &l, err);
    weir_err late;
    if (l.appender && (ended = weir_duck_append_end(l.appender, status ? &late : err)) && !status) status = ended;
    if (!status) status = weir_rows_files(pg, query, &files, &rows, err);
    if (!status && files.text.len) {
        weir_sql_add(&insert, "INSERT INTO records SELECT * EXCLUDE (place) FROM (");
        insert.failed |= !weir_buf_append(&insert.text, files.text.data, files.text.len);
        weir_sql_add(&insert, ")");
        status = weir_sql_end(&insert, err);
        if (!status) status = weir_duck_exec(duck, insert.text.data, err);
    }
    free(l.row);
    weir_sql_done(&create);
    weir_sql_done(&files);
    weir_sql_done(&insert);
    return status;
}

static weir_status replay_records(rebuild *r, weir_err *err) {
    const char *tables[] = {r->table, NULL};
    const weir_rows_query query = {.pipeline = r->pipeline,
                                   .table = r->table,
                                   .objects_dir = r->conf->objects_dir,
                                   .from_us = WEIR_TIME_MIN_US,
                                   .to_us = WEIR_TIME_MAX_US,
                                   .as_of_us = WEIR_TIME_MAX_US,
                                   .records_only = true,
                                   .wanted = r->wanted,
                                   .wanted_count = r->codec.record_count};
    weir_pg *pg = NULL;
    weir_duck *duck = NULL;
    weir_status status = weir_pg_new(r->conf->pg_url, &pg, err);
    if (!status) status = weir_duck_new(&duck, err);
    if (!status) status = weir_rows_snapshot(pg, r->pipeline, tables, err);
    if (!status) {
        status = load_records(r, duck, pg, &query, err);
        weir_pg_rollback(pg);
    }
    /* A row that a day's compaction found in PostgreSQL again is in a file, too. */
    if (!status)
        status = weir_rows_scan_files(duck, "SELECT DISTINCT ON (tenant, entity, version) * FROM records ORDER BY tenant, entity, version", query.wanted_count,
                                      on_record, r, err);
    if (!status) status = end_entity(r, err);
    weir_duck_free(duck);
    weir_pg_free(pg);
    return status;
}

/* ---- a view ---- */

static weir_status init_view(rebuild *r, weir_registry *registry, weir_err *err) {
    size_t partitions = (size_t)r->pipeline->partitions, features = (size_t)r->def->feature_count + 1;
    snprintf(r->table, sizeof r->table, "features_%s", r->def->name);
    weir_status status = weir_view_new(r->pipeline, r->def, &r->view, err);
    if (!status) status = weir_features_codec_init(&r->codec, registry, r->pipeline, r->def, err);
    if (status) return status;
    r->topic = weir_topic_features(r->pipeline, r->def);
    r->wanted = calloc((size_t)r->codec.record_count + 1, sizeof *r->wanted);
    r->slots = calloc((size_t)weir_view_slot_count(r->view) + 1, sizeof *r->slots);
    r->values = calloc(features, sizeof *r->values);
    r->values_without = calloc(features, sizeof *r->values_without);
    r->ends = calloc(partitions, sizeof *r->ends);
    r->epochs = calloc(partitions, sizeof *r->epochs);
    r->sent = calloc(partitions, sizeof *r->sent);
    if (!r->topic || !r->wanted || !r->slots || !r->values || !r->values_without || !r->ends || !r->epochs || !r->sent) return no_memory(r, err);
    for (int i = 0; !status && i < r->codec.record_count; i++)
        status = weir_wanted_field(weir_schema_field_at(weir_view_feed(r->view)->schema, i), "record_", &r->wanted[i], err);
    return status;
}

static void done_view(rebuild *r) {
    weir_features_codec_done(&r->codec);
    weir_view_free(r->view);
    weir_state_done(&r->state);
    weir_buf_done(&r->newest);
    weir_buf_done(&r->state_bytes);
    weir_buf_done(&r->rows);
    free(r->topic);
    free(r->wanted);
    free(r->slots);
    free(r->values);
    free(r->values_without);
    free(r->ends);
    free(r->epochs);
    free(r->sent);
}

/* Rows before snapshots are acknowledged for good: killed in between, all of it is done again. */
static weir_status rebuild_view(rebuild *r, weir_registry *registry, weir_err *err) {
    bool there = false;
    weir_status status = init_view(r, registry, err);
    if (!status) status = weir_offline_has_table(r->pg, r->pipeline, r->table, &there, err);
    if (status || !there) return status;
    if (!status) status = await_store(r, err);
    if (!status) status = stage_table(r, err);
    if (!status) status = put_fences(r, err);
    if (!status) status = replay_records(r, err);
    if (!status) status = weir_producer_flush(r->producer, FLUSH_MS, err);
    if (!status) status = write_rows(r, err);
    if (!status) status = weir_pg_script(r->pg, "DROP TABLE rebuilt", err);
    return status ? status : check_alone(r, err);
}

weir_status weir_rebuild_run(const weir_pipeline *pipeline, const weir_rebuild_conf *conf, weir_rebuilt *ret_done, weir_err *err) {
    rebuild shared = {.pipeline = pipeline, .conf = conf, .done = ret_done};
    weir_registry *registry = NULL;
    *ret_done = (weir_rebuilt){0};
    weir_status status = weir_pg_new(conf->pg_url, &shared.pg, err);
    if (!status) status = weir_pg_migrate(shared.pg, err);
    if (!status) status = weir_compact_turn(shared.pg, pipeline, err);
    if (!status) status = refuse_ingest(&shared, err);
    if (!status) status = weir_registry_new(conf->registry_url, &registry, err);
    if (!status) status = weir_producer_new(conf->brokers, "weir-rebuild", &shared.producer, err);
    for (int v = 0; !status && v < pipeline->view_count; v++) {
        rebuild *r = malloc(sizeof *r);
        if (!r) {
            status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a rebuild");
            break;
        }
        *r = shared;
        r->def = &pipeline->views[v];
        if ((status = rebuild_view(r, registry, err))) (void)weir_err_prefix(err, "view %s", r->def->name);
        done_view(r);
        free(r);
    }
    weir_producer_free(shared.producer);
    weir_registry_free(registry);
    weir_pg_free(shared.pg);
    return status;
}
