/* A plugin with one operator, wrong in what its includer says: ABI, NAME, FORMULA. */
#include "features/operator.h"

static double nothing(const weir_window *window, const weir_params *params) {
    (void)window, (void)params;
    return 0;
}

static const weir_operator operators[] = {
    {.abi = ABI,
     .name = NAME,
     .doc = "Nothing.",
     .formula = FORMULA,
     .unit = "none",
     .edges = "none",
     .source = "none",
     .windows = WEIR_WINDOWS_BY_TIME,
     .eval = nothing},
    {.name = NULL},
};

const weir_operator *weir_plugin_operators(void) {
    return operators;
}
