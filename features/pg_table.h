/* A table or view of the user's in PostgreSQL, copied into DuckDB, where files of users are read too. */
#ifndef WEIR_FEATURES_PG_TABLE_H
#define WEIR_FEATURES_PG_TABLE_H

#include "core/pg.h"
#include "features/duck.h"

/** Makes table `to` of the database from "schema.table": the same columns in the same order, as one statement of PostgreSQL sees them; types as weir_wanted_carried says.
 *  Errors: WEIR_EINVAL (the name; the message says what else a source may be), WEIR_ENOTFOUND (no such table, or it may not be seen), WEIR_ELIMIT (more than 2048 columns),
 *  WEIR_ENET. */
weir_status weir_pg_table_copy(weir_pg *pg, const char *name, weir_duck *duck, const char *to, weir_err *err) WEIR_MUST_CHECK;

#endif
