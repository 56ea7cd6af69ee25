#include "cli/job_screen.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "cli/stop.h"
#include "cli/table.h"
#include "core/json.h"
#include "core/page.h"
#include "models/json_file.h"

enum { LEADERS_SHOWN = 10, NAME_SHOWN = 64, PARAMS_SHOWN = 100 };

void weir_job_screen_init(weir_job_screen *screen, FILE *out, const char *metric) {
    *screen = (weir_job_screen){.out = out, .on = isatty(fileno(out)), .stop = weir_stop_flag(), .metric = metric};
    weir_stop_sets(&screen->abort);
}

void weir_job_screen_done(weir_job_screen *screen) {
    (void)screen;
    weir_stop_sets(NULL);
}

static void clear_line(weir_job_screen *screen) {
    if (screen->shown) fputs("\r\033[K", screen->out);
    screen->shown = false;
}

/* Notes under a step's line, each broken into lines as wide as a terminal. */
static void show_notes(weir_job_screen *screen) {
    enum { INDENT = 5, WIDTH = 100 };
    for (const char *line = screen->notes; *line;) {
        size_t len = strcspn(line, "\n"), cut = len;
        if (len > WIDTH)
            for (cut = WIDTH; cut > 0 && line[cut] != ' ';) cut--;
        if (!cut) cut = len; /* no place to break it at */
        fprintf(screen->out, "%*s%.*s\n", INDENT, "", (int)cut, line);
        line += cut;
        line += strspn(line, " \n");
    }
    screen->notes[0] = 0;
}

void weir_job_screen_watch(void *context, const char *step, int number, int count, double seconds, const weir_err *error) {
    weir_job_screen *screen = context;
    bool begins = seconds < 0;
    clear_line(screen);
    screen->searching = begins && !strcmp(step, "search");
    /* At once, not when the step is over: one may take long. */
    weir_stop_sets(screen->searching ? &screen->end_search : &screen->abort);
    /* A stop that ended the search has had its effect; one at another step ends the job. */
    if (*screen->stop && !screen->searching && !screen->end_search) screen->abort = true;
    if (!begins) {
        char took[WEIR_WORDS_MAX];
        fprintf(screen->out, "%d/%d  %-8s %s%s%s\n", number + 1, count, step, weir_words_duration(seconds, took), error ? "  failed: " : "",
                error ? error->message : "");
        show_notes(screen);
    } else if (screen->on) {
        fprintf(screen->out, "%d/%d  %-8s …", number + 1, count, step);
        screen->shown = true;
    }
    fflush(screen->out);
}

void weir_job_screen_note(void *context, const char *words) {
    weir_job_screen *screen = context;
    size_t used = strlen(screen->notes);
    snprintf(screen->notes + used, sizeof screen->notes - used, "%s\n", words);
}

void weir_job_screen_progress(void *context, const weir_automl_progress *p) {
    weir_job_screen *screen = context;
    if (*screen->stop) screen->end_search = true;
    if (!screen->on) return;
    int left_s = p->left_s > 0 ? (int)p->left_s : 0;
    clear_line(screen);
    fprintf(screen->out, "search  %02d:%02d left  %d tried", left_s / 60, left_s % 60, p->trials_done);
    if (p->trials_pruned) fprintf(screen->out, ", %d given up early", p->trials_pruned);
    if (p->trials_failed) fprintf(screen->out, ", %d failed", p->trials_failed);
    if (!isnan(p->best)) fprintf(screen->out, "  best %s %.5g (%.40s)", screen->metric, p->best, p->best_name ? p->best_name : "");
    if (screen->end_search)
        fputs("  stopping with the best so far", screen->out);
    else if (p->now)
        fprintf(screen->out, "  %.40s", p->now);
    fflush(screen->out);
    screen->shown = true;
}

/* ---- summary ---- */

/* "eta 0.057, max_depth 5, rounds 298": of a spec of one algorithm. */
static void list_params(const cJSON *spec, char *text, size_t size) {
    const cJSON *param, *each = weir_json_at(spec, "targets");
    size_t used = 0;
    *text = 0;
    cJSON_ArrayForEach(param, weir_json_at(each ? each : spec, "params")) {
        const char *comma = used ? ", " : "";
        int len = cJSON_IsNumber(param)   ? snprintf(text + used, size - used, "%s%s %.3g", comma, param->string, param->valuedouble)
                  : cJSON_IsString(param) ? snprintf(text + used, size - used, "%s%s %s", comma, param->string, param->valuestring)
                                          : 0;
        if (len < 0 || used + (size_t)len >= size) break;
        used += (size_t)len;
    }
    text[used] = 0; /* whole parameters only */
}

static void print_leader(const cJSON *leader, int width, FILE *out) {
    const cJSON *p = weir_json_at(leader, "p_worse");
    const char *name = cJSON_GetStringValue(weir_json_at(leader, "name"));
    char params[PARAMS_SHOWN + 1];
    list_params(weir_json_at(leader, "spec"), params, sizeof params);
    fprintf(out, "%c %4d  %-*s %10.5g", cJSON_IsTrue(weir_json_at(leader, "winner")) ? '*' : ' ', (int)cJSON_GetNumberValue(weir_json_at(leader, "rank")),
            width, name ? name : "", cJSON_GetNumberValue(weir_json_at(leader, "mean")));
    if (cJSON_IsNumber(weir_json_at(leader, "deviation")))
        fprintf(out, " ± %-8.2g", cJSON_GetNumberValue(weir_json_at(leader, "deviation")));
    else
        fprintf(out, "   %-8s", "");
    if (cJSON_IsNumber(p))
        fprintf(out, " %7.2g", p->valuedouble);
    else
        fprintf(out, " %7s", "");
    fprintf(out, " %7.3g s  %s\n", cJSON_GetNumberValue(weir_json_at(leader, "fit_seconds")), params);
}

/* NULL: there is one only. */
static const cJSON *first_target(const cJSON *report) {
    return cJSON_GetArrayItem(weir_json_at(weir_json_at(report, "regression"), "targets"), 0);
}

/* Of a model of several targets. */
static void print_targets(const cJSON *report, FILE *out) {
    const cJSON *target, *metric;
    if (first_target(report)) fputs("\nby target; the leaderboard's is the mean over them:\n", out);
    for (target = first_target(report); target; target = target->next) {
        fprintf(out, "  %-28s", cJSON_GetStringValue(weir_json_at(target, "name")));
        cJSON_ArrayForEach(metric, target) if (cJSON_IsNumber(metric)) fprintf(out, "  %s %.5g", metric->string, metric->valuedouble);
        putc('\n', out);
    }
}

static void print_kept(const cJSON *kept, FILE *out) {
    const cJSON *version = weir_json_at(kept, "version"), *alias = weir_json_at(kept, "alias");
    fprintf(out, "registered  %s version ", cJSON_GetStringValue(weir_json_at(kept, "model")));
    if (cJSON_IsString(version))
        fputs(version->valuestring, out);
    else
        fprintf(out, "%d", (int)cJSON_GetNumberValue(version));
    if (cJSON_IsString(alias)) fprintf(out, ", alias %s", alias->valuestring);
    if (cJSON_IsTrue(weir_json_at(kept, "alias_of_model"))) fputs(" of this model (the pipeline's aliases are where they were)", out);
    if (cJSON_IsString(weir_json_at(kept, "folder"))) fprintf(out, " in %s", weir_json_at(kept, "folder")->valuestring);
    putc('\n', out);
    const cJSON *left;
    cJSON_ArrayForEach(left, weir_json_at(kept, "exports_left_out"))
        fprintf(out, "            no %s: %s\n", cJSON_GetStringValue(weir_json_at(left, "format")), cJSON_GetStringValue(weir_json_at(left, "why")));
}

/* Of the names that are shown. */
static int name_width(const cJSON *board) {
    size_t widest = strlen("MODEL");
    for (int i = 0; i < LEADERS_SHOWN; i++) {
        const char *name = cJSON_GetStringValue(weir_json_at(cJSON_GetArrayItem(board, i), "name"));
        if (name && strlen(name) > widest) widest = strlen(name);
    }
    return widest > NAME_SHOWN ? NAME_SHOWN : (int)widest;
}

static void print_leaderboard(const cJSON *board, FILE *out) {
    const cJSON *leader;
    int shown = 0, width = name_width(board);
    fprintf(out, "\n  RANK  %-*s %10s   %-8s %7s %9s  PARAMETERS\n", width, "MODEL", "MEAN", "± SD", "P", "FIT");
    cJSON_ArrayForEach(leader, board) {
        if (shown++ == LEADERS_SHOWN) break;
        print_leader(leader, width, out);
    }
    int more = cJSON_GetArraySize(board) - LEADERS_SHOWN;
    if (more > 0) fprintf(out, "        and %d more\n", more);
    fputs("  * taken. p: of a difference from the first as large as this by chance, all comparisons together\n", out);
}

static void print_test(const cJSON *report, FILE *out) {
    const cJSON *chosen = cJSON_GetArrayItem(weir_json_at(report, "models"), 0), *metric;
    const char *name = cJSON_GetStringValue(weir_json_at(chosen, "name")), *target = cJSON_GetStringValue(weir_json_at(first_target(report), "name"));
    fprintf(out, "\n%s%s%s, on %.0f rows that nothing before had seen:\n", name ? name : "The chosen model", target ? ", " : "", target ? target : "",
            cJSON_GetNumberValue(weir_json_at(weir_json_at(weir_json_at(report, "dataset"), "test"), "rows")));
    cJSON_ArrayForEach(metric, weir_json_at(chosen, "metrics")) {
        const cJSON *low = weir_json_at(metric, "low"), *high = weir_json_at(metric, "high");
        if (!cJSON_IsNumber(weir_json_at(metric, "value"))) continue;
        fprintf(out, "  %-28s %10.5g", metric->string, weir_json_at(metric, "value")->valuedouble);
        if (cJSON_IsNumber(low) && cJSON_IsNumber(high)) fprintf(out, "   %.5g to %.5g", low->valuedouble, high->valuedouble);
        putc('\n', out);
    }
    const char *how = cJSON_GetStringValue(weir_json_at(chosen, "threshold_chosen"));
    if (cJSON_IsNumber(weir_json_at(chosen, "threshold")))
        fprintf(out, "  a score of %.5g or more is called positive: %s\n", weir_json_at(chosen, "threshold")->valuedouble, how ? how : "given");
}

/* What the last step has left. */
static const cJSON *page_of(const cJSON *record) {
    const cJSON *steps = weir_json_at(record, "steps");
    return weir_json_at(cJSON_GetArrayItem(steps, cJSON_GetArraySize(steps) - 1), "result");
}

weir_status weir_job_summary_print(const char *folder, const cJSON *record, weir_output output, FILE *out, weir_err *err) {
    cJSON *board = NULL, *report = NULL;
    if (output == WEIR_OUTPUT_JSON) return weir_json_print(record, out, err);
    weir_status status = weir_json_file_read(folder, "leaderboard.json", &board, err);
    if (!status) status = weir_json_file_read(folder, "report.json", &report, err);
    if (!status) {
        const cJSON *kept;
        print_leaderboard(board, out);
        print_test(report, out);
        print_targets(report, out);
        putc('\n', out);
        cJSON_ArrayForEach(kept, weir_json_at(weir_json_at(report, "kept"), "versions")) print_kept(kept, out);
        fprintf(out, "report      %s/%s\n", folder, cJSON_IsString(weir_json_at(page_of(record), "page")) ? "report.html" : "report.json");
    }
    cJSON_Delete(board);
    cJSON_Delete(report);
    return status;
}
