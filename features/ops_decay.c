/* Operators of family decay. */
#include "features/operator.h"

const weir_operator weir_ops_decay[] = {{.name = NULL}};
