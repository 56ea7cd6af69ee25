/* PostgreSQL's binary COPY format, without a connection: what core/pg.c sends and reads.
 *
 *   header   "PGCOPY\n\377\r\n\0"  flags int32  extension length int32, extension
 *   tuple    field count int16, then for each field: length int32 (-1: NULL), bytes
 *   trailer  int16 -1
 *
 * All numbers are big-endian. Source: PostgreSQL 15 documentation, COPY, "Binary Format". */
#ifndef WEIR_CORE_PG_BINARY_H
#define WEIR_CORE_PG_BINARY_H

#include "core/pg.h"

#define WEIR_PG_COPY_HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define WEIR_PG_COPY_HEADER_LEN 19
#define WEIR_PG_COPY_TRAILER "\377\377"
#define WEIR_PG_COPY_TRAILER_LEN 2

enum { WEIR_PG_COLUMNS_MAX = 1664 }; /* PostgreSQL's own limit */

/* Finds tuples in a stream that arrives in pieces cut anywhere. Zeroed memory plus on_row and context is a fresh one. */
typedef struct weir_pg_copy_parser {
    weir_pg_row_fn on_row;
    void *context;
    weir_buf pending; /* the beginning of what is not complete yet */
    bool header_done, trailer_seen;
    weir_pg_field fields[WEIR_PG_COLUMNS_MAX];
} weir_pg_copy_parser;

/** Takes the next piece and calls on_row for every tuple that it completes. Errors: WEIR_EDATA when it is not binary COPY data, WEIR_ENOMEM, or what on_row returned. */
weir_status weir_pg_copy_parser_feed(weir_pg_copy_parser *parser, const char *data, size_t len, weir_err *err) WEIR_MUST_CHECK;
/** WEIR_EDATA when the stream ended before its trailer. */
weir_status weir_pg_copy_parser_finish(const weir_pg_copy_parser *parser, weir_err *err) WEIR_MUST_CHECK;
void weir_pg_copy_parser_done(weir_pg_copy_parser *parser);

#endif
