#include "cli/job_screen.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "core/page.h"
#include "cli/stop.h"
#include "cli/table.h"
#include "models/json_file.h"

enum { LEADERS_SHOWN = 10, NAME_SHOWN = 60 };

void weir_job_screen_init(weir_job_screen *screen, FILE *out, const char *metric) {
    *screen = (weir_job_screen){.out = out, .on = isatty(fileno(out)), .stop = weir_stop_flag(), .metric = metric};
}

static void clear_line(weir_job_screen *screen) {
    if (screen->shown) fputs("\r\033[K", screen->out);
    screen->shown = false;
}

void weir_job_screen_watch(void *context, const char *step, int number, int count, double seconds, const weir_err *error) {
    weir_job_screen *screen = context;
    bool begins = seconds < 0;
    clear_line(screen);
    screen->searching = begins && !strcmp(step, "search");
    /* A stop that ended the search has had its effect; one at another step ends the job. */
    if (*screen->stop && !screen->searching && !screen->end_search) screen->abort = true;
    if (!begins) {
        char took[WEIR_WORDS_MAX];
        fprintf(screen->out, "%d/%d  %-8s %s%s%s\n", number + 1, count, step, weir_words_duration(seconds, took), error ? "  failed: " : "",
                error ? error->message : "");
    } else if (screen->on) {
        fprintf(screen->out, "%d/%d  %-8s …", number + 1, count, step);
        screen->shown = true;
    }
    fflush(screen->out);
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

static const cJSON *at(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static void print_leader(const cJSON *leader, FILE *out) {
    const cJSON *p = at(leader, "p_worse");
    const char *name = cJSON_GetStringValue(at(leader, "name"));
    fprintf(out, "%c %4d  %-*.*s %10.5g", cJSON_IsTrue(at(leader, "winner")) ? '*' : ' ', (int)cJSON_GetNumberValue(at(leader, "rank")), NAME_SHOWN, NAME_SHOWN,
            name ? name : "", cJSON_GetNumberValue(at(leader, "mean")));
    if (cJSON_IsNumber(at(leader, "deviation")))
        fprintf(out, " ± %-8.2g", cJSON_GetNumberValue(at(leader, "deviation")));
    else
        fprintf(out, "   %-8s", "");
    if (cJSON_IsNumber(p))
        fprintf(out, " %7.2g", p->valuedouble);
    else
        fprintf(out, " %7s", "");
    fprintf(out, " %8.3g s\n", cJSON_GetNumberValue(at(leader, "fit_seconds")));
}

static void print_leaderboard(const cJSON *board, FILE *out) {
    const cJSON *leader;
    int shown = 0;
    fprintf(out, "\n  RANK  %-*s %10s   %-8s %7s %10s\n", NAME_SHOWN, "MODEL", "MEAN", "± SD", "P", "FIT");
    cJSON_ArrayForEach(leader, board) {
        if (shown++ == LEADERS_SHOWN) break;
        print_leader(leader, out);
    }
    int more = cJSON_GetArraySize(board) - LEADERS_SHOWN;
    if (more > 0) fprintf(out, "        and %d more\n", more);
    fputs("  * taken: the fastest of those that the folds cannot tell from the first. p: that a model is no worse than the first.\n", out);
}

static void print_test(const cJSON *report, FILE *out) {
    const cJSON *chosen = cJSON_GetArrayItem(at(report, "models"), 0), *metric;
    const char *name = cJSON_GetStringValue(at(chosen, "name"));
    fprintf(out, "\n%s, on rows that nothing before had seen:\n", name ? name : "The chosen model");
    cJSON_ArrayForEach(metric, at(chosen, "metrics")) {
        if (cJSON_IsNumber(metric)) fprintf(out, "  %-24s %10.5g\n", metric->string, metric->valuedouble);
    }
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
        cJSON_ArrayForEach(kept, at(at(report, "kept"), "versions"))
            fprintf(out, "\nregistered  %s version %d%s%s\n", cJSON_GetStringValue(at(kept, "model")), (int)cJSON_GetNumberValue(at(kept, "version")),
                    cJSON_IsString(at(kept, "alias")) ? ", alias " : "", cJSON_IsString(at(kept, "alias")) ? at(kept, "alias")->valuestring : "");
        fprintf(out, "report      %s/report.html\n", folder);
    }
    cJSON_Delete(board);
    cJSON_Delete(report);
    return status;
}
