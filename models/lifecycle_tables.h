/* Tables that models are made from, by the names that users have for them: catalog.schema.table is the table `table` of the database's schema "catalog.schema".
 *
 * What prepare_data writes is versioned: version 3 of train_set is the table train_set__v3, and train_set a view of the newest. Older versions stay as they are. */
#ifndef WEIR_MODELS_LIFECYCLE_TABLES_H
#define WEIR_MODELS_LIFECYCLE_TABLES_H

#include <cjson/cJSON.h>

#include "core/pg.h"

enum { WEIR_NAME_MAX = 63 /* PostgreSQL's */ };

typedef struct weir_table_name {
    char space[WEIR_NAME_MAX + 1]; /* schema of the database: "catalog.schema" */
    char table[WEIR_NAME_MAX + 1];
    char full[2 * WEIR_NAME_MAX + 2]; /* "catalog.schema.table" */
} weir_table_name;

typedef enum weir_column_kind { WEIR_COLUMN_NUMBER, WEIR_COLUMN_BOOLEAN, WEIR_COLUMN_TIME, WEIR_COLUMN_TEXT, WEIR_COLUMN_OTHER } weir_column_kind;

typedef struct weir_table_column {
    char name[WEIR_NAME_MAX + 1];
    char type[WEIR_NAME_MAX + 1]; /* PostgreSQL's */
    weir_column_kind kind;
} weir_table_column;

/* A table that exists and may be read. */
typedef struct weir_table {
    weir_table_name name; /* as asked for */
    char relation[WEIR_NAME_MAX + 1]; /* in the same schema: what is read; of a versioned table the version, so that it cannot change meanwhile */
    char dataset[WEIR_NAME_MAX + 1]; /* the versioned table; "" when it is none */
    int version; /* 0: none */
    weir_table_column *columns; /* [column_count], in the table's order */
    int column_count;
} weir_table;

/** "catalog.schema" of two names: letters, digits, '_' and '-'. WEIR_EINVAL. */
weir_status weir_space_make(const char *catalog, const char *schema, char space[WEIR_NAME_MAX + 1], weir_err *err) WEIR_MUST_CHECK;
/** "table" (of space) or "catalog.schema.table". WEIR_EINVAL. */
weir_status weir_table_name_parse(const char *text, const char *space, weir_table_name *ret_name, weir_err *err) WEIR_MUST_CHECK;

/** Finds a table or view. Errors: WEIR_ENOTFOUND ("Table '…' not found"), WEIR_EDENIED (with the GRANT that helps), WEIR_ENET. */
weir_status weir_table_open(weir_pg *pg, const weir_table_name *name, weir_table *ret_table, weir_err *err) WEIR_MUST_CHECK;
void weir_table_done(weir_table *table);
/** A column of it; WEIR_ENOTFOUND names the table, the column and the nearest one. */
weir_status weir_table_find(const weir_table *table, const char *column, const weir_table_column **ret_column, weir_err *err) WEIR_MUST_CHECK;
/** How many rows, and a digest of them as a set with repetitions: the same for the same rows in any order. */
weir_status weir_table_digest(weir_pg *pg, const weir_table *table, int64_t *ret_rows, char digest[33], weir_err *err) WEIR_MUST_CHECK;

/** Begins a transaction in which rows have one form as text, so that an order by it is the same everywhere. to_read: its statements all see one state; who writes versions must see what
 *  another has written while it waited for it. */
weir_status weir_tables_begin(weir_pg *pg, bool to_read, weir_err *err) WEIR_MUST_CHECK;
/** Makes the schema unless it is there; checks that the login may create tables in it. WEIR_EDENIED with the GRANT that helps. Inside a transaction; others who write to the schema
 *  wait until it ends. */
weir_status weir_space_ensure(weir_pg *pg, const char *space, weir_err *err) WEIR_MUST_CHECK;
/** Writes the rows of a SELECT as the next version of a table, makes its view show them, and logs it with what it was made from. After weir_space_ensure.
 *  Errors: WEIR_EINVAL (a name that cannot be versioned), WEIR_ECONFLICT (something else has the name), WEIR_EDENIED. */
weir_status weir_dataset_write(weir_pg *pg, const weir_table_name *name, const char *select, const cJSON *source, weir_table *ret_table,
                               weir_err *err) WEIR_MUST_CHECK;

#endif
