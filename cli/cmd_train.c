/* `weir train PIPELINE`: the train worker; with --now or --train-from: asks the worker for one run, waits for it and prints what came out; with --budget or --resume: searches
 * for the best model here and now; with --compare-tenants: compares one model for all tenants with one for each; with --continue: a version of an online learner learns what is new (with
 * --now: the worker does that); with --workers: one candidate is fitted by several processes together, which others join with --join. `weir train FILE.json`: what a training file says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/job_screen.h"
#include "cli/table.h"
#include "cli/train_runs.h"
#include "cli/train_workers.h"
#include "cli/workers.h"
#include "consumers/events.h"
#include "consumers/trials.h"
#include "core/clock.h"
#include "core/json.h"
#include "models/continue_job.h"
#include "models/file_job.h"
#include "models/pipeline_job.h"
#include "models/registry.h"
#include "models/tenant_job.h"
#include "models/training.h"

typedef struct train_options {
    char *pipeline;
    bool now;
    int64_t train_from, as_of;
    int output;
    int64_t wait, budget, trials;
    char *resume, *environment, *out, *use_case, *model, *go_on;
    bool share, compare_tenants, runs;
    char *cancel, *reason;
    int64_t workers, remote;
    char *listen, *join;
} train_options;

static const weir_conf_item train_table[] = {
    {.name = "pipeline",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, pipeline),
     .flags = WEIR_CONF_POSITIONAL,
     .doc = "name of a pipeline, or path of its file; needed but with --join"},
    {.name = "now",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(train_options, now),
     .doc = "ask the running train worker for a run on the newest labelled days, and wait for it"},
    {.name = "train_from",
     .type = WEIR_CONF_TIME,
     .offset = offsetof(train_options, train_from),
     .doc = "with --now or --budget, or alone: the training days start here"},
    {.name = "as_of",
     .type = WEIR_CONF_TIME,
     .offset = offsetof(train_options, as_of),
     .doc = "the same, or with --continue, learning nothing that became known later"},
    {.name = "budget",
     .type = WEIR_CONF_DURATION,
     .offset = offsetof(train_options, budget),
     .doc = "search for the best model in this time, here: preprocessing, algorithm, parameters, ensembles; then judge, report and register it"},
    {.name = "trials",
     .type = WEIR_CONF_INT,
     .offset = offsetof(train_options, trials),
     .min = 0,
     .max = 1000000,
     .fallback = "0",
     .doc = "end the search after so many trials; 0: as many as the budget allows"},
    {.name = "resume",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, resume),
     .doc = "go on with this search (run-…) at the step that did not end; of a training file with this job (ml_pipeline_…, latest)"},
    {.name = "share",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(train_options, share),
     .doc = "let the train workers that run for this pipeline take trials of the search"},
    {.name = "environment",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, environment),
     .doc = "dev, aut or prod: the winner of a search must reach the baseline of the pipeline's file for it, or gets no alias and the exit code is 1. Of a "
            "training file: a name of its \"environments\""},
    {.name = "out",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, out),
     .fallback = WEIR_FILE_JOB_FOLDER,
     .doc = "of a training file: folder that its jobs' folders are in"},
    {.name = "use_case",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, use_case),
     .doc = "with --budget, --resume, --continue or --compare-tenants: one of the use cases of the pipeline's file; not given: the one that is served"},
    {.name = "compare_tenants",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(train_options, compare_tenants),
     .doc = "fit one model for all tenants and one for each, compare them for every tenant on rows that neither was fitted on, and register both"},
    {.name = "continue",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, go_on),
     .doc = "a version of an online learner learns what has come since its training data ended, and becomes a new version: champion, MODEL:VERSION, or VERSION "
            "where there is one model. "
            "With --now the worker does it"},
    {.name = "runs",
     .type = WEIR_CONF_BOOL,
     .offset = offsetof(train_options, runs),
     .doc = "list the newest runs: status, attempts, host, progress, time left"},
    {.name = "cancel",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, cancel),
     .doc = "end this run (run-…), whether a worker is at it or it waits"},
    {.name = "reason", .type = WEIR_CONF_STRING, .offset = offsetof(train_options, reason), .doc = "with --cancel: why; kept with the run"},
    {.name = "workers",
     .type = WEIR_CONF_INT,
     .offset = offsetof(train_options, workers),
     .min = 0,
     .max = WEIR_DISTRIBUTED_MAX,
     .fallback = "0",
     .doc = "fit one candidate, boosted trees or a forest, by so many processes together, here and now; each has a part of the rows"},
    {.name = "remote",
     .type = WEIR_CONF_INT,
     .offset = offsetof(train_options, remote),
     .min = 0,
     .max = WEIR_DISTRIBUTED_MAX,
     .fallback = "0",
     .doc = "with --workers: how many of them come from other hosts, with --join"},
    {.name = "listen",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, listen),
     .doc = "with --workers: ADDRESS:PORT of this host at which workers meet; not given: 127.0.0.1"},
    {.name = "join",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, join),
     .doc = "be a worker of the training that is led at ADDRESS:PORT, with its WEIR_TRAINING_TOKEN in the environment"},
    {.name = "model",
     .type = WEIR_CONF_STRING,
     .offset = offsetof(train_options, model),
     .doc = "with --compare-tenants or --workers: the candidate; not given: the first, with --workers the first that can be"},
    {.name = "wait",
     .type = WEIR_CONF_DURATION,
     .offset = offsetof(train_options, wait),
     .fallback = "10m",
     .doc = "how long to wait for the run; with --workers for the workers, with --join for a leader (0s: once)"},
    WEIR_OUTPUT_ITEM(train_options, output),
    {0},
};

static weir_status ask(const weir_settings *settings, const train_options *options, const char *pipeline, const char *request_id, weir_err *err) {
    weir_registry *registry = NULL;
    weir_producer *producer = NULL;
    weir_event_codec codec = {0};
    weir_status status = weir_registry_new(settings->registry_url, &registry, err);
    if (!status) status = weir_event_codec_init(&codec, registry, "schemas/training_request.avsc", WEIR_TOPIC_REQUESTS, err);
    if (!status) status = weir_producer_new(settings->brokers, "weir-train", &producer, err);
    if (!status) {
        int64_t now_us = weir_clock_wall_us(weir_clock_system());
        const weir_datum row[REQ_COUNT] = {
            [REQ_ID] = weir_text(request_id),
            [REQ_PIPELINE] = weir_text(pipeline),
            [REQ_REASON] = weir_text("manual"),
            [REQ_REQUESTED_AT] = weir_i64(now_us),
            [REQ_TRAIN_FROM] = options->train_from ? weir_i64(options->train_from) : weir_null(),
            [REQ_AS_OF] = options->as_of ? weir_i64(options->as_of) : weir_null(),
            [REQ_CONTINUE] = options->go_on && *options->go_on ? weir_text(options->go_on) : weir_null(),
        };
        status = weir_event_send(&codec, producer, WEIR_TOPIC_REQUESTS, pipeline, "weir.training.requested", request_id, now_us, row, err);
        if (!status) status = weir_producer_flush(producer, 30000, err);
    }
    weir_producer_free(producer);
    weir_event_codec_done(&codec);
    weir_registry_free(registry);
    return status;
}

static bool given(const char *text) {
    return text && *text;
}

/* The run of the request once it has ended (or awaits labels, which may take days), else NULL. *ret_runs is the caller's. */
static weir_status find_ended(weir_pg *pg, const char *pipeline, const char *request_id, cJSON **ret_runs, const cJSON **ret_run, weir_err *err) {
    const cJSON *run;
    *ret_run = NULL;
    weir_status status = weir_run_list(pg, pipeline, NULL, ret_runs, err);
    if (!status) cJSON_ArrayForEach(run, *ret_runs) {
            const char *state = weir_json_text(run, "status");
            bool ended = !strcmp(state, "succeeded") || !strcmp(state, "failed") || !strcmp(state, "cancelled") || !strcmp(state, "awaiting_labels");
            if (ended && !strcmp(weir_json_text(cJSON_GetObjectItemCaseSensitive(run, "request"), "request_id"), request_id)) *ret_run = run;
        }
    return status;
}

static void print_run(const cJSON *run, int output) {
    const cJSON *version, *detail = cJSON_GetObjectItemCaseSensitive(run, "detail");
    if (output == WEIR_OUTPUT_JSON) {
        char *text = cJSON_Print(run);
        puts(text ? text : "{}");
        cJSON_free(text);
        return;
    }
    printf("%s %s\n", weir_json_text(run, "id"), weir_json_text(run, "status"));
    if (*weir_json_text(detail, "error")) printf("  %s\n", weir_json_text(detail, "error"));
    if (*weir_json_text(detail, "nothing_new")) printf("  %s\n", weir_json_text(detail, "nothing_new"));
    cJSON_ArrayForEach(version, cJSON_GetObjectItemCaseSensitive(detail, "versions")) {
        const cJSON *metric;
        printf("  %-20s version %-4d", weir_json_text(version, "name"), (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(version, "version")));
        cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(version, "metrics")) if (cJSON_IsNumber(metric))
            printf(" %s %.4g", metric->string, metric->valuedouble);
        putchar('\n');
    }
}

static weir_status ask_and_wait(const weir_settings *settings, const train_options *options, const char *pipeline, int *ret_exit, weir_err *err) {
    char request_id[80];
    weir_clock *clock = weir_clock_system();
    snprintf(request_id, sizeof request_id, "manual-%lld-%d", (long long)weir_clock_wall_us(clock), (int)getpid());
    weir_pg *pg = NULL;
    weir_status status = weir_pg_new(settings->pg_url, &pg, err);
    if (!status) status = ask(settings, options, pipeline, request_id, err);
    int64_t deadline = weir_clock_mono_us(clock) + options->wait;
    for (bool ended = false; !status && !ended;) {
        cJSON *runs = NULL;
        const cJSON *run;
        status = find_ended(pg, pipeline, request_id, &runs, &run, err);
        /* The run goes on while the database is away for a moment. */
        bool away = status && err->action == WEIR_ACTION_RETRY && weir_clock_mono_us(clock) <= deadline;
        if (away) {
            status = WEIR_OK;
        } else if (!status && run) {
            ended = true;
            print_run(run, options->output);
            *ret_exit = !strcmp(weir_json_text(run, "status"), "failed") || !strcmp(weir_json_text(run, "status"), "cancelled") ||
                        *weir_json_text(cJSON_GetObjectItemCaseSensitive(run, "detail"), "nothing_new");
        } else if (!status && weir_clock_mono_us(clock) > deadline) {
            status = WEIR_FAIL(err, WEIR_ETIMEOUT, "no run of pipeline %s ended in time; is `weir train %s` or `weir run %s` running?", pipeline, pipeline,
                               pipeline);
        }
        cJSON_Delete(runs);
        if (!status && !ended) weir_clock_sleep_us(clock, WEIR_SECOND_US / 4);
    }
    weir_pg_free(pg);
    return status;
}

/* Whom the workers hear of a search from. */
typedef struct sharing {
    const weir_pipeline *pipeline;
    weir_registry *registry;
    weir_producer *producer;
} sharing;

static weir_status open_sharing(const weir_settings *settings, const weir_pipeline *pipeline, sharing *ret_sharing, weir_err *err) {
    ret_sharing->pipeline = pipeline;
    weir_status status = weir_registry_new(settings->registry_url, &ret_sharing->registry, err);
    return status ? status : weir_producer_new(settings->brokers, "weir-train", &ret_sharing->producer, err);
}

static void close_sharing(sharing *s) {
    weir_producer_free(s->producer);
    weir_registry_free(s->registry);
}

/* Help is not needed: without it the search goes on alone. */
static void invite(void *context, const weir_training *training, const char *study, const weir_trainset *train) {
    const sharing *s = context;
    const weir_trial_invitation invitation = {
        .study = study,
        .pipeline = s->pipeline->name,
        .run_id = study,
        .target = training->recipe->target,
        .dataset_digest = train->digest,
        .task = training->recipe->task,
        .from_us = training->window.train_from_us,
        .to_us = training->window.train_to_us,
        .as_of_us = training->as_of_us < training->window.deploy_us ? training->as_of_us : training->window.deploy_us,
        .label_delay_us = s->pipeline->max_delay_us,
    };
    weir_err err;
    if (weir_trials_invite(s->registry, s->producer, s->pipeline, &invitation, &err)) fprintf(stderr, "no worker could be invited: %s\n", err.message);
}

/* A search with its progress on the terminal. */
static weir_status search_here(const weir_settings *settings, const train_options *options, const weir_pipeline *pipeline, const weir_recipe *recipe,
                               int *ret_exit, weir_err *err) {
    weir_pipeline_job_end end = {0};
    weir_job_screen screen;
    sharing shared = {0};
    weir_job_screen_init(&screen, stderr, recipe->metric->name);
    weir_status status = options->share ? open_sharing(settings, pipeline, &shared, err) : WEIR_OK;
    const weir_pipeline_job job = {
        .pipeline = pipeline,
        .recipe = recipe,
        .pg_url = settings->pg_url,
        .objects_dir = settings->objects_dir,
        .go_on = options->resume && *options->resume ? options->resume : NULL,
        .train_from_us = options->train_from ? options->train_from : INT64_MIN,
        .as_of_us = options->as_of ? options->as_of : INT64_MAX,
        .budget_s = (double)options->budget / 1e6,
        .trial_max = (int)options->trials,
        .environment = options->environment,
        .end_search = &screen.end_search,
        .abort = &screen.abort,
        .progress = weir_job_screen_progress,
        .watch = weir_job_screen_watch,
        .note = weir_job_screen_note,
        .context = &screen,
        .opened = options->share ? invite : NULL,
        .opened_context = &shared,
    };
    if (!status) status = weir_pipeline_job_run(&job, &end, err);
    if (!status) status = weir_job_summary_print(end.folder, end.record, (weir_output)options->output, stdout, err);
    if (status && end.record)
        weir_err_prefix(err, "%s (go on with: weir train %s%s%s --resume %s)", end.id, options->pipeline, recipe->is_default ? "" : " --use-case ",
                        recipe->is_default ? "" : recipe->use_case, end.id);
    *ret_exit = !end.reaches_baseline;
    weir_job_screen_done(&screen);
    cJSON_Delete(end.record);
    close_sharing(&shared);
    return status;
}

/* A stop ends the job before the step. */
static void tell_step(void *context, const char *step) {
    weir_job_screen *screen = context;
    if (*screen->stop) screen->abort = true;
    if (screen->on) fprintf(screen->out, "%s\n", step);
}

/* A model for all tenants against one for each. */
static weir_status compare_here(const weir_settings *settings, const train_options *options, const weir_pipeline *pipeline, const weir_recipe *recipe,
                                weir_err *err) {
    weir_job_screen screen;
    weir_buf text = {0};
    cJSON *json = NULL;
    weir_job_screen_init(&screen, stderr, recipe->metric->name);
    const weir_tenant_job job = {
        .pipeline = pipeline,
        .recipe = recipe,
        .pg_url = settings->pg_url,
        .objects_dir = settings->objects_dir,
        .candidate = options->model && *options->model ? options->model : NULL,
        .train_from_us = options->train_from ? options->train_from : INT64_MIN,
        .as_of_us = options->as_of ? options->as_of : INT64_MAX,
        .cancel = &screen.abort,
        .tell = tell_step,
        .context = &screen,
    };
    weir_status status = weir_tenant_job_run(&job, &json, &text, err);
    weir_job_screen_done(&screen);
    if (!status && options->output == WEIR_OUTPUT_JSON) status = weir_json_print(json, stdout, err);
    if (!status && options->output != WEIR_OUTPUT_JSON) fwrite(text.data, 1, text.len, stdout);
    cJSON_Delete(json);
    weir_buf_done(&text);
    return status;
}

/* ---- going on ---- */

static void print_number(const cJSON *metrics, const char *name) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(metrics, name);
    if (cJSON_IsNumber(value))
        printf("  %12.6g", value->valuedouble);
    else
        printf("  %12s", "-");
}

/* What was measured of the new rows, each before it was learnt. */
static void print_continued(const cJSON *detail) {
    const cJSON *metric, *of = cJSON_GetObjectItemCaseSensitive(detail, "continues");
    const cJSON *made = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(detail, "versions"), 0);
    const cJSON *delayed = cJSON_GetObjectItemCaseSensitive(detail, "delayed"), *unchanged = cJSON_GetObjectItemCaseSensitive(detail, "unchanged");
    if (!made) {
        puts(weir_json_text(detail, "nothing_new"));
        return;
    }
    int before = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(of, "version")),
        now = (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(made, "version"));
    printf("%s: version %d went on from %d (%s)\n%.0f rows of %.0f days from %s to %s\n\n", weir_json_text(made, "name"), now, before,
           weir_json_text(of, "algorithm"), cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(of, "rows")),
           cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(of, "days")), weir_json_text(of, "from"), weir_json_text(of, "to"));
    printf("%-24s  %12s  %12s  %12s\n", "test, then train", "prequential", "delayed", "unchanged");
    cJSON_ArrayForEach(metric, cJSON_GetObjectItemCaseSensitive(detail, "prequential")) {
        printf("%-24s", metric->string);
        print_number(cJSON_GetObjectItemCaseSensitive(detail, "prequential"), metric->string);
        print_number(delayed, metric->string);
        print_number(unchanged, metric->string);
        putchar('\n');
    }
    printf("\n%s; no alias moved\n", weir_json_text(detail, "run"));
}

static weir_status continue_here(const weir_settings *settings, const train_options *options, const weir_pipeline *pipeline, const weir_recipe *recipe,
                                 int *ret_exit, weir_err *err) {
    weir_job_screen screen;
    cJSON *detail = NULL;
    weir_job_screen_init(&screen, stderr, recipe->metric->name);
    const weir_continue_job job = {
        .pipeline = pipeline,
        .recipe = recipe,
        .pg_url = settings->pg_url,
        .objects_dir = settings->objects_dir,
        .version = options->go_on,
        .as_of_us = options->as_of ? options->as_of : INT64_MAX,
        .cancel = &screen.abort,
        .tell = tell_step,
        .context = &screen,
    };
    weir_status status = weir_continue_job_run(&job, &detail, err);
    if (!status && options->output == WEIR_OUTPUT_JSON)
        status = weir_json_print(detail, stdout, err);
    else if (!status)
        print_continued(detail);
    *ret_exit = *weir_json_text(detail, "nothing_new") != 0;
    cJSON_Delete(detail);
    return status;
}

static weir_status fit_together(const weir_settings *settings, const train_options *options, const weir_pipeline *pipeline, const weir_recipe *recipe,
                                weir_err *err) {
    const weir_train_workers asked = {
        .workers = (int)options->workers,
        .remote = (int)options->remote,
        .listen = given(options->listen) ? options->listen : NULL,
        .candidate = given(options->model) ? options->model : NULL,
        .train_from_us = options->train_from,
        .as_of_us = options->as_of,
        .wait_us = options->wait,
    };
    cJSON *run = NULL;
    weir_status status = weir_train_workers_run(settings, &asked, pipeline, recipe, &run, err);
    if (!status) print_run(run, options->output);
    cJSON_Delete(run);
    return status;
}

static weir_status train_here(const weir_settings *settings, const train_options *options, int *ret_exit, weir_err *err) {
    weir_pipeline *pipeline = NULL;
    weir_recipe recipe;
    weir_status status = weir_pipeline_load(options->pipeline, &pipeline, err);
    if (status) return status;
    status = weir_recipe_load_use_case(pipeline, options->use_case && *options->use_case ? options->use_case : NULL, &recipe, err);
    if (!status) {
        status = options->workers           ? fit_together(settings, options, pipeline, &recipe, err)
                 : options->compare_tenants ? compare_here(settings, options, pipeline, &recipe, err)
                 : given(options->go_on)    ? continue_here(settings, options, pipeline, &recipe, ret_exit, err)
                                            : search_here(settings, options, pipeline, &recipe, ret_exit, err);
        weir_recipe_done(&recipe);
    }
    weir_pipeline_free(pipeline);
    return status;
}

/* Options that mean nothing together. */
static weir_status check_options_together(const train_options *o, weir_err *err) {
    bool here = o->budget || given(o->resume) || o->compare_tenants || (given(o->go_on) && !o->now) || o->workers;
    if (o->workers && (o->budget || given(o->resume) || o->compare_tenants || given(o->go_on) || o->now))
        return WEIR_FAIL(err, WEIR_EINVAL, "--workers fits one candidate here; --budget, --resume, --compare-tenants, --continue and --now do something else");
    if ((o->remote || given(o->listen)) && !o->workers) return WEIR_FAIL(err, WEIR_EINVAL, "--remote and --listen go with --workers");
    if (o->remote > o->workers) return WEIR_FAIL(err, WEIR_EINVAL, "--remote is more than --workers, of which it is a part");
    if (given(o->go_on) && (o->budget || given(o->resume) || o->compare_tenants || o->train_from))
        return WEIR_FAIL(err, WEIR_EINVAL,
                         "--continue says itself which days are learnt, and by what: --budget, --resume, --compare-tenants and --train-from train anew");
    if (o->compare_tenants && (o->budget || given(o->resume)))
        return WEIR_FAIL(err, WEIR_EINVAL, "--compare-tenants fits one candidate; --budget and --resume search for others");
    if (given(o->resume) && (o->budget || o->trials || o->train_from || o->as_of))
        return WEIR_FAIL(err, WEIR_EINVAL, "--resume keeps to what the search began with; --budget, --trials, --train-from and --as-of are of a new one");
    if ((o->trials || o->share) && !o->budget && !given(o->resume)) return WEIR_FAIL(err, WEIR_EINVAL, "--trials and --share go with --budget or --resume");
    if (o->now && here) return WEIR_FAIL(err, WEIR_EINVAL, "--now asks a running worker; --budget, --resume and --compare-tenants train here");
    if (given(o->environment) && !o->budget && !given(o->resume)) return WEIR_FAIL(err, WEIR_EINVAL, "--environment goes with --budget or --resume");
    if (given(o->use_case) && !here)
        return WEIR_FAIL(err, WEIR_EINVAL, "--use-case goes with --budget, --resume, --continue, --compare-tenants or --workers, which run here");
    if (given(o->reason) && !given(o->cancel)) return WEIR_FAIL(err, WEIR_EINVAL, "--reason goes with --cancel");
    if ((o->runs || given(o->cancel)) && (here || o->now || o->train_from || o->as_of || (o->runs && given(o->cancel))))
        return WEIR_FAIL(err, WEIR_EINVAL, "--runs and --cancel go alone: they train nothing");
    if (given(o->model) && !o->compare_tenants && !o->workers) return WEIR_FAIL(err, WEIR_EINVAL, "--model goes with --compare-tenants or --workers");
    return WEIR_OK;
}

static bool trains_here(const train_options *options) {
    return options->budget || given(options->resume) || options->compare_tenants || (given(options->go_on) && !options->now) || options->workers;
}

static bool asks(const train_options *options) {
    return options->now || options->train_from || options->as_of;
}

static bool is_once(const void *options) {
    const train_options *o = options;
    /* Those of a search that are given alone are wrong use, and are answered as a person reads it. */
    return given(o->join) || !given(o->pipeline) || trains_here(o) || asks(o) || o->runs || given(o->cancel) || given(o->reason) || o->trials || o->share ||
           given(o->environment) || given(o->use_case) || given(o->model) || o->remote || given(o->listen) || weir_file_job_is(o->pipeline);
}

/* ---- a training file ---- */

static weir_status run_file(const train_options *options, const weir_training_file *file, weir_err *err) {
    const cJSON *note;
    weir_file_job_end end = {0};
    weir_job_screen screen;
    weir_job_screen_init(&screen, stderr, file->training.primary_metric);
    cJSON_ArrayForEach(note, file->notes) fprintf(stderr, "note: %s\n", note->valuestring);
    const weir_file_job job = {
        .file = file,
        .out_dir = options->out,
        .go_on = options->resume && *options->resume ? options->resume : NULL,
        .end_search = &screen.end_search,
        .abort = &screen.abort,
        .progress = weir_job_screen_progress,
        .watch = weir_job_screen_watch,
        .context = &screen,
    };
    weir_status status = weir_file_job_run(&job, &end, err);
    weir_job_screen_done(&screen);
    if (!status && options->output == WEIR_OUTPUT_JSON)
        status = weir_json_print(end.results, stdout, err);
    else if (!status)
        status = weir_job_summary_print(end.folder, end.record, WEIR_OUTPUT_TABLE, stdout, err);
    /* A file that is wrong is mended, and is then another job. */
    if (status == WEIR_EINVAL)
        (void)weir_err_prefix(err, "%s", options->pipeline);
    else if (status && end.record)
        (void)weir_err_prefix(err, "%s (go on with: weir train %s --out %s --resume %s)", end.id, options->pipeline, options->out, end.id);
    cJSON_Delete(end.record);
    cJSON_Delete(end.results);
    return status;
}

static weir_status train_file(const train_options *options, weir_err *err) {
    weir_training_file *file = NULL;
    if (asks(options) || options->budget || options->trials || options->share || given(options->go_on) || options->runs || given(options->cancel) ||
        options->workers)
        return WEIR_FAIL(err, WEIR_EINVAL,
                         "%s is a training file, which says itself how long it may take and what is tried: --now, --continue, --train-from, --as-of, --budget, "
                         "--trials, --workers, --share, --runs and --cancel are "
                         "of pipelines",
                         options->pipeline);
    weir_status status = weir_training_file_load(options->pipeline, options->environment && *options->environment ? options->environment : NULL, &file, err);
    if (status) return status;
    status = run_file(options, file, err);
    weir_training_file_free(file);
    return status;
}

static weir_status train(const weir_settings *settings, const void *object, int *ret_exit, weir_err *err) {
    const train_options *options = object;
    if (given(options->join)) return weir_train_join(options->join, options->wait, ret_exit, err);
    if (!given(options->pipeline)) return WEIR_FAIL(err, WEIR_EINVAL, "pipeline is missing: name of a pipeline, or path of its file");
    if (weir_file_job_is(options->pipeline)) return train_file(options, err);
    weir_status checked = check_options_together(options, err);
    if (checked) return checked;
    if (trains_here(options)) return train_here(settings, options, ret_exit, err);
    if (asks(options) || options->runs || given(options->cancel)) {
        weir_pipeline *pipeline = NULL;
        weir_status status = weir_pipeline_load(options->pipeline, &pipeline, err);
        if (!status)
            status = options->runs            ? weir_train_runs_print(settings, pipeline->name, (weir_output)options->output, err)
                     : given(options->cancel) ? weir_train_runs_cancel(settings, pipeline->name, options->cancel, options->reason, ret_exit, err)
                                              : ask_and_wait(settings, options, pipeline->name, ret_exit, err);
        weir_pipeline_free(pipeline);
        return status;
    }
    return weir_run_workers(settings, options->pipeline, "train", err);
}

const weir_command weir_command_train = {
    .name = "train",
    .args = "PIPELINE [--runs | --cancel RUN | --now | --train-from DATE | --budget TIME | --resume RUN | --compare-tenants | --continue VERSION |\n"
            "       --workers N [--remote M --listen ADDRESS:PORT]] [--use-case NAME]\n"
            "       weir train --join ADDRESS:PORT\n"
            "       weir train FILE.json [--environment NAME] [--out DIR] [--resume JOB]",
    .doc = "Runs the train worker, asks it for a run, or trains here.\n"
           "With --now or --train-from it asks the worker for one run; with --budget it searches for the best model here;\n"
           "with --compare-tenants it compares one model for all tenants with one for each; with --continue a version\n"
           "of an online learner goes on learning; with --workers several processes fit one model. Of a training file trains what it says.",
    .options = train_table,
    .options_size = sizeof(train_options),
    .is_service = true,
    .is_once = is_once,
    .run = train,
};
