/* A store that does nothing. */
#include "models/artifact_store.h"

static const weir_artifact_store stores[] = {{.abi = WEIR_ARTIFACT_STORE_ABI, .name = "nowhere", .doc = "Nothing"}, {.name = NULL}};

const weir_artifact_store *weir_plugin_stores(void) {
    return stores;
}
