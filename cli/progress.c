#include "cli/progress.h"

#include <unistd.h>

#include "core/clock.h"

void weir_progress_init(weir_progress *progress, FILE *out, const char *what, int64_t total) {
    *progress = (weir_progress){.out = out, .on = isatty(fileno(out)), .what = what, .total = total, .started_us = weir_clock_mono_us(weir_clock_system())};
}

double weir_progress_seconds(const weir_progress *progress) {
    return (double)(weir_clock_mono_us(weir_clock_system()) - progress->started_us) / 1e6;
}

void weir_progress_show(weir_progress *progress, int64_t done, const char *note) {
    if (!progress->on) return;
    double seconds = weir_progress_seconds(progress), rate = seconds > 0 ? (double)(done - progress->begun) / seconds : 0;
    fprintf(progress->out, "\r\033[K%lld", (long long)done);
    if (progress->total >= 0) fprintf(progress->out, " of %lld", (long long)progress->total);
    fprintf(progress->out, " %s  %.0f/s", progress->what, rate);
    if (progress->total > done && rate > 0) fprintf(progress->out, "  %.0f s left", (double)(progress->total - done) / rate);
    if (note) fprintf(progress->out, "  %s", note);
    fflush(progress->out);
    progress->shown = true;
}

void weir_progress_show_at_times(weir_progress *progress, int64_t done) {
    int64_t now_us = weir_clock_mono_us(weir_clock_system());
    if (!progress->on || (progress->shown && now_us - progress->shown_us < 100000)) return;
    progress->shown_us = now_us;
    weir_progress_show(progress, done, NULL);
}

void weir_progress_end(weir_progress *progress) {
    if (!progress->shown) return;
    fputs("\r\033[K", progress->out);
    fflush(progress->out);
    progress->shown = false;
}
