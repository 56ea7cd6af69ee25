/* Made for another version of the interface. */
#define ABI (WEIR_OPERATOR_ABI + 1)
#define NAME "of_tomorrow"
#define FORMULA "0"
#include "faulty.h"
