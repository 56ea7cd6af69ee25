/* ADWIN, Page-Hinkley, DDM. */
#include "features/detect.h"

#include <math.h>
#include <string.h>

const char *const weir_detection_names[] = {"none", "warning", "drift"};
const char *const weir_detect_kind_names[] = {"adwin", "page_hinkley", "ddm"};

int weir_detect_kind_find(const char *name) {
    for (int i = WEIR_DETECT_ADWIN; i <= WEIR_DETECT_DDM; i++)
        if (!strcmp(weir_detect_kind_names[i], name)) return i;
    return -1;
}

/* --- ADWIN --- */

/* Of each part of the window that is compared, as in MOA: values at least, and what is taken off its size less one. */
enum { PART_MIN = 5 };

static double square(double x) {
    return x * x;
}

/* What the squared deviations gain when n values of mean a come to m of mean b. */
static double between(double n, double a, double m, double b) {
    return n * m * square(a - b) / (n + m);
}

static void push(weir_adwin *a, int row, double sum, double squares) {
    if (row == a->rows) a->held[a->rows++] = 0;
    a->sums[row][a->held[row]] = sum;
    a->squares[row][a->held[row]++] = squares;
}

/* The oldest of a row go. */
static void shift(weir_adwin *a, int row, int count) {
    int left = a->held[row] -= count;
    memmove(a->sums[row], a->sums[row] + count, (size_t)left * sizeof(double));
    memmove(a->squares[row], a->squares[row] + count, (size_t)left * sizeof(double));
}

static void unite_oldest(weir_adwin *a, int row) {
    double size = ldexp(1, row), *sums = a->sums[row], *squares = a->squares[row];
    push(a, row + 1, sums[0] + sums[1], squares[0] + squares[1] + between(size, sums[0] / size, size, sums[1] / size));
    shift(a, row, 2);
}

static void drop_oldest(weir_adwin *a) {
    int row = a->rows - 1;
    double size = ldexp(1, row), sum = a->sums[row][0];
    a->width -= UINT64_C(1) << row;
    a->total -= sum;
    a->variance -= a->squares[row][0] + between(size, sum / size, (double)a->width, a->total / (double)a->width);
    a->variance = fmax(a->variance, 0);
    shift(a, row, 1);
    while (a->rows > 1 && !a->held[a->rows - 1]) a->rows--;
}

static void insert(weir_adwin *a, double value) {
    double before = (double)a->width;
    if (a->width) a->variance += between(1, value, before, a->total / before);
    a->width++;
    a->total += value;
    push(a, 0, value, 0);
    for (int row = 0; row < a->rows && a->held[row] > WEIR_ADWIN_BUCKETS; row++) {
        if (row + 1 == WEIR_ADWIN_ROWS) {
            drop_oldest(a); /* 10^15 values: the window grows no further */
            return;
        }
        unite_oldest(a, row);
    }
}

/* Whether the means of the n0 older and n1 newer values differ by more than ε. */
static bool differ(const weir_adwin *a, double n0, double sum0, double delta) {
    double width = (double)a->width, n1 = width - n0;
    if (n0 < PART_MIN || n1 < PART_MIN) return false;
    double m = 1 / (n0 - PART_MIN + 1) + 1 / (n1 - PART_MIN + 1), log_term = log(2 * log(width) / delta);
    double epsilon = sqrt(2 * m * a->variance / width * log_term) + 2.0 / 3 * log_term * m;
    return fabs(sum0 / n0 - (a->total - sum0) / n1) > epsilon;
}

/* One of all cuts between buckets. */
static bool has_cut(const weir_adwin *a, double delta) {
    double n0 = 0, sum0 = 0;
    for (int row = a->rows; row-- > 0;) {
        for (int i = 0; i < a->held[row]; i++) {
            n0 += ldexp(1, row);
            sum0 += a->sums[row][i];
            if (differ(a, n0, sum0, delta)) return true;
        }
    }
    return false;
}

static weir_detection update_adwin(weir_adwin *a, const weir_detect_settings *s, double value) {
    bool found = false;
    insert(a, value);
    if (++a->ticks % (uint64_t)s->clock || a->width <= (uint64_t)s->min_count) return WEIR_DETECT_NONE;
    while (has_cut(a, s->delta)) {
        drop_oldest(a);
        found = true;
    }
    return found ? WEIR_DETECT_DRIFT : WEIR_DETECT_NONE;
}

/* --- Page-Hinkley --- */

static weir_detection update_page_hinkley(weir_page_hinkley *p, const weir_detect_settings *s, double value) {
    p->count++;
    p->mean += (value - p->mean) / (double)p->count;
    double from_mean = value - p->mean;
    p->up = s->forget * p->up + from_mean - s->delta;
    p->down = s->forget * p->down + from_mean + s->delta;
    p->up_min = p->count == 1 ? p->up : fmin(p->up_min, p->up);
    p->down_max = p->count == 1 ? p->down : fmax(p->down_max, p->down);
    bool up = s->direction != WEIR_DETECT_DOWN && p->up - p->up_min > s->threshold;
    bool down = s->direction != WEIR_DETECT_UP && p->down_max - p->down > s->threshold;
    return p->count >= (uint64_t)s->min_count && (up || down) ? WEIR_DETECT_DRIFT : WEIR_DETECT_NONE;
}

/* --- DDM --- */

static weir_detection update_ddm(weir_ddm *d, const weir_detect_settings *s, double error) {
    d->count++;
    d->mean += (error - d->mean) / (double)d->count;
    double deviation = sqrt(fmax(0, d->mean * (1 - d->mean)) / (double)d->count), now = d->mean + deviation;
    if (d->count <= (uint64_t)s->min_count) return WEIR_DETECT_NONE;
    if (d->count == (uint64_t)s->min_count + 1 || now <= d->least) {
        d->least = now;
        d->least_p = d->mean;
        d->least_s = deviation;
    }
    if (now > d->least_p + s->threshold * d->least_s) return WEIR_DETECT_DRIFT;
    return now > d->least_p + s->warning * d->least_s ? WEIR_DETECT_WARNING : WEIR_DETECT_NONE;
}

/* --- all of them --- */

/* Sums of squares of larger ones would not be finite for ever after. */
static const double VALUE_MAX = 1e100;

static void begin(weir_detector *d) {
    memset(&d->state, 0, sizeof(d->state));
    d->state.adwin.rows = d->settings.kind == WEIR_DETECT_ADWIN;
}

static weir_status check(const weir_detect_settings *s, weir_err *err) {
    if (s->kind < WEIR_DETECT_ADWIN || s->kind > WEIR_DETECT_DDM) return WEIR_FAIL(err, WEIR_EINVAL, "there is no detector %d", (int)s->kind);
    const char *name = weir_detect_kind_names[s->kind];
    if (!(s->delta > 0 && isfinite(s->delta)) || (s->kind == WEIR_DETECT_ADWIN && s->delta >= 1))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: delta is %g, expected a positive number%s", name, s->delta, s->kind == WEIR_DETECT_ADWIN ? " below 1" : "");
    if (!(s->threshold > 0 && isfinite(s->threshold)))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: threshold is %g, expected a positive number", name, s->threshold);
    if (!(s->warning > 0 && isfinite(s->warning)) || (s->kind == WEIR_DETECT_DDM && s->warning > s->threshold))
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: warning is %g, expected a positive number, at most the threshold %g", name, s->warning, s->threshold);
    if (!(s->forget > 0 && s->forget <= 1)) return WEIR_FAIL(err, WEIR_EINVAL, "%s: forget is %g, expected more than 0 and at most 1", name, s->forget);
    if (s->min_count < 1) return WEIR_FAIL(err, WEIR_EINVAL, "%s: min_count is %d, expected at least 1", name, s->min_count);
    if (s->clock < 1) return WEIR_FAIL(err, WEIR_EINVAL, "%s: clock is %d, expected at least 1", name, s->clock);
    if (s->direction < WEIR_DETECT_BOTH || s->direction > WEIR_DETECT_DOWN)
        return WEIR_FAIL(err, WEIR_EINVAL, "%s: there is no direction %d", name, (int)s->direction);
    return WEIR_OK;
}

weir_status weir_detector_init(weir_detector *detector, const weir_detect_settings *settings, weir_err *err) {
    weir_detect_settings s = *settings;
    bool adwin = s.kind == WEIR_DETECT_ADWIN, ddm = s.kind == WEIR_DETECT_DDM;
    if (s.delta == 0) s.delta = adwin ? 0.002 : 0.005;
    if (s.threshold == 0) s.threshold = ddm ? 3 : 50;
    if (s.warning == 0) s.warning = 2;
    if (s.forget == 0) s.forget = 0.9999;
    if (s.min_count == 0) s.min_count = adwin ? 10 : 30;
    if (s.clock == 0) s.clock = 32;
    weir_status status = check(&s, err);
    if (status != WEIR_OK) return status;
    memset(detector, 0, sizeof(*detector));
    detector->settings = s;
    begin(detector);
    return WEIR_OK;
}

weir_detection weir_detector_update(weir_detector *d, double value) {
    weir_detection found = WEIR_DETECT_NONE;
    if (!(fabs(value) <= VALUE_MAX) || (d->settings.kind == WEIR_DETECT_DDM && !(value >= 0 && value <= 1))) return found;
    d->seen++;
    switch (d->settings.kind) {
    case WEIR_DETECT_ADWIN: found = update_adwin(&d->state.adwin, &d->settings, value); break;
    case WEIR_DETECT_PAGE_HINKLEY: found = update_page_hinkley(&d->state.page_hinkley, &d->settings, value); break;
    case WEIR_DETECT_DDM: found = update_ddm(&d->state.ddm, &d->settings, value); break;
    }
    if (found != WEIR_DETECT_DRIFT) return found;
    d->drifts++;
    if (d->settings.kind != WEIR_DETECT_ADWIN) begin(d); /* ADWIN's window is already without what was before */
    return found;
}

uint64_t weir_detector_width(const weir_detector *d) {
    switch (d->settings.kind) {
    case WEIR_DETECT_ADWIN: return d->state.adwin.width;
    case WEIR_DETECT_PAGE_HINKLEY: return d->state.page_hinkley.count;
    default: return d->state.ddm.count;
    }
}

double weir_detector_mean(const weir_detector *d) {
    if (!weir_detector_width(d)) return NAN;
    switch (d->settings.kind) {
    case WEIR_DETECT_ADWIN: return d->state.adwin.total / (double)d->state.adwin.width;
    case WEIR_DETECT_PAGE_HINKLEY: return d->state.page_hinkley.mean;
    default: return d->state.ddm.mean;
    }
}
