/* Metrics of a binary scorer and the Fraud Detection Handbook's protocol. Pure arithmetic: no files, no clock. */
#include "models/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

typedef struct scored {
    double score;
    bool positive;
} scored;

/* One transaction, then one card, of the card precision. */
typedef struct card_row {
    int64_t day;
    uint32_t entity;
    bool positive;
    double score;
} card_row;

static int by_score_descending(const void *left, const void *right) {
    double a = ((const scored *)left)->score, b = ((const scored *)right)->score;
    return (a < b) - (a > b);
}

static int by_day_and_entity(const void *left, const void *right) {
    const card_row *a = left, *b = right;
    if (a->day != b->day) return a->day < b->day ? -1 : 1;
    return (a->entity > b->entity) - (a->entity < b->entity);
}

/* Equal scores are ranked by entity, so that the same input always gives the same answer. */
static int by_suspicion(const void *left, const void *right) {
    const card_row *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return (a->entity > b->entity) - (a->entity < b->entity);
}

static int64_t floor_days(int64_t duration_us) {
    int64_t days = duration_us / WEIR_DAY_US;
    return duration_us % WEIR_DAY_US < 0 ? days - 1 : days;
}

static void *scratch_array(weir_arena *arena, int64_t count, size_t size) {
    if (count < 0 || (uint64_t)count > SIZE_MAX / 2 / size) return NULL;
    return weir_arena_alloc(arena, (size_t)count * size + 1);
}

/* Labelled rows, best score first. */
static weir_status rank_rows(const double *score, const double *label, int64_t row_count, weir_arena *scratch, scored **ret_rows, int64_t *ret_count,
                             weir_err *err) {
    scored *rows = scratch_array(scratch, row_count, sizeof *rows);
    if (!rows) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory to rank %lld scores", (long long)row_count);
    int64_t n = 0;
    for (int64_t r = 0; r < row_count; r++) {
        if (isnan(label[r])) continue;
        if (label[r] != 0 && label[r] != 1) return WEIR_FAIL(err, WEIR_EDATA, "label of row %lld is %g, expected 0 or 1", (long long)r, label[r]);
        if (!isfinite(score[r])) return WEIR_FAIL(err, WEIR_ENUMERIC, "score of row %lld is %g, expected a finite number", (long long)r, score[r]);
        rows[n++] = (scored){.score = score[r], .positive = label[r] == 1};
    }
    qsort(rows, (size_t)n, sizeof *rows, by_score_descending);
    *ret_rows = rows;
    *ret_count = n;
    return WEIR_OK;
}

/* Counts the rows of equal score that start at rows[from]; returns where the next group starts. */
static int64_t next_group(const scored *rows, int64_t n, int64_t from, int64_t *ret_positives) {
    int64_t end = from, positives = 0;
    for (; end < n && rows[end].score == rows[from].score; end++) positives += rows[end].positive;
    *ret_positives = positives;
    return end;
}

/* AUC as the Mann–Whitney statistic: of all pairs of a positive and a negative, the share in which the positive scores higher, ties counting a half.
 * Average precision as in scikit-learn: sum over distinct scores, from the highest, of (R_k − R_{k−1}) P_k; no interpolation. */
static void ranking_metrics(const scored *rows, int64_t n, weir_metrics_binary *m) {
    int64_t positives = m->positives, negatives = n - m->positives, above = 0;
    double half_pairs = 0, precision_sum = 0;
    m->auc_roc = m->average_precision = NAN;
    if (positives == 0 || negatives == 0) return;
    for (int64_t i = 0; i < n;) {
        int64_t tied;
        int64_t end = next_group(rows, n, i, &tied);
        half_pairs += (double)(end - i - tied) * (double)(2 * above + tied);
        above += tied;
        precision_sum += (double)tied * ((double)above / (double)end);
        i = end;
    }
    m->auc_roc = half_pairs / 2 / ((double)positives * (double)negatives);
    m->average_precision = precision_sum / (double)positives;
}

static void threshold_metrics(const scored *rows, int64_t n, weir_metrics_binary *m) {
    int64_t flagged = 0, hits = 0;
    for (; flagged < n && rows[flagged].score >= m->threshold; flagged++) hits += rows[flagged].positive;
    int64_t misses = m->positives - hits, false_alarms = flagged - hits;
    m->precision = flagged ? (double)hits / (double)flagged : 0;
    m->recall = m->positives ? (double)hits / (double)m->positives : 0;
    m->f1 = hits ? 2.0 * (double)hits / (double)(2 * hits + misses + false_alarms) : 0;
    m->accuracy = n ? (double)(n - misses - false_alarms) / (double)n : NAN;
}

/* Log loss clips probabilities to [ε, 1 − ε], ε = 2^−52, as scikit-learn does for float64. */
static void probability_metrics(const scored *rows, int64_t n, weir_metrics_binary *m) {
    long double loss = 0, squares = 0;
    m->log_loss = m->brier = NAN;
    if (n == 0 || rows[0].score > 1 || rows[n - 1].score < 0) return;
    for (int64_t i = 0; i < n; i++) {
        double p = fmin(fmax(rows[i].score, 0x1p-52), 1 - 0x1p-52);
        double miss = rows[i].score - rows[i].positive;
        loss -= rows[i].positive ? log(p) : log1p(-p);
        squares += (long double)miss * miss;
    }
    m->log_loss = (double)(loss / n);
    m->brier = (double)(squares / n);
}

/* One day of the handbook's card_precision_top_k: the k cards with the highest score; those with a fraud that day count and are not looked at on later days.
 * day [n] is ordered by entity and is overwritten. */
static int64_t detect_cards(card_row *day, int64_t n, int card_k, bool *detected) {
    int64_t cards = 0, found = 0;
    for (int64_t i = 0; i < n; i++) {
        if (detected[day[i].entity]) continue;
        if (cards > 0 && day[cards - 1].entity == day[i].entity) {
            day[cards - 1].score = fmax(day[cards - 1].score, day[i].score);
            day[cards - 1].positive |= day[i].positive;
        } else {
            day[cards++] = day[i];
        }
    }
    qsort(day, (size_t)cards, sizeof *day, by_suspicion);
    for (int64_t i = 0; i < cards && i < card_k; i++) {
        if (!day[i].positive) continue;
        detected[day[i].entity] = true;
        found++;
    }
    return found;
}

/* Mean over days of (compromised cards among the k most suspicious) / k. Source: Fraud Detection Handbook, ch. 4, card_precision_top_k. */
static weir_status card_precision(const weir_eval_input *input, weir_arena *scratch, double *ret_precision, weir_err *err) {
    card_row *rows = scratch_array(scratch, input->row_count, sizeof *rows);
    bool *detected = scratch_array(scratch, input->entity_count, sizeof *detected);
    if (!rows || !detected) return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for the card precision of %lld rows", (long long)input->row_count);
    memset(detected, 0, input->entity_count * sizeof *detected);
    int64_t n = 0, days = 0;
    for (int64_t r = 0; r < input->row_count; r++) {
        if (isnan(input->label[r])) continue;
        if (input->entity[r] >= input->entity_count)
            return WEIR_FAIL(err, WEIR_EINVAL, "entity of row %lld is %u, expected less than %u", (long long)r, input->entity[r], input->entity_count);
        rows[n++] =
            (card_row){.day = floor_days(input->event_time_us[r]), .entity = input->entity[r], .positive = input->label[r] == 1, .score = input->score[r]};
    }
    qsort(rows, (size_t)n, sizeof *rows, by_day_and_entity);
    double sum = 0;
    for (int64_t i = 0, end; i < n; i = end, days++) {
        for (end = i; end < n && rows[end].day == rows[i].day;) end++;
        sum += (double)detect_cards(rows + i, end - i, input->card_k, detected) / input->card_k;
    }
    *ret_precision = days ? sum / (double)days : NAN;
    return WEIR_OK;
}

weir_status weir_evaluate_binary(const weir_eval_input *input, weir_metrics_binary *ret_metrics, weir_err *err) {
    weir_metrics_binary m = {.threshold = input->threshold, .card_precision = NAN, .card_k = input->card_k};
    weir_arena scratch;
    scored *rows = NULL;
    if (!isfinite(input->threshold)) return WEIR_FAIL(err, WEIR_EINVAL, "threshold is %g, expected a finite number", input->threshold);
    weir_arena_init(&scratch, SIZE_MAX / 2);
    weir_status status = rank_rows(input->score, input->label, input->row_count, &scratch, &rows, &m.rows, err);
    if (status == WEIR_OK) {
        for (int64_t i = 0; i < m.rows; i++) m.positives += rows[i].positive;
        ranking_metrics(rows, m.rows, &m);
        threshold_metrics(rows, m.rows, &m);
        probability_metrics(rows, m.rows, &m);
        if (input->card_k > 0 && input->event_time_us && input->entity) status = card_precision(input, &scratch, &m.card_precision, err);
    }
    weir_arena_done(&scratch);
    if (status == WEIR_OK) *ret_metrics = m;
    return status;
}

/* What is known of an entity: a positive in the training period, and the first day of a positive after it, counted from the first test day. */
typedef struct known {
    bool in_training;
    int64_t first_day;
} known;

weir_status weir_exclude_known_positives(const int64_t *event_time_us, const double *label, const uint32_t *entity, int64_t row_count, uint32_t entity_count,
                                         int64_t train_from_us, int64_t train_to_us, int delay_days, int64_t test_from_us, int64_t test_to_us, bool *keep,
                                         weir_err *err) {
    if (train_from_us > train_to_us || train_to_us > test_from_us || test_from_us > test_to_us || delay_days < 0)
        return WEIR_FAIL(err, WEIR_EINVAL, "the training days must end before the test days start, and the delay must not be negative");
    for (int64_t r = 0; r < row_count; r++)
        if (entity[r] >= entity_count)
            return WEIR_FAIL(err, WEIR_EINVAL, "entity of row %lld is %u, expected less than %u", (long long)r, entity[r], entity_count);
    weir_arena scratch;
    weir_arena_init(&scratch, SIZE_MAX / 2);
    known *entities = scratch_array(&scratch, entity_count, sizeof *entities);
    if (!entities) {
        weir_arena_done(&scratch);
        return WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %u entities", entity_count);
    }
    for (uint32_t e = 0; e < entity_count; e++) entities[e] = (known){.first_day = INT64_MAX};
    for (int64_t r = 0; r < row_count; r++) {
        known *k = &entities[entity[r]];
        if (label[r] != 1 || event_time_us[r] < train_from_us) continue;
        int64_t day = floor_days(event_time_us[r] - test_from_us);
        if (event_time_us[r] < train_to_us)
            k->in_training = true;
        else if (day < k->first_day)
            k->first_day = day;
    }
    for (int64_t r = 0; r < row_count; r++) {
        const known *k = &entities[entity[r]];
        keep[r] = event_time_us[r] >= test_from_us && event_time_us[r] < test_to_us && !k->in_training &&
                  k->first_day >= floor_days(event_time_us[r] - test_from_us) - delay_days;
    }
    weir_arena_done(&scratch);
    return WEIR_OK;
}

weir_status weir_best_f1_threshold(const double *score, const double *label, int64_t row_count, double *ret_threshold, weir_err *err) {
    weir_arena scratch;
    scored *rows = NULL;
    int64_t n = 0, positives = 0, hits = 0;
    double best = -1;
    weir_arena_init(&scratch, SIZE_MAX / 2);
    weir_status status = rank_rows(score, label, row_count, &scratch, &rows, &n, err);
    if (status == WEIR_OK) {
        for (int64_t i = 0; i < n; i++) positives += rows[i].positive;
        if (positives == 0) status = WEIR_FAIL(err, WEIR_EDATA, "none of the %lld labelled rows is positive, so no threshold is best", (long long)n);
    }
    for (int64_t i = 0; status == WEIR_OK && i < n;) {
        int64_t tied;
        int64_t end = next_group(rows, n, i, &tied);
        hits += tied;
        double f1 = 2.0 * (double)hits / (double)(positives + end);
        if (f1 > best) {
            best = f1;
            *ret_threshold = rows[i].score;
        }
        i = end;
    }
    weir_arena_done(&scratch);
    return status;
}
