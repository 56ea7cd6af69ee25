/* A day of a table, in this order: read in one snapshot → what files have already taken out → written under names that no reader looks at, synced → in one transaction: nothing came
 * meanwhile?, files listed, named, partition dropped. A crash before the commit leaves files that the next run writes over, because part numbers follow from the manifest. */
#include "features/compact.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/folder.h"
#include "features/rows.h"

enum { COLUMNS_MAX = 2048, LOCK_TIMEOUT_MS = 5000, PATH_BYTES_MAX = 4096 };

typedef struct day_file {
    char *tenant, *path; /* path below the objects folder */
    int part;
    int64_t rows, bytes, first_us, last_us;
} day_file;

typedef struct compactor {
    const weir_pipeline *pipeline;
    const weir_compact_conf *conf;
    weir_compacted *done;
    weir_pg *pg;
    char table[WEIR_COLUMN_NAME_MAX + 1], partition[WEIR_COLUMN_NAME_MAX + 1], day[16]; /* 2024-01-31 */
    weir_duck *duck;
    weir_duck_appender *appender;
    char *names[COLUMNS_MAX]; /* of the partition's columns */
    weir_wanted columns[COLUMNS_MAX];
    bool small[COLUMNS_MAX]; /* integer: 32 bits, in the file too */
    int column_count;
    char *column_list; /* for the manifest */
    weir_datum row[COLUMNS_MAX];
    int64_t row_count;
    day_file *files;
    int file_count;
} compactor;

static void day_done(compactor *c) {
    for (int i = 0; i < c->column_count; i++) free(c->names[i]);
    for (int i = 0; i < c->file_count; i++) {
        free(c->files[i].tenant);
        free(c->files[i].path);
    }
    free(c->files);
    free(c->column_list);
    c->files = NULL;
    c->column_list = NULL;
    c->column_count = c->file_count = 0;
    c->row_count = 0;
    weir_duck_free(c->duck);
    c->duck = NULL;
}

static weir_status no_memory(const compactor *c, weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for compacting %s of %s", c->day, c->table);
}

/* --- reading a day --- */

static weir_status list_columns(compactor *c, weir_err *err) {
    const char *params[] = {c->pipeline->name, c->partition};
    PGresult *result = NULL;
    weir_sql list = {0};
    weir_status status =
        weir_pg_exec(c->pg,
                     "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid "
                     "JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = $1 AND t.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped "
                     "ORDER BY a.attnum",
                     2, params, &result, err);
    int count = status ? 0 : PQntuples(result);
    if (count > COLUMNS_MAX) status = WEIR_FAIL(err, WEIR_ELIMIT, "table %s has more than %d columns", c->table, COLUMNS_MAX);
    for (int i = 0; !status && i < count; i++) {
        const char *name = PQgetvalue(result, i, 0), *type = PQgetvalue(result, i, 1);
        c->columns[i] = weir_wanted_carried(type);
        c->small[i] = !strcmp(type, "integer");
        c->names[i] = strdup(name);
        c->column_count = i + 1;
        weir_sql_add(&list, "%s%s %s", i ? "," : "", name, type);
        if (!c->names[i]) status = no_memory(c, err);
    }
    PQclear(result);
    if (!status) status = weir_sql_end(&list, err);
    c->column_list = list.text.data;
    return status;
}

static weir_status on_row(void *context, const weir_pg_field *fields, int count, weir_err *err) {
    compactor *c = context;
    c->row_count++;
    for (int i = 0; i < count; i++) c->row[i] = weir_wanted_read(&c->columns[i], &fields[i]);
    return weir_duck_append(c->appender, c->row, count, err);
}

static weir_status copy_rows(compactor *c, weir_err *err) {
    weir_sql create = {0}, copy = {0};
    weir_sql_add(&create, "CREATE TABLE day (");
    weir_sql_add(&copy, "COPY (SELECT ");
    for (int i = 0; i < c->column_count; i++) {
        weir_sql_add(&create, i ? ", " : "");
        weir_sql_name(&create, c->names[i]);
        weir_sql_add(&create, " %s", c->small[i] ? "INTEGER" : c->columns[i].is_timestamp ? "BIGINT" : weir_sql_type(c->columns[i].type));
        weir_sql_add(&copy, i ? ", CAST(" : "CAST(");
        weir_sql_name(&copy, c->names[i]);
        weir_sql_add(&copy, " AS %s)", weir_wanted_type(&c->columns[i]));
    }
    weir_sql_add(&create, ")");
    weir_sql_add(&copy, " FROM \"%s\".\"%s\") TO STDOUT (FORMAT binary)", c->pipeline->name, c->partition);
    weir_status status = weir_sql_end(&create, err), ended;
    if (!status) status = weir_sql_end(&copy, err);
    if (!status) status = weir_duck_exec(c->duck, create.text.data, err);
    if (!status) status = weir_duck_append_to(c->duck, "day", &c->appender, err);
    if (!status) status = weir_pg_copy_out(c->pg, copy.text.data, on_row, c, err);
    weir_err late;
    if (c->appender && (ended = weir_duck_append_end(c->appender, status ? &late : err)) && !status) status = ended;
    c->appender = NULL;
    weir_sql_done(&create);
    weir_sql_done(&copy);
    return status;
}

/* What earlier parts of the day have: rows that came again after their partition had gone. */
static weir_status drop_repeats(compactor *c, PGresult *listed, weir_err *err) {
    bool versions = false;
    weir_sql sql = {0};
    for (int i = 0; i < c->column_count; i++) versions |= !strcmp(c->names[i], "version");
    weir_sql_add(&sql, "DELETE FROM day USING (SELECT * FROM read_parquet([");
    for (int i = 0; i < PQntuples(listed); i++) {
        weir_buf path = {0};
        sql.failed |= !weir_buf_printf(&path, "%s/%s", c->conf->objects_dir, PQgetvalue(listed, i, 2));
        weir_sql_add(&sql, i ? ", " : "");
        if (!sql.failed) weir_sql_literal(&sql, path.data, path.len);
        weir_buf_done(&path);
    }
    weir_sql_add(&sql,
                 "], union_by_name=true)) f WHERE epoch_us(f.event_time) = day.event_time AND f.source_partition = day.source_partition "
                 "AND f.source_offset = day.source_offset%s",
                 versions ? " AND coalesce(f.version, 0) = coalesce(day.version, 0)" : "");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(c->duck, sql.text.data, err);
    weir_sql_done(&sql);
    return status;
}

/* --- files --- */

/* As hive writes names of folders. */
static bool put_encoded(weir_buf *path, const char *text) {
    bool ok = true;
    for (; ok && *text; text++) {
        unsigned char ch = (unsigned char)*text;
        ok = isalnum(ch) || strchr("_-.", ch) ? weir_buf_append(path, text, 1) : weir_buf_printf(path, "%%%02X", ch);
    }
    return ok;
}

static weir_status sync_path(const char *path, int flags, weir_err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
    weir_status status = fd < 0 || fsync(fd) ? WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(errno)) : WEIR_OK;
    if (fd >= 0) close(fd);
    return status;
}

/* The folders from the file's up to the objects folder, so that a new one's name survives as its files do. */
static weir_status sync_folders(const compactor *c, char *path, weir_err *err) {
    weir_status status = WEIR_OK;
    size_t root = strlen(c->conf->objects_dir);
    for (char *slash = strrchr(path, '/'); !status && slash && (size_t)(slash - path) >= root; slash = strrchr(path, '/')) {
        *slash = 0;
        status = sync_path(path, O_DIRECTORY, err);
    }
    return status;
}

static weir_status full_path(const compactor *c, const day_file *file, const char *suffix, char path[PATH_BYTES_MAX], weir_err *err) {
    int n = snprintf(path, PATH_BYTES_MAX, "%s/%s%s", c->conf->objects_dir, file->path, suffix);
    return n < PATH_BYTES_MAX ? WEIR_OK : WEIR_FAIL(err, WEIR_EINVAL, "the path %s/%s is too long", c->conf->objects_dir, file->path);
}

static void put_copy(weir_sql *sql, const compactor *c, const day_file *file, const char *path) {
    const char *comma = "";
    weir_sql_add(sql, "COPY (SELECT ");
    for (int i = 0; i < c->column_count; i++) {
        if (!strcmp(c->names[i], "tenant")) continue; /* the folder says it */
        weir_sql_add(sql, "%s%s", comma, c->columns[i].is_timestamp ? "make_timestamptz(" : "");
        weir_sql_name(sql, c->names[i]);
        weir_sql_add(sql, c->columns[i].is_timestamp ? ") AS " : "");
        if (c->columns[i].is_timestamp) weir_sql_name(sql, c->names[i]);
        comma = ", ";
    }
    weir_sql_add(sql, " FROM day WHERE tenant = ");
    weir_sql_literal(sql, file->tenant, strlen(file->tenant));
    weir_sql_add(sql, " ORDER BY entity, day.event_time, source_partition, source_offset%s) TO ", strstr(c->column_list, ",version ") ? ", version" : "");
    weir_sql_literal(sql, path, strlen(path));
    weir_sql_add(sql, " (FORMAT parquet, COMPRESSION zstd)");
}

static weir_status write_day_file(compactor *c, day_file *file, weir_err *err) {
    char path[PATH_BYTES_MAX];
    weir_sql sql = {0};
    struct stat st = {0};
    weir_status status = full_path(c, file, ".part", path, err);
    if (!status) status = weir_folder_make_above(path, err);
    if (!status) {
        put_copy(&sql, c, file, path);
        status = weir_sql_end(&sql, err);
    }
    if (!status) status = weir_duck_exec(c->duck, sql.text.data, err);
    if (!status) status = sync_path(path, 0, err);
    if (!status && stat(path, &st)) status = WEIR_FAIL(err, WEIR_EIO, "cannot read %s: %s", path, strerror(errno));
    file->bytes = st.st_size;
    weir_sql_done(&sql);
    return status;
}

static int next_part(PGresult *listed, const char *tenant) {
    int part = 1;
    for (int i = 0; i < PQntuples(listed); i++)
        if (!strcmp(PQgetvalue(listed, i, 0), tenant) && atoi(PQgetvalue(listed, i, 1)) >= part) part = atoi(PQgetvalue(listed, i, 1)) + 1;
    return part;
}

static weir_status plan_file(compactor *c, PGresult *listed, const weir_duck_cursor *found, weir_err *err) {
    day_file *files = weir_mem.realloc(c->files, ((size_t)c->file_count + 1) * sizeof *files);
    if (!files) return no_memory(c, err);
    c->files = files;
    day_file *file = &files[c->file_count++];
    weir_datum tenant = weir_duck_get(found, 0);
    *file = (day_file){.tenant = strndup(tenant.p, tenant.len),
                       .rows = weir_duck_get(found, 1).i,
                       .first_us = weir_duck_get(found, 2).i,
                       .last_us = weir_duck_get(found, 3).i};
    if (!file->tenant) return no_memory(c, err);
    file->part = next_part(listed, file->tenant);
    weir_buf path = {0};
    bool ok = weir_buf_printf(&path, "%s/%s/tenant=", c->pipeline->name, c->table) && put_encoded(&path, file->tenant) &&
              weir_buf_printf(&path, "/day=%s/part-%05d.parquet", c->day, file->part);
    file->path = path.data;
    return ok ? WEIR_OK : no_memory(c, err);
}

static weir_status plan_files(compactor *c, PGresult *listed, weir_err *err) {
    weir_duck_cursor *cursor = NULL;
    bool more;
    weir_status status =
        weir_duck_query(c->duck, "SELECT tenant, count(*), min(event_time), max(event_time) FROM day GROUP BY tenant ORDER BY tenant", &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) status = plan_file(c, listed, cursor, err);
    weir_duck_cursor_free(cursor);
    return status;
}

/* Rows into files that nobody sees yet. */
static weir_status write_day(compactor *c, weir_err *err) {
    const char *params[] = {c->pipeline->name, c->table, c->day};
    const char *const tables[] = {c->table, NULL};
    PGresult *listed = NULL;
    weir_status status = weir_rows_snapshot(c->pg, c->pipeline, tables, err);
    if (!status)
        status = weir_pg_exec(c->pg, "SELECT tenant, part, path FROM weir.offline_files WHERE pipeline = $1 AND table_name = $2 AND day = $3", 3, params,
                              &listed, err);
    if (!status) status = list_columns(c, err);
    if (!status) status = weir_duck_new(&c->duck, err);
    if (!status) status = copy_rows(c, err);
    weir_pg_rollback(c->pg);
    if (!status && PQntuples(listed)) status = drop_repeats(c, listed, err);
    if (!status) status = plan_files(c, listed, err);
    for (int i = 0; !status && i < c->file_count; i++) status = write_day_file(c, &c->files[i], err);
    PQclear(listed);
    return status;
}

/* --- the switch --- */

static weir_status check_unchanged(const compactor *c, weir_err *err) {
    char sql[256];
    PGresult *result = NULL;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\".\"%s\"", c->pipeline->name, c->partition);
    weir_status status = weir_pg_exec(c->pg, sql, 0, NULL, &result, err);
    if (status) return status;
    int64_t rows = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    if (rows == c->row_count) return WEIR_OK;
    return WEIR_RETRY(err, WEIR_ECONFLICT, "%" PRId64 " rows of %s came to %s while it was compacted", rows - c->row_count, c->day, c->table);
}

static weir_status list_file(const compactor *c, const day_file *file, const char *version, weir_err *err) {
    char part[16], rows[32], bytes[32];
    snprintf(part, sizeof part, "%d", file->part);
    snprintf(rows, sizeof rows, "%" PRId64, file->rows);
    snprintf(bytes, sizeof bytes, "%" PRId64, file->bytes);
    char first[WEIR_TIME_TEXT_MAX], last[WEIR_TIME_TEXT_MAX];
    const char *params[] = {c->pipeline->name,
                            c->table,
                            file->tenant,
                            c->day,
                            part,
                            version,
                            file->path,
                            rows,
                            bytes,
                            c->column_list,
                            weir_time_format(file->first_us, first),
                            weir_time_format(file->last_us, last)};
    return weir_pg_exec(c->pg,
                        "INSERT INTO weir.offline_files (pipeline, table_name, tenant, day, part, version, path, rows, bytes, columns, first_time, last_time) "
                        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                        12, params, NULL, err);
}

static weir_status list_files(const compactor *c, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(c->pg, "SELECT nextval('weir.offline_version')", 0, NULL, &result, err);
    for (int i = 0; !status && i < c->file_count; i++) status = list_file(c, &c->files[i], PQgetvalue(result, 0, 0), err);
    PQclear(result);
    return status;
}

static weir_status name_files(const compactor *c, weir_err *err) {
    char part[PATH_BYTES_MAX], path[PATH_BYTES_MAX];
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < c->file_count; i++) {
        if ((status = full_path(c, &c->files[i], ".part", part, err)) || (status = full_path(c, &c->files[i], "", path, err))) break;
        if (rename(part, path)) status = WEIR_FAIL(err, WEIR_EIO, "cannot name %s: %s", path, strerror(errno));
        if (!status) status = sync_folders(c, path, err);
    }
    return status;
}

/* Dropping a partition locks its table; who reads for long is not waited for, because others would wait behind us. */
static weir_status switch_day(const compactor *c, weir_err *err) {
    char sql[512];
    int timeout_ms = c->conf->lock_timeout_ms ? c->conf->lock_timeout_ms : LOCK_TIMEOUT_MS;
    snprintf(sql, sizeof sql, "SET LOCAL lock_timeout = '%dms'; LOCK TABLE \"%s\".\"%s\" IN ACCESS EXCLUSIVE MODE", timeout_ms, c->pipeline->name, c->table);
    weir_status status = weir_pg_begin(c->pg, err);
    if (!status && (status = weir_pg_script(c->pg, sql, err)) == WEIR_EINTERNAL) {
        status =
            WEIR_RETRY(err, WEIR_ETIMEOUT, "table %s was being read for longer than %d ms, so %s stays in PostgreSQL for now", c->table, timeout_ms, c->day);
    }
    snprintf(sql, sizeof sql, "DROP TABLE \"%s\".\"%s\"", c->pipeline->name, c->partition);
    if (!status) status = check_unchanged(c, err);
    if (!status) status = list_files(c, err);
    if (!status) status = name_files(c, err);
    if (!status) status = weir_pg_script(c->pg, sql, err);
    if (!status) status = weir_pg_commit(c->pg, err);
    if (status) weir_pg_rollback(c->pg);
    return status;
}

static weir_status compact_day(compactor *c, weir_err *err) {
    weir_status status = write_day(c, err);
    if (!status) status = switch_day(c, err);
    if (!status) {
        int64_t kept = 0;
        for (int i = 0; i < c->file_count; i++) {
            kept += c->files[i].rows;
            c->done->bytes += c->files[i].bytes;
        }
        c->done->days++;
        c->done->files += c->file_count;
        c->done->rows += kept;
        c->done->repeats += c->row_count - kept;
    }
    day_done(c);
    return status;
}

/* --- tables --- */

static weir_status compact_table(compactor *c, weir_err *err) {
    char before[WEIR_TIME_TEXT_MAX];
    const char *params[] = {c->pipeline->name, c->table, weir_time_format(c->conf->before_us, before)};
    PGresult *days = NULL;
    weir_status status =
        weir_pg_exec(c->pg,
                     "SELECT p.relname, to_date(right(p.relname, 8), 'YYYYMMDD')::text FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid "
                     "JOIN pg_class t ON t.oid = i.inhparent JOIN pg_namespace n ON n.oid = t.relnamespace "
                     "WHERE n.nspname = $1 AND t.relname = $2 AND p.relname ~ '_p[0-9]{8}$' "
                     "AND to_date(right(p.relname, 8), 'YYYYMMDD') + 1 <= $3::timestamptz AT TIME ZONE 'UTC' ORDER BY 2",
                     3, params, &days, err);
    for (int i = 0; !status && i < PQntuples(days) && !(c->conf->stop && *c->conf->stop); i++) {
        snprintf(c->partition, sizeof c->partition, "%s", PQgetvalue(days, i, 0));
        snprintf(c->day, sizeof c->day, "%s", PQgetvalue(days, i, 1));
        status = compact_day(c, err);
        if (c->conf->progress) c->conf->progress(c->conf->progress_context, c->table, c->done->rows);
    }
    PQclear(days);
    return status;
}

weir_status weir_compact_turn(weir_pg *pg, const weir_pipeline *pipeline, weir_err *err) {
    const char *params[] = {pipeline->name};
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg, "SELECT pg_try_advisory_lock(hashtextextended('weir.compact.' || $1, 0))", 1, params, &result, err);
    if (!status && PQgetvalue(result, 0, 0)[0] != 't')
        status = WEIR_RETRY(err, WEIR_ECONFLICT, "another compaction or a rebuild of pipeline %s is under way", pipeline->name);
    PQclear(result);
    return status;
}

weir_status weir_compact(const weir_pipeline *pipeline, const weir_compact_conf *conf, weir_compacted *ret_done, weir_err *err) {
    if (pipeline->partition_by != WEIR_PERIOD_DAY)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s partitions its tables by a longer period than the day: only days are compacted",
                         pipeline->path ? pipeline->path : pipeline->name);
    if (strstr(conf->objects_dir, "://"))
        return WEIR_FAIL(err, WEIR_EINVAL, "objects_dir is the store %s, expected a folder: days are compacted into files that queries read in place",
                         conf->objects_dir);
    *ret_done = (weir_compacted){0};
    compactor *c = weir_mem.realloc(NULL, sizeof *c);
    if (!c) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for compacting");
    memset(c, 0, sizeof *c);
    c->pipeline = pipeline;
    c->conf = conf;
    c->done = ret_done;
    weir_status status = weir_pg_new(conf->pg_url, &c->pg, err);
    if (!status) status = weir_pg_migrate(c->pg, err);
    if (!status) status = weir_compact_turn(c->pg, pipeline, err);
    for (int v = 0; !status && v < pipeline->view_count; v++) {
        snprintf(c->table, sizeof c->table, "features_%s", pipeline->views[v].name);
        status = compact_table(c, err);
    }
    weir_pg_free(c->pg);
    free(c);
    return status;
}
