#include "cli/scenario_report.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "core/chart.h"
#include "core/clock.h"
#include "core/folder.h"

/* ---- JSON ---- */

static bool put_time(cJSON *to, const char *name, int64_t time_us) {
    char text[WEIR_TIME_TEXT_MAX];
    return (time_us == INT64_MIN ? cJSON_AddNullToObject(to, name) : cJSON_AddStringToObject(to, name, weir_time_format(time_us, text))) != NULL;
}

static bool put_number(cJSON *to, const char *name, double value) {
    return (isfinite(value) ? cJSON_AddNumberToObject(to, name, value) : cJSON_AddNullToObject(to, name)) != NULL;
}

/* What a rollout knew of its arms. */
static bool put_arms(cJSON *to, const weir_story_entry *e) {
    static const char *const names[] = {"champion", "challenger"};
    cJSON *values = cJSON_AddObjectToObject(to, "e_values");
    bool ok = values && put_number(values, "better", e->better) && put_number(values, "worse", e->worse);
    for (int i = 0; ok && i < 2; i++) {
        cJSON *arm = cJSON_AddObjectToObject(to, names[i]);
        ok = arm && put_number(arm, "outcomes", e->outcomes[i]) && put_number(arm, "loss", e->loss[i]);
    }
    return ok;
}

static cJSON *told_json(const weir_scenario_told *told) {
    const weir_story_entry *e = &told->entry;
    cJSON *json = cJSON_CreateObject();
    bool ok = json && put_number(json, "wall_s", told->wall_s) && put_time(json, "event_time", told->stream_us) && put_time(json, "at", e->at_us) &&
              cJSON_AddStringToObject(json, "kind", weir_story_names[e->kind]) && cJSON_AddStringToObject(json, "state", e->state) &&
              cJSON_AddStringToObject(json, "about", e->about) && cJSON_AddStringToObject(json, "subject", e->subject) && put_number(json, "share", e->share) &&
              cJSON_AddStringToObject(json, "text", e->text);
    if (ok && e->kind == WEIR_STORY_ROLLOUT) ok = put_arms(json, e);
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

static bool add_to(cJSON *array, cJSON *item) {
    if (item && cJSON_AddItemToArray(array, item)) return true;
    cJSON_Delete(item);
    return false;
}

static cJSON *report_json(const weir_scenario_report *r) {
    cJSON *json = cJSON_CreateObject(), *steps = json ? cJSON_AddArrayToObject(json, "steps") : NULL,
          *told = json ? cJSON_AddArrayToObject(json, "timeline") : NULL;
    bool ok = steps && told && cJSON_AddStringToObject(json, "pipeline", r->pipeline) && cJSON_AddStringToObject(json, "scenario", r->scenario) &&
              cJSON_AddStringToObject(json, "source", r->source) && cJSON_AddBoolToObject(json, "complete", r->complete) &&
              cJSON_AddStringToObject(json, "outcome", r->outcome) && put_time(json, "first", r->first_us) && put_time(json, "live_from", r->live_us) &&
              put_time(json, "changed", r->changed_us) && put_time(json, "last", r->last_us);
    for (int i = 0; ok && i < r->step_count; i++) {
        cJSON *step = r->steps[i].done ? told_json(&r->steps[i].told) : cJSON_CreateObject();
        ok = add_to(steps, step) && cJSON_AddStringToObject(step, "name", r->steps[i].name) && cJSON_AddBoolToObject(step, "done", r->steps[i].done);
    }
    for (int i = 0; ok && i < r->told_count; i++) ok = add_to(told, told_json(&r->told[i]));
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

/* ---- the page ---- */

static void time_cell(weir_page *p, int64_t time_us) {
    char words[WEIR_WORDS_MAX];
    weir_page_printf(p, "<td>%s</td>", time_us == INT64_MIN ? "–" : weir_words_moment(time_us, words));
}

static void picture(weir_page *p, const weir_scenario_report *r) {
    weir_chart_span spans[3] = {{"load", "f2", r->first_us, r->live_us}};
    weir_chart_mark marks[WEIR_SCENARIO_STEPS_MAX];
    bool changes = r->changed_us != INT64_MIN && r->changed_us < r->last_us;
    int span_count = 1, mark_count = 0;
    spans[span_count++] = (weir_chart_span){"live", "f0", r->live_us, changes ? r->changed_us : r->last_us};
    if (changes) spans[span_count++] = (weir_chart_span){"the world has changed", "f1", r->changed_us, r->last_us};
    for (int i = 0; i < r->step_count; i++)
        if (r->steps[i].done && r->steps[i].told.stream_us != INT64_MIN && (i == 0 || i + 1 == r->step_count))
            marks[mark_count++] = (weir_chart_mark){r->steps[i].name, r->steps[i].told.stream_us};
    weir_page_put(p, "<figure>");
    weir_chart_timeline(p, "The days of the stream", r->first_us, r->last_us, spans, span_count, marks, mark_count);
    weir_page_put(p, "</figure>");
}

/* Of the columns that the champion sees, how many drifted in each window. Every window is a dot at its end. */
static void drift_picture(weir_page *p, const weir_scenario_report *r) {
    weir_chart_plot plot = {.title = "Columns that drifted, % of each window",
                            .x0 = (double)r->live_us,
                            .x1 = (double)r->last_us,
                            .y1 = 100,
                            .x_time = true,
                            .exact_x = true,
                            .exact_y = true};
    weir_chart_plot_open(p, &plot);
    for (int i = 0; i < r->told_count; i++) {
        const weir_story_entry *e = &r->told[i].entry;
        const weir_point point = {(double)e->until_us, 100 * e->share};
        bool judged = e->kind == WEIR_STORY_DRIFT && !strcmp(e->about, "features") && strcmp(e->state, "skipped") != 0 && e->until_us >= r->live_us;
        if (judged) weir_chart_plot_dots(p, &plot, &point, 1, 1, 4, 1);
    }
    weir_chart_plot_close(p);
}

/* The share of the traffic that the rollout gives to challengers, as it was told: from one change to the next it stays. */
static void traffic_picture(weir_page *p, const weir_scenario_report *r) {
    weir_chart_plot plot = {.title = "Traffic of the challenger, %",
                            .x0 = (double)r->live_us,
                            .x1 = (double)r->last_us,
                            .y1 = 100,
                            .x_time = true,
                            .exact_x = true,
                            .exact_y = true};
    weir_point before = {(double)r->live_us, 0};
    weir_chart_plot_open(p, &plot);
    for (int i = 0; i <= r->told_count; i++) {
        const weir_scenario_told *told = i < r->told_count ? &r->told[i] : NULL;
        if (told &&
            (told->entry.kind != WEIR_STORY_ROLLOUT || !strncmp(told->entry.state, "ask.", 4) || told->stream_us == INT64_MIN || !isfinite(told->entry.share)))
            continue;
        double x = (double)(told ? told->stream_us : r->last_us), share = told ? 100 * told->entry.share : before.y;
        const weir_point step[] = {before, {x, before.y}, {x, share}};
        weir_chart_plot_line(p, &plot, step, 3, 0);
        before = step[2];
    }
    weir_chart_plot_close(p);
}

static void steps_table(weir_page *p, const weir_scenario_report *r) {
    char words[WEIR_WORDS_MAX];
    weir_page_put(p, "<section><h2>The way</h2><div class=\"scroll\"><table><thead><tr><th>Step</th><th>Stream</th><th>Wall</th><th class=\"text\">What was "
                     "told</th></tr></thead><tbody>");
    for (int i = 0; i < r->step_count; i++) {
        const weir_scenario_step *s = &r->steps[i];
        weir_page_put(p, "<tr><td>");
        weir_page_text(p, s->name);
        weir_page_put(p, "</td>");
        time_cell(p, s->done ? s->told.stream_us : INT64_MIN);
        weir_page_printf(p, "<td>%s</td><td class=\"text wrap\">", s->done ? weir_words_duration(s->told.wall_s, words) : "–");
        weir_page_text(p, s->done ? s->told.entry.text : "did not happen");
        weir_page_put(p, "</td></tr>");
    }
    weir_page_put(p, "</tbody></table></div></section>");
}

static void told_table(weir_page *p, const weir_scenario_report *r) {
    char words[WEIR_WORDS_MAX];
    weir_page_put(p, "<section><h2>All that was told</h2><div class=\"scroll\"><table><thead><tr><th>Wall</th><th>Stream</th><th "
                     "class=\"text\">What</th><th></th></tr></thead><tbody>");
    for (int i = 0; i < r->told_count; i++) {
        weir_page_printf(p, "<tr><td>%s</td>", weir_words_duration(r->told[i].wall_s, words));
        time_cell(p, r->told[i].stream_us);
        weir_page_printf(p, "<td class=\"text\">%s</td><td class=\"text wrap\">", weir_story_names[r->told[i].entry.kind]);
        weir_page_text(p, r->told[i].entry.text);
        weir_page_put(p, "</td></tr>");
    }
    weir_page_put(p, "</tbody></table></div></section>");
}

static bool report_html(const weir_scenario_report *r, weir_buf *html) {
    weir_page page = {.buf = html}, *p = &page;
    weir_page_put(p, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                     "content=\"width=device-width,initial-scale=1\"><title>Weir: ");
    weir_page_text(p, r->pipeline);
    weir_page_put(p, " scenario</title><style>");
    weir_page_put(p, weir_page_style);
    weir_page_put(p, "</style></head><body><main><h1>");
    weir_page_text(p, r->pipeline);
    weir_page_put(p, ": ");
    weir_page_text(p, r->scenario);
    weir_page_put(p, "</h1><p>");
    weir_page_text(p, r->outcome);
    weir_page_put(p, "</p><p>");
    weir_page_text(p, r->source);
    weir_page_put(p, "</p>");
    picture(p, r);
    weir_page_put(p, "<div class=\"pair\"><figure><p>Columns that drifted, % of each window</p>");
    drift_picture(p, r);
    weir_page_put(p, "</figure><figure><p>Traffic of the challenger, %</p>");
    traffic_picture(p, r);
    weir_page_put(p, "</figure></div>");
    steps_table(p, r);
    told_table(p, r);
    weir_page_put(p, "</main></body></html>\n");
    return !page.failed;
}

weir_status weir_scenario_report_write(const weir_scenario_report *report, const char *folder, weir_err *err) {
    weir_buf text = {0}, html = {0};
    cJSON *json = report_json(report);
    char *printed = json ? cJSON_Print(json) : NULL;
    bool made = printed && weir_buf_printf(&text, "%s\n", printed) && report_html(report, &html);
    weir_status status = made ? weir_folder_make(folder, err) : WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the report of a scenario");
    if (!status) status = weir_report_write_file(folder, "report.json", &text, err);
    if (!status) status = weir_report_write_file(folder, "report.html", &html, err);
    cJSON_free(printed);
    cJSON_Delete(json);
    weir_buf_done(&text);
    weir_buf_done(&html);
    return status;
}
