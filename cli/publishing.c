#include "cli/publishing.h"

#include "cli/progress.h"
#include "cli/stop.h"

static void show(void *context, int64_t events, int64_t labels, int64_t at_us) {
    char note[96], at[WEIR_TIME_TEXT_MAX];
    snprintf(note, sizeof note, "%lld labels  at %.19s", (long long)labels, weir_time_format(at_us, at));
    weir_progress_show(context, events, at_us ? note : NULL);
}

weir_status weir_publish_records(const weir_settings *settings, const weir_pipeline *pipeline, weir_records *records, const weir_publishing *how, int *ret_exit,
                                 weir_err *err) {
    if (how->rate > 0 && how->speed > 0) return WEIR_FAIL(err, WEIR_EINVAL, "--rate and --speed are two ways to pace; give one of them");
    weir_progress progress;
    weir_publisher *publisher = NULL;
    weir_publish_conf conf = {
        .brokers = settings->brokers, .registry_url = settings->registry_url, .rate = how->rate, .speed = how->speed, .until_us = how->until_us};
    conf.progress = show;
    conf.progress_context = &progress;
    const volatile int *stop = weir_stop_flag();
    weir_status st = weir_pipeline_create_topics(pipeline, settings->brokers, err);
    if (!st) st = weir_publisher_new(pipeline, &conf, &publisher, err);
    if (st) return st;
    weir_progress_init(&progress, stderr, "events", records->event_count);
    st = weir_publisher_run(publisher, records, INT64_MAX, stop, err);
    weir_progress_end(&progress);
    double seconds = weir_progress_seconds(&progress);
    int64_t events = weir_publisher_events(publisher), labels = weir_publisher_labels(publisher);
    if (!st) fprintf(stderr, "%s%lld events and %lld labels published in %.1f s\n", *stop ? "stopped: " : "", (long long)events, (long long)labels, seconds);
    if (*stop) *ret_exit = 1;
    weir_publisher_free(publisher);
    return st;
}
