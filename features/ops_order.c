/* Operators that look at the order of records. */
#include "features/operator.h"

const weir_operator weir_ops_order[] = {{.name = NULL}};
