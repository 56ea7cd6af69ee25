/* Slots of profiles in memory and in PostgreSQL; see drift_slots.h. */
#include "consumers/drift_slots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/drift_tenants.h"
#include "core/clock.h"
#include "features/duck.h"

enum { PARTS_MIN = 4, PARTS_MAX = 256, PARTS_MAX_BY_TENANT = 4096, COLUMN_BYTES = 90 << 10, JOINED = -1 };
/* Of a profile the sample takes most, and only the pages that values came to. Of one slot, partition and tenant there are few records between two stores: with tenants that is what memory is
 * reckoned by; without, profiles are few and reckoned full. */
enum { SAMPLE_BYTES = WEIR_DRIFT_SAMPLE * 16, SAMPLE_STEP = 256, STEP_BYTES = SAMPLE_STEP * 16 };

/* Where one partition stands. */
typedef struct place {
    bool held, changed; /* changed: since the last flush */
    int64_t next, stored_next; /* stored: as PostgreSQL has it */
    int64_t epoch;
    weir_drift_progress progress;
} place;

/* Records of one slot, and of one tenant or the rest, that PostgreSQL does not have yet. Tables are kept for the next slot of the same stream. */
typedef struct part {
    bool used;
    int stream, tenant; /* tenant: its number */
    int32_t partition;
    int64_t slot_us, records;
    weir_drift_table *table;
    int64_t room; /* values that the table's samples have taken memory for */
} part;

struct weir_drift_slots {
    weir_pg *pg;
    const char *pipeline;
    weir_drift_stream streams[WEIR_DRIFT_STREAMS_MAX];
    int stream_count, partitions;
    int64_t every_us;
    place *places; /* [stream_count][partitions] */
    weir_drift_tenants *tenants;
    part *parts; /* [part_max] */
    uint16_t *index; /* [index_size] of parts that are used: open addressing; place in parts + 1, 0: free */
    uint32_t index_size; /* a power of two, twice part_max or more */
    int part_count, part_max, used_count;
    int64_t bytes, memory_bytes; /* of tables; what they may take */
    uint64_t turn; /* seeds differ from part to part */
};

static weir_status no_memory(weir_err *err) {
    return WEIR_RETRY(err, WEIR_ENOMEM, "no memory to count for drift");
}

weir_status weir_drift_slots_new(weir_pg *pg, const char *pipeline, const weir_drift_stream *streams, int count, int partitions, int64_t every_us, int tenants,
                                 int64_t memory_bytes, weir_drift_slots **ret_slots, weir_err *err) {
    int widest = 1;
    size_t place_count = (size_t)count * (size_t)partitions;
    weir_drift_slots *s = weir_mem.realloc(NULL, sizeof *s);
    if (!s) return no_memory(err);
    *s =
        (weir_drift_slots){.pg = pg, .pipeline = pipeline, .stream_count = count, .partitions = partitions, .every_us = every_us, .memory_bytes = memory_bytes};
    for (int i = 0; i < count; i++) {
        s->streams[i] = streams[i];
        if (streams[i].field_count > widest) widest = streams[i].field_count;
    }
    int64_t fit = memory_bytes / ((int64_t)widest * COLUMN_BYTES);
    s->part_max = tenants ? PARTS_MAX_BY_TENANT : (int)(fit < PARTS_MIN ? PARTS_MIN : fit > PARTS_MAX ? PARTS_MAX : fit);
    for (s->index_size = 1; s->index_size < 2 * (uint32_t)s->part_max;) s->index_size *= 2;
    s->places = weir_mem.realloc(NULL, place_count * sizeof *s->places);
    s->parts = weir_mem.realloc(NULL, (size_t)s->part_max * sizeof *s->parts);
    s->index = weir_mem.realloc(NULL, s->index_size * sizeof *s->index);
    weir_status status = s->places && s->parts && s->index ? weir_drift_tenants_new(pg, pipeline, tenants, &s->tenants, err) : no_memory(err);
    if (status) {
        weir_drift_slots_free(s);
        return status;
    }
    memset(s->index, 0, s->index_size * sizeof *s->index);
    memset(s->places, 0, place_count * sizeof *s->places);
    memset(s->parts, 0, (size_t)s->part_max * sizeof *s->parts);
    *ret_slots = s;
    return WEIR_OK;
}

void weir_drift_slots_free(weir_drift_slots *s) {
    if (!s) return;
    for (int i = 0; s->parts && i < s->part_count; i++) weir_drift_table_free(s->parts[i].table);
    weir_drift_tenants_free(s->tenants);
    weir_mem.realloc(s->index, 0);
    weir_mem.realloc(s->places, 0);
    weir_mem.realloc(s->parts, 0);
    weir_mem.realloc(s, 0);
}

static place *place_of(const weir_drift_slots *s, int stream, int32_t partition) {
    return &s->places[stream * s->partitions + partition];
}

/* ---- which part ---- */

static uint32_t hash_of(const part *p) {
    uint64_t hash =
        (uint64_t)p->slot_us * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)(uint32_t)p->partition << 32 ^ (uint64_t)p->stream << 16 ^ (uint64_t)(p->tenant + 1);
    hash ^= hash >> 31; /* slots are multiples of their length: low bits say little */
    return (uint32_t)(hash * UINT64_C(0xbf58476d1ce4e5b9) >> 32);
}

static bool is_same(const part *a, const part *b) {
    return a->slot_us == b->slot_us && a->partition == b->partition && a->stream == b->stream && a->tenant == b->tenant;
}

/* The place of the part that is like this one, or the free one where it belongs. */
static uint16_t *find_place(const weir_drift_slots *s, const part *wanted) {
    for (uint32_t i = hash_of(wanted);; i++) {
        uint16_t *at = &s->index[i & (s->index_size - 1)];
        if (!*at || is_same(&s->parts[*at - 1], wanted)) return at;
    }
}

static void index_parts(weir_drift_slots *s) {
    memset(s->index, 0, s->index_size * sizeof *s->index);
    s->used_count = 0;
    for (int i = 0; i < s->part_count; i++) {
        if (!s->parts[i].used) continue;
        *find_place(s, &s->parts[i]) = (uint16_t)(i + 1);
        s->used_count++;
    }
}

/* ---- partitions ---- */

static void forget(weir_drift_slots *s, int stream, int32_t partition) {
    for (int i = 0; i < s->part_count; i++)
        if (s->parts[i].stream == stream && s->parts[i].partition == partition) s->parts[i].used = false;
    index_parts(s);
}

static int64_t int8_at(const PGresult *result, int row, int column) {
    return PQgetisnull(result, row, column) ? INT64_MIN : atoll(PQgetvalue(result, row, column));
}

#define MICROS(column) "(extract(epoch FROM " column ") * 1000000)::int8"

weir_status weir_drift_slots_take(weir_drift_slots *s, int stream, int32_t partition, int64_t *ret_next, weir_err *err) {
    PGresult *result = NULL;
    char number[16];
    snprintf(number, sizeof number, "%d", (int)partition);
    const char *params[] = {s->pipeline, s->streams[stream].name, number};
    weir_status status = weir_pg_exec(s->pg,
                                      "SELECT next_offset, epoch, " MICROS("newest_at") ", " MICROS("moved_at") ", " MICROS(
                                          "caught_up_at") " FROM weir.drift_offsets WHERE pipeline = $1 AND stream = $2 AND partition = $3::int",
                                      3, params, &result, err);
    if (status) return status;
    place at = {.held = true, .changed = true, .next = -1, .stored_next = -1, .progress = {INT64_MIN, INT64_MIN, INT64_MIN}};
    if (PQntuples(result)) {
        at.next = at.stored_next = int8_at(result, 0, 0);
        at.epoch = int8_at(result, 0, 1);
        at.progress = (weir_drift_progress){int8_at(result, 0, 2), int8_at(result, 0, 3), int8_at(result, 0, 4)};
    }
    PQclear(result);
    forget(s, stream, partition);
    *place_of(s, stream, partition) = at;
    *ret_next = at.next;
    return WEIR_OK;
}

void weir_drift_slots_drop(weir_drift_slots *s, int stream, int32_t partition) {
    forget(s, stream, partition);
    *place_of(s, stream, partition) = (place){0};
}

int64_t weir_drift_slots_next(const weir_drift_slots *s, int stream, int32_t partition) {
    return place_of(s, stream, partition)->next;
}

int64_t weir_drift_slots_epoch(weir_drift_slots *s, int stream, int32_t partition, int64_t epoch) {
    place *at = place_of(s, stream, partition);
    if (epoch > at->epoch) at->epoch = epoch;
    return at->epoch;
}

void weir_drift_slots_advance(weir_drift_slots *s, int stream, int32_t partition, int64_t next_offset, int64_t now_us) {
    place *at = place_of(s, stream, partition);
    at->next = next_offset;
    at->progress.moved_us = now_us;
    at->changed = true;
}

void weir_drift_slots_look(weir_drift_slots *s, int stream, int32_t partition, int64_t end_offset, int64_t now_us) {
    place *at = place_of(s, stream, partition);
    if (!at->held || (at->next < 0 ? 0 : at->next) < end_offset) return;
    at->progress.caught_up_us = now_us;
    at->changed = true;
}

/* ---- parts ---- */

static int64_t bytes_of(const weir_drift_slots *s, const part *p) {
    return p->table ? s->streams[p->stream].field_count * (COLUMN_BYTES - SAMPLE_BYTES + p->room * 16) : 0;
}

static void free_table(weir_drift_slots *s, part *p) {
    s->bytes -= bytes_of(s, p);
    weir_drift_table_free(p->table);
    p->table = NULL;
    p->room = 0;
}

/* Stores what memory holds when it is more than it may be, and gives the memory back. */
static weir_status make_room(weir_drift_slots *s, weir_err *err) {
    if (s->bytes <= s->memory_bytes || s->used_count <= PARTS_MIN) return WEIR_OK;
    weir_status status = weir_drift_slots_flush(s, err);
    for (int i = 0; !status && i < s->part_count; i++) free_table(s, &s->parts[i]);
    return status;
}

/* A part that is not used and fits the stream; else one more. NULL: there are as many as may be, or no memory. */
static part *new_part(weir_drift_slots *s, int stream, weir_err *err) {
    const weir_drift_stream *of = &s->streams[stream];
    part *free_part = NULL;
    for (int i = 0; i < s->part_count; i++) {
        if (s->parts[i].used) continue;
        free_part = &s->parts[i];
        if (free_part->stream == stream && free_part->table) return free_part;
    }
    if (s->part_count < s->part_max) free_part = &s->parts[s->part_count++];
    if (!free_part) return NULL;
    free_table(s, free_part);
    *free_part = (part){.stream = stream};
    if (weir_drift_table_new(of->fields, of->field_count, 1, &free_part->table, err)) return NULL;
    s->bytes += bytes_of(s, free_part);
    return free_part;
}

/* A part for the records of `wanted`; what memory held is stored where there is no room. */
static weir_status begin_part(weir_drift_slots *s, const part *wanted, part **ret_part, weir_err *err) {
    part *p = new_part(s, wanted->stream, err);
    if (!p) {
        weir_status status = weir_drift_slots_flush(s, err);
        if (status) return status;
        if (!(p = new_part(s, wanted->stream, err))) return no_memory(err);
    }
    uint64_t next = (uint64_t)place_of(s, wanted->stream, wanted->partition)->next;
    uint64_t seed =
        (uint64_t)wanted->slot_us * UINT64_C(0x9e3779b97f4a7c15) ^ next << 20 ^ (uint64_t)wanted->partition << 8 ^ (uint64_t)wanted->stream ^ s->turn++;
    weir_drift_table_clear(p->table, seed);
    *p = (part){.used = true,
                .stream = wanted->stream,
                .partition = wanted->partition,
                .tenant = wanted->tenant,
                .slot_us = wanted->slot_us,
                .table = p->table,
                .room = p->room};
    *find_place(s, p) = (uint16_t)(p - s->parts + 1);
    s->used_count++;
    *ret_part = p;
    return WEIR_OK;
}

weir_status weir_drift_slots_add(weir_drift_slots *s, int stream, int32_t partition, int64_t event_us, const weir_datum *tenant, weir_drift_table **ret_table,
                                 weir_err *err) {
    part wanted = {.stream = stream, .partition = partition, .slot_us = weir_drift_slot_of(event_us, s->every_us), .tenant = WEIR_DRIFT_TENANT_REST};
    place *at = place_of(s, stream, partition);
    weir_status status = WEIR_OK;
    if (tenant && tenant->type == WEIR_T_STR) status = weir_drift_tenants_number(s->tenants, tenant->p, tenant->len, &wanted.tenant, err);
    if (!status) status = make_room(s, err);
    if (status) return status;
    uint16_t found = *find_place(s, &wanted);
    part *p = found ? &s->parts[found - 1] : NULL;
    if (!p && (status = begin_part(s, &wanted, &p, err))) return status;
    if (++p->records > p->room && p->room < WEIR_DRIFT_SAMPLE) {
        p->room += SAMPLE_STEP;
        s->bytes += (int64_t)s->streams[stream].field_count * STEP_BYTES;
    }
    if (event_us > at->progress.newest_us) at->progress.newest_us = event_us;
    *ret_table = p->table;
    return WEIR_OK;
}

/* ---- PostgreSQL ---- */

weir_status weir_drift_slots_lock(weir_pg *pg, const char *pipeline, weir_err *err) {
    return weir_pg_exec(pg, "SELECT pg_advisory_xact_lock(hashtextextended('weir.drift/' || $1, 0))", 1, (const char *const[]){pipeline}, NULL, err);
}

typedef struct gathering {
    weir_drift_table *table;
    int64_t records;
} gathering;

static weir_status on_slot(void *context, const weir_pg_field *fields, int field_count, weir_err *err) {
    gathering *g = context;
    weir_drift_table *stored = NULL;
    (void)field_count;
    weir_status status = weir_drift_table_decode(fields[1].data, (size_t)fields[1].len, &stored, err);
    if (!status) status = weir_drift_table_merge(g->table, stored, err);
    weir_drift_table_free(stored);
    g->records += weir_pg_get_int8(&fields[0]);
    return status;
}

/* Rows of weir.drift_slots. */
typedef struct range {
    const char *pipeline, *stream;
    int64_t from_us, to_us;
    const int32_t *partition; /* NULL: all */
    const char *tenant; /* NULL: all, "": the rest */
} range;

static weir_status gather(weir_pg *pg, const range *r, gathering *g, weir_err *err) {
    char from[WEIR_TIME_TEXT_MAX], to[WEIR_TIME_TEXT_MAX];
    weir_sql sql = {0};
    weir_sql_add(&sql, "COPY (SELECT records, bytes FROM weir.drift_slots WHERE pipeline = ");
    weir_sql_literal(&sql, r->pipeline, strlen(r->pipeline));
    weir_sql_add(&sql, " AND stream = ");
    weir_sql_literal(&sql, r->stream, strlen(r->stream));
    weir_sql_add(&sql, " AND slot_at >= '%s' AND slot_at < '%s'", weir_time_format(r->from_us, from), weir_time_format(r->to_us, to));
    if (r->partition) weir_sql_add(&sql, " AND partition = %d", (int)*r->partition);
    if (r->tenant) {
        weir_sql_add(&sql, " AND tenant = ");
        weir_sql_literal(&sql, r->tenant, strlen(r->tenant));
    }
    weir_sql_add(&sql, " ORDER BY slot_at, partition, tenant) TO STDOUT (FORMAT binary)");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_copy_out(pg, sql.text.data, on_slot, g, err);
    weir_sql_done(&sql);
    return status;
}

weir_status weir_drift_slots_read(weir_pg *pg, const char *pipeline, const char *stream, int64_t from_us, int64_t to_us, const char *tenant,
                                  weir_drift_table *table, int64_t *ret_records, weir_err *err) {
    const range all = {pipeline, stream, from_us, to_us, NULL, tenant};
    gathering g = {.table = table};
    weir_status status = gather(pg, &all, &g, err);
    *ret_records += g.records;
    return status;
}

/* Of the slot that the range begins with. */
static weir_status write_slot(weir_pg *pg, const range *r, int32_t partition, const gathering *g, weir_err *err) {
    weir_buf bytes = {0}, rows = {0};
    bool ok = weir_drift_table_encode(g->table, &bytes) && weir_pg_put_tuple(&rows, 7) && weir_pg_put_bytes(&rows, r->pipeline, strlen(r->pipeline)) &&
              weir_pg_put_bytes(&rows, r->stream, strlen(r->stream)) && weir_pg_put_timestamptz(&rows, r->from_us) && weir_pg_put_int4(&rows, partition) &&
              weir_pg_put_bytes(&rows, r->tenant, strlen(r->tenant)) && weir_pg_put_int8(&rows, g->records) && weir_pg_put_bytes(&rows, bytes.data, bytes.len);
    weir_status status =
        ok ? weir_pg_copy_in(pg, "COPY weir.drift_slots (pipeline, stream, slot_at, partition, tenant, records, bytes) FROM STDIN (FORMAT binary)", &rows, err)
           : no_memory(err);
    weir_buf_done(&bytes);
    weir_buf_done(&rows);
    return status;
}

static weir_status delete_slot(weir_pg *pg, const range *r, weir_err *err) {
    char at[WEIR_TIME_TEXT_MAX], number[16];
    if (r->partition) snprintf(number, sizeof number, "%d", (int)*r->partition);
    const char *params[] = {r->pipeline, r->stream, weir_time_format(r->from_us, at), r->partition ? number : NULL, r->tenant};
    return weir_pg_exec(pg,
                        "DELETE FROM weir.drift_slots WHERE pipeline = $1 AND stream = $2 AND slot_at = $3::timestamptz AND ($4::int IS NULL OR partition = "
                        "$4::int) AND tenant = $5",
                        5, params, NULL, err);
}

/* What PostgreSQL has of the slot, and the part's records with it. The part stays as it is: the transaction may fail. */
static weir_status flush_part(weir_drift_slots *s, const part *p, weir_err *err) {
    const weir_drift_stream *of = &s->streams[p->stream];
    const range slot = {s->pipeline, of->name, p->slot_us, p->slot_us + s->every_us, &p->partition, weir_drift_tenants_name(s->tenants, p->tenant)};
    gathering g = {0};
    weir_status status = weir_drift_table_new(of->fields, of->field_count, (uint64_t)p->slot_us ^ s->turn++, &g.table, err);
    if (!status) status = gather(s->pg, &slot, &g, err);
    if (!status) status = weir_drift_table_merge(g.table, p->table, err);
    g.records += p->records;
    if (!status) status = delete_slot(s->pg, &slot, err);
    if (!status) status = write_slot(s->pg, &slot, p->partition, &g, err);
    weir_drift_table_free(g.table);
    return status;
}

static const char *time_or_null(int64_t time_us, char text[WEIR_TIME_TEXT_MAX]) {
    return time_us == INT64_MIN ? NULL : weir_time_format(time_us, text);
}

static weir_status flush_place(weir_drift_slots *s, int stream, int32_t partition, weir_err *err) {
    const place *at = place_of(s, stream, partition);
    char number[16], next[24], epoch[24], newest[WEIR_TIME_TEXT_MAX], moved[WEIR_TIME_TEXT_MAX], caught_up[WEIR_TIME_TEXT_MAX], expected[24];
    PGresult *result = NULL;
    snprintf(number, sizeof number, "%d", (int)partition);
    snprintf(next, sizeof next, "%" PRId64, at->next);
    snprintf(epoch, sizeof epoch, "%" PRId64, at->epoch);
    snprintf(expected, sizeof expected, "%" PRId64, at->stored_next);
    const char *params[] = {s->pipeline,
                            s->streams[stream].name,
                            number,
                            next,
                            epoch,
                            time_or_null(at->progress.newest_us, newest),
                            time_or_null(at->progress.moved_us, moved),
                            time_or_null(at->progress.caught_up_us, caught_up),
                            expected};
    weir_status status =
        weir_pg_exec(s->pg,
                     "INSERT INTO weir.drift_offsets AS o VALUES ($1, $2, $3::int, $4::int8, $5::int8, $6::timestamptz, coalesce($7::timestamptz, "
                     "clock_timestamp()), $8::timestamptz) ON CONFLICT (pipeline, stream, partition) DO UPDATE SET next_offset = excluded.next_offset, "
                     "epoch = excluded.epoch, newest_at = excluded.newest_at, moved_at = excluded.moved_at, caught_up_at = "
                     "excluded.caught_up_at WHERE o.next_offset = $9::int8 RETURNING 1",
                     9, params, &result, err);
    if (status) return status;
    bool stored = PQntuples(result) == 1;
    PQclear(result);
    return stored ? WEIR_OK
                  : WEIR_RETRY(err, WEIR_ECONFLICT, "another worker has counted %s [%d] for drift: this one lost the partition", s->streams[stream].topic,
                               (int)partition);
}

static weir_status flush_all(weir_drift_slots *s, weir_err *err) {
    weir_status status = weir_drift_slots_lock(s->pg, s->pipeline, err);
    for (int i = 0; !status && i < s->stream_count; i++)
        for (int32_t k = 0; !status && k < s->partitions; k++)
            if (place_of(s, i, k)->held && place_of(s, i, k)->changed) status = flush_place(s, i, k, err);
    for (int i = 0; !status && i < s->part_count; i++)
        if (s->parts[i].used) status = flush_part(s, &s->parts[i], err);
    return status;
}

weir_status weir_drift_slots_flush(weir_drift_slots *s, weir_err *err) {
    bool any = false;
    for (int i = 0; i < s->stream_count * s->partitions; i++) any |= s->places[i].held && s->places[i].changed;
    if (!any) return WEIR_OK;
    weir_status status = weir_pg_begin(s->pg, err);
    if (!status) status = flush_all(s, err);
    if (!status) status = weir_pg_commit(s->pg, err);
    if (status) {
        weir_pg_rollback(s->pg);
        return status;
    }
    for (int i = 0; i < s->stream_count * s->partitions; i++) {
        s->places[i].stored_next = s->places[i].next;
        s->places[i].changed = false;
    }
    for (int i = 0; i < s->part_count; i++) s->parts[i].used = false;
    index_parts(s);
    return WEIR_OK;
}

/* ---- joining ---- */

static weir_status join_slot(weir_pg *pg, const weir_drift_stream *stream, const range *slot, weir_err *err) {
    gathering g = {0};
    weir_status status = weir_drift_table_new(stream->fields, stream->field_count, (uint64_t)slot->from_us, &g.table, err);
    if (!status) status = gather(pg, slot, &g, err);
    if (!status) status = delete_slot(pg, slot, err);
    if (!status) status = write_slot(pg, slot, JOINED, &g, err);
    weir_drift_table_free(g.table);
    return status;
}

weir_status weir_drift_slots_join(weir_pg *pg, const char *pipeline, const weir_drift_stream *stream, int64_t to_us, weir_err *err) {
    PGresult *result = NULL;
    char to[WEIR_TIME_TEXT_MAX];
    const char *params[] = {pipeline, stream->name, weir_time_format(to_us, to)};
    weir_status status = weir_pg_exec(pg,
                                      "SELECT " MICROS("slot_at") ", tenant FROM weir.drift_slots WHERE pipeline = $1 AND stream = $2 AND slot_at < "
                                                                  "$3::timestamptz GROUP BY slot_at, tenant HAVING count(*) > 1 ORDER BY slot_at, tenant",
                                      3, params, &result, err);
    if (status) return status;
    for (int i = 0; !status && i < PQntuples(result); i++) {
        int64_t slot_us = int8_at(result, i, 0);
        const range slot = {pipeline, stream->name, slot_us, slot_us + 1, NULL, PQgetvalue(result, i, 1)};
        status = join_slot(pg, stream, &slot, err);
    }
    PQclear(result);
    return status;
}
