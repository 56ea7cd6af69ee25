/* Calibration and estimates, for the test that compares them with another implementation.
 *
 *   estimate THRESHOLD <rows
 *
 * rows: lines "SCORE LABEL" to calibrate with, then lines "SCORE" to estimate for. One JSON object on stdout: the calibrated probabilities of the latter, and each estimate. */
#include <stdio.h>
#include <stdlib.h>

#include "models/estimate.h"

enum { ROWS_MAX = 20000 };

static double score[ROWS_MAX], label[ROWS_MAX], asked[ROWS_MAX], probability[ROWS_MAX];

int main(int argc, char **argv) {
    static const char *const names[] = {"roc_auc", "accuracy", "precision", "recall", "f1", "average_precision", "log_loss", "brier"};
    int64_t known = 0, unknown = 0;
    weir_isotonic isotonic;
    weir_estimate estimate;
    weir_err err = {0};
    char line[128];
    if (argc != 2) return 2;
    while (fgets(line, sizeof line, stdin) && known < ROWS_MAX && unknown < ROWS_MAX) {
        double a, b;
        int found = sscanf(line, "%lf %lf", &a, &b);
        if (found == 2) {
            score[known] = a;
            label[known++] = b;
        } else if (found == 1) {
            asked[unknown++] = a;
        }
    }
    weir_status status = weir_isotonic_fit(score, label, known, &isotonic, &err);
    if (!status) {
        for (int64_t i = 0; i < unknown; i++) probability[i] = weir_isotonic_probability(&isotonic, asked[i]);
        weir_isotonic_done(&isotonic);
        status = weir_estimate_binary(asked, probability, unknown, atof(argv[1]), &estimate, &err);
    }
    if (status) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("{\"probability\": [");
    for (int64_t i = 0; i < unknown; i++) printf("%s%.17g", i ? ", " : "", probability[i]);
    printf("]");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) printf(", \"%s\": %.17g", names[i], weir_estimate_of(&estimate, names[i]));
    printf("}\n");
    return 0;
}
