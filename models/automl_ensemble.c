#include "models/automl_internal.h"
weir_status weir_search_ensembles(weir_search *search, weir_err *err) { (void)search; (void)err; return WEIR_OK; }
