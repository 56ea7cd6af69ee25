/* `prepare_data`: rows from a table, from features joined to labels, or made up, split into a training and a test table that are versioned. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lifecycle.h"
#include "features/duck.h"
#include "producers/random.h"

enum { SYNTHETIC_ROWS = 1000, SYNTHETIC_FEATURES = 10, FEATURES_MAX = 1600 /* columns of a table of PostgreSQL's */ };

typedef struct prepare_options {
    char *catalog, *schema, *environment;
    char *source_table;
    char *feature_store_table, *lookup_key, *label_table, *label_column;
    char **feature_columns;
    char *train_table, *test_table;
    double test_size;
    int64_t random_seed;
} prepare_options;

#define FIELD(member) .offset = offsetof(prepare_options, member)

static const weir_conf_item prepare_table[] = {
    WEIR_CATALOG_ITEM(prepare_options, catalog, WEIR_CONF_REQUIRED),
    WEIR_SCHEMA_ITEM(prepare_options, schema, WEIR_CONF_REQUIRED),
    WEIR_ENVIRONMENT_ITEM(prepare_options, environment, WEIR_CONF_REQUIRED),
    {.name = "source_table",
     .type = WEIR_CONF_STRING,
     FIELD(source_table),
     .doc = "table with features and target, of this schema or catalog.schema.table; without it and without features: synthetic data"},
    {.name = "feature_store_table",
     .type = WEIR_CONF_STRING,
     FIELD(feature_store_table),
     .doc = "table with features, catalog.schema.table; not with --source-table"},
    {.name = "lookup_key",
     .type = WEIR_CONF_STRING,
     FIELD(lookup_key),
     .doc = "column that features are looked up by, required with --feature-store-table; it is no feature itself"},
    {.name = "feature_columns",
     .type = WEIR_CONF_LIST,
     FIELD(feature_columns),
     .flags = WEIR_CONF_MANY,
     .doc = "features to take, one after the other; not given: all columns of the table but the key"},
    {.name = "label_table",
     .type = WEIR_CONF_STRING,
     FIELD(label_table),
     .doc = "table with labels, catalog.schema.table; not given: labels are in the feature table"},
    {.name = "label_column", .type = WEIR_CONF_STRING, FIELD(label_column), .fallback = "target", .doc = "target column of the labels, and of synthetic data"},
    {.name = "train_table", .type = WEIR_CONF_STRING, FIELD(train_table), .fallback = "train_set", .doc = "training table that is written"},
    {.name = "test_table", .type = WEIR_CONF_STRING, FIELD(test_table), .fallback = "test_set", .doc = "test table that is written"},
    {.name = "test_size",
     .type = WEIR_CONF_NUMBER,
     FIELD(test_size),
     .min = 0,
     .max = 1,
     .fallback = "0.2",
     .doc = "share of the rows that become the test table"},
    {.name = "random_seed",
     .type = WEIR_CONF_INT,
     FIELD(random_seed),
     .min = 0,
     .max = INT32_MAX,
     .fallback = "42",
     .doc = "the split, and synthetic data, depend on it and on the rows only"},
    {.name = NULL},
};

/* What is to be done, and where the rows come from: a SELECT, its columns as SQL, and a description. */
typedef struct preparation {
    const prepare_options *o;
    weir_pg *pg;
    char space[WEIR_NAME_MAX + 1];
    weir_table_name train, test;
    weir_sql select, columns;
    int column_count;
    cJSON *source;
    weir_sql report; /* said when everything is committed */
} preparation;

static weir_status check_options(preparation *p, weir_err *err) {
    const prepare_options *o = p->o;
    bool store = o->feature_store_table;
    weir_status status = weir_space_make(o->catalog, o->schema, p->space, err);
    if (!status) status = weir_environment_check(o->environment, err);
    if (!status) status = weir_table_name_parse(o->train_table, p->space, &p->train, err);
    if (!status) status = weir_table_name_parse(o->test_table, p->space, &p->test, err);
    if (status) return status;
    if (store && o->source_table)
        return WEIR_FAIL(err, WEIR_EINVAL, "--feature-store-table cannot be used with --source-table: the rows come from one of them");
    if (store && !o->lookup_key) return WEIR_FAIL(err, WEIR_EINVAL, "--feature-store-table needs --lookup-key, the column that features are looked up by");
    if (!store && (o->lookup_key || o->label_table || o->feature_columns))
        return WEIR_FAIL(err, WEIR_EINVAL, "--lookup-key, --label-table and --feature-columns say how to read --feature-store-table, which is not given");
    if (strcmp(p->train.space, p->space) != 0 || strcmp(p->test.space, p->space) != 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "the tables are written to schema %s; --train-table and --test-table are names without a schema", p->space);
    if (!strcmp(p->train.table, p->test.table)) return WEIR_FAIL(err, WEIR_EINVAL, "--train-table and --test-table are both '%s'", p->train.table);
    return o->test_size > 0 && o->test_size < 1 ? WEIR_OK
                                                : WEIR_FAIL(err, WEIR_EINVAL, "--test-size: found %g, expected more than 0 and less than 1", o->test_size);
}

static void add_table(weir_sql *sql, const weir_table *table) {
    weir_sql_name(sql, table->name.space);
    weir_sql_add(sql, ".");
    weir_sql_name(sql, table->relation);
}

/* One more column of the rows: of the table that goes by this letter in the SELECT. */
static void add_column(preparation *p, const char *of, const char *name) {
    weir_sql_add(&p->select, "%s%s.", p->column_count ? ", " : "", of);
    weir_sql_name(&p->select, name);
    weir_sql_add(&p->columns, p->column_count ? ", " : "");
    weir_sql_name(&p->columns, name);
    p->column_count++;
}

/* "table": "catalog.schema.table", and its version where it has one. */
static void describe_table(cJSON *source, const char *what, const weir_table *table) {
    char version[64];
    snprintf(version, sizeof version, "%s_version", what);
    cJSON_AddStringToObject(source, what, table->name.full);
    if (table->version) cJSON_AddNumberToObject(source, version, table->version);
}

static weir_status open_named(preparation *p, const char *text, weir_table *ret_table, weir_err *err) {
    weir_table_name name;
    weir_status status = weir_table_name_parse(text, p->space, &name, err);
    return status ? status : weir_table_open(p->pg, &name, ret_table, err);
}

/* ---- from a table ---- */

static weir_status take_source(preparation *p, weir_err *err) {
    weir_table table = {0};
    weir_status status = open_named(p, p->o->source_table, &table, err);
    if (status) return status;
    weir_sql_add(&p->select, "SELECT ");
    for (int c = 0; c < table.column_count; c++) add_column(p, "s", table.columns[c].name);
    weir_sql_add(&p->select, " FROM ");
    add_table(&p->select, &table);
    weir_sql_add(&p->select, " s");
    cJSON_AddStringToObject(p->source, "kind", "table");
    describe_table(p->source, "table", &table);
    weir_table_done(&table);
    return WEIR_OK;
}

/* ---- from features and labels ---- */

static weir_status take_features(preparation *p, const weir_table *features, const weir_table *labels, weir_err *err) {
    const prepare_options *o = p->o;
    const char *names[FEATURES_MAX + 1];
    const weir_table_column *column = NULL;
    cJSON *list = cJSON_AddArrayToObject(p->source, "feature_columns");
    weir_status status = weir_names_split(o->feature_columns, names, FEATURES_MAX, err);
    int count = 0;
    while (!status && names[count]) count++;
    for (int c = 0; !status && !o->feature_columns && c < features->column_count; c++) {
        const char *name = features->columns[c].name;
        if (strcmp(name, o->lookup_key) != 0 && (labels != features || strcmp(name, o->label_column) != 0)) names[count++] = name;
    }
    for (int i = 0; !status && i < count; i++) {
        status = weir_table_find(features, names[i], &column, err);
        if (!status && !strcmp(names[i], o->lookup_key)) status = WEIR_FAIL(err, WEIR_EINVAL, "'%s' is the lookup key, which is no feature", names[i]);
        if (!status && !strcmp(names[i], o->label_column))
            status = WEIR_FAIL(err, WEIR_EINVAL, "'%s' is the label column, and a column of %s: name the features with --feature-columns", names[i],
                               features->name.full);
        for (int k = 0; !status && k < i; k++)
            if (!strcmp(names[i], names[k])) status = WEIR_FAIL(err, WEIR_EINVAL, "--feature-columns has '%s' twice", names[i]);
        add_column(p, "f", names[i]);
        cJSON_AddItemToArray(list, cJSON_CreateString(names[i]));
    }
    if (!status && !count) status = WEIR_FAIL(err, WEIR_EINVAL, "%s has no column that could be a feature", features->name.full);
    return status;
}

/* A number of rows, from a query over f (features) and l (labels), which both have the key. */
static weir_status count_rows(preparation *p, const weir_table *from, const weir_table *other, bool repeated, int64_t *ret_rows, weir_err *err) {
    weir_sql sql = {0};
    PGresult *row = NULL;
    if (repeated) {
        weir_sql_add(&sql, "SELECT count(a.k) - count(DISTINCT a.k) FROM (SELECT ");
    } else {
        weir_sql_add(&sql, "SELECT count(*) FROM (SELECT ");
    }
    weir_sql_name(&sql, p->o->lookup_key);
    weir_sql_add(&sql, " AS k FROM ");
    add_table(&sql, from);
    weir_sql_add(&sql, ") a");
    if (other) {
        weir_sql_add(&sql, " WHERE NOT EXISTS (SELECT FROM ");
        add_table(&sql, other);
        weir_sql_add(&sql, " b WHERE b.");
        weir_sql_name(&sql, p->o->lookup_key);
        weir_sql_add(&sql, " = a.k)");
    }
    weir_status status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_exec(p->pg, sql.text.data, 0, NULL, &row, err);
    if (!status) *ret_rows = atoll(PQgetvalue(row, 0, 0));
    PQclear(row);
    weir_sql_done(&sql);
    return status;
}

/* Says what the join leaves out: on stderr when there are rows all the same, as the error when there are none. */
static weir_status judge_join(preparation *p, const weir_table *features, const weir_table *labels, weir_err *err) {
    int64_t all = 0, lost = 0, unmatched = 0, repeated = 0;
    weir_status status = count_rows(p, features, NULL, true, &repeated, err);
    if (!status && repeated)
        return WEIR_FAIL(err, WEIR_EDATA, "lookup key '%s' is not unique in %s: %" PRId64 " rows repeat one; features need one row for each", p->o->lookup_key,
                         features->name.full, repeated);
    if (!status) status = count_rows(p, features, NULL, false, &all, err);
    if (!status) status = count_rows(p, features, labels, false, &lost, err);
    if (!status) status = count_rows(p, labels, features, false, &unmatched, err);
    if (status) return status;
    cJSON_AddNumberToObject(p->source, "lost_rows", (double)lost);
    cJSON_AddNumberToObject(p->source, "labels_without_features", (double)unmatched);
    if (lost == all)
        return WEIR_FAIL(err, WEIR_EDATA, "Lost %" PRId64 " rows in join. Ensure label table has matching lookup_key values: no '%s' of %s is in %s", lost,
                         p->o->lookup_key, features->name.full, labels->name.full);
    if (lost) fprintf(stderr, "Lost %" PRId64 " rows in join. Ensure label table has matching lookup_key values\n", lost);
    if (unmatched) fprintf(stderr, "%" PRId64 " rows of %s have a %s without features and are left out\n", unmatched, labels->name.full, p->o->lookup_key);
    return WEIR_OK;
}

static weir_status find_keys(const preparation *p, const weir_table *features, const weir_table *labels, weir_err *err) {
    const weir_table_column *key = NULL, *label_key = NULL, *label = NULL;
    weir_status status = weir_table_find(features, p->o->lookup_key, &key, err);
    if (!status) status = weir_table_find(labels, p->o->lookup_key, &label_key, err);
    if (!status) status = weir_table_find(labels, p->o->label_column, &label, err);
    if (!status && (key->kind != label_key->kind || (key->kind == WEIR_COLUMN_OTHER && strcmp(key->type, label_key->type) != 0)))
        status = WEIR_FAIL(err, WEIR_EDATA, "lookup key '%s' is a %s in %s and a %s in %s; make one type of them", p->o->lookup_key, key->type,
                           features->name.full, label_key->type, labels->name.full);
    if (!status && !strcmp(p->o->lookup_key, p->o->label_column))
        status = WEIR_FAIL(err, WEIR_EINVAL, "'%s' is both --lookup-key and --label-column", p->o->lookup_key);
    return status;
}

static weir_status join_tables(preparation *p, const weir_table *features, const weir_table *labels, weir_err *err) {
    const prepare_options *o = p->o;
    cJSON_AddStringToObject(p->source, "kind", "feature_store");
    describe_table(p->source, "feature_table", features);
    cJSON_AddStringToObject(p->source, "lookup_key", o->lookup_key);
    describe_table(p->source, "label_table", labels);
    cJSON_AddStringToObject(p->source, "label_column", o->label_column);
    weir_status status = find_keys(p, features, labels, err);
    weir_sql_add(&p->select, "SELECT ");
    if (!status) status = take_features(p, features, labels, err);
    add_column(p, labels == features ? "f" : "l", o->label_column);
    weir_sql_add(&p->select, " FROM ");
    add_table(&p->select, features);
    weir_sql_add(&p->select, " f");
    if (status || labels == features) return status;
    weir_sql_add(&p->select, " JOIN ");
    add_table(&p->select, labels);
    weir_sql_add(&p->select, " l ON l.");
    weir_sql_name(&p->select, o->lookup_key);
    weir_sql_add(&p->select, " = f.");
    weir_sql_name(&p->select, o->lookup_key);
    return judge_join(p, features, labels, err);
}

static weir_status take_store(preparation *p, weir_err *err) {
    weir_table features = {0}, labels = {0};
    weir_status status = open_named(p, p->o->feature_store_table, &features, err);
    if (!status && p->o->label_table) status = open_named(p, p->o->label_table, &labels, err);
    if (!status) status = join_tables(p, &features, p->o->label_table ? &labels : &features, err);
    weir_table_done(&features);
    weir_table_done(&labels);
    return status;
}

/* ---- made up ---- */

/* Ten standard normal features, of which five matter and two of those together only; the target is what they say but for a little noise, and has about as many rows of either class. */
static bool add_synthetic_row(weir_random *random, weir_buf *rows) {
    double f[SYNTHETIC_FEATURES];
    for (int i = 0; i < SYNTHETIC_FEATURES; i++) f[i] = weir_random_normal(random, 0, 1);
    bool target = 2 * f[0] - 1.5 * f[1] + f[2] + f[3] * f[4] + weir_random_normal(random, 0, 0.3) > 0;
    bool ok = weir_pg_put_tuple(rows, SYNTHETIC_FEATURES + 1);
    for (int i = 0; ok && i < SYNTHETIC_FEATURES; i++) ok = weir_pg_put_float8(rows, f[i]);
    return ok && weir_pg_put_int4(rows, target);
}

static weir_status take_synthetic(preparation *p, weir_err *err) {
    weir_random random;
    weir_buf rows = {0};
    weir_sql create = {0};
    char name[32];
    weir_random_init(&random, (uint64_t)p->o->random_seed);
    weir_sql_add(&create, "CREATE TEMP TABLE weir_synthetic (");
    weir_sql_add(&p->select, "SELECT ");
    for (int i = 0; i < SYNTHETIC_FEATURES; i++) {
        snprintf(name, sizeof name, "feature_%d", i);
        weir_sql_add(&create, "%s float8, ", name);
        add_column(p, "s", name);
    }
    weir_sql_name(&create, p->o->label_column);
    weir_sql_add(&create, " integer) ON COMMIT DROP");
    add_column(p, "s", p->o->label_column);
    weir_sql_add(&p->select, " FROM pg_temp.weir_synthetic s");
    bool ok = true;
    for (int r = 0; ok && r < SYNTHETIC_ROWS; r++) ok = add_synthetic_row(&random, &rows);
    weir_status status = ok ? weir_sql_end(&create, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %d rows", SYNTHETIC_ROWS);
    if (!status) status = weir_pg_script(p->pg, create.text.data, err);
    if (!status) status = weir_pg_copy_in(p->pg, "COPY pg_temp.weir_synthetic FROM STDIN (FORMAT binary)", &rows, err);
    cJSON_AddStringToObject(p->source, "kind", "synthetic");
    weir_buf_done(&rows);
    weir_sql_done(&create);
    return status;
}

/* ---- split ---- */

/* Numbers the rows in the order of a hash of seed and row, which nothing else has a say in: not how they lie in the table, not what version the server has. */
static weir_status number_rows(preparation *p, int64_t *ret_rows, weir_err *err) {
    weir_sql sql = {0};
    PGresult *row = NULL;
    weir_sql_add(&sql,
                 "CREATE TEMP TABLE weir_prepared ON COMMIT DROP AS SELECT \"weir row\".*, row_number() OVER (ORDER BY md5('%" PRId64
                 " ' || \"weir row\"::text) COLLATE \"C\") AS \"weir place\" FROM (",
                 p->o->random_seed);
    weir_sql_add(&sql, "%s) \"weir row\"", p->select.text.data);
    weir_status status = weir_sql_end(&p->select, err);
    if (!status) status = weir_sql_end(&p->columns, err);
    if (!status) status = weir_sql_end(&sql, err);
    if (!status) status = weir_pg_exec(p->pg, sql.text.data, 0, NULL, NULL, err);
    if (!status) status = weir_pg_exec(p->pg, "SELECT count(*) FROM pg_temp.weir_prepared", 0, NULL, &row, err);
    if (!status) *ret_rows = atoll(PQgetvalue(row, 0, 0));
    PQclear(row);
    weir_sql_done(&sql);
    return status;
}

static weir_status write_part(preparation *p, const weir_table_name *name, const char *part, const char *condition, int64_t rows, int64_t test_rows,
                              weir_err *err) {
    weir_sql select = {0};
    weir_table table = {0};
    cJSON *source = cJSON_Duplicate(p->source, true);
    weir_sql_add(&select, "SELECT %s FROM pg_temp.weir_prepared WHERE \"weir place\" %s %" PRId64 " ORDER BY \"weir place\"", p->columns.text.data, condition,
                 test_rows);
    weir_status status = source ? weir_sql_end(&select, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text");
    cJSON_AddStringToObject(source, "part", part);
    if (!status) status = weir_dataset_write(p->pg, name, select.text.data, source, &table, err);
    if (!status) weir_sql_add(&p->report, "%s table %s version %d: %" PRId64 " rows, %d columns\n", part, name->full, table.version, rows, table.column_count);
    weir_table_done(&table);
    cJSON_Delete(source);
    weir_sql_done(&select);
    return status;
}

static weir_status split_rows(preparation *p, weir_err *err) {
    int64_t rows = 0;
    weir_status status = number_rows(p, &rows, err);
    if (status) return status;
    int64_t test_rows = llround((double)rows * p->o->test_size);
    if (test_rows < 1 || test_rows >= rows)
        return WEIR_FAIL(err, WEIR_EDATA, "the source has %" PRId64 " rows, of which --test-size %g takes %" PRId64 "; both tables need at least one", rows,
                         p->o->test_size, test_rows);
    weir_sql_add(&p->report, "source %s: %" PRId64 " rows, %d columns\n", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(p->source, "kind")), rows,
                 p->column_count);
    cJSON_AddNumberToObject(p->source, "rows", (double)rows);
    cJSON_AddNumberToObject(p->source, "test_size", p->o->test_size);
    cJSON_AddNumberToObject(p->source, "random_seed", (double)p->o->random_seed);
    cJSON_AddStringToObject(p->source, "environment", p->o->environment);
    status = write_part(p, &p->train, "train", ">", rows - test_rows, test_rows, err);
    return status ? status : write_part(p, &p->test, "test", "<=", test_rows, test_rows, err);
}

static weir_status prepare(preparation *p, weir_err *err) {
    weir_status status = weir_tables_begin(p->pg, false, err);
    if (!status) {
        if (p->o->source_table)
            status = take_source(p, err);
        else if (p->o->feature_store_table)
            status = take_store(p, err);
        else
            status = take_synthetic(p, err);
    }
    if (!status) status = weir_space_ensure(p->pg, p->space, err);
    if (!status) status = split_rows(p, err);
    if (!status) status = weir_pg_commit(p->pg, err);
    if (status) weir_pg_rollback(p->pg);
    return status;
}

static weir_status run_prepare(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    preparation p = {.o = options, .source = cJSON_CreateObject()};
    (void)ret_exit;
    weir_status status = p.source ? check_options(&p, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a JSON text");
    if (!status) status = weir_lifecycle_connect(settings, &p.pg, err);
    if (!status) status = prepare(&p, err);
    if (!status && !p.report.failed) fputs(p.report.text.data, stdout);
    weir_pg_free(p.pg);
    weir_sql_done(&p.report);
    weir_sql_done(&p.select);
    weir_sql_done(&p.columns);
    cJSON_Delete(p.source);
    return weir_lifecycle_failed(status, err);
}

const weir_command weir_command_prepare_data = {
    .name = "prepare_data",
    .args = "--catalog C --schema S --environment E [--source-table T | --feature-store-table T --lookup-key K …] [--test-size X] [--random-seed N]",
    .doc =
        "Splits a table, features with labels, or synthetic data into versioned training and test tables.\n"
        "Each call writes the next version of both: train_set shows the newest, train_set__v1 stays the first. docs/lifecycle.md tells where they are logged.\n"
        "Synthetic data are 1000 rows of feature_0 to feature_9 and a binary target.",
    .options = prepare_table,
    .options_size = sizeof(prepare_options),
    .run = run_prepare,
};
