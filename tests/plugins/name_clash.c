/* Its operator has a name that is taken. */
#define ABI WEIR_OPERATOR_ABI
#define NAME "mean"
#define FORMULA "0"
#include "faulty.h"
