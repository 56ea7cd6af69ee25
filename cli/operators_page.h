/* What operators and functions of features there are: docs/operators.md and schemas/operators.schema.json, both made from the tables that the program itself uses. */
#ifndef WEIR_CLI_OPERATORS_PAGE_H
#define WEIR_CLI_OPERATORS_PAGE_H

#include <stdio.h>

#include "core/err.h"

void weir_operators_page(FILE *out);
/** JSON Schema of a feature with an operator: which there are, with how many inputs, which windows and which parameters. Errors: WEIR_ENOMEM; nothing is written then. */
weir_status weir_operators_schema(FILE *out, weir_err *err) WEIR_MUST_CHECK;

#endif
