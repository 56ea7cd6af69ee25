/* `weir lineage track|get|visualize|reproduce PIPELINE`: what was made from what. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/lineage_picture.h"
#include "cli/table.h"
#include "consumers/lineage.h"
#include "core/json.h"
#include "models/lineage.h"
#include "models/registry.h"
#include "models/reproduce.h"

typedef struct lineage_options {
    char *action, *pipeline, *run, *version, *prediction, *out;
    int output;
} lineage_options;

#define FIELD(member) .offset = offsetof(lineage_options, member)

static const weir_conf_item lineage_table[] = {
    {.name = "action",
     .type = WEIR_CONF_STRING,
     FIELD(action),
     .flags = WEIR_CONF_POSITIONAL | WEIR_CONF_REQUIRED,
     .doc = "track, get, visualize or reproduce"},
    WEIR_PIPELINE_ITEM(lineage_options, pipeline),
    {.name = "run", .type = WEIR_CONF_STRING, FIELD(run), .doc = "get, visualize: of the versions that this run made; reproduce: the run"},
    {.name = "version", .type = WEIR_CONF_STRING, FIELD(version), .doc = "get, visualize: of this version, MODEL/VERSION"},
    {.name = "prediction", .type = WEIR_CONF_STRING, FIELD(prediction), .doc = "get, visualize: of the version that made this prediction"},
    {.name = "out", .type = WEIR_CONF_STRING, FIELD(out), .doc = "visualize: the SVG file to write"},
    WEIR_OUTPUT_ITEM(lineage_options, output),
    {.name = NULL},
};

/* One call of the command. */
typedef struct call {
    const weir_settings *settings;
    const lineage_options *o;
    const weir_pipeline *pipeline;
    weir_pg *pg;
    int *ret_exit;
} call;

static bool is_given(const char *text) {
    return text && *text;
}

/* ---- get, visualize ---- */

static weir_status read_graph(const call *c, cJSON **ret_graph, weir_err *err) {
    char model[128];
    const lineage_options *o = c->o;
    const char *slash = is_given(o->version) ? strrchr(o->version, '/') : NULL;
    weir_lineage_query query = {.run = is_given(o->run) ? o->run : NULL, .prediction = is_given(o->prediction) ? o->prediction : NULL};
    weir_status status = WEIR_OK;
    if ((query.run != NULL) + (query.prediction != NULL) + is_given(o->version) > 1)
        return WEIR_FAIL(err, WEIR_EINVAL, "--run, --version and --prediction: expected one of them");
    if (is_given(o->version)) {
        if (!slash || slash == o->version || !slash[1]) return WEIR_FAIL(err, WEIR_EINVAL, "--version: found '%s', expected MODEL/VERSION", o->version);
        snprintf(model, sizeof model, "%.*s", (int)(slash - o->version), o->version);
        query.model = model;
        char *end;
        long number = strtol(slash + 1, &end, 10); /* the number also of a version that was deleted */
        if (*end || number < 1)
            status = weir_version_resolve(c->pg, c->pipeline->name, model, slash + 1, &query.version, err);
        else
            query.version = (int)number;
    }
    return status ? status : weir_lineage_read(c->pg, c->pipeline, &query, ret_graph, err);
}

static weir_status write_file(const char *path, const weir_buf *bytes, weir_err *err) {
    FILE *file = fopen(path, "w");
    if (!file) return WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(errno));
    bool ok = fwrite(bytes->data, 1, bytes->len, file) == bytes->len;
    ok = !fclose(file) && ok;
    return ok ? WEIR_OK : WEIR_FAIL(err, WEIR_EIO, "cannot write %s: %s", path, strerror(errno));
}

static weir_status get(call *c, weir_err *err) {
    cJSON *graph = NULL;
    weir_status status = read_graph(c, &graph, err);
    if (!status && c->o->output == WEIR_OUTPUT_JSON)
        status = weir_json_print(graph, stdout, err);
    else if (!status)
        weir_lineage_text(graph, stdout);
    cJSON_Delete(graph);
    return status;
}

static weir_status visualize(call *c, weir_err *err) {
    cJSON *graph = NULL;
    weir_buf svg = {0};
    if (!is_given(c->o->out)) return WEIR_FAIL(err, WEIR_EINVAL, "visualize needs --out FILE.svg");
    weir_status status = read_graph(c, &graph, err);
    if (!status) status = weir_lineage_svg(graph, &svg, err);
    if (!status) status = write_file(c->o->out, &svg, err);
    if (!status) {
        weir_lineage_text(graph, stdout);
        fprintf(stderr, "the picture is in %s\n", c->o->out);
    }
    weir_buf_done(&svg);
    cJSON_Delete(graph);
    return status;
}

/* ---- track ---- */

static weir_status track(call *c, weir_err *err) {
    cJSON *events = NULL;
    weir_registry *registry = NULL;
    weir_producer *producer = NULL;
    weir_event_codec codec = {0};
    weir_status status = weir_pipeline_create_topics(c->pipeline, c->settings->brokers, err);
    if (!status) status = weir_registry_new(c->settings->registry_url, &registry, err);
    if (!status) status = weir_event_codec_init(&codec, registry, "schemas/lineage.avsc", WEIR_TOPIC_LINEAGE, err);
    if (!status) status = weir_producer_new(c->settings->brokers, "weir-lineage", &producer, err);
    if (!status) status = weir_lineage_send(c->pg, c->pipeline, c->settings->brokers, NULL, &codec, producer, &events, err);
    if (!status && c->o->output == WEIR_OUTPUT_JSON) status = weir_json_print(events, stdout, err);
    if (!status) fprintf(stderr, "%d events of runs and deployments of %s are in %s\n", cJSON_GetArraySize(events), c->pipeline->name, WEIR_TOPIC_LINEAGE);
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    weir_registry_free(registry);
    cJSON_Delete(events);
    return status;
}

/* ---- reproduce ---- */

static void print_comparison(const char *what, const cJSON *compared) {
    const cJSON *equal = cJSON_GetObjectItemCaseSensitive(compared, "equal");
    printf("%-28s %.12s  %.12s  %s\n", what, weir_json_text(compared, "recorded"), weir_json_text(compared, "again"),
           cJSON_IsTrue(equal) ? "equal" : weir_json_text(compared, "why"));
}

static weir_status reproduce(call *c, weir_err *err) {
    cJSON *report = NULL;
    const cJSON *version;
    if (!is_given(c->o->run)) return WEIR_FAIL(err, WEIR_EINVAL, "reproduce needs --run RUN");
    weir_status status = weir_reproduce(c->settings->pg_url, c->settings->objects_dir, c->pipeline, c->o->run, &report, err);
    if (status) return status;
    *c->ret_exit = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "equal")) ? 0 : 1;
    if (c->o->output == WEIR_OUTPUT_JSON) {
        status = weir_json_print(report, stdout, err);
    } else {
        printf("%-28s %-12s  %-12s\n", "DIGESTS OF", "RECORDED", "AGAIN");
        if (cJSON_HasObjectItem(report, "dataset")) print_comparison("training set", cJSON_GetObjectItemCaseSensitive(report, "dataset"));
        cJSON_ArrayForEach(version, cJSON_GetObjectItemCaseSensitive(report, "versions")) print_comparison(weir_json_text(version, "model"), version);
        if (*weir_json_text(report, "why")) printf("not made again: %s\n", weir_json_text(report, "why"));
    }
    cJSON_Delete(report);
    return status;
}

/* ---- the command ---- */

static weir_status run_lineage(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    static const char *const actions[] = {"track", "get", "visualize", "reproduce", NULL};
    static weir_status (*const does[])(call *, weir_err *) = {track, get, visualize, reproduce};
    const lineage_options *o = options;
    call c = {.settings = settings, .o = o, .ret_exit = ret_exit};
    weir_pipeline *pipeline = NULL;
    int action = 0;
    weir_status status = weir_action_find(o->action, actions, &action, err);
    if (!status) status = weir_pipeline_load(o->pipeline, &pipeline, err);
    if (!status) status = weir_pg_new(settings->pg_url, &c.pg, err);
    c.pipeline = pipeline;
    if (!status) status = does[action](&c, err);
    weir_pg_free(c.pg);
    weir_pipeline_free(pipeline);
    return status;
}

const weir_command weir_command_lineage = {
    .name = "lineage",
    .args = "track|get|visualize|reproduce PIPELINE [--run R | --version MODEL/V | --prediction ID] [--out F.svg]",
    .doc = "From data to predictions: what each model version was made from and what it was used for, as text, JSON or a picture.\n"
           "track writes runs and deployments to weir.lineage as events of OpenLineage, reproduce makes a run again and compares digests.\n"
           "Exit code 1: a run gave other digests. docs/lineage.md tells more.",
    .options = lineage_table,
    .options_size = sizeof(lineage_options),
    .run = run_lineage,
};
