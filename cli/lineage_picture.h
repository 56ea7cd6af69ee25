/* A graph of lineage (models/lineage.h) for people. */
#ifndef WEIR_CLI_LINEAGE_PICTURE_H
#define WEIR_CLI_LINEAGE_PICTURE_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "core/mem.h"

/** One SVG that needs nothing else: a column for each kind of node, from data at the left to predictions at the right. */
weir_status weir_lineage_svg(const cJSON *graph, weir_buf *ret_svg, weir_err *err) WEIR_MUST_CHECK;
/** The same as indented text: each node with its lines and what it came from. */
void weir_lineage_text(const cJSON *graph, FILE *out);

#endif
