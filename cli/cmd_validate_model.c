/* `validate_model`: does a registered version load, has it a signature, does it score a sample, is it described? */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lifecycle.h"
#include "core/json.h"
#include "models/artifact_file.h"
#include "models/lifecycle_frame.h"
#include "models/memory.h"

enum { CHECK_COUNT = 4, CHECKS_NEEDED = 3 };

typedef struct validate_options {
    char *catalog, *schema, *model_name, *alias, *test_table;
    char *version;
    int64_t sample_size;
} validate_options;

#define FIELD(member) .offset = offsetof(validate_options, member)

static const weir_conf_item validate_table[] = {
    WEIR_CATALOG_ITEM(validate_options, catalog, 0),
    WEIR_SCHEMA_ITEM(validate_options, schema, 0),
    WEIR_MODEL_NAME_ITEM(validate_options, model_name),
    {.name = "version", .type = WEIR_CONF_STRING, FIELD(version), .fallback = "0", .doc = "version to validate: 3, 1.2.0 or latest; 0: that of the alias"},
    {.name = "alias", .type = WEIR_CONF_STRING, FIELD(alias), .fallback = "latest-model", .doc = "alias whose version is validated when no --version is given"},
    {.name = "test_table", .type = WEIR_CONF_STRING, FIELD(test_table), .fallback = "test_set", .doc = "table that the sample is taken from"},
    {.name = "sample_size", .type = WEIR_CONF_INT, FIELD(sample_size), .min = 1, .max = 1e6, .fallback = "5", .doc = "rows that are scored"},
    {.name = NULL},
};

typedef struct validation {
    const validate_options *o;
    const char *objects_dir;
    weir_pg *pg;
    char space[WEIR_NAME_MAX + 1];
    cJSON *version; /* NULL: there is none, and why_not says why */
    weir_model *model; /* NULL: it did not load */
    weir_err why_not;
    int checks, passed;
} validation;

/* ---- which model ---- */

static weir_status find_space(validation *v, weir_err *err) {
    const validate_options *o = v->o;
    cJSON *spaces = NULL;
    const cJSON *space;
    char names[256] = "";
    if (o->catalog && o->schema) return weir_space_make(o->catalog, o->schema, v->space, err);
    weir_status status = weir_lifecycle_spaces(v->pg, o->model_name, o->catalog, o->schema, &spaces, err);
    if (status) return status;
    cJSON_ArrayForEach(space, spaces) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s.%s", used ? ", " : "", space->valuestring, o->model_name);
        snprintf(v->space, sizeof v->space, "%s", space->valuestring);
    }
    int count = cJSON_GetArraySize(spaces);
    cJSON_Delete(spaces);
    if (count == 1) return WEIR_OK;
    if (!count) return WEIR_FAIL(err, WEIR_ENOTFOUND, "no model '%s' is registered", o->model_name);
    return WEIR_FAIL(err, WEIR_EINVAL, "several models are named '%s': %s; choose one with --catalog and --schema", o->model_name, names);
}

/* ---- the checks: each ends with one line that says what was found ---- */

static void report(validation *v, bool passed, const char *format, ...) WEIR_PRINTF(3, 4);
static void report(validation *v, bool passed, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s %d/%d ", passed ? "✓" : "✗", ++v->checks, CHECK_COUNT);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    v->passed += passed;
}

static void check_load(validation *v) {
    weir_err err;
    if (!v->version) {
        report(v, false, "model does not load: %s", v->why_not.message);
        return;
    }
    const char *path = weir_json_text(v->version, "artifact_path");
    if (weir_artifact_load(v->objects_dir, path, &v->model, &err)) {
        report(v, false, "model does not load: %s", err.message);
        return;
    }
    if (!strcmp(weir_model_digest(v->model), weir_json_text(v->version, "digest"))) {
        report(v, true, "model loads: %s, %d inputs, digest %.12s", weir_model_algorithm(v->model), weir_model_column_count(v->model),
               weir_model_digest(v->model));
        return;
    }
    report(v, false, "model does not load: %s/%s has digest %.12s, the registry %.12s", v->objects_dir, path, weir_model_digest(v->model),
           weir_json_text(v->version, "digest"));
    weir_model_free(v->model); /* another model: whatever it scores says nothing of this version */
    v->model = NULL;
}

static void check_signature(validation *v) {
    weir_err err;
    const cJSON *signature = cJSON_GetObjectItemCaseSensitive(v->version, "signature");
    if (!v->model)
        report(v, false, "signature is not checked: there is no model to hold it against");
    else if (weir_signature_check(signature, v->model, &err))
        report(v, false, "signature is not valid: %s", err.message);
    else
        report(v, true, "signature is valid: %d inputs, target %s, output %s", weir_model_column_count(v->model),
               weir_json_text(cJSON_GetObjectItemCaseSensitive(signature, "target"), "name"),
               weir_json_text(cJSON_GetObjectItemCaseSensitive(signature, "output"), "name"));
}

/* Scores the sample; what comes out is finite, or an error. */
static weir_status score_sample(validation *v, int64_t *ret_rows, double range[2], weir_err *err) {
    weir_table_name name;
    weir_table table = {0};
    weir_frame frame = {0};
    double *scores = NULL;
    weir_status status = weir_table_name_parse(v->o->test_table, v->space, &name, err);
    if (!status) status = weir_tables_begin(v->pg, true, err);
    if (!status) status = weir_table_open(v->pg, &name, &table, err);
    if (!status) status = weir_frame_read(v->pg, &table, cJSON_GetObjectItemCaseSensitive(v->version, "signature"), false, v->o->sample_size, &frame, err);
    weir_pg_rollback(v->pg);
    int64_t rows = frame.matrix.row_count;
    if (!status && !rows) status = WEIR_FAIL(err, WEIR_EDATA, "%s has no rows", name.full);
    if (!status && frame.matrix.column_count != weir_model_column_count(v->model)) status = WEIR_FAIL(err, WEIR_EDATA, "the signature is not the model's");
    int64_t count = rows * weir_model_output_count(v->model);
    if (!status && !(scores = weir_models_calloc((size_t)count, sizeof *scores)))
        status = WEIR_FAIL(err, WEIR_ENOMEM, "no memory for %" PRId64 " scores", count);
    if (!status) status = weir_model_predict(v->model, frame.matrix.values, rows, scores, err);
    for (int64_t r = 0; !status && r < count; r++) {
        if (!r || scores[r] < range[0]) range[0] = scores[r];
        if (!r || scores[r] > range[1]) range[1] = scores[r];
    }
    if (!status) *ret_rows = rows;
    weir_models_free(scores);
    weir_frame_done(&frame);
    weir_table_done(&table);
    return status;
}

static void check_inference(validation *v) {
    weir_err err;
    int64_t rows = 0;
    double range[2] = {0, 0};
    if (!v->model)
        report(v, false, "inference is not checked: there is no model to score with");
    else if (score_sample(v, &rows, range, &err))
        report(v, false, "inference fails: %s", err.message);
    else if (range[0] < 0 || range[1] > 1)
        report(v, false, "inference fails: scores from %g to %g are no probabilities", range[0], range[1]);
    else
        report(v, true, "inference works: %" PRId64 " rows, probabilities from %.4f to %.4f", rows, range[0], range[1]);
}

static void check_metadata(validation *v) {
    const cJSON *version = v->version, *metrics = cJSON_GetObjectItemCaseSensitive(version, "metrics");
    if (!version)
        report(v, false, "metadata is not there: %s", v->why_not.message);
    else if (strcmp(weir_json_text(version, "run_status"), "succeeded") != 0)
        report(v, false, "metadata is incomplete: its run %s is %s, expected succeeded", weir_json_text(version, "run_id"),
               *weir_json_text(version, "run_status") ? weir_json_text(version, "run_status") : "gone");
    else if (!cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(metrics, "test_f1")))
        report(v, false, "metadata is incomplete: there is no metric test_f1");
    else if (!*weir_json_text(cJSON_GetObjectItemCaseSensitive(version, "tags"), "registered_at") || !*weir_json_text(version, "description"))
        report(v, false, "metadata is incomplete: there is no description, or no tag registered_at");
    else
        report(v, true, "metadata is there: %s, F1 %.4f, registered %s", weir_json_text(version, "run_id"),
               cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(metrics, "test_f1")),
               weir_json_text(cJSON_GetObjectItemCaseSensitive(version, "tags"), "registered_at"));
}

/* A number stands for itself, 0 for the alias; other names are looked up. */
static weir_status number_of(const validation *v, int *ret_number, weir_err *err) {
    const char *name = v->o->version;
    size_t len = strlen(name);
    *ret_number = 0;
    if (strspn(name, "0123456789") != len || len > 9) return weir_version_resolve(v->pg, v->space, v->o->model_name, name, ret_number, err);
    *ret_number = atoi(name);
    return WEIR_OK;
}

/* A version that is not there is an answer; a registry that cannot be asked is not. */
static weir_status validate(validation *v, int *ret_exit, weir_err *err) {
    const validate_options *o = v->o;
    weir_status status = find_space(v, err);
    int number = 0;
    if (!status) status = number_of(v, &number, err);
    if (!status) status = weir_lifecycle_version_find(v->pg, v->space, o->model_name, number, o->alias, &v->version, err);
    if (status == WEIR_ENOTFOUND) {
        v->why_not = *err;
        status = WEIR_OK;
    }
    if (status) return status;
    if (v->version) printf("%s.%s version %.0f\n", v->space, o->model_name, cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(v->version, "version")));
    check_load(v);
    check_signature(v);
    check_inference(v);
    check_metadata(v);
    bool valid = v->passed >= CHECKS_NEEDED;
    printf("%s: %d of %d checks passed%s\n", valid ? "valid" : "not valid", v->passed, CHECK_COUNT, valid && v->passed < CHECK_COUNT ? ", with a warning" : "");
    *ret_exit = valid ? 0 : 1;
    return WEIR_OK;
}

static weir_status run_validate(const weir_settings *settings, const void *options, int *ret_exit, weir_err *err) {
    validation v = {.o = options, .objects_dir = settings->objects_dir};
    weir_status status = weir_model_name_check(v.o->model_name, err);
    if (!status) status = weir_lifecycle_connect(settings, &v.pg, err);
    if (!status) status = validate(&v, ret_exit, err);
    weir_model_free(v.model);
    cJSON_Delete(v.version);
    weir_pg_free(v.pg);
    return weir_lifecycle_failed(status, err);
}

const weir_command weir_command_validate_model = {
    .name = "validate_model",
    .args = "--model-name M [--catalog C] [--schema S] [--version N | --alias A] [--test-table T] [--sample-size N]",
    .doc = "Checks that a registered version loads, has a valid signature, scores a sample and is described.\n"
           "Exit code 0: at least 3 of the 4 checks passed; 1: fewer. Without --catalog and --schema the name must be that of one registered model only.",
    .options = validate_table,
    .options_size = sizeof(validate_options),
    .run = run_validate,
};
