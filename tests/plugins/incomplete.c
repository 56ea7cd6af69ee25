/* Its operator does not say its formula. */
#define ABI WEIR_OPERATOR_ABI
#define NAME "unexplained"
#define FORMULA NULL
#include "faulty.h"
