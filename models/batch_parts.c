#include "models/batch_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/folder.h"
#include "core/json.h"
#include "models/json_file.h"
#include "models/memory.h"

static const char job_file[] = "job.json";

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the parts of a batch");
}

static bool part_path(const weir_batch_parts *parts, int number, const char *suffix, weir_buf *ret_path) {
    return weir_buf_printf(ret_path, "%s/part-%06d.parquet%s", parts->folder, number, suffix);
}

/* The folder itself is the lock: it goes with the process that holds it, and with the folder. */
static weir_status take_folder(weir_batch_parts *parts, weir_err *err) {
    weir_status status = weir_folder_make(parts->folder, err);
    if (status) return status;
    parts->lock = open(parts->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parts->lock < 0) return WEIR_FAIL(err, WEIR_EIO, "cannot open the folder %s: %s", parts->folder, strerror(errno));
    if (!flock(parts->lock, LOCK_EX | LOCK_NB)) return WEIR_OK;
    status = errno == EWOULDBLOCK ? WEIR_FAIL(err, WEIR_ECONFLICT, "%s: another process is at this job", parts->folder)
                                  : WEIR_FAIL(err, WEIR_EIO, "cannot lock the folder %s: %s", parts->folder, strerror(errno));
    close(parts->lock);
    parts->lock = 0;
    return status;
}

static weir_status write_job(const weir_batch_parts *parts, const weir_batch_identity *identity, weir_err *err) {
    cJSON *job = cJSON_CreateObject();
    bool ok = job && cJSON_AddStringToObject(job, "input", identity->input) && cJSON_AddStringToObject(job, "model", identity->model) &&
              cJSON_AddStringToObject(job, "options", identity->options);
    weir_status status = ok ? weir_json_file_write(parts->folder, job_file, job, err) : no_memory(err);
    cJSON_Delete(job);
    return status;
}

static const char *difference(const cJSON *job, const weir_batch_identity *identity) {
    if (strcmp(weir_json_text(job, "model"), identity->model) != 0) return "the model is another one";
    if (strcmp(weir_json_text(job, "input"), identity->input) != 0) return "the input has changed";
    return strcmp(weir_json_text(job, "options"), identity->options) != 0 ? "columns or options have changed" : NULL;
}

/* Whose parts lie there. Without job.json nobody's: it is written before the first. */
static weir_status look(weir_batch_parts *parts, const weir_batch_identity *identity, bool *ret_same, weir_err *err) {
    cJSON *job = NULL;
    weir_status status = weir_json_file_read(parts->folder, job_file, &job, err);
    if (!status) parts->changed = difference(job, identity);
    if (status == WEIR_EDATA) parts->changed = "what is told of its parts cannot be read";
    *ret_same = !status && !parts->changed;
    cJSON_Delete(job);
    return status == WEIR_ENOTFOUND || status == WEIR_EDATA ? WEIR_OK : status;
}

static weir_status count_parts(weir_batch_parts *parts, weir_duck *duck, weir_err *err) {
    weir_status status = WEIR_OK;
    for (parts->count = 0; !status;) {
        weir_buf path = {0};
        bool ok = part_path(parts, parts->count + 1, "", &path), there = ok && !access(path.data, R_OK);
        weir_buf_done(&path);
        if (!ok) return no_memory(err);
        if (!there) break;
        parts->count++;
    }
    if (!parts->count) return WEIR_OK;
    weir_sql sql = {0};
    status = weir_batch_parts_from(parts, err);
    if (!status) weir_sql_add(&sql, "SELECT count(*) FROM %s", parts->from.text.data);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_number(duck, sql.text.data, &parts->rows, err);
    weir_sql_done(&sql);
    return status;
}

/* What was there goes part by part, while the folder stays ours. */
static weir_status remove_parts(weir_batch_parts *parts, weir_err *err) {
    weir_status status = WEIR_OK;
    bool there = true;
    for (int n = 1; there && !status; n++) {
        weir_buf path = {0};
        if (!part_path(parts, n, "", &path)) status = no_memory(err);
        if (!status) there = !remove(path.data);
        if (!status && !there && errno != ENOENT) status = WEIR_FAIL(err, WEIR_EIO, "cannot remove %s: %s", path.data, strerror(errno));
        weir_buf_done(&path);
    }
    return status;
}

weir_status weir_batch_parts_open(weir_batch_parts *parts, const char *out, const weir_batch_identity *identity, weir_duck *duck, weir_err *err) {
    weir_buf folder = {0};
    const char *slash = strrchr(out, '/'), *base = slash ? slash + 1 : out;
    if (!weir_buf_printf(&folder, "%.*s.%s.parts", (int)(base - out), out, base)) return no_memory(err);
    parts->folder = folder.data;
    bool same = false;
    weir_status status = take_folder(parts, err);
    if (!status) status = look(parts, identity, &same, err);
    if (!status && same && (status = count_parts(parts, duck, err)) && status != WEIR_ENOMEM) {
        parts->changed = "a part of it cannot be read";
        same = false;
        status = WEIR_OK;
    }
    if (status || same) return status;
    parts->count = 0;
    parts->rows = 0;
    status = remove_parts(parts, err);
    return status ? status : write_job(parts, identity, err);
}

weir_status weir_batch_parts_add(weir_batch_parts *parts, weir_duck *duck, const char *table, weir_err *err) {
    weir_sql sql = {0};
    weir_buf path = {0}, aside = {0};
    weir_status status = part_path(parts, parts->count + 1, "", &path) && part_path(parts, parts->count + 1, ".aside", &aside) ? WEIR_OK : no_memory(err);
    weir_sql_add(&sql, "COPY %s TO ", table);
    if (!status) weir_sql_literal(&sql, aside.data, aside.len);
    weir_sql_add(&sql, " (FORMAT parquet, COMPRESSION lz4_raw); DROP TABLE %s", table);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_exec(duck, sql.text.data, err);
    if (!status) status = weir_file_publish(aside.data, path.data, err);
    if (!status) parts->count++;
    weir_sql_done(&sql);
    weir_buf_done(&path);
    weir_buf_done(&aside);
    return status;
}

weir_status weir_batch_parts_from(weir_batch_parts *parts, weir_err *err) {
    weir_sql_done(&parts->from);
    parts->from = (weir_sql){0};
    weir_sql_add(&parts->from, "read_parquet([");
    for (int n = 1; n <= parts->count; n++) {
        weir_buf path = {0};
        parts->from.failed |= !part_path(parts, n, "", &path);
        weir_sql_add(&parts->from, n > 1 ? ", " : "");
        weir_sql_literal(&parts->from, path.data ? path.data : "", path.len);
        weir_buf_done(&path);
    }
    weir_sql_add(&parts->from, "])");
    return weir_sql_end(&parts->from, err);
}

void weir_batch_parts_close(weir_batch_parts *parts, bool remove) {
    weir_err err; /* what is left is told of by its name, and taken for nothing else */
    if (parts->lock && remove && weir_folder_remove(parts->folder, &err)) (void)err;
    if (parts->lock) close(parts->lock);
    weir_sql_done(&parts->from);
    weir_models_free(parts->folder);
    *parts = (weir_batch_parts){0};
}
