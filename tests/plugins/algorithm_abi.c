/* An algorithm made for an older version of the interface. */
#include "models/model.h"

static const weir_algorithm algorithms[] = {{.abi = WEIR_ALGORITHM_ABI - 1, .name = "of_yesterday"}, {.name = NULL}};

const weir_algorithm *weir_plugin_algorithms(void) {
    return algorithms;
}
