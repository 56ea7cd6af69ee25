/* Any text as a pipeline file: refused with a message, or a pipeline that can be used. */
#include <stdlib.h>

#include "features/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text) return 0;
    memcpy(text, data, size);
    text[size] = 0;
    weir_pipeline *pipeline = NULL;
    weir_err err = {0};
    weir_status status = weir_pipeline_parse(text, NULL, &pipeline, &err);
    if (status && (!err.message[0] || pipeline)) abort();
    for (int i = 0; !status && i < pipeline->view_count; i++) {
        weir_view *view = NULL;
        char *json = NULL;
        weir_schema *schema = NULL;
        if (weir_view_new(pipeline, &pipeline->views[i], &view, &err) || weir_features_schema_json(pipeline, &pipeline->views[i], &json, &err)) abort();
        if (weir_schema_parse(json, strlen(json), &schema, &err)) abort();
        weir_schema_free(schema);
        weir_view_free(view);
        free(json);
    }
    weir_pipeline_free(pipeline);
    free(text);
    return 0;
}
