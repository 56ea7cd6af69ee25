/* Leads a search over a pipeline's history, for tests: reads the rows, invites train workers, searches, and prints what came out as JSON.
 *
 *   search PIPELINE STUDY FROM TO TRIALS BUDGET_S LEASE_S SPACE METRIC WORKER
 *
 * FROM and TO are dates. WEIR_PG_URL, WEIR_BROKERS, WEIR_REGISTRY_URL, WEIR_OBJECTS_DIR as for weir. Progress goes to stderr. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/trials.h"

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void must(weir_status status, const weir_err *err) {
    if (status != WEIR_OK) fail(err->message);
}

static void show(void *context, const weir_automl_progress *p) {
    (void)context;
    fprintf(stderr, "%d done, %d failed, %d pruned, best %.5f %s, %.0f s left, now %s\n", p->trials_done, p->trials_failed, p->trials_pruned, p->best,
            p->best_name, p->left_s, p->now);
}

typedef struct inviting {
    const weir_pipeline *pipeline;
    const weir_trial_invitation *invitation;
} inviting;

static void invite(void *context) {
    const inviting *i = context;
    weir_registry *registry = NULL;
    weir_producer *producer = NULL;
    weir_err err;
    must(weir_registry_new(getenv("WEIR_REGISTRY_URL"), &registry, &err), &err);
    must(weir_producer_new(getenv("WEIR_BROKERS"), "weir-tool-search", &producer, &err), &err);
    must(weir_trials_invite(registry, producer, i->pipeline, i->invitation, &err), &err);
    weir_producer_free(producer);
    weir_registry_free(registry);
}

static void print(const weir_leaderboard *board) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "ended", board->ended);
    cJSON_AddNumberToObject(json, "trials", board->trials);
    cJSON_AddNumberToObject(json, "failed", board->failed);
    cJSON_AddNumberToObject(json, "pruned", board->pruned);
    cJSON_AddNumberToObject(json, "elapsed_seconds", board->elapsed_s);
    cJSON_AddItemToObject(json, "leaders", weir_leaderboard_json(board));
    char *text = cJSON_PrintUnformatted(json);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(json);
}

int main(int argc, char **argv) {
    weir_pipeline *pipeline = NULL;
    weir_recipe recipe;
    weir_trainset set;
    weir_leaderboard board;
    weir_err err;
    if (argc != 11) fail("search PIPELINE STUDY FROM TO TRIALS BUDGET_S LEASE_S SPACE METRIC WORKER");
    must(weir_pipeline_load(argv[1], &pipeline, &err), &err);
    must(weir_recipe_load(pipeline, &recipe, &err), &err);
    weir_trial_invitation invitation = {
        .study = argv[2], .pipeline = pipeline->name, .run_id = argv[2], .target = recipe.target, .task = WEIR_TASK_BINARY, .as_of_us = INT64_MAX};
    must(weir_time_parse(argv[3], &invitation.from_us, &err), &err);
    must(weir_time_parse(argv[4], &invitation.to_us, &err), &err);
    must(weir_trials_read_rows(&(weir_trials_rows){pipeline, &recipe, getenv("WEIR_PG_URL"), getenv("WEIR_OBJECTS_DIR")}, &invitation, &set, &err), &err);
    invitation.dataset_digest = set.digest;
    inviting others = {pipeline, &invitation};
    const weir_split split = {.scheme = WEIR_SPLIT_STRATIFIED_K_FOLD, .folds = 3, .shuffle = true, .seed = 1};
    cJSON *space = cJSON_Parse(argv[8]);
    const weir_automl_settings settings = {.set = &set,
                                           .split = &split,
                                           .metric = weir_model_metric_find(WEIR_TASK_BINARY, argv[9]),
                                           .budget_s = atof(argv[6]),
                                           .trial_max = atoi(argv[5]),
                                           .space = space,
                                           .ensembles = true,
                                           .seed = 7,
                                           .threads = 1,
                                           .progress = show,
                                           .pg_url = getenv("WEIR_PG_URL"),
                                           .pipeline = pipeline->name,
                                           .study = argv[2],
                                           .worker = argv[10],
                                           .opened = invite,
                                           .opened_context = &others,
                                           .lease_s = atof(argv[7])};
    must(weir_automl_run(&settings, &board, &err), &err);
    print(&board);
    weir_leaderboard_done(&board);
    cJSON_Delete(space);
    weir_trainset_done(&set);
    weir_recipe_done(&recipe);
    weir_pipeline_free(pipeline);
    return 0;
}
