/* Pipeline files: what is accepted, and for everything else the path, what was found and what was expected. */
#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/pg.h"
#include "features/pipeline.h"
#include "tests/unit/starve.h"

static weir_pipeline *fraud(void) {
    weir_pipeline *p = NULL;
    weir_err err = {0};
    if (weir_pipeline_parse(weir_embedded_find("pipelines/fraud.json")->data, NULL, &p, &err)) fail_msg("%s", err.message);
    return p;
}

static void the_fraud_pipeline_is_read_as_written(void **state) {
    (void)state;
    weir_pipeline *p = fraud();
    assert_string_equal(p->name, "fraud");
    assert_string_equal(p->events.topic, "fraud.events");
    assert_int_equal(p->partitions, 4);
    assert_int_equal(p->retention_ms, -1);
    assert_int_equal(p->compact_after_us, -1);
    assert_int_equal(p->events.time_index, weir_schema_find(p->events.schema, "tx_time"));
    assert_int_equal(p->events.available_index, -1);
    assert_int_equal(p->labels.available_index, weir_schema_find(p->labels.schema, "labelled_at"));
    assert_int_equal(p->labels.allowed_lateness_us, 30 * WEIR_DAY_US);
    assert_int_equal(p->max_delay_us, 7 * WEIR_DAY_US);
    assert_int_equal(p->label_column, weir_schema_find(p->labels.schema, "fraud"));
    assert_int_equal(p->view_count, 2);
    assert_int_equal(p->primary_view, 0);
    assert_false(p->views[0].rekeyed);
    assert_true(p->views[1].rekeyed);
    assert_int_equal(p->views[1].from, WEIR_FROM_LABELS);
    const weir_view_def *terminal = weir_pipeline_view(p, "terminal");
    assert_ptr_equal(terminal, &p->views[1]);
    assert_null(weir_pipeline_view(p, "nobody"));
    assert_int_equal(terminal->features[1].delay_us, 7 * WEIR_DAY_US);
    assert_true(terminal->features[1].fallback == 0);
    assert_true(isnan(p->views[0].features[3].fallback));
    assert_int_equal(strlen(p->feature_hash), 64);
    weir_pipeline_free(p);
}

/* Sets a value in the fraud pipeline: path of keys and indices separated by '/'; json NULL deletes, an index behind the last adds. */
static char *with(const char *where, const char *json) {
    cJSON *root = cJSON_Parse(weir_embedded_find("pipelines/fraud.json")->data), *at = root;
    char path[128], *save = NULL, *last = NULL;
    snprintf(path, sizeof(path), "%s", where);
    for (char *key = strtok_r(path, "/", &save); key; key = strtok_r(NULL, "/", &save)) {
        if (last) at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(last)) : cJSON_GetObjectItemCaseSensitive(at, last);
        assert_non_null(at);
        last = key;
    }
    if (cJSON_IsArray(at) && atoi(last) == cJSON_GetArraySize(at))
        cJSON_AddItemToArray(at, cJSON_Parse(json));
    else if (cJSON_IsArray(at))
        cJSON_ReplaceItemInArray(at, atoi(last), cJSON_Parse(json));
    else {
        cJSON_DeleteItemFromObjectCaseSensitive(at, last);
        if (json) cJSON_AddItemToObject(at, last, cJSON_Parse(json));
    }
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static void tenants_are_told_apart_where_events_have_a_column_for_them(void **state) {
    (void)state;
    weir_pipeline *p = NULL;
    weir_err err = {0};
    char *text = with("triggers", "{\"drift\": {}}"), *some = with("triggers", "{\"drift\": {\"tenants\": 8}}");
    assert_int_equal(weir_pipeline_parse(text, NULL, &p, &err), WEIR_OK);
    assert_int_equal(p->triggers.drift.tenants, 0);
    weir_pipeline_free(p);
    assert_int_equal(weir_pipeline_parse(some, NULL, &p, &err), WEIR_OK);
    assert_int_equal(p->triggers.drift.tenants, 8);
    weir_pipeline_free(p);
    cJSON *root = cJSON_Parse(some);
    cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, "source"), "tenant");
    char *without = cJSON_PrintUnformatted(root);
    p = NULL;
    assert_int_equal(weir_pipeline_parse(without, NULL, &p, &err), WEIR_EINVAL);
    assert_null(p);
    assert_non_null(strstr(err.message, "$.triggers.drift.tenants: the events have no tenant"));
    cJSON_Delete(root);
    free(text);
    free(some);
    free(without);
}

static void only_days_are_compacted_by_themselves(void **state) {
    (void)state;
    weir_pipeline *p = NULL;
    weir_err err = {0};
    char *text = with("compact_after", "\"36h\"");
    assert_int_equal(weir_pipeline_parse(text, NULL, &p, &err), WEIR_OK);
    assert_int_equal(p->compact_after_us, WEIR_DAY_US * 3 / 2);
    weir_pipeline_free(p);
    cJSON *json = cJSON_Parse(text);
    cJSON_AddStringToObject(json, "partition_by", "month");
    char *by_month = cJSON_PrintUnformatted(json);
    assert_int_equal(weir_pipeline_parse(by_month, NULL, &p, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "$.compact_after: found \"36h\", expected \"never\", since partition_by is not \"day\""));
    cJSON_Delete(json);
    free(by_month);
    free(text);
}

#define ROUTED "{\"split\": \"request\", \"routing\": \"thompson\", "

#define BATCH "{\"name\": \"a\", \"file\": \"f\", \"out\": \"g\", "

static void wrong_files_are_told_where_and_how(void **state) {
    static const struct {
        const char *where, *json, *message; /* parts that must be in the message, separated by '~' */
    } cases[] = {
        {"pipelin", "1", "$:~\"pipelin\"~did you mean \"pipeline\"?"},
        {"pipeline", "\"Fraud\"", "$.pipeline~lower-case"},
        {"pipeline", NULL, "$.pipeline~nothing~a text"},
        {"partitions", "0", "$.partitions~found 0~1 to 1024"},
        {"partitions", "1.5", "$.partitions~1.5"},
        {"retention", "\"7\"", "$.retention~duration"},
        {"compact_after", "\"soon\"", "$.compact_after~duration~never"},
        {"compact_after", "2", "$.compact_after~found 2"},
        {"training", "[]", "$.training~an array~an object"},
        {"source", NULL, "$.source~nothing~an object"},
        {"source/schema", "\"schemas/none.avsc\"", "$.source.schema~schemas/none.avsc"},
        {"source/schema", "\"pipelines/fraud.json\"", "$.source.schema"},
        {"source/time", "\"tx_tim\"", "$.source.time~tx_tim~did you mean \"tx_time\"?"},
        {"source/time", "\"amount\"", "$.source.time~timestamp"},
        {"source/key", "[]", "$.source.key~1 to 4"},
        {"source/key", "[\"amount\"]", "$.source.key[0]~amount"},
        {"source/key", "[\"customer_id\",\"customer_id\"]", "$.source.key[1]~twice"},
        {"source/tenant", "\"amount\"", "$.source.tenant~amount"},
        {"source/allowed_lateness", "5", "$.source.allowed_lateness~found 5~duration"},
        {"source/allowed_lateness", "\"9000w\"", "$.source.allowed_lateness~hundred years"},
        {"source/max_bytes", "0", "$.source.max_bytes"},
        {"source/topic", "\"a b\"", "$.source.topic~a b"},
        {"source/aliases/X", "\"amout\"", "$.source.aliases.X~did you mean \"amount\"?"},
        {"source/derive", "[]", "$.source.derive~an object of columns and SQL expressions"},
        {"source/derive", "{\"amout\": \"1\"}", "$.source.derive.amout~did you mean \"amount\"?"},
        {"source/derive", "{\"amount\": 1}", "$.source.derive.amount~an SQL expression"},
        {"source/laxness", "1", "$.source:~laxness"},
        {"labels/column", "\"customer_id\"", "$.labels.column~customer_id"},
        {"labels/join", "[\"transaction_id\"]", "$.labels.join~two columns"},
        {"labels/join", "[\"transaction_id\",\"scenario\"]", "$.labels.join~types"},
        {"checks/0/column", "\"amnt\"", "$.checks[0].column~amnt"},
        {"checks/0/min", "\"0\"", "$.checks[0].min~a number"},
        {"checks/0", "{\"column\":\"amount\"}", "$.checks[0]~checks nothing"},
        {"checks/0", "{\"column\":\"customer_id\",\"min\":1}", "$.checks[0]~numbers"},
        {"checks/0", "{\"column\":\"amount\",\"min\":2,\"max\":1}", "$.checks[0]~above"},
        {"checks/0/on", "\"nowhere\"", "$.checks[0].on~nowhere~events, labels"},
        {"views", "[]", "$.views~1 to 16"},
        {"views/1/name", "\"customer\"", "$.views[1].name~already"},
        {"views/1/name", "\"a-b\"", "$.views[1].name~a-b"},
        {"views/1/from", "\"event\"", "$.views[1].from~did you mean \"events\"?"},
        {"views/1/entity", "[\"terminal\"]", "$.views[1].entity[0]~did you mean"},
        {"views/1/entity", "[\"scenario\"]", "$.views[1].entity[0]~scenario~Transaction"},
        {"views/1/ttl", "\"36d\"", "$.views[1].features[4]~further back than the view's ttl"},
        {"views/0/at", "\"reed\"", "$.views[0].at~reed~did you mean \"read\"?"},
        {"views/0/features/2/window", "\"1x\"", "$.views[0].features[2].window~\"1x\"~duration"},
        {"views/0/features/2/window", "\"0s\"", "$.views[0].features[2].window~\"0s\"~above 0"},
        {"views/0/features/2/window", NULL, "$.views[0].features[2].window~nothing~\"hopping\""},
        {"views/0/features/2/window", "7", "$.views[0].features[2].window~found 7~\"all\""},
        {"views/0/features/2/window", "{}", "$.views[0].features[2].window~an object~\"last\""},
        {"views/0/features/2/window", "{\"lst\":3}", "$.views[0].features[2].window~did you mean \"last\"?"},
        {"views/0/features/2/window", "{\"last\":0}", "$.views[0].features[2].window.last~found 0~1 to 32768"},
        {"views/0/features/2/window", "{\"last\":3,\"session\":\"1h\"}", "$.views[0].features[2].window~\"last\" and \"session\""},
        {"views/0/features/2/window", "{\"hopping\":\"1h\"}", "$.views[0].features[2].window.every~nothing~above 0"},
        {"views/0/features/2/window", "{\"hopping\":\"1h\",\"every\":\"2h\"}", "$.views[0].features[2].window.every~2h~no more than"},
        {"views/0/features/2/window", "{\"tumbling\":\"1h\",\"every\":\"2h\"}", "$.views[0].features[2].window.every~goes with \"hopping\""},
        {"views/0/features/2/window", "{\"last\":5,\"tile\":\"2h\"}", "$.views[0].features[2].window.tile~goes with \"sliding\""},
        {"views/0/features/2/window", "{\"sliding\":\"1h\",\"tile\":\"7m\"}", "$.views[0].features[2].window.tile~7m~whole number of times"},
        {"views/0/features/2/window", "{\"session\":\"0s\"}", "$.views[0].features[2].window.session~above 0"},
        {"views/0/features/2/delay", "\"soon\"", "$.views[0].features[2].delay~soon"},
        {"views/0/features/2/agg", "\"cont\"", "$.views[0].features[2].agg~cont~did you mean \"count\"?"},
        {"views/0/features/2/agg", "7", "$.views[0].features[2].agg~found 7"},
        {"views/0/features/2/op", "\"mean\"", "$.views[0].features[2]~several~exactly one"},
        {"views/0/features/2/expr", "\"amount\"", "$.views[0].features[2]~several"},
        {"views/0/features/2/agg", NULL, "$.views[0].features[2]~none~\"expr\""},
        {"views/0/features/2/where", "\"amount >\"", "$.views[0].features[2].where~column 9~the end"},
        {"views/0/features/2/where", "\"customer_id\"", "$.views[0].features[2].where~a text~a number"},
        {"views/0/features/2/where", "\"tx_during_night = 1\"", "$.views[0].features[2].where~there is no \"tx_during_night\""},
        {"views/0/features/2/hidden", "1", "$.views[0].features[2].hidden~true or false"},
        {"views/0/features/2/q", "0.5", "$.views[0].features[2]~\"q\" is no known key"},
        {"views/0/features/3/of", NULL, "$.views[0].features[3].of~found 0, expected 1~mean"},
        {"views/0/features/3/of", "[\"amount\",\"amount\"]", "$.views[0].features[3].of~found 2, expected 1"},
        {"views/0/features/3/of", "[\"a\",\"b\",\"c\",\"d\",\"e\"]", "$.views[0].features[3].of~1 to 4"},
        {"views/0/features/3/of", "[\"amount * customer_id\"]", "$.views[0].features[3].of[0]~column 10~a text~a number"},
        {"views/0/features/3/of", "\"customer_id\"", "$.views[0].features[3].of~a text (customer_id)~a number"},
        {"views/0/features/3/of", "\"amout\"", "$.views[0].features[3].of: column 1~amout~did you mean \"amount\"?"},
        {"views/0/features/3/of", "\"amount in big\"", "$.views[0].features[3].of~no list \"big\""},
        {"views/0/features/3/form", "1", "$.views[0].features[3]:~form~did you mean"},
        {"views/0/features/3/name", "\"amount\"", "$.views[0].features[3].name~amount"},
        {"views/0/features/3/name", "\"seq\"", "$.views[0].features[3].name~every table"},
        {"views/1/features/3/name", "\"customer_tx_count_7d\"", "$.views[1].features[3].name~view customer"},
        {"views/1/features/3/name", "\"labelled_at\"", "$.views[1].features[3].name~column of the labels"},
        {"views/0/features/0/expr", "\"weekday(tx_time\"", "$.views[0].features[0].expr: column 16~the end"},
        {"views/0/features/0/expr", "\"weekend(tx_tim)\"", "$.views[0].features[0].expr: column 9~did you mean \"tx_time\"?"},
        {"views/0/features/0/expr", "\"customer_tx_count_1\"", "$.views[0].features[0].expr~did you mean \"customer_tx_count_1d\"?"},
        {"views/0/features/0/expr", "\"terminal_tx_count_1d\"", "$.views[0].features[0].expr~there is no \"terminal_tx_count_1d\""},
        {"views/0/features/0/expr", "\"customer_id\"", "$.views[0].features[0].expr~a text"},
        {"views/0/features/0/expr", "\"1 - tx_during_weekend\"", "$.views[0].features[0].expr~tx_during_weekend is computed from itself"},
        {"views/0/features/0/window", "\"1d\"", "$.views[0].features[0]~\"window\" is no known key"},
        {"lists", "[]", "$.lists~an array~an object"},
        {"lists", "{\"a-b\":[1]}", "$.lists.a-b~letters"},
        {"lists", "{\"a\":[]}", "$.lists.a~1 to 100000"},
        {"lists", "{\"a\":[\"2012-01-02\",\"2012-01-0x\"]}", "$.lists.a[1]~2012-01-0x~a date like the first"},
        {"lists", "{\"a\":[1,\"x\"]}", "$.lists.a[1]~a number like the first"},
        {"lists", "{\"a\":[null]}", "$.lists.a[0]~null~a number, a date or a text"},
        {"plugins", "\"x.so\"", "$.plugins~an array"},
        {"plugins", "[1]", "$.plugins[0]~found 1~shared object"},
        {"plugins", "[\"no/such.so\"]", "$.plugins[0]~no/such.so"},
        {"views/0/entity", "[\"terminal_id\"]", "$.views~what is scored"},
        {"training/columns/0", "\"amounts\"", "$.training.columns[0]~amounts"},
        {"training/columns/0", "\"customer_id\"", "$.training.columns[0]~customer_id~no number"},
        {"training/columns/4", "\"customer_amount_mean_1\"", "$.training.columns[4]~did you mean \"customer_amount_mean_1d\"?"},
        {"rollout/salt", "\"${WEIR_TEST_UNSET_NAME}\"", "$.rollout.salt~WEIR_TEST_UNSET_NAME"},
        {"rollout/salt", "7", "$.rollout.salt~found 7~a text"},
        {"rollout/salt", "\"0123456789012345678901234567890123456789012345678901234567890123\"", "$.rollout.salt~63 bytes"},
        {"rollout/challenger_share", "1.01", "$.rollout.challenger_share~1.01~0 to 1"},
        {"rollout/challengershare", "0.5", "$.rollout:~did you mean \"challenger_share\"?"},
        {"rollout", "0.5", "$.rollout~0.5~an object"},
        {"rollout/steps", "[0.5, 0.1]", "$.rollout.steps[1]~found 0.1~above 0.5"},
        {"rollout/steps", "[1]", "$.rollout.steps[0]~found 1~at most 0.999"},
        {"rollout/steps", "[0.0001, 1]", "$.rollout.steps[0]~found 0.0001~a share"},
        {"rollout/steps", "[]", "$.rollout.steps~1 to 8 shares"},
        {"rollout/loss", "\"breir\"", "$.rollout.loss~did you mean \"brier\"?"},
        {"rollout/alpha", "0.6", "$.rollout.alpha~0.6~to 0.5"},
        {"rollout/guards", "{\"latency\": \"fast\"}", "$.rollout.guards.latency~fast~a duration"},
        {"rollout/routing", "\"thompson\"", "$.rollout.routing~split"},
        {"rollout/floor", "0.2", "$.rollout.floor~from 0.001 to 0.1"},
        {"rollout/shadow_share", "0", "$.rollout.shadow_share~from 0.001 to 1"},
        {"rollout/patience", "\"0s\"", "$.rollout.patience~longer than 0"},
        {"rollout/context", "\"terminal_id\"", "$.rollout.context: found \"terminal_id\", expected~\"routing\": \"thompson\""},
        {"rollout/buckets", "4", "$.rollout.buckets: found 4, expected~\"context\""},
        {"rollout", ROUTED "\"context\": 7}", "$.rollout.context: found 7~a text"},
        {"rollout", ROUTED "\"context\": \"terminal\"}", "$.rollout.context~\"terminal\" is no column~did you mean \"terminal_id\"?"},
        {"rollout", ROUTED "\"context\": \"amount\"}", "$.rollout.context: found \"amount\", expected a column of texts, booleans or whole numbers"},
        {"rollout", ROUTED "\"context\": \"tx_time\"}", "$.rollout.context: found \"tx_time\", expected a column of texts"},
        {"rollout", ROUTED "\"context\": \"tenant\", \"buckets\": 1}", "$.rollout.buckets: found 1~2 to 16"},
        {"rollout", ROUTED "\"context\": \"tenant\", \"buckets\": 17}", "$.rollout.buckets: found 17~2 to 16"},
        {"triggers", "[]", "$.triggers~an object"},
        {"triggers", "{\"schedule\": 5}", "$.triggers.schedule~found 5~a text"},
        {"triggers", "{\"schedules\": [{\"name\": \"weekly\"}]}", "$.triggers.schedules[0].cron~a text"},
        {"triggers", "{\"schedules\": [{\"name\": \"a\", \"cron\": \"* * * * *\"}, {\"name\": \"a\", \"cron\": \"* * * * *\"}]}",
         "$.triggers.schedules[1].name~called a, too"},
        {"triggers", "{\"schedules\": [{\"name\": \"a\", \"cron\": \"* * * * *\", \"action\": \"trian\"}]}",
         "$.triggers.schedules[0].action~did you mean \"train\"?"},
        {"triggers", "{\"schedule\": \"0 25 * * *\"}", "$.triggers.schedule: hour: found \"25\""},
        {"triggers", "{\"schedules\": [{\"name\": \"a\", \"cron\": \"* * * * *\", \"time_zone\": \"Mars\"}]}",
         "$.triggers.schedules[0].time_zone~no time zone \"Mars\""},
        {"triggers", "{\"drift\": {\"alert_share\": 0.7}}", "$.triggers.drift.critical_share~at least alert_share"},
        {"triggers", "{\"drift\": {\"every\": \"0s\"}}", "$.triggers.drift.every~longer than 0"},
        {"triggers", "{\"drift\": {\"tenants\": 65}}", "$.triggers.drift.tenants~a whole number from 0 to 64"},
        {"triggers", "{\"performance\": {\"drop\": -1}}", "$.triggers.performance.drop~-1"},
        {"triggers", "{\"policy\": {\"max_runs\": 1.5}}", "$.triggers.policy.max_runs~a whole number"},
        {"triggers", "{\"volume\": 0}", "$.triggers.volume~a whole number from 1"},
        {"serving/threshold", "\"0.5\"", "$.serving.threshold~\"0.5\"~0 to 1"},
        {"serving/treshold", "0.5", "$.serving:~did you mean \"threshold\"?"},
        {"serving/batches", "{}", "$.serving.batches~an array of at most 32"},
        {"serving/batches", "[{\"name\": \"a\", \"schedule\": \"0 3 * * *\", \"file\": \"f\"}]", "$.serving.batches[0].out~a text"},
        {"serving/batches", "[" BATCH "\"schedul\": 1}]", "$.serving.batches[0]:~did you mean \"schedule\"?"},
        {"serving/batches", "[" BATCH "\"schedule\": \"0 25 * * *\"}]", "$.serving.batches[0].schedule: hour: found \"25\""},
        {"serving/batches", "[" BATCH "\"schedule\": \"@daily\", \"time_zone\": \"Mars\"}]", "$.serving.batches[0].time_zone~no time zone \"Mars\""},
        {"serving/batches", "[" BATCH "\"schedule\": \"@daily\", \"catch_up\": \"all\"}]", "$.serving.batches[0].catch_up~\"last\" or \"none\""},
        {"serving/batches", "[" BATCH "\"schedule\": \"@daily\", \"format\": \"xml\"}]", "$.serving.batches[0].format~xml"},
        {"serving/batches", "[" BATCH "\"schedule\": \"@daily\", \"errors\": \"%s.csv\"}]", "$.serving.batches[0].errors: found '%s.csv'~%j"},
        {"serving/batches", "[" BATCH "\"schedule\": \"@daily\"}, " BATCH "\"schedule\": \"@daily\"}]", "$.serving.batches[1].name~called a, too"},
        {"serving", "[]", "$.serving~an array~an object"},
        {"serving/requests", "1", "$.serving.requests~found 1"},
        {"serving/tenants", "\"yes\"", "$.serving.tenants~\"yes\""},
        {"serving/model_memory_mib", "0", "$.serving.model_memory_mib~found 0"},
        {"serving/features", "{\"missing\": \"abstein\"}", "$.serving.features.missing~did you mean \"abstain\"?"},
        {"serving/features", "{\"late\": \"abstain\"}", "$.serving.features.late~\"max_age\" beside it"},
        {"serving/features", "{\"max_age\": \"0s\"}", "$.serving.features.max_age~longer than 0"},
        {"serving/features", "{\"missing\": \"fallback\"}", "$.serving.features.fallback~nothing~customer falls back to"},
        {"serving/features", "{\"fallback\": \"\"}", "$.serving.features.fallback~a text"},
        {"serving/features", "{\"views\": {\"custmer\": {}}}", "$.serving.features.views:~did you mean \"customer\"?"},
        {"serving/features", "{\"views\": {\"terminal\": {\"mising\": \"score\"}}}", "$.serving.features.views.terminal:~did you mean \"missing\"?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *text = with(cases[i].where, cases[i].json), parts[256], *save = NULL;
        weir_pipeline *p = NULL;
        weir_err err = {0};
        assert_int_equal(weir_pipeline_parse(text, NULL, &p, &err), WEIR_EINVAL);
        assert_int_equal(err.action, WEIR_ACTION_FATAL);
        assert_null(p);
        snprintf(parts, sizeof(parts), "%s", cases[i].message);
        for (char *part = strtok_r(parts, "~", &save); part; part = strtok_r(NULL, "~", &save)) {
            if (!strstr(err.message, part)) fail_msg("case %zu (%s): \"%s\" lacks \"%s\"", i, cases[i].where, err.message, part);
        }
        free(text);
    }
}

static void paths_of_batches_have_the_numbers_of_a_time(void **state) {
    (void)state;
    weir_buf path = {0};
    weir_err err;
    const int64_t at_us = INT64_C(1709604245) * 1000000; /* 2024-03-05 02:04:05, the 65th day */
    if (weir_batch_path("in/%Y-%m-%d/%H%M_%j_100%%.csv", at_us, &path, &err)) fail_msg("%s", err.message);
    assert_int_equal(path.len, strlen("in/2024-03-05/0204_065_100%.csv"));
    assert_memory_equal(path.data, "in/2024-03-05/0204_065_100%.csv", path.len);
    assert_int_equal(weir_batch_path("in/%", at_us, &path, &err), WEIR_EINVAL);
    assert_int_equal(weir_batch_path("in/%S", at_us, &path, &err), WEIR_EINVAL);
    weir_buf_done(&path);
}

static void text_that_is_no_json_is_told_by_line(void **state) {
    (void)state;
    weir_pipeline *p = NULL;
    weir_err err = {0};
    assert_int_equal(weir_pipeline_parse("{\n  \"pipeline\": fraud\n}", NULL, &p, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "line 2"));
    assert_int_equal(weir_pipeline_parse("", NULL, &p, &err), WEIR_EINVAL);
    assert_int_equal(weir_pipeline_parse("[]", NULL, &p, &err), WEIR_EINVAL);
    assert_int_equal(weir_pipeline_parse("{\"pipeline\":\"a\",\"pipeline\":\"b\"}", NULL, &p, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "$.pipeline"));
    assert_non_null(strstr(err.message, "twice"));
}

static void the_environment_is_put_in(void **state) {
    (void)state;
    setenv("WEIR_TEST_TOPIC", "payments", 1);
    char *text = with("source/topic", "\"${WEIR_TEST_TOPIC}.events\"");
    weir_pipeline *p = NULL;
    assert_int_equal(weir_pipeline_parse(text, NULL, &p, NULL), WEIR_OK);
    assert_string_equal(p->events.topic, "payments.events");
    weir_pipeline_free(p);
    free(text);
    unsetenv("WEIR_TEST_TOPIC");
}

static void defaults_are_those_of_the_header(void **state) {
    (void)state;
    weir_pipeline *p = NULL;
    weir_err err = {0};
    if (weir_pipeline_parse("{\"pipeline\":\"small\",\"source\":{\"schema\":\"schemas/transaction.avsc\",\"key\":[\"customer_id\"],\"time\":\"tx_time\"},"
                            "\"views\":[{\"name\":\"v\",\"entity\":[\"customer_id\"],\"features\":[{\"name\":\"n\",\"agg\":\"count\",\"window\":\"1d\"}]}]}",
                            NULL, &p, &err))
        fail_msg("%s", err.message);
    assert_string_equal(p->events.topic, "small.events");
    assert_null(p->labels.topic);
    assert_int_equal(p->label_column, -1);
    assert_string_equal(p->events.tenant, "default");
    assert_int_equal(p->events.tenant_index, -1);
    assert_int_equal(p->events.max_future_us, WEIR_DAY_US);
    assert_int_equal(p->events.max_bytes, 65536);
    assert_int_equal(p->events.allowed_lateness_us, 0);
    weir_pipeline_free(p);
}

static void the_hash_is_of_features_only(void **state) {
    (void)state;
    static const struct {
        const char *where, *json;
        bool same;
    } cases[] = {{"training/seed", "7", true},
                 {"rollout/salt", "\"other\"", true},
                 {"views/0/features/2/window", "\"2d\"", false},
                 {"lists", "{\"a\":[1]}", false},
                 {"labels/allowed_lateness", "\"1d\"", false}};
    weir_pipeline *base = fraud();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *text = with(cases[i].where, cases[i].json);
        weir_pipeline *p = NULL;
        assert_int_equal(weir_pipeline_parse(text, NULL, &p, NULL), WEIR_OK);
        assert_int_equal(!strcmp(p->feature_hash, base->feature_hash), cases[i].same);
        weir_pipeline_free(p);
        free(text);
    }
    weir_pipeline_free(base);
}

static void files_are_found_by_name_and_by_path(void **state) {
    (void)state;
    weir_pipeline *p = NULL;
    weir_err err = {0};
    assert_int_equal(weir_pipeline_load("fraud", &p, &err), WEIR_OK);
    assert_string_equal(p->path, "pipelines/fraud.json");
    weir_pipeline_free(p);
    assert_int_equal(weir_pipeline_load("nothing", &p, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, "pipelines/nothing.json"));

    char dir[] = "/tmp/weir_pipeline_XXXXXX", path[64], schema[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/mine.json", dir);
    snprintf(schema, sizeof(schema), "%s/event.avsc", dir);
    FILE *out = fopen(schema, "w"); /* schemas are looked for beside the file first */
    fputs(weir_embedded_find("schemas/transaction.avsc")->data, out);
    fclose(out);
    char *text = with("source/schema", "\"event.avsc\"");
    out = fopen(path, "w");
    fputs(text, out);
    fclose(out);
    free(text);
    if (weir_pipeline_load(path, &p, &err)) fail_msg("%s", err.message);
    assert_string_equal(p->path, path);
    weir_pipeline_free(p);
    out = fopen(path, "w");
    fputs("{", out);
    fclose(out);
    assert_int_equal(weir_pipeline_load(path, &p, &err), WEIR_EINVAL);
    assert_non_null(strstr(err.message, path));
    unlink(path);
    unlink(schema);
    rmdir(dir);
}

static void topics_and_the_schema_of_features_are_named_after_the_view(void **state) {
    (void)state;
    weir_pipeline *p = fraud();
    char *features = weir_topic_features(p, &p->views[1]), *repartition = weir_topic_repartition(p, &p->views[1]), *dead = weir_topic_of(p, "deadletter"),
         *json = NULL;
    assert_string_equal(features, "fraud.features.terminal");
    assert_string_equal(repartition, "fraud.repartition.terminal");
    assert_string_equal(dead, "fraud.deadletter");
    weir_schema *schema = NULL;
    weir_err err = {0};
    enum { FIXED = 11 }; /* tenant to epoch, marks, and whether the record is there */
    for (int v = 0; v < p->view_count; v++) {
        assert_int_equal(weir_features_schema_json(p, &p->views[v], &json, &err), WEIR_OK);
        if (weir_schema_parse(json, strlen(json), &schema, &err)) fail_msg("%s", err.message);
        const weir_feed_def *feed = v ? &p->labels : &p->events;
        int feed_columns = weir_schema_field_count(feed->schema);
        assert_int_equal(weir_schema_field_count(schema), FIXED + feed_columns + p->views[v].feature_count + 1);
        assert_int_equal(weir_schema_find(schema, "record.tx_time"), FIXED + feed->time_index);
        assert_true(weir_schema_field_at(schema, weir_schema_find(schema, "event_time"))->is_timestamp);
        const weir_schema_field *first = weir_schema_field_at(schema, FIXED + feed_columns);
        assert_true(first->nullable && first->has_default && first->type == WEIR_T_F64);
        assert_int_equal(strncmp(first->name, "features.", 9), 0);
        assert_string_equal(first->name + 9, p->views[v].features[0].name);
        assert_int_equal(weir_schema_field_at(schema, weir_schema_find(schema, "state"))->type, WEIR_T_BYTES);
        weir_schema_free(schema);
        free(json);
    }
    free(features);
    free(repartition);
    free(dead);
    weir_pipeline_free(p);
}

static weir_pipeline *parsed(const char *where, const char *json) {
    char *text = with(where, json);
    weir_pipeline *p = NULL;
    weir_err err = {0};
    if (weir_pipeline_parse(text, NULL, &p, &err)) fail_msg("%s: %s", json, err.message);
    free(text);
    return p;
}

static void a_rollout_runs_by_itself_where_steps_are_given(void **state) {
    static const struct {
        const char *json;
        bool automatic;
        double share;
    } cases[] = {
        {"{}", false, 0.1},
        {"{\"challenger_share\": 0.5}", false, 0.5},
        {"{\"steps\": [0.2, 1]}", true, 0.2},
        {"{\"steps\": [0.2, 1], \"challenger_share\": 0}", true, 0},
        {"{\"steps\": [0.2, 1], \"automatic\": false}", false, 0.2},
        {"{\"automatic\": true}", true, 0.1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_pipeline *p = parsed("rollout", cases[i].json);
        assert_int_equal(p->rollout.automatic, cases[i].automatic);
        assert_true(p->rollout.challenger_share == cases[i].share);
        weir_pipeline_free(p);
    }
}

static void requests_are_routed_by_a_column_of_the_events(void **state) {
    (void)state;
    weir_pipeline *p = parsed("rollout", "{}");
    assert_true(!p->rollout.context && p->rollout.context_index == -1 && weir_rollout_bucket_count(&p->rollout) == 0);
    weir_pipeline_free(p);
    p = parsed("rollout", ROUTED "\"context\": \"tenant\"}");
    assert_string_equal(p->rollout.context, "tenant");
    assert_int_equal(p->rollout.context_index, weir_schema_find(p->events.schema, "tenant"));
    assert_int_equal(weir_rollout_bucket_count(&p->rollout), 9);
    weir_pipeline_free(p);
    p = parsed("rollout", ROUTED "\"context\": \"terminal_id\", \"buckets\": 16}");
    assert_int_equal(weir_rollout_bucket_count(&p->rollout), WEIR_BUCKETS_MAX);
    weir_pipeline_free(p);
}

static void windows_are_read_as_written(void **state) {
    (void)state;
    const int64_t hour = INT64_C(3600000000);
    static const struct {
        const char *json;
        weir_window_kind kind;
        int hours, every_hours, tile_hours, last_n;
    } cases[] = {
        {"\"7d\"", WEIR_WINDOW_SLIDING, 168, 0, 0, 0},
        {"{\"sliding\":\"7d\"}", WEIR_WINDOW_SLIDING, 168, 0, 0, 0},
        {"{\"sliding\":\"7d\",\"tile\":\"1h\"}", WEIR_WINDOW_SLIDING, 168, 0, 1, 0},
        {"{\"last\":20}", WEIR_WINDOW_LAST, 0, 0, 0, 20},
        {"{\"tumbling\":\"1h\"}", WEIR_WINDOW_TUMBLING, 1, 0, 0, 0},
        {"{\"hopping\":\"3h\",\"every\":\"1h\"}", WEIR_WINDOW_HOPPING, 3, 1, 0, 0},
        {"{\"session\":\"2h\"}", WEIR_WINDOW_SESSION, 2, 0, 0, 0},
        {"{\"to_date\":\"1d\"}", WEIR_WINDOW_TO_DATE, 24, 0, 0, 0},
        {"\"all\"", WEIR_WINDOW_ALL, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        weir_pipeline *p = parsed("views/0/features/3/window", cases[i].json);
        const weir_feature_def *f = &p->views[0].features[3];
        assert_string_equal(f->op->name, "mean");
        assert_int_equal(f->window, cases[i].kind);
        assert_int_equal(f->window_us, cases[i].hours * hour);
        assert_int_equal(f->every_us, cases[i].every_hours * hour);
        assert_int_equal(f->tile_us, cases[i].tile_hours * hour);
        assert_int_equal(f->last_n, cases[i].last_n);
        weir_pipeline_free(p);
    }
}

/* A view's ttl covers what a closed window may reach back: it, and the time since it closed. */
static void the_ttl_covers_closed_windows(void **state) {
    (void)state;
    static const char *const wrong[] = {"{\"tumbling\":\"46d\"}", "{\"hopping\":\"80d\",\"every\":\"11d\"}", "\"91d\"", "{\"to_date\":\"91d\"}",
                                        "{\"session\":\"91d\"}"};
    static const char *const right[] = {"{\"tumbling\":\"45d\"}", "{\"hopping\":\"80d\",\"every\":\"10d\"}", "\"90d\"", "{\"last\":500}", "\"all\""};
    for (size_t i = 0; i < 5; i++) {
        char *text = with("views/0/features/2/window", wrong[i]);
        weir_pipeline *p = NULL;
        weir_err err = {0};
        assert_int_equal(weir_pipeline_parse(text, NULL, &p, &err), WEIR_EINVAL);
        assert_non_null(strstr(err.message, "$.views[0].features[2]: its window"));
        free(text);
        weir_pipeline_free(parsed("views/0/features/2/window", right[i]));
    }
}

static void parameters_are_read_by_their_tables(void **state) {
    (void)state;
    weir_pipeline *p =
        parsed("views/0/features/8", "{\"name\":\"q\",\"op\":\"quantile\",\"of\":\"amount * 2\",\"q\":0.95,\"window\":\"all\",\"where\":\"amount > 1\","
                                     "\"default\":-1,\"hidden\":true}");
    const weir_feature_def *f = &p->views[0].features[8];
    int q = 0;
    while (strcmp(f->op->params[q].name, "q")) q++;
    assert_true(f->params.given[q] && f->params.value[q] == 0.95);
    assert_true(f->hidden && f->fallback == -1);
    assert_string_equal(f->of[0], "amount * 2");
    assert_string_equal(f->where, "amount > 1");
    weir_pipeline_free(p);

    p = parsed("views/0/features/8", "{\"name\":\"l\",\"op\":\"lag\",\"of\":\"amount\"}"); /* only "all" is possible; n has a default */
    f = &p->views[0].features[8];
    assert_int_equal(f->window, WEIR_WINDOW_ALL);
    assert_true(!f->params.given[0] && f->params.value[0] == 1);
    weir_pipeline_free(p);

    p = parsed("views/0/features/8", "{\"name\":\"e\",\"op\":\"ewm_mean\",\"of\":\"amount\",\"half_life\":\"1d\"}");
    assert_true(p->views[0].features[8].params.value[0] == (double)WEIR_DAY_US);
    weir_pipeline_free(p);

    p = parsed("views/0/features/8", "{\"name\":\"m\",\"op\":\"distinct_count\",\"of\":\"terminal_id\",\"window\":\"7d\"}"); /* takes texts */
    assert_int_equal(p->views[0].features[8].of_count, 1);
    weir_pipeline_free(p);

    static const struct {
        const char *json, *message;
    } wrong[] = {
        {"{\"name\":\"q\",\"op\":\"quantile\",\"of\":\"amount\",\"window\":\"7d\"}",
         "$.views[0].features[8].q: found nothing, expected what operator quantile needs"},
        {"{\"name\":\"q\",\"op\":\"quantile\",\"of\":\"amount\",\"q\":1.5,\"window\":\"7d\"}",
         "$.views[0].features[8].q: found 1.5, expected a number from 0 to 1"},
        {"{\"name\":\"q\",\"op\":\"quantile\",\"of\":\"amount\",\"q\":\"0.5\",\"window\":\"7d\"}",
         "$.views[0].features[8].q: found \"0.5\", expected a number"},
        {"{\"name\":\"q\",\"op\":\"lag\",\"of\":\"amount\",\"n\":1.5}", "$.views[0].features[8].n: found 1.5, expected a whole number"},
        {"{\"name\":\"q\",\"op\":\"lag\",\"of\":\"amount\",\"n\":0}", "$.views[0].features[8].n: found 0, expected a whole number from 1"},
        {"{\"name\":\"q\",\"op\":\"lag\",\"of\":\"amount\",\"window\":\"7d\"}",
         "$.views[0].features[8].window: operator lag has no window \"sliding\"; expected one of: all"},
        {"{\"name\":\"q\",\"op\":\"ewm_mean\",\"of\":\"amount\",\"half_life\":5}", "$.views[0].features[8].half_life: found 5, expected a duration"},
        {"{\"name\":\"q\",\"op\":\"ewm_mean\",\"of\":\"amount\",\"halflife\":\"5d\"}", "\"halflife\" is no known key; did you mean \"half_life\"?"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        char *text = with("views/0/features/8", wrong[i].json);
        weir_err err = {0};
        assert_int_equal(weir_pipeline_parse(text, NULL, &p, &err), WEIR_EINVAL);
        if (!strstr(err.message, wrong[i].message)) fail_msg("\"%s\" lacks \"%s\"", err.message, wrong[i].message);
        free(text);
    }
}

static void lists_are_sorted_numbers(void **state) {
    (void)state;
    weir_pipeline *p = parsed("lists", "{\"days\":[\"2012-01-02\",\"1969-12-31\",\"1970-01-02\"],\"sizes\":[3,1,2,1],\"words\":[\"energy\",\"2012\"]}");
    const double *values;
    int count;
    bool texts;
    assert_int_equal(p->list_count, 3);
    assert_true(weir_pipeline_find_list(p, "days", &values, &count, &texts));
    assert_true(!texts && count == 3 && values[0] == -1 && values[1] == 1 && values[2] == 15341);
    assert_true(weir_pipeline_find_list(p, "sizes", &values, &count, &texts));
    assert_true(!texts && count == 3 && values[0] == 1 && values[2] == 3);
    assert_true(weir_pipeline_find_list(p, "words", &values, &count, &texts));
    assert_true(texts && count == 2);
    double word = weir_text_number("energy", 6);
    assert_true(values[0] == word || values[1] == word);
    assert_false(weir_pipeline_find_list(p, "none", &values, &count, &texts));
    weir_pipeline_free(p);
}

static void expressions_may_use_what_stands_behind_them(void **state) {
    (void)state;
    weir_pipeline *p = parsed("views/0/features/0/expr", "\"amount / customer_amount_mean_7d + day(event_time) * tx_during_night\"");
    assert_null(p->views[0].features[0].op);
    assert_int_equal(p->views[0].at, WEIR_AT_READ);
    weir_pipeline_free(p);
    p = parsed("views/0/at", "\"event\"");
    assert_int_equal(p->views[0].at, WEIR_AT_EVENT);
    weir_pipeline_free(p);
}

static void serving_has_policies_for_all_views_and_for_single_ones(void **state) {
    (void)state;
    weir_err err;
    char *text =
        with("serving", "{\"requests\": true, \"tenants\": true, \"model_memory_mib\": 3, \"features\": {\"missing\": \"abstain\", \"late\": \"fallback\", "
                        "\"max_age\": \"2h\", \"fallback\": \"rules/3\", \"views\": {\"terminal\": {\"missing\": \"score\", \"max_age\": \"1d\"}}}}");
    weir_pipeline *p = NULL, *plain = fraud();
    if (weir_pipeline_parse(text, NULL, &p, &err)) fail_msg("%s", err.message);
    const weir_serving_def *serving = &p->serving;
    assert_true(serving->requests && serving->tenants && serving->model_memory_bytes == 3 << 20 && !strcmp(serving->fallback, "rules/3"));
    for (int v = 0; v < p->view_count; v++) {
        bool terminal = !strcmp(p->views[v].name, "terminal");
        const weir_view_policy *policy = &serving->views[v];
        assert_int_equal(policy->missing, terminal ? WEIR_POLICY_SCORE : WEIR_POLICY_ABSTAIN);
        assert_int_equal(policy->late, WEIR_POLICY_FALLBACK);
        assert_true(policy->max_age_us == (terminal ? 24 : 2) * INT64_C(3600000000));
    }
    assert_string_equal(p->feature_hash, plain->feature_hash);
    for (int v = 0; v < plain->view_count; v++)
        assert_true(!plain->serving.views[v].missing && !plain->serving.views[v].late && !plain->serving.views[v].max_age_us);
    assert_true(!plain->serving.requests && !plain->serving.tenants && !plain->serving.fallback && plain->serving.model_memory_bytes == INT64_C(1) << 30);
    weir_pipeline_free(p);
    weir_pipeline_free(plain);
    free(text);
}

static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    weir_allocator kept = weir_mem;
    weir_status status = WEIR_ENOMEM;
    int n = 0;
    const char *text = weir_embedded_find("pipelines/fraud.json")->data;
    weir_mem.realloc = failing_realloc;
    for (; status && n < 2000; n++) {
        weir_pipeline *p = NULL;
        weir_err err = {0};
        allocations_left = n;
        status = weir_pipeline_parse(text, NULL, &p, &err);
        if (status && err.code != WEIR_ENOMEM) fail_msg("after %d: %s", n, err.message);
        weir_pipeline_free(p);
    }
    weir_mem = kept;
    assert_int_equal(status, WEIR_OK);
    assert_true(n > 5);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fraud_pipeline_is_read_as_written),
        cmocka_unit_test(tenants_are_told_apart_where_events_have_a_column_for_them),
        cmocka_unit_test(only_days_are_compacted_by_themselves),
        cmocka_unit_test(wrong_files_are_told_where_and_how),
        cmocka_unit_test(text_that_is_no_json_is_told_by_line),
        cmocka_unit_test(paths_of_batches_have_the_numbers_of_a_time),
        cmocka_unit_test(the_environment_is_put_in),
        cmocka_unit_test(defaults_are_those_of_the_header),
        cmocka_unit_test(the_hash_is_of_features_only),
        cmocka_unit_test(files_are_found_by_name_and_by_path),
        cmocka_unit_test(topics_and_the_schema_of_features_are_named_after_the_view),
        cmocka_unit_test(a_rollout_runs_by_itself_where_steps_are_given),
        cmocka_unit_test(requests_are_routed_by_a_column_of_the_events),
        cmocka_unit_test(windows_are_read_as_written),
        cmocka_unit_test(the_ttl_covers_closed_windows),
        cmocka_unit_test(parameters_are_read_by_their_tables),
        cmocka_unit_test(lists_are_sorted_numbers),
        cmocka_unit_test(expressions_may_use_what_stands_behind_them),
        cmocka_unit_test(serving_has_policies_for_all_views_and_for_single_ones),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
