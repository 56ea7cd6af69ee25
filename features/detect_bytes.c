/* Detectors as bytes, in a frame as features/drift_bytes.c says: settings, then the state of their kind. */
#include <math.h>

#include "features/detect.h"
#include "features/drift_internal.h"

static void put_adwin(weir_buf *out, bool *failed, const weir_adwin *a) {
    drift_put_f64(out, failed, a->total);
    drift_put_f64(out, failed, a->variance);
    drift_put_u64(out, failed, a->width);
    drift_put_u64(out, failed, a->ticks);
    drift_put_u32(out, failed, (uint32_t)a->rows);
    for (int row = 0; row < a->rows; row++) {
        drift_put_u32(out, failed, (uint32_t)a->held[row]);
        for (int i = 0; i < a->held[row]; i++) {
            drift_put_f64(out, failed, a->sums[row][i]);
            drift_put_f64(out, failed, a->squares[row][i]);
        }
    }
}

static void put_numbers(weir_buf *out, bool *failed, uint64_t count, const double *numbers, int n) {
    drift_put_u64(out, failed, count);
    for (int i = 0; i < n; i++) drift_put_f64(out, failed, numbers[i]);
}

static void put_settings(weir_buf *out, bool *failed, const weir_detect_settings *s) {
    drift_put_u32(out, failed, s->kind);
    drift_put_f64(out, failed, s->delta);
    drift_put_f64(out, failed, s->threshold);
    drift_put_f64(out, failed, s->warning);
    drift_put_f64(out, failed, s->forget);
    drift_put_u32(out, failed, (uint32_t)s->min_count);
    drift_put_u32(out, failed, (uint32_t)s->clock);
    drift_put_u32(out, failed, s->direction);
}

bool weir_detector_encode(const weir_detector *d, weir_buf *out) {
    bool failed = false;
    size_t begin = drift_frame_begin(out, DRIFT_DETECTOR_MAGIC, &failed);
    const weir_page_hinkley *p = &d->state.page_hinkley;
    const weir_ddm *m = &d->state.ddm;
    put_settings(out, &failed, &d->settings);
    drift_put_u64(out, &failed, d->seen);
    drift_put_u64(out, &failed, d->drifts);
    switch (d->settings.kind) {
    case WEIR_DETECT_ADWIN: put_adwin(out, &failed, &d->state.adwin); break;
    case WEIR_DETECT_PAGE_HINKLEY: put_numbers(out, &failed, p->count, (double[]){p->mean, p->up, p->up_min, p->down, p->down_max}, 5); break;
    case WEIR_DETECT_DDM: put_numbers(out, &failed, m->count, (double[]){m->mean, m->least, m->least_p, m->least_s}, 4); break;
    }
    return drift_frame_end(out, begin, failed);
}

static double get_finite(drift_reader *r) {
    double v = drift_get_f64(r);
    r->failed = r->failed || !isfinite(v);
    return v;
}

/* A row holds at least one bucket, but for the first and those above it that were united. */
static void get_adwin(drift_reader *r, weir_adwin *a) {
    uint64_t width = 0;
    a->total = get_finite(r);
    a->variance = get_finite(r);
    a->width = drift_get_u64(r);
    a->ticks = drift_get_u64(r);
    a->rows = (int32_t)drift_get_count(r, WEIR_ADWIN_ROWS);
    for (int row = 0; row < a->rows; row++) {
        a->held[row] = (int32_t)drift_get_count(r, WEIR_ADWIN_BUCKETS);
        width += (uint64_t)a->held[row] << row;
        for (int i = 0; i < a->held[row]; i++) {
            a->sums[row][i] = get_finite(r);
            a->squares[row][i] = get_finite(r);
            r->failed = r->failed || a->squares[row][i] < 0;
        }
    }
    r->failed = r->failed || !a->rows || (a->rows > 1 && !a->held[a->rows - 1]) || width != a->width || a->variance < 0;
}

static void get_settings(drift_reader *r, weir_detect_settings *s) {
    s->kind = (weir_detect_kind)drift_get_count(r, WEIR_DETECT_DDM);
    s->delta = drift_get_f64(r);
    s->threshold = drift_get_f64(r);
    s->warning = drift_get_f64(r);
    s->forget = drift_get_f64(r);
    s->min_count = (int)drift_get_count(r, INT32_MAX);
    s->clock = (int)drift_get_count(r, INT32_MAX);
    s->direction = (weir_detect_direction)drift_get_count(r, WEIR_DETECT_DOWN);
    r->failed = r->failed || s->delta == 0 || s->threshold == 0 || s->warning == 0 || s->forget == 0 || !s->min_count || !s->clock;
}

static void get_numbers(drift_reader *r, uint64_t *ret_count, double *const *to, int n) {
    *ret_count = drift_get_u64(r);
    for (int i = 0; i < n; i++) *to[i] = get_finite(r);
}

static void get_state(drift_reader *r, weir_detector *d) {
    weir_page_hinkley *p = &d->state.page_hinkley;
    weir_ddm *m = &d->state.ddm;
    switch (d->settings.kind) {
    case WEIR_DETECT_ADWIN: get_adwin(r, &d->state.adwin); break;
    case WEIR_DETECT_PAGE_HINKLEY: get_numbers(r, &p->count, (double *[]){&p->mean, &p->up, &p->up_min, &p->down, &p->down_max}, 5); break;
    case WEIR_DETECT_DDM:
        get_numbers(r, &m->count, (double *[]){&m->mean, &m->least, &m->least_p, &m->least_s}, 4);
        r->failed = r->failed || !(m->mean >= 0 && m->mean <= 1);
        break;
    }
}

weir_status weir_detector_decode(const void *bytes, size_t len, weir_detector *ret_detector, weir_err *err) {
    drift_reader r = drift_frame_open(bytes, len, DRIFT_DETECTOR_MAGIC);
    weir_detect_settings settings = {0};
    weir_detector d;
    if (!r.failed) get_settings(&r, &settings);
    if (r.failed || weir_detector_init(&d, &settings, NULL)) return WEIR_REJECT(err, WEIR_EDATA, "%zu bytes are no detector, or damaged", len);
    d.seen = drift_get_u64(&r);
    d.drifts = drift_get_u64(&r);
    get_state(&r, &d);
    if (r.failed || r.p != r.end) return WEIR_REJECT(err, WEIR_EDATA, "a detector of %zu bytes contradicts itself", len);
    *ret_detector = d;
    return WEIR_OK;
}
