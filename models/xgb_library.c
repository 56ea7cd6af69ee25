#include "models/xgb_library.h"

#include <stdlib.h>

#include "core/library.h"

weir_xgb_functions weir_xgb;

/* XGBoost's threads are OpenMP's, and those spin while they wait for each other: with a busy core beside it a fit of 2 s took 20 s. OMP_WAIT_POLICY=passive
 * makes them sleep; the OpenMP library reads it when XGBoost brings it along. It is set before there are threads that could read the environment. */
__attribute__((constructor)) static void wait_passively(void) {
    setenv("OMP_WAIT_POLICY", "passive", 0);
}

weir_status weir_xgb_load_library(weir_err *err) {
    static const char *const files[] = {"libxgboost.so.0", NULL}; /* whose version the headers have */
#define WEIR_XGB_NAME(name) #name,
    static const char *const names[] = {WEIR_XGB_FUNCTIONS(WEIR_XGB_NAME)};
#undef WEIR_XGB_NAME
    static weir_library library = {
        .files = files, .names = names, .count = sizeof names / sizeof *names, .addresses = &weir_xgb, .lock = PTHREAD_MUTEX_INITIALIZER};
    return weir_library_load(&library, err);
}
