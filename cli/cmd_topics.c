/* `weir topics create|delete`: the Kafka topics of a pipeline. */
#include "cli/command.h"
#include "core/mem.h"
#include "features/pipeline.h"

typedef struct topics_options {
    char *action, *pipeline;
} topics_options;

static const weir_conf_item topics_table[] = {
    {.name = "action",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(topics_options, action),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "create or delete"},
    WEIR_PIPELINE_ITEM(topics_options, pipeline),
    {.name = NULL},
};

/* Those of this pipeline; the weir.* topics are everybody's and stay. */
static weir_status delete_topics(const weir_pipeline *pipeline, const char *brokers, weir_err *err) {
    char *made[4 + 2 * WEIR_VIEWS_MAX];
    const char *names[6 + 2 * WEIR_VIEWS_MAX];
    size_t made_count = 0, count = 0;
    names[count++] = pipeline->events.topic;
    if (pipeline->labels.topic) names[count++] = pipeline->labels.topic;
    made[made_count++] = weir_topic_of(pipeline, "predictions");
    made[made_count++] = weir_topic_of(pipeline, "shadows");
    made[made_count++] = weir_topic_of(pipeline, "deadletter");
    if (pipeline->serving.requests) made[made_count++] = weir_topic_of(pipeline, "requests");
    for (int i = 0; i < pipeline->view_count; i++) {
        made[made_count++] = weir_topic_features(pipeline, &pipeline->views[i]);
        if (pipeline->views[i].rekeyed) made[made_count++] = weir_topic_repartition(pipeline, &pipeline->views[i]);
    }
    weir_status st = WEIR_OK;
    for (size_t i = 0; i < made_count; i++) {
        if (!made[i]) st = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the name of a topic");
        names[count++] = made[i];
    }
    if (!st) st = weir_bus_topics_delete(brokers, names, count, err);
    for (size_t i = 0; i < made_count; i++) weir_mem.realloc(made[i], 0);
    return st;
}

static weir_status run_topics(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    enum { CREATE, DELETE };
    static const char *const actions[] = {"create", "delete", NULL};
    (void)ret_exit;
    const topics_options *o = options;
    weir_pipeline *pipeline = NULL;
    int action = 0;
    weir_status st = weir_action_find(o->action, actions, &action, err);
    if (!st) st = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!st) st = action == CREATE ? weir_pipeline_create_topics(pipeline, settings->brokers, err) : delete_topics(pipeline, settings->brokers, err);
    weir_pipeline_free(pipeline);
    return st;
}

const weir_command weir_command_topics = {
    .name = "topics",
    .args = "create|delete PIPELINE",
    .doc = "Creates the topics of a pipeline where absent, or deletes them with everything in them.",
    .options = topics_table,
    .options_size = sizeof(topics_options),
    .run = run_topics,
};
