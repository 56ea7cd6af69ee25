/* One training run of a pipeline by itself, on what the offline store holds: fitted, registered and measured now, whatever labels a train worker would wait for.
 *
 *   weir_tool_training PIPELINE TRAIN_FROM        the run's detail as JSON on stdout; WEIR_PG_URL and WEIR_OBJECTS_DIR as for weir */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "models/training.h"

static weir_status run(const char *path, const char *train_from, cJSON *detail, weir_err *err) {
    weir_pipeline *pipeline = NULL;
    weir_recipe recipe = {0};
    weir_pg *pg = NULL;
    weir_run started;
    int64_t from_us;
    weir_training t = {.pg_url = getenv("WEIR_PG_URL"), .objects_dir = getenv("WEIR_OBJECTS_DIR"), .recipe = &recipe, .as_of_us = INT64_MAX};
    weir_status status = weir_time_parse(train_from, &from_us, err);
    if (!status) status = weir_pipeline_load(path, &pipeline, err);
    if (!status) status = weir_recipe_load(pipeline, &recipe, err);
    if (!status) status = weir_pg_new(t.pg_url, &pg, err);
    if (!status) status = weir_pg_migrate(pg, err);
    if (!status) status = weir_run_start(pg, pipeline->name, NULL, &started, err);
    if (!status) {
        t.pipeline = pipeline;
        t.run_id = started.id;
        status = weir_training_window(pipeline, &recipe, t.pg_url, from_us, &t.window, err);
    }
    if (!status) status = weir_training_fit(&t, pg, detail, err);
    if (!status) status = weir_training_evaluate(&t, pg, detail, err);
    weir_pg_free(pg);
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    return status;
}

int main(int argc, char **argv) {
    weir_err err = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: weir_tool_training PIPELINE TRAIN_FROM\n");
        return 2;
    }
    cJSON *detail = cJSON_CreateObject();
    weir_status status = run(argv[1], argv[2], detail, &err);
    char *text = cJSON_Print(detail);
    if (status)
        fprintf(stderr, "%s\n", err.message);
    else
        puts(text);
    cJSON_free(text);
    cJSON_Delete(detail);
    return status ? 1 : 0;
}
