/* Operators of family group. */
#include "features/operator.h"

const weir_operator weir_ops_group[] = {{.name = NULL}};
