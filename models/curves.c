/* Curves over thresholds. All of them walk down the ranking, one group of equal scores at a time.
 *
 * A curve is thinned so that the area below straight lines between its points stays: from a kept point a, the next kept one is the last b such that for every
 * point between, replacing the curve from a on by one chord changes the area by at most e. The least e that leaves few enough points is found by bisection. */
#include "models/curves.h"

#include "models/memory.h"
#include "models/outcomes.h"

static const double AREA_TOLERANCE = 1e-3;

enum { BISECTIONS = 40 };

/* Both kinds of curves while they are made. */
typedef struct full_curve {
    weir_curve_point *points; /* [count] */
    double *area; /* [count] below straight lines up to a point */
    int64_t count;
    double whole; /* the area to tell: of steps for precision–recall */
} full_curve;

static weir_status rank_outcomes(const weir_outcomes *o, weir_ranked **ret_rows, int64_t *ret_count, weir_err *err) {
    int64_t rows = 0;
    weir_status status = weir_outcomes_check(o, WEIR_TASK_BINARY, &rows, err);
    if (status != WEIR_OK) return status;
    weir_ranked *ranked = weir_models_calloc((size_t)rows, sizeof *ranked);
    if (!ranked) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %lld scores", (long long)rows);
    *ret_count = weir_ranked_fill(o, ranked);
    *ret_rows = ranked;
    return WEIR_OK;
}

/* Added in the order in which the walks below add, so that what is left after the last group is exactly 0. */
static void sum_classes(const weir_ranked *rows, int64_t n, long double *ret_positive, long double *ret_negative) {
    *ret_positive = *ret_negative = 0;
    for (int64_t i = 0; i < n;) {
        double positive, negative;
        i = weir_ranked_group(rows, n, i, &positive, &negative);
        *ret_positive += positive;
        *ret_negative += negative;
    }
}

static double piece_area(const full_curve *c, int64_t from, int64_t to) {
    const weir_curve_point *a = &c->points[from], *b = &c->points[to];
    return (b->x - a->x) * ((a->y + b->y) / 2);
}

static void add_points(const weir_ranked *rows, int64_t n, bool precision_recall, full_curve *c) {
    long double positives, negatives, above_positive = 0, above_negative = 0, area = 0, steps = 0;
    sum_classes(rows, n, &positives, &negatives);
    c->points[0] = (weir_curve_point){0, precision_recall, INFINITY};
    c->area[0] = 0;
    c->count = 1;
    for (int64_t i = 0; i < n;) {
        double positive, negative, threshold = rows[i].score;
        i = weir_ranked_group(rows, n, i, &positive, &negative);
        above_positive += positive;
        above_negative += negative;
        long double recall = above_positive / positives, precision = above_positive / (above_positive + above_negative);
        if (precision_recall)
            c->points[c->count] = (weir_curve_point){(double)recall, (double)precision, threshold};
        else
            c->points[c->count] = (weir_curve_point){(double)(above_negative / negatives), (double)recall, threshold};
        steps += positive / positives * precision;
        area += piece_area(c, c->count - 1, c->count);
        c->area[c->count++] = (double)area;
    }
    c->whole = (double)(precision_recall ? steps : area);
}

/* Keeps points so that every piece is within `error`; kept may be NULL to count only. *ret_area: below the kept ones. */
static int64_t keep_points(const full_curve *c, double error, weir_curve_point *kept, double *ret_area) {
    int64_t count = 1, from = 0;
    long double area = 0;
    if (kept) kept[0] = c->points[0];
    while (from < c->count - 1) {
        int64_t to = from + 1;
        while (to + 1 < c->count && fabs(c->area[to + 1] - c->area[from] - piece_area(c, from, to + 1)) <= error) to++;
        area += piece_area(c, from, to);
        if (kept) kept[count] = c->points[to];
        count++;
        from = to;
    }
    *ret_area = (double)area;
    return count;
}

static weir_status thin(const full_curve *c, int max_points, weir_curve *ret_curve, weir_err *err) {
    double area, low = 0, high = 0x1p-46; /* below this, differences of areas are rounding */
    if (keep_points(c, high, NULL, &area) > max_points) {
        low = high;
        high = 1;
        for (int i = 0; i < BISECTIONS; i++) {
            double middle = sqrt(low * high);
            *(keep_points(c, middle, NULL, &area) > max_points ? &low : &high) = middle;
        }
    }
    weir_curve_point *kept = weir_models_calloc((size_t)keep_points(c, high, NULL, &area), sizeof *kept);
    if (!kept) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a curve of %d points", max_points);
    int64_t count = keep_points(c, high, kept, &area);
    if (fabs(area - c->area[c->count - 1]) > AREA_TOLERANCE) {
        weir_models_free(kept);
        return WEIR_FAIL(err, WEIR_ELIMIT, "%d points change the area of a curve of %lld points by more than %g: expected more points", max_points,
                         (long long)c->count, AREA_TOLERANCE);
    }
    *ret_curve = (weir_curve){kept, (int)count, c->whole};
    return WEIR_OK;
}

static weir_status make_curve(const weir_outcomes *o, bool precision_recall, int max_points, weir_curve *ret_curve, weir_err *err) {
    if (max_points < WEIR_CURVE_POINTS_MIN || max_points > WEIR_CURVE_POINTS_MAX)
        return WEIR_FAIL(err, WEIR_EINVAL, "%d points, expected %d to %d", max_points, WEIR_CURVE_POINTS_MIN, WEIR_CURVE_POINTS_MAX);
    weir_ranked *rows = NULL;
    int64_t n = 0;
    long double positives, negatives;
    weir_status status = rank_outcomes(o, &rows, &n, err);
    if (status != WEIR_OK) return status;
    sum_classes(rows, n, &positives, &negatives);
    full_curve c = {.points = weir_models_calloc((size_t)n + 1, sizeof *c.points), .area = weir_models_calloc((size_t)n + 1, sizeof *c.area)};
    if (!c.points || !c.area) {
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for a curve of %lld rows", (long long)n);
    } else if (positives == 0 || negatives == 0) {
        status = WEIR_FAIL(err, WEIR_EDATA, "all of the %lld rows are %s, expected both classes", (long long)n, positives == 0 ? "negative" : "positive");
    } else {
        add_points(rows, n, precision_recall, &c);
        status = thin(&c, max_points, ret_curve, err);
    }
    weir_models_free(c.area);
    weir_models_free(c.points);
    weir_models_free(rows);
    return status;
}

weir_status weir_roc_curve(const weir_outcomes *o, int max_points, weir_curve *ret_curve, weir_err *err) {
    return make_curve(o, false, max_points, ret_curve, err);
}

weir_status weir_precision_recall_curve(const weir_outcomes *o, int max_points, weir_curve *ret_curve, weir_err *err) {
    return make_curve(o, true, max_points, ret_curve, err);
}

void weir_curve_done(weir_curve *curve) {
    weir_models_free(curve->points);
    *curve = (weir_curve){0};
}

/* The rows [from, to) of the ranking as one bin. */
static void close_bin(const weir_ranked *rows, int64_t from, int64_t to, double low, double high, weir_calibration *c) {
    long double weight = 0, score = 0, positive = 0;
    for (int64_t i = from; i < to; i++) {
        weight += rows[i].weight;
        score += (long double)rows[i].weight * rows[i].score;
        if (rows[i].positive) positive += rows[i].weight;
    }
    c->bins[c->count++] = (weir_calibration_bin){low, high, to - from, (double)weight, (double)(score / weight), (double)(positive / weight)};
}

/* rows are by falling score; bins are made from the last row on. An edge belongs to the bin below it. */
static void bins_of_equal_width(const weir_ranked *rows, int64_t n, int bins, weir_calibration *c) {
    double width = 1.0 / bins;
    for (int64_t end = n; end > 0;) {
        int b = (int)fmin(floor(rows[end - 1].score * bins), bins - 1);
        while (b > 0 && rows[end - 1].score <= b * width) b--; /* the division above may round across an edge */
        while (b < bins - 1 && rows[end - 1].score > (b + 1) * width) b++;
        int64_t from = end;
        while (from > 0 && (b == bins - 1 || rows[from - 1].score <= (b + 1) * width)) from--;
        close_bin(rows, from, end, b * width, b == bins - 1 ? 1 : (b + 1) * width, c);
        end = from;
    }
}

/* What a row adds to the size of its bin. Of certain rows it is little, not nothing: they may be all that there are. */
static long double size_of(const weir_ranked *row, weir_binning binning) {
    return binning == WEIR_BINS_EQUAL_INFORMATION ? row->weight * ((long double)row->score * (1 - row->score) + 1e-6L) : row->weight;
}

static void bins_of_equal_size(const weir_ranked *rows, int64_t n, int bins, weir_binning binning, weir_calibration *c) {
    long double below = 0, total = 0;
    for (int64_t i = n; i > 0; i--) total += size_of(&rows[i - 1], binning);
    for (int64_t end = n; end > 0;) {
        int b = (int)fmin((double)(below * bins / total), bins - 1); /* of the first row */
        int64_t from = end;
        while (from > 0 && (from == end || rows[from - 1].score == rows[from].score || b == bins - 1 || below * bins < total * (b + 1.0L)))
            below += size_of(&rows[--from], binning);
        close_bin(rows, from, end, rows[end - 1].score, rows[from].score, c);
        end = from;
    }
}

weir_status weir_calibrate(const weir_outcomes *o, weir_binning binning, int bins, weir_calibration *ret_calibration, weir_err *err) {
    weir_ranked *rows = NULL;
    int64_t n = 0;
    long double positives, negatives;
    long double error = 0;
    if (bins < 1 || bins > WEIR_BINS_MAX) return WEIR_FAIL(err, WEIR_EINVAL, "%d bins, expected 1 to %d", bins, WEIR_BINS_MAX);
    weir_status status = rank_outcomes(o, &rows, &n, err);
    if (status != WEIR_OK) return status;
    if (rows[0].score > 1 || rows[n - 1].score < 0) {
        status = WEIR_FAIL(err, WEIR_EDATA, "scores are from %g to %g, expected probabilities", rows[n - 1].score, rows[0].score);
        weir_models_free(rows);
        return status;
    }
    sum_classes(rows, n, &positives, &negatives);
    weir_calibration *c = ret_calibration;
    c->count = 0;
    c->maximum_error = 0;
    if (binning == WEIR_BINS_EQUAL_WIDTH)
        bins_of_equal_width(rows, n, bins, c);
    else
        bins_of_equal_size(rows, n, bins, binning, c);
    for (int b = 0; b < c->count; b++) {
        double difference = fabs(c->bins[b].positive_share - c->bins[b].mean_score);
        error += (long double)c->bins[b].weight * difference;
        c->maximum_error = fmax(c->maximum_error, difference);
    }
    c->expected_error = (double)(error / (positives + negatives));
    weir_models_free(rows);
    return WEIR_OK;
}

weir_status weir_threshold_by_cost(const weir_outcomes *o, double cost_false_positive, double cost_false_negative, weir_cost_choice *ret_choice,
                                   weir_err *err) {
    if (!(cost_false_positive >= 0 && cost_false_negative >= 0 && isfinite(cost_false_positive + cost_false_negative)))
        return WEIR_FAIL(err, WEIR_EINVAL, "costs are %g and %g, expected finite numbers that are not negative", cost_false_positive, cost_false_negative);
    weir_ranked *rows = NULL;
    int64_t n = 0;
    long double positives, negatives;
    weir_status status = rank_outcomes(o, &rows, &n, err);
    if (status != WEIR_OK) return status;
    sum_classes(rows, n, &positives, &negatives);
    weir_cost_choice best = {nextafter(rows[0].score, INFINITY), (double)(cost_false_negative * positives), 0, (double)positives};
    long double caught = 0, alarms = 0;
    for (int64_t i = 0; i < n;) {
        double positive, negative, threshold = rows[i].score;
        i = weir_ranked_group(rows, n, i, &positive, &negative);
        caught += positive;
        alarms += negative;
        double cost = (double)(cost_false_positive * alarms + cost_false_negative * (positives - caught));
        if (cost < best.cost) best = (weir_cost_choice){threshold, cost, (double)alarms, (double)(positives - caught)};
    }
    weir_models_free(rows);
    *ret_choice = best;
    return WEIR_OK;
}
