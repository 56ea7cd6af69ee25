/* Opens files of rows. Text formats are read once, into a table of the database, which spills; Parquet is read where it lies. */
#include "models/data_file.h"

#include <errno.h>
#include <fts.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/conf.h"
#include "models/memory.h"
#include "models/model.h"

enum { COLUMNS_SHOWN = 200 };

static const char *const format_names[] = {
    [WEIR_FILE_UNKNOWN] = "auto", [WEIR_FILE_PARQUET] = "parquet", [WEIR_FILE_CSV] = "csv", [WEIR_FILE_JSON] = "json", NULL};

/* The files of a path, in order. */
typedef struct listing {
    char **paths; /* [count] */
    int count, room;
    bool keys; /* below the path there are folders named key=value */
    bool zipped; /* gzip, whatever the first one is named */
} listing;

static weir_status no_memory(weir_err *err) {
    return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a list of files and columns");
}

static char *copy_text(const char *text, size_t len) {
    char *copy = weir_models_calloc(1, len + 1);
    return copy ? memcpy(copy, text, len) : NULL;
}

static weir_status add_path(listing *list, const char *path, weir_err *err) {
    if (list->count == WEIR_DATA_FILES_MAX) return WEIR_FAIL(err, WEIR_ELIMIT, "more than %d files, expected at most that many", WEIR_DATA_FILES_MAX);
    if (list->count == list->room) {
        int room = list->room ? 2 * list->room : 16;
        char **grown = weir_mem.realloc(list->paths, (size_t)room * sizeof *grown);
        if (!grown) return no_memory(err);
        list->paths = grown;
        list->room = room;
    }
    if (!(list->paths[list->count] = copy_text(path, strlen(path)))) return no_memory(err);
    list->count++;
    return WEIR_OK;
}

static void listing_done(listing *list) {
    for (int i = 0; i < list->count; i++) weir_models_free(list->paths[i]);
    weir_models_free(list->paths);
}

static int by_name(const FTSENT **a, const FTSENT **b) {
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* What writers leave beside their data (_SUCCESS, .part-0.crc) is hidden in this way. */
static bool is_hidden(const FTSENT *entry) {
    return entry->fts_level > 0 && (entry->fts_name[0] == '.' || entry->fts_name[0] == '_');
}

static weir_status walk(const char *path, listing *list, weir_err *err) {
    char *roots[] = {(char *)path, NULL}; /* fts forgot a const */
    FTS *fts = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    FTSENT *entry;
    weir_status status = fts ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "cannot read the folder %s: %s", path, strerror(errno));
    while (!status && (entry = fts_read(fts))) {
        if (is_hidden(entry)) {
            if (entry->fts_info == FTS_D) (void)fts_set(fts, entry, FTS_SKIP);
        } else if (entry->fts_info == FTS_D) {
            list->keys |= entry->fts_level > 0 && strchr(entry->fts_name, '=');
        } else if (entry->fts_info == FTS_F) {
            status = add_path(list, entry->fts_path, err);
        } else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) {
            status = WEIR_FAIL(err, WEIR_EIO, "cannot read %s: %s", entry->fts_path, strerror(entry->fts_errno));
        }
    }
    if (fts) fts_close(fts);
    return status;
}

static weir_status match_pattern(const char *pattern, listing *list, weir_err *err) {
    glob_t found = {0};
    weir_status status = WEIR_OK;
    int result = glob(pattern, 0, NULL, &found);
    if (result == GLOB_NOSPACE) status = no_memory(err);
    for (size_t i = 0; !status && !result && i < found.gl_pathc; i++) status = walk(found.gl_pathv[i], list, err);
    globfree(&found);
    return status;
}

/* A path of another store cannot be opened: what is asked for is where its files lie here. */
static weir_status local_path(const char *given, const char **ret_path, weir_err *err) {
    const char *scheme = strstr(given, "://");
    if (!strncmp(given, "file://", 7)) {
        *ret_path = given + 7;
        return WEIR_OK;
    }
    if (scheme) {
        const char *rest = strchr(scheme + 3, '/');
        return WEIR_FAIL(err, WEIR_EINVAL,
                         "found '%s', expected a path of files: Weir reads folders and has no client of %.*s. Copy or mount the data and give its folder here, "
                         "such as \"/data%s\"; "
                         "nothing else in the file has to change",
                         given, (int)(scheme - given), given, rest ? rest : "");
    }
    *ret_path = given;
    return WEIR_OK;
}

static weir_status list_files(const char *given, listing *list, weir_err *err) {
    struct stat info;
    const char *path = given;
    weir_status status = local_path(given, &path, err);
    if (status) return status;
    if (stat(path, &info) == 0)
        status = walk(path, list, err);
    else if (strpbrk(path, "*?["))
        status = match_pattern(path, list, err);
    else
        return WEIR_FAIL(err, errno == ENOENT ? WEIR_ENOTFOUND : WEIR_EIO, "cannot read %s: %s", path, strerror(errno));
    if (!status && !list->count) status = WEIR_FAIL(err, WEIR_ENOTFOUND, "%s: there is no file in it", path);
    return status;
}

/* ---- formats ---- */

/* What the first bytes say: Parquet begins with PAR1, JSON with a bracket, and what holds a zero byte is no text. */
static weir_status sniff(const char *path, weir_file_format *ret_format, bool *ret_zipped, weir_err *err) {
    unsigned char start[512];
    FILE *file = fopen(path, "rb");
    if (!file) return WEIR_FAIL(err, WEIR_EIO, "cannot read %s: %s", path, strerror(errno));
    size_t len = fread(start, 1, sizeof start, file), at = 0;
    fclose(file);
    *ret_format = weir_file_format_of(path);
    *ret_zipped = len > 2 && start[0] == 0x1f && start[1] == 0x8b;
    if (len >= 4 && !memcmp(start, "PAR1", 4)) {
        *ret_format = WEIR_FILE_PARQUET;
        return WEIR_OK;
    }
    if (*ret_format == WEIR_FILE_PARQUET) return WEIR_FAIL(err, WEIR_EDATA, "%s: it is named Parquet and does not begin as Parquet does", path);
    if (*ret_zipped || *ret_format != WEIR_FILE_UNKNOWN) return WEIR_OK;
    while (at < len && strchr(" \t\r\n\xef\xbb\xbf", start[at])) at++;
    if (memchr(start, 0, len) || at == len) return WEIR_OK;
    *ret_format = start[at] == '{' || start[at] == '[' ? WEIR_FILE_JSON : WEIR_FILE_CSV;
    return WEIR_OK;
}

static weir_status choose_format(const char *asked, listing *list, weir_file_format *ret_format, weir_err *err) {
    weir_file_format format = WEIR_FILE_UNKNOWN, found = WEIR_FILE_UNKNOWN;
    bool zipped = false;
    for (int i = 0; asked && format_names[i]; i++)
        if (!strcmp(asked, format_names[i])) format = (weir_file_format)i;
    if (asked && strcmp(asked, "auto") != 0 && !format) {
        const char *near = weir_conf_nearest(asked, format_names);
        return WEIR_FAIL(err, WEIR_EINVAL, "found format '%s', expected parquet, csv, json or auto%s%s%s", asked, near ? "; did you mean '" : "",
                         near ? near : "", near ? "'?" : "");
    }
    for (int i = 0; i < list->count; i++) {
        weir_status status = sniff(list->paths[i], &found, &zipped, err);
        if (status) return status;
        if (!i) list->zipped = zipped && !strstr(list->paths[i], ".gz");
        if (!format && !found)
            return WEIR_FAIL(err, WEIR_EDATA, "%s: cannot tell what it is from its name or how it begins; say the format: parquet, csv or json",
                             list->paths[i]);
        if (!format) format = found;
        if ((found == WEIR_FILE_PARQUET) != (format == WEIR_FILE_PARQUET) || (found && !asked && found != format))
            return WEIR_FAIL(err, WEIR_EDATA, "%s is %s, expected %s as %s", list->paths[i], format_names[found], format_names[format],
                             i ? "the other files" : "the format says");
    }
    *ret_format = format;
    return WEIR_OK;
}

/* WHOLE: types by all values. SAMPLED: by the first ones. STREAMED: those of CSV are texts. */
typedef enum reading_as { WHOLE, SAMPLED, STREAMED } reading_as;

static void add_reader(const listing *list, weir_file_format format, reading_as as, weir_sql *sql) {
    static const char *const readers[] = {[WEIR_FILE_PARQUET] = "read_parquet([", [WEIR_FILE_CSV] = "read_csv([", [WEIR_FILE_JSON] = "read_json(["};
    weir_sql_add(sql, "%s", readers[format]);
    for (int i = 0; i < list->count; i++) {
        weir_sql_add(sql, i ? ", " : "");
        weir_sql_literal(sql, list->paths[i], strlen(list->paths[i]));
    }
    weir_sql_add(sql, "], union_by_name=true, hive_partitioning=%s", list->keys ? "true" : "false");
    static const char *const types[] = {[WHOLE] = ", sample_size=-1", [SAMPLED] = "", [STREAMED] = ", all_varchar=true"};
    if (format == WEIR_FILE_CSV) weir_sql_add(sql, ", header=true%s, nullstr=['', 'NA', 'N/A', 'NaN', 'nan', 'null', 'NULL']", types[as]);
    if (format == WEIR_FILE_JSON) weir_sql_add(sql, ", sample_size=-1");
    if (list->zipped) weir_sql_add(sql, ", compression='gzip'");
    weir_sql_add(sql, ")");
}

/* ---- columns ---- */

static weir_status add_column(weir_data_file *file, const weir_datum *name, const weir_datum *type, weir_err *err) {
    if (file->column_count == WEIR_DATA_COLUMNS_MAX)
        return WEIR_FAIL(err, WEIR_ELIMIT, "more than %d columns, expected at most that many", WEIR_DATA_COLUMNS_MAX);
    weir_data_column *column = &file->columns[file->column_count++];
    column->stored = weir_stored_of(type->p, type->len);
    column->name = copy_text(name->p, name->len);
    column->type = copy_text(type->p, type->len);
    return column->name && column->type ? WEIR_OK : no_memory(err);
}

static weir_status describe(weir_data_file *file, bool streams_text, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    file->row_count = -1;
    if (!(file->columns = weir_models_calloc(WEIR_DATA_COLUMNS_MAX, sizeof *file->columns))) return no_memory(err);
    weir_sql_add(&sql, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM %s)", file->from.text.data);
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(file->duck, sql.text.data, &cursor, err);
    while (!status && !(status = weir_duck_next(cursor, &more, err)) && more) {
        weir_datum name = weir_duck_get(cursor, 0), type = weir_duck_get(cursor, 1);
        status = add_column(file, &name, &type, err);
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    if (status || streams_text) return status;
    weir_sql_add(&sql, "SELECT count(*) FROM %s", file->from.text.data);
    if (!(status = weir_sql_end(&sql, err))) status = weir_duck_number(file->duck, sql.text.data, &file->row_count, err);
    weir_sql_done(&sql);
    return status;
}

/* A name of the first row that stands there again, in letters of either case, as DuckDB compares them. */
static weir_status find_repeat(const weir_duck_cursor *row, const char *path, weir_err *err) {
    int count = weir_duck_column_count(row);
    for (int i = 1; i < count; i++)
        for (int k = 0; k < i; k++) {
            weir_datum a = weir_duck_get(row, k), b = weir_duck_get(row, i);
            bool texts = a.type == WEIR_T_STR && b.type == WEIR_T_STR && a.len;
            if (texts && a.len == b.len && !strncasecmp(a.p, b.p, a.len))
                return WEIR_FAIL(err, WEIR_EDATA, "%s: columns %d and %d of the header have the name '%.*s', expected names that differ", path, k + 1, i + 1,
                                 (int)(b.len < 60 ? b.len : 60), (const char *)b.p);
        }
    return WEIR_OK;
}

/* DuckDB would call the second `y` y_1, and a copy of the target would be learnt from. */
static weir_status check_header(const weir_data_file *file, const char *path, bool zipped, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    weir_err why;
    bool more = false;
    weir_sql_add(&sql, "SELECT * FROM read_csv(");
    weir_sql_literal(&sql, path, strlen(path));
    weir_sql_add(&sql, ", header=false, all_varchar=true%s) LIMIT 1", zipped ? ", compression='gzip'" : "");
    weir_status status = weir_sql_end(&sql, err);
    if (!status && (status = weir_duck_query(file->duck, sql.text.data, &cursor, &why)) == WEIR_ENOMEM) *err = why;
    bool readable = !status && !weir_duck_next(cursor, &more, &why) && more; /* what is wrong otherwise was said before, or is nothing here */
    if (status != WEIR_ENOMEM) status = readable ? find_repeat(cursor, path, err) : WEIR_OK;
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

/* What the files are, as far as one can tell without reading them. */
static weir_status fingerprint(const listing *list, weir_data_file *file, weir_err *err) {
    weir_buf text = {0};
    struct stat info;
    weir_status status = WEIR_OK;
    for (int i = 0; !status && i < list->count; i++) {
        if (stat(list->paths[i], &info) != 0) {
            status = WEIR_FAIL(err, WEIR_EIO, "cannot read %s: %s", list->paths[i], strerror(errno));
        } else if (!weir_buf_printf(&text, "%s %lld %lld.%09ld\n", list->paths[i], (long long)info.st_size, (long long)info.st_mtim.tv_sec,
                                    info.st_mtim.tv_nsec)) {
            status = no_memory(err);
        }
        if (!status) file->byte_count += info.st_size;
    }
    if (!status) weir_sha256_hex(text.data, text.len, file->fingerprint);
    if (!status && !(file->first_path = copy_text(list->paths[0], strlen(list->paths[0])))) status = no_memory(err);
    weir_buf_done(&text);
    return status;
}

/* What the texts of streamed CSV are likely to be. */
static weir_status guess_types(const listing *list, weir_data_file *file, weir_err *err) {
    weir_sql sql = {0};
    weir_duck_cursor *cursor = NULL;
    bool more = false;
    weir_sql_add(&sql, "SELECT column_type FROM (DESCRIBE SELECT * FROM ");
    add_reader(list, file->format, SAMPLED, &sql);
    weir_sql_add(&sql, ")");
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_duck_query(file->duck, sql.text.data, &cursor, err);
    for (int i = 0; !status && i < file->column_count && !(status = weir_duck_next(cursor, &more, err)) && more; i++) {
        weir_datum type = weir_duck_get(cursor, 0);
        if (!(file->columns[i].likely = copy_text(type.p, type.len))) status = no_memory(err);
    }
    weir_duck_cursor_free(cursor);
    weir_sql_done(&sql);
    return status;
}

/* Types that are known need not be looked for with every query, which would read all of the files for it. */
static weir_status fix_types(const listing *list, weir_data_file *file, weir_err *err) {
    weir_sql_done(&file->from);
    file->from = (weir_sql){0};
    add_reader(list, file->format, STREAMED, &file->from);
    file->from.text.len--; /* the bracket */
    weir_sql_add(&file->from, ", columns={");
    for (int i = 0; i < file->column_count; i++) {
        weir_sql_add(&file->from, i ? ", " : "");
        weir_sql_literal(&file->from, file->columns[i].name, strlen(file->columns[i].name));
        weir_sql_add(&file->from, ": ");
        weir_sql_literal(&file->from, file->columns[i].type, strlen(file->columns[i].type));
    }
    weir_sql_add(&file->from, "})");
    return weir_sql_end(&file->from, err);
}

static weir_status open_files(const listing *list, bool streams, weir_data_file *file, weir_err *err) {
    weir_sql make = {0};
    weir_status status = fingerprint(list, file, err);
    if (!status) status = weir_duck_new(&file->duck, err);
    if (!status) status = weir_convert_setup(file->duck, err);
    if (status) return status;
    if (file->format == WEIR_FILE_PARQUET || streams) {
        add_reader(list, file->format, streams ? STREAMED : WHOLE, &file->from);
    } else {
        weir_sql_add(&make, "CREATE TABLE file_rows AS SELECT * FROM ");
        add_reader(list, file->format, WHOLE, &make);
        if (!(status = weir_sql_end(&make, err))) status = weir_duck_exec(file->duck, make.text.data, err);
        weir_sql_add(&file->from, "file_rows");
    }
    for (int i = 0; !status && file->format == WEIR_FILE_CSV && i < list->count; i++) status = check_header(file, list->paths[i], list->zipped, err);
    if (!status) status = weir_sql_end(&file->from, err);
    if (!status) status = describe(file, streams && file->format != WEIR_FILE_PARQUET, err);
    if (!status && streams && file->format == WEIR_FILE_CSV) status = guess_types(list, file, err);
    if (!status && streams && file->format == WEIR_FILE_JSON && !list->keys) status = fix_types(list, file, err);
    weir_sql_done(&make);
    return status;
}

static weir_status open_path(const char *path, const char *format, bool streams, weir_data_file *ret_file, weir_err *err) {
    listing list = {0};
    weir_data_file file = {0};
    weir_status status = list_files(path, &list, err);
    if (!status) status = choose_format(format, &list, &file.format, err);
    if (!status && (status = open_files(&list, streams, &file, err)) && status != WEIR_ENOMEM) status = weir_err_prefix(err, "%s", path);
    file.file_count = list.count;
    listing_done(&list);
    if (status)
        weir_data_file_done(&file);
    else
        *ret_file = file;
    return status;
}

weir_status weir_data_file_open(const char *path, const char *format, weir_data_file *ret_file, weir_err *err) {
    return open_path(path, format, false, ret_file, err);
}

weir_status weir_data_file_stream(const char *path, const char *format, weir_data_file *ret_file, weir_err *err) {
    return open_path(path, format, true, ret_file, err);
}

void weir_data_file_done(weir_data_file *file) {
    for (int i = 0; i < file->column_count; i++) {
        weir_models_free(file->columns[i].name);
        weir_models_free(file->columns[i].type);
        weir_models_free(file->columns[i].likely);
    }
    weir_models_free(file->columns);
    weir_models_free(file->first_path);
    weir_sql_done(&file->from);
    weir_duck_free(file->duck);
    *file = (weir_data_file){0};
}

int weir_data_file_find(const weir_data_file *file, const char *name) {
    for (int i = 0; i < file->column_count; i++)
        if (!strcmp(file->columns[i].name, name)) return i;
    return -1;
}

/* "; it has a, b, c": where none is near, a delimiter that was guessed wrongly shows. */
static void list_columns(const weir_data_file *file, char text[COLUMNS_SHOWN]) {
    int used = 0;
    for (int i = 0; i < file->column_count && used < COLUMNS_SHOWN - 8; i++)
        used += snprintf(text + used, (size_t)(COLUMNS_SHOWN - used), "%s%.60s", i ? ", " : "; it has ", file->columns[i].name);
    if (used >= COLUMNS_SHOWN - 8) snprintf(text + COLUMNS_SHOWN - 8, 8, "%s", ", …");
}

weir_status weir_data_file_need(const weir_data_file *file, const char *what, const char *name, int *ret_column, weir_err *err) {
    char others[COLUMNS_SHOWN] = "";
    if ((*ret_column = weir_data_file_find(file, name)) >= 0) return WEIR_OK;
    const char **names = weir_models_calloc((size_t)file->column_count + 1, sizeof *names);
    if (!names) return no_memory(err);
    for (int i = 0; i < file->column_count; i++) names[i] = file->columns[i].name;
    const char *near = weir_conf_nearest(name, names);
    if (!near) list_columns(file, others);
    weir_status status = WEIR_FAIL(err, WEIR_EINVAL, "%s '%s': the data has no such column%s%s%s%s", what, name, near ? "; did you mean '" : "",
                                   near ? near : "", near ? "'?" : "", others);
    weir_models_free(names);
    return status;
}

void weir_data_file_value(const weir_data_file *file, int column, weir_target target, bool as_micros, weir_sql *sql) {
    const weir_data_column *c = &file->columns[column];
    bool seconds = target == WEIR_TARGET_TIME && !as_micros, cast = target != WEIR_TARGET_TEXT && target != WEIR_TARGET_TIME;
    weir_sql_add(sql, "%sto_%d_%d(", cast ? "CAST(" : seconds ? "CAST(" : "", target, c->stored);
    weir_sql_name(sql, c->name);
    weir_sql_add(sql, cast ? ") AS DOUBLE)" : seconds ? ") AS DOUBLE) / 1e6" : ")");
}
