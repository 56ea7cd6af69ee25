#include "consumers/rollout_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "features/duck.h"

static void copy(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from);
}

/* ---- bytes as hex ---- */

static void to_hex(const uint8_t *bytes, size_t len, char *hex) {
    for (size_t i = 0; i < len; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static int nibble(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static size_t from_hex(const char *hex, uint8_t *bytes, size_t max) {
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len && i < max; i++) bytes[i] = (uint8_t)(nibble(hex[2 * i]) * 16 + nibble(hex[2 * i + 1]));
    return len;
}

/* ---- rows ---- */

void weir_rollout_settings_text(const weir_rollout_def *def, char text[WEIR_ROLLOUT_SETTINGS_MAX]) {
    int used = snprintf(text, WEIR_ROLLOUT_SETTINGS_MAX, "%s, alpha %.17g, margin %.17g, by %s", weir_loss_names[def->loss], def->alpha, def->margin,
                        def->by_request ? "request" : "entity");
    if (def->context) /* what a bucket is, and what is staked */
        snprintf(text + used, WEIR_ROLLOUT_SETTINGS_MAX - (size_t)used, ", context %.150s in %d buckets of %s, floor %g", def->context, (int)def->buckets,
                 def->salt, def->floor);
}

static weir_status state_of(const char *name, weir_rollout_state *ret_state, weir_err *err) {
    for (int i = 0; weir_rollout_state_names[i]; i++) {
        if (strcmp(weir_rollout_state_names[i], name)) continue;
        *ret_state = (weir_rollout_state)i;
        return WEIR_OK;
    }
    return WEIR_FAIL(err, WEIR_EDATA, "a rollout in weir.rollouts is \"%s\"", name);
}

enum {
    ROW_ID,
    ROW_CHAMPION,
    ROW_CHAMPION_VERSION,
    ROW_CHAMPION_DIGEST,
    ROW_STATE,
    ROW_STEP,
    ROW_SHADOW,
    ROW_WINNER,
    ROW_ESTIMATE,
    ROW_STARTED,
    ROW_SETTINGS,
    ROW_REASON,
    ROW_KNOWN_TO,
    ROW_REVISION,
    ROW_ALIASES_DUE,
    ROW_BUCKETS
};

static weir_status read_row(const PGresult *result, weir_rollout_record *r, weir_err *err) {
    uint8_t bytes[WEIR_ROLLOUT_SUMS_BYTES], buckets[WEIR_ROLLOUT_BUCKETS_BYTES];
    copy(r->id, sizeof r->id, PQgetvalue(result, 0, ROW_ID));
    copy(r->champion.model, sizeof r->champion.model, PQgetvalue(result, 0, ROW_CHAMPION));
    copy(r->champion.digest, sizeof r->champion.digest, PQgetvalue(result, 0, ROW_CHAMPION_DIGEST));
    r->champion.version = atoi(PQgetvalue(result, 0, ROW_CHAMPION_VERSION));
    r->rollout.step = atoi(PQgetvalue(result, 0, ROW_STEP));
    r->rollout.shadow = *PQgetvalue(result, 0, ROW_SHADOW) == 't';
    r->rollout.winner = PQgetisnull(result, 0, ROW_WINNER) ? WEIR_ROLLOUT_NOBODY : atoi(PQgetvalue(result, 0, ROW_WINNER));
    r->rollout.started_us = atoll(PQgetvalue(result, 0, ROW_STARTED));
    copy(r->settings, sizeof r->settings, PQgetvalue(result, 0, ROW_SETTINGS));
    copy(r->reason, sizeof r->reason, PQgetvalue(result, 0, ROW_REASON));
    copy(r->known_to, sizeof r->known_to, PQgetvalue(result, 0, ROW_KNOWN_TO));
    r->revision = atoi(PQgetvalue(result, 0, ROW_REVISION));
    r->aliases_due = *PQgetvalue(result, 0, ROW_ALIASES_DUE) == 't';
    weir_status status = state_of(PQgetvalue(result, 0, ROW_STATE), &r->rollout.state, err);
    if (!status) status = weir_rollout_decode_buckets(buckets, from_hex(PQgetvalue(result, 0, ROW_BUCKETS), buckets, sizeof buckets), &r->rollout, err);
    if (status || PQgetisnull(result, 0, ROW_ESTIMATE)) return status;
    return weir_rollout_decode_sums(bytes, from_hex(PQgetvalue(result, 0, ROW_ESTIMATE), bytes, sizeof bytes), &r->rollout.champion, err);
}

enum { ARM_SLOT, ARM_MODEL, ARM_VERSION, ARM_DIGEST, ARM_SHARE, ARM_STOPPED, ARM_STEP_ROWS, ARM_LEFT_OUT, ARM_EVIDENCE };

static weir_status read_arm(const weir_rollout_def *def, const PGresult *result, int i, weir_rollout_record *r, weir_err *err) {
    uint8_t bytes[WEIR_ROLLOUT_ARM_BYTES];
    weir_rollout fresh;
    weir_rollout_arm *arm = &r->rollout.arms[i];
    weir_rollout_version *version = &r->challengers[i];
    if (atoi(PQgetvalue(result, i, ARM_SLOT)) != i) return WEIR_FAIL(err, WEIR_EDATA, "rollout %s has no challenger in slot %d, but one after it", r->id, i);
    weir_status status = weir_rollout_begin(def, 1, false, 0, &fresh, err); /* what older evidence does not have */
    if (status) return status;
    *arm = fresh.arms[0];
    copy(version->model, sizeof version->model, PQgetvalue(result, i, ARM_MODEL));
    copy(version->digest, sizeof version->digest, PQgetvalue(result, i, ARM_DIGEST));
    version->version = atoi(PQgetvalue(result, i, ARM_VERSION));
    arm->share = atof(PQgetvalue(result, i, ARM_SHARE));
    arm->stopped = *PQgetvalue(result, i, ARM_STOPPED) == 't';
    arm->step_rows = atof(PQgetvalue(result, i, ARM_STEP_ROWS));
    arm->left_out = atof(PQgetvalue(result, i, ARM_LEFT_OUT));
    return weir_rollout_decode(bytes, from_hex(PQgetvalue(result, i, ARM_EVIDENCE), bytes, sizeof bytes), arm, err);
}

static weir_status read_arms(weir_pg *pg, const weir_rollout_def *def, weir_rollout_record *r, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {r->id};
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT slot, model, version, digest, share, stopped, step_rows, left_out, encode(evidence, 'hex') FROM weir.rollout_arms "
                     "WHERE rollout_id = $1 ORDER BY slot",
                     1, params, &result, err);
    if (status) return status;
    r->rollout.arm_count = PQntuples(result);
    if (!r->rollout.arm_count || r->rollout.arm_count > WEIR_CHALLENGERS_MAX)
        status = WEIR_FAIL(err, WEIR_EDATA, "rollout %s has %d challengers, expected 1 to %d", r->id, r->rollout.arm_count, WEIR_CHALLENGERS_MAX);
    for (int i = 0; !status && i < r->rollout.arm_count; i++) status = read_arm(def, result, i, r, err);
    PQclear(result);
    return status;
}

weir_status weir_rollout_newest(weir_pg *pg, const weir_pipeline *pipeline, bool lock, weir_rollout_record *ret_record, weir_err *err) {
    static const char sql[] =
        "SELECT rollout_id, champion_model, champion_version, champion_digest, state, step, shadow, winner, encode(estimate, 'hex'), "
        "(extract(epoch FROM started_at) * 1000000)::int8, settings, reason, known_to, revision, aliases_due, encode(buckets, 'hex') FROM weir.rollouts "
        "WHERE pipeline = $1 "
        "ORDER BY started_at DESC, rollout_id DESC LIMIT 1%s";
    char text[sizeof sql + 16];
    PGresult *result = NULL;
    const char *params[] = {pipeline->name};
    snprintf(text, sizeof text, sql, lock ? " FOR UPDATE" : "");
    *ret_record = (weir_rollout_record){0};
    weir_status status = weir_pg_exec(pg, text, 1, params, &result, err);
    if (status) return status;
    bool there = PQntuples(result) > 0;
    if (there) status = read_row(result, ret_record, err);
    PQclear(result);
    return status || !there ? status : read_arms(pg, &pipeline->rollout, ret_record, err);
}

/* Writes one challenger as it is now. */
static weir_status save_arm(weir_pg *pg, const weir_rollout_record *r, int slot, weir_err *err) {
    const weir_rollout_arm *arm = &r->rollout.arms[slot];
    const weir_rollout_version *version = &r->challengers[slot];
    uint8_t bytes[WEIR_ROLLOUT_ARM_BYTES];
    char hex[2 * WEIR_ROLLOUT_ARM_BYTES + 1], slot_text[16], number[16], share[32], step_rows[32], left_out[32];
    weir_rollout_encode(arm, bytes);
    to_hex(bytes, sizeof bytes, hex);
    snprintf(slot_text, sizeof slot_text, "%d", slot);
    snprintf(number, sizeof number, "%d", version->version);
    snprintf(share, sizeof share, "%.17g", arm->share);
    snprintf(step_rows, sizeof step_rows, "%.17g", arm->step_rows);
    snprintf(left_out, sizeof left_out, "%.17g", arm->left_out);
    const char *params[] = {r->id, slot_text, version->model, number, version->digest, share, arm->stopped ? "true" : "false", step_rows, left_out, hex};
    return weir_pg_exec(pg,
                        "INSERT INTO weir.rollout_arms VALUES ($1, $2::int, $3, $4::int, $5, $6::float8, $7::bool, $8::float8, $9::float8, decode($10, 'hex')) "
                        "ON CONFLICT (rollout_id, slot) DO UPDATE SET share = EXCLUDED.share, stopped = EXCLUDED.stopped, step_rows = EXCLUDED.step_rows, "
                        "left_out = EXCLUDED.left_out, evidence = EXCLUDED.evidence",
                        10, params, NULL, err);
}

static weir_status save_arms(weir_pg *pg, const weir_rollout_record *r, weir_err *err) {
    weir_status status = WEIR_OK;
    for (int slot = 0; !status && slot < r->rollout.arm_count; slot++) status = save_arm(pg, r, slot, err);
    return status;
}

weir_status weir_rollout_insert(weir_pg *pg, const char *pipeline, const weir_rollout_record *r, weir_err *err) {
    const weir_rollout_version *first = &r->challengers[0];
    char champion[16], challenger[16], step[16], share[32], started[WEIR_TIME_TEXT_MAX];
    snprintf(champion, sizeof champion, "%d", r->champion.version);
    snprintf(challenger, sizeof challenger, "%d", first->version);
    snprintf(step, sizeof step, "%d", r->rollout.step);
    snprintf(share, sizeof share, "%.17g", r->rollout.arms[0].share);
    const char *params[] = {r->id,
                            pipeline,
                            r->champion.model,
                            champion,
                            r->champion.digest,
                            first->model,
                            challenger,
                            first->digest,
                            share,
                            r->settings,
                            weir_time_format(r->rollout.started_us, started),
                            step,
                            r->rollout.shadow ? "true" : "false"};
    weir_status status =
        weir_pg_exec(pg,
                     "INSERT INTO weir.rollouts (rollout_id, pipeline, champion_model, champion_version, champion_digest, challenger_model, "
                     "challenger_version, challenger_digest, state, reason, step, share, step_rows, left_out, evidence, settings, started_at, shadow) VALUES "
                     "($1, $2, $3, $4::int, $5, $6, $7::int, $8, 'running', '', $12::int, $9::float8, 0, 0, '', $10, $11::timestamptz, $13::bool)",
                     13, params, NULL, err);
    return status ? status : save_arms(pg, r, err);
}

weir_status weir_rollout_save(weir_pg *pg, const weir_rollout_record *r, weir_err *err) {
    const weir_rollout_arm *first = &r->rollout.arms[0];
    uint8_t bytes[WEIR_ROLLOUT_SUMS_BYTES], bucket_bytes[WEIR_ROLLOUT_BUCKETS_BYTES];
    char hex[2 * WEIR_ROLLOUT_SUMS_BYTES + 1], buckets[2 * WEIR_ROLLOUT_BUCKETS_BYTES + 1];
    char step[16], winner[16], share[32], step_rows[32], left_out[32], revision[16];
    weir_rollout_encode_sums(&r->rollout.champion, bytes);
    to_hex(bytes, sizeof bytes, hex);
    to_hex(bucket_bytes, weir_rollout_encode_buckets(&r->rollout, bucket_bytes), buckets);
    snprintf(step, sizeof step, "%d", r->rollout.step);
    snprintf(winner, sizeof winner, "%d", r->rollout.winner);
    snprintf(share, sizeof share, "%.17g", first->share);
    snprintf(step_rows, sizeof step_rows, "%.17g", first->step_rows);
    snprintf(left_out, sizeof left_out, "%.17g", first->left_out);
    snprintf(revision, sizeof revision, "%d", r->revision);
    const char *params[] = {r->id,
                            weir_rollout_state_names[r->rollout.state],
                            r->reason,
                            step,
                            share,
                            step_rows,
                            left_out,
                            hex,
                            *r->known_to ? r->known_to : NULL,
                            revision,
                            r->aliases_due ? "true" : "false",
                            weir_rollout_active(&r->rollout) ? "false" : "true",
                            r->rollout.winner == WEIR_ROLLOUT_NOBODY ? NULL : winner,
                            r->rollout.bucket_count ? buckets : NULL};
    weir_status status =
        weir_pg_exec(pg,
                     "UPDATE weir.rollouts SET state = $2, reason = $3, step = $4::int, share = $5::float8, step_rows = $6::float8, left_out = $7::float8, "
                     "estimate = decode($8, 'hex'), known_to = $9::timestamptz, revision = $10::int, aliases_due = $11::bool, winner = $13::int, "
                     "buckets = decode($14, 'hex'), "
                     "ended_at = CASE WHEN $12::bool THEN coalesce(ended_at, clock_timestamp()) END WHERE rollout_id = $1",
                     14, params, NULL, err);
    return status ? status : save_arms(pg, r, err);
}

weir_status weir_rollout_note(weir_pg *pg, const weir_pipeline *pipeline, weir_rollout_record *r, const weir_rollout_change *change, const char *actor,
                              weir_err *err) {
    char id[WEIR_ROLLOUT_ID_MAX + 16], share[32];
    cJSON *json = weir_rollout_evidence_json(&pipeline->rollout, &r->rollout), *told = weir_rollout_arms_json(&pipeline->rollout, r);
    char *evidence = json ? cJSON_PrintUnformatted(json) : NULL, *arms = told ? cJSON_PrintUnformatted(told) : NULL;
    cJSON_Delete(json);
    cJSON_Delete(told);
    snprintf(id, sizeof id, "%s/%d", r->id, ++r->revision);
    snprintf(share, sizeof share, "%.17g", r->rollout.arms[0].share);
    copy(r->reason, sizeof r->reason, change->reason);
    r->aliases_due = r->aliases_due || !weir_rollout_active(&r->rollout) || !strcmp(change->type, "stopped");
    const char *params[] = {id, r->id, pipeline->name, change->type, weir_rollout_state_names[r->rollout.state], share, actor, change->reason, evidence, arms};
    weir_status status =
        evidence && arms ? weir_pg_exec(pg,
                                        "INSERT INTO weir.rollout_events (event_id, rollout_id, pipeline, type, state, share, actor, reason, evidence, arms) "
                                        "VALUES ($1, $2, $3, $4, $5, $6::float8, $7, $8, $9::jsonb, $10::jsonb)",
                                        10, params, NULL, err)
                         : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the evidence of a rollout");
    cJSON_free(evidence);
    cJSON_free(arms);
    return status ? status : weir_rollout_save(pg, r, err);
}

/* ---- aliases ---- */

static int slot_of(const char *alias) {
    for (int slot = 0; slot < WEIR_CHALLENGERS_MAX; slot++) {
        if (!strcmp(weir_challenger_names[slot], alias)) return slot;
    }
    return WEIR_ROLLOUT_NOBODY;
}

weir_status weir_rollout_read_aliases(weir_pg *pg, const char *pipeline, weir_rollout_aliases *ret_aliases, weir_err *err) {
    PGresult *result = NULL;
    weir_status status = weir_pg_exec(pg,
                                      "SELECT a.alias, a.model, a.version, v.digest, NOT EXISTS (SELECT FROM weir.rollouts r JOIN weir.rollout_arms m USING "
                                      "(rollout_id) WHERE r.pipeline = a.pipeline "
                                      "AND m.digest = v.digest AND (r.ended_at IS NULL OR r.ended_at >= a.moved_at)) FROM weir.aliases a JOIN "
                                      "weir.model_versions v USING (pipeline, model, version) "
                                      "WHERE a.pipeline = $1 AND (a.alias = 'champion' OR a.alias LIKE 'challenger%')",
                                      1, &pipeline, &result, err);
    if (status) return status;
    *ret_aliases = (weir_rollout_aliases){0};
    for (int i = 0; i < PQntuples(result); i++) {
        const char *alias = PQgetvalue(result, i, 0);
        int slot = slot_of(alias);
        if (slot == WEIR_ROLLOUT_NOBODY && strcmp(alias, "champion") != 0) continue; /* somebody's own */
        weir_rollout_version *v = slot == WEIR_ROLLOUT_NOBODY ? &ret_aliases->champion : &ret_aliases->challengers[slot];
        copy(v->model, sizeof v->model, PQgetvalue(result, i, 1));
        v->version = atoi(PQgetvalue(result, i, 2));
        copy(v->digest, sizeof v->digest, PQgetvalue(result, i, 3));
        if (slot != WEIR_ROLLOUT_NOBODY) ret_aliases->is_new[slot] = *PQgetvalue(result, i, 4) == 't';
    }
    PQclear(result);
    return WEIR_OK;
}

/* ---- outcomes ---- */

/* What the store worker makes when it first runs; predictions have had a policy only since there are several challengers, and a bucket since there are contexts. */
static weir_status has_tables(weir_pg *pg, const weir_pipeline *pipeline, const char *answers, bool *ret_has, weir_err *err) {
    PGresult *result = NULL;
    const char *params[] = {pipeline->name, answers, pipeline->rollout.context ? "bucket" : "policy"};
    weir_status status =
        weir_pg_exec(pg,
                     "SELECT (SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename IN ('predictions', 'labels', $2)) = CASE $2 "
                     "WHEN 'predictions' THEN 2 ELSE 3 END AND EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = "
                     "a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'predictions' AND "
                     "a.attname = $3 AND NOT a.attisdropped)",
                     3, params, &result, err);
    if (status) return status;
    *ret_has = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return WEIR_OK;
}

static void column_name(weir_sql *sql, const char *name) {
    char text[WEIR_ROLLOUT_ID_MAX];
    copy(text, sizeof text, name);
    for (char *c = text; *c; c++) *c = *c == '.' ? '_' : *c;
    weir_sql_name(sql, text);
}

/* The label as a number, or as whatever it is. */
static void put_label(weir_sql *sql, const weir_pipeline *pipeline) {
    const weir_schema_field *label = weir_schema_field_at(pipeline->labels.schema, pipeline->label_column);
    weir_sql_add(sql, "(l.");
    column_name(sql, label->name);
    weir_sql_add(sql, ")%s", label->type == WEIR_T_BOOL ? "::int" : "");
}

static const char *unit_of(const weir_pipeline *pipeline) {
    return pipeline->rollout.by_request ? "p.source_partition || '-' || p.source_offset || '-' || (extract(epoch FROM p.event_time) * 1000000)::int8"
                                        : "p.tenant || '/' || p.entity";
}

/* FROM predictions with their labels; p and l. Parameters: rollout, versions, start. */
static void put_join(weir_sql *sql, const weir_pipeline *pipeline) {
    const char *join = weir_schema_field_at(pipeline->labels.schema, pipeline->label_join[1])->name;
    weir_sql_add(sql, " FROM \"%s\".predictions p JOIN \"%s\".labels l ON l.tenant = p.tenant AND (l.", pipeline->name, pipeline->name);
    column_name(sql, join);
    weir_sql_add(sql, ")::text = p.join_id");
}

static void put_conditions(weir_sql *sql, const weir_pipeline *pipeline, const char *unit) {
    weir_loss loss = pipeline->rollout.loss;
    bool yes_or_no = loss == WEIR_LOSS_LOG || loss == WEIR_LOSS_BRIER || loss == WEIR_LOSS_ERROR;
    weir_sql_add(sql, " WHERE p.predicted_at >= $3::timestamptz AND p.source_partition >= 0 AND p.event_time >= (SELECT at FROM since) AND l.event_time >= "
                      "(SELECT at FROM since) AND ");
    put_label(sql, pipeline);
    weir_sql_add(sql, " %s AND NOT EXISTS (SELECT FROM weir.rollout_outcomes o WHERE o.rollout_id = $1 AND o.unit = %s) ",
                 yes_or_no ? "IN (0, 1)" : "IS NOT NULL", unit);
}

static void put_head(weir_sql *sql, const weir_pipeline *pipeline) {
    weir_sql_add(sql,
                 "WITH since AS (SELECT min(event_time) AS at FROM \"%s\".predictions WHERE predicted_at >= $3::timestamptz), versions AS (SELECT * FROM "
                 "json_to_recordset($2::json) AS v(slot int, arm text, model text, version int)), pairs AS (SELECT DISTINCT ON (unit) ",
                 pipeline->name);
}

/* Each unit's first outcome, the oldest first, noted as counted. */
static weir_status put_tail(weir_sql *sql, const char *columns, weir_err *err) {
    weir_sql_add(
        sql,
        "ORDER BY unit, l.available_time, l.source_partition, l.source_offset), taken AS (SELECT * FROM pairs ORDER BY available_time, part, off LIMIT %d), "
        "counted AS (INSERT INTO weir.rollout_outcomes SELECT $1, unit FROM taken) SELECT label, available_time, %s FROM taken ORDER BY available_time, part, "
        "off",
        WEIR_ROLLOUT_FEED_MAX, columns);
    return weir_sql_end(sql, err);
}

enum {
    FED_LABEL,
    FED_KNOWN,
    FED_SLOT,
    FED_SCORE,
    FED_DECISION,
    FED_PROPENSITY,
    FED_POLICY,
    FED_BUCKET,
    FED_SHADOW_SCORE = FED_PROPENSITY,
    FED_SHADOW_DECISION
};

/* Predictions that were served. */
static weir_status served_sql(const weir_pipeline *pipeline, weir_sql *sql, weir_err *err) {
    const char *unit = unit_of(pipeline);
    put_head(sql, pipeline);
    weir_sql_add(sql, "%s AS unit, v.slot, p.propensity, p.policy, %s AS bucket, p.score, coalesce(p.decision, false) AS decision, ", unit,
                 pipeline->rollout.context ? "p.bucket" : "NULL::int");
    put_label(sql, pipeline);
    weir_sql_add(sql, "::float8 AS label, l.available_time, l.source_partition AS part, l.source_offset AS off");
    put_join(sql, pipeline);
    weir_sql_add(sql, " JOIN versions v ON p.arm = v.arm AND p.model = v.model AND p.version = v.version");
    put_conditions(sql, pipeline, unit);
    return put_tail(sql, "slot, score, decision, propensity, policy, bucket", err);
}

/* Requests that the champion answered and a challenger scored in shadow. */
static weir_status shadow_sql(const weir_pipeline *pipeline, weir_sql *sql, weir_err *err) {
    char unit[256];
    snprintf(unit, sizeof unit, "'shadow ' || v.slot || ' ' || %s", unit_of(pipeline));
    put_head(sql, pipeline);
    weir_sql_add(
        sql, "%s AS unit, v.slot, p.score, coalesce(p.decision, false) AS decision, s.score AS shadow_score, coalesce(s.decision, false) AS shadow_decision, ",
        unit);
    put_label(sql, pipeline);
    weir_sql_add(sql, "::float8 AS label, l.available_time, l.source_partition AS part, l.source_offset AS off");
    put_join(sql, pipeline);
    weir_sql_add(sql,
                 " JOIN versions c ON c.slot = -1 AND p.arm = c.arm AND p.model = c.model AND p.version = c.version JOIN \"%s\".shadows s ON s.event_time = "
                 "p.event_time "
                 "AND s.scored_partition = p.source_partition AND s.scored_offset = p.source_offset AND s.predicted_at >= $3::timestamptz JOIN versions v ON "
                 "v.slot >= 0 "
                 "AND s.model = v.model AND s.version = v.version",
                 pipeline->name);
    put_conditions(sql, pipeline, unit);
    return put_tail(sql, "slot, score, decision, shadow_score, shadow_decision", err);
}

/* [{"slot": -1, "arm": "champion", "model": …, "version": …}, …]; NULL without memory. The caller frees it by cJSON_free. */
static char *versions_text(const weir_rollout_record *r) {
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    for (int slot = WEIR_ROLLOUT_NOBODY; ok && slot < r->rollout.arm_count; slot++) {
        const weir_rollout_version *version = slot == WEIR_ROLLOUT_NOBODY ? &r->champion : &r->challengers[slot];
        cJSON *item = cJSON_CreateObject();
        ok = item && cJSON_AddItemToArray(list, item) && cJSON_AddNumberToObject(item, "slot", slot) &&
             cJSON_AddStringToObject(item, "arm", slot == WEIR_ROLLOUT_NOBODY ? "champion" : weir_challenger_names[slot]) &&
             cJSON_AddStringToObject(item, "model", version->model) && cJSON_AddNumberToObject(item, "version", version->version);
    }
    char *text = ok ? cJSON_PrintUnformatted(list) : NULL;
    cJSON_Delete(list);
    return text;
}

void weir_rollout_read_policy(int arm, double propensity, const char *policy, weir_rollout_row *row) {
    *row = (weir_rollout_row){.arm = arm,
                              .bucket = row->bucket,
                              .champion_share = arm == WEIR_ROLLOUT_NOBODY ? propensity : 1 - propensity,
                              .answer = row->answer,
                              .label = row->label};
    if (!*policy) {
        row->shares[arm == WEIR_ROLLOUT_NOBODY ? 0 : arm] = arm == WEIR_ROLLOUT_NOBODY ? 1 - propensity : propensity;
        return;
    }
    row->champion_share = 0;
    for (const char *at = policy; *at;) {
        char name[32];
        double share;
        int used = 0;
        bool fine = sscanf(at, "%31[^ ,] %lf%n", name, &share, &used) == 2 && share >= 0 && share <= 1 && (at[used] == 0 || at[used] == ',');
        int slot = fine ? slot_of(name) : WEIR_ROLLOUT_NOBODY;
        if (!fine || (slot == WEIR_ROLLOUT_NOBODY && strcmp(name, "champion") != 0)) {
            *row = (weir_rollout_row){.arm = WEIR_ROLLOUT_NOBODY, .bucket = row->bucket, .champion_share = 1, .answer = row->answer, .label = row->label};
            return;
        }
        *(slot == WEIR_ROLLOUT_NOBODY ? &row->champion_share : &row->shares[slot]) = share;
        at += used + (at[used] == ',');
    }
}

static weir_status add_served(const weir_rollout_def *def, const PGresult *result, int i, weir_rollout *rollout, weir_err *why) {
    weir_rollout_row row = {.bucket = PQgetisnull(result, i, FED_BUCKET) ? WEIR_ROLLOUT_NO_BUCKET : atoi(PQgetvalue(result, i, FED_BUCKET)),
                            .answer = {.score = atof(PQgetvalue(result, i, FED_SCORE)), .decision = *PQgetvalue(result, i, FED_DECISION) == 't'},
                            .label = atof(PQgetvalue(result, i, FED_LABEL))};
    weir_rollout_read_policy(atoi(PQgetvalue(result, i, FED_SLOT)), atof(PQgetvalue(result, i, FED_PROPENSITY)), PQgetvalue(result, i, FED_POLICY), &row);
    return weir_rollout_add(def, rollout, &row, why);
}

static weir_status add_shadow(const weir_rollout_def *def, const PGresult *result, int i, weir_rollout *rollout, weir_err *why) {
    const weir_rollout_pair pair = {
        .arm = atoi(PQgetvalue(result, i, FED_SLOT)),
        .champion = {.score = atof(PQgetvalue(result, i, FED_SCORE)), .decision = *PQgetvalue(result, i, FED_DECISION) == 't'},
        .challenger = {.score = atof(PQgetvalue(result, i, FED_SHADOW_SCORE)), .decision = *PQgetvalue(result, i, FED_SHADOW_DECISION) == 't'},
        .label = atof(PQgetvalue(result, i, FED_LABEL))};
    return weir_rollout_add_pair(def, rollout, &pair, why);
}

/* What there is of one kind. */
static weir_status feed_kind(weir_pg *pg, const weir_pipeline *pipeline, bool shadows, weir_rollout_record *r, int *ret_count, int *ret_bad, weir_err *ret_why,
                             weir_err *err) {
    char started[WEIR_TIME_TEXT_MAX];
    weir_sql sql = {0};
    PGresult *result = NULL;
    bool has = false;
    weir_status status = has_tables(pg, pipeline, shadows ? "shadows" : "predictions", &has, err);
    if (status || !has) return status;
    char *versions = versions_text(r);
    const char *params[] = {r->id, versions, weir_time_format(r->rollout.started_us, started)};
    status = versions ? shadows ? shadow_sql(pipeline, &sql, err) : served_sql(pipeline, &sql, err)
                      : WEIR_RETRY(err, WEIR_ENOMEM, "no memory for the versions of a rollout");
    if (!status) status = weir_pg_exec(pg, sql.text.data, 3, params, &result, err);
    weir_sql_done(&sql);
    cJSON_free(versions);
    if (status) return status;
    int count = PQntuples(result);
    for (int i = 0; i < count; i++) {
        const weir_rollout_def *def = &pipeline->rollout;
        if (shadows ? add_shadow(def, result, i, &r->rollout, ret_why) : add_served(def, result, i, &r->rollout, ret_why)) ++*ret_bad;
    }
    if (count && strcmp(PQgetvalue(result, count - 1, FED_KNOWN), r->known_to) > 0)
        copy(r->known_to, sizeof r->known_to, PQgetvalue(result, count - 1, FED_KNOWN));
    *ret_count = count > *ret_count ? count : *ret_count;
    PQclear(result);
    return WEIR_OK;
}

weir_status weir_rollout_feed(weir_pg *pg, const weir_pipeline *pipeline, weir_rollout_record *r, int *ret_count, int *ret_bad, weir_err *ret_why,
                              weir_err *err) {
    *ret_count = *ret_bad = 0;
    /* Tables that grow while they are joined have old statistics or none, and then nested loops look cheap: they take minutes where a hash join takes a second. */
    weir_status status = weir_pg_exec(pg, "SET LOCAL enable_nestloop = off", 0, NULL, NULL, err);
    if (!status) status = feed_kind(pg, pipeline, false, r, ret_count, ret_bad, ret_why, err);
    if (status || !r->rollout.shadow) return status;
    return feed_kind(pg, pipeline, true, r, ret_count, ret_bad, ret_why, err);
}

/* ---- evidence ---- */

static bool add_number(cJSON *to, const char *name, double value) {
    return isfinite(value) ? cJSON_AddNumberToObject(to, name, value) != NULL : cJSON_AddNullToObject(to, name) != NULL;
}

static bool add_interval(cJSON *to, const char *name, const weir_sequence_interval *interval) {
    cJSON *object = cJSON_AddObjectToObject(to, name);
    return object && add_number(object, "value", interval->value) && add_number(object, "low", interval->low) && add_number(object, "high", interval->high);
}

/* E-values and the confidence sequence of the gain. */
static bool add_test(cJSON *to, const weir_rollout_def *def, const weir_rollout *r, const weir_rollout_arm *arm) {
    const weir_arms_settings settings = weir_rollout_settings(def);
    const weir_e_values e = weir_arms_e(&settings, &arm->test);
    weir_sequence_interval gain = {NAN, NAN, NAN};
    if (arm->test.evidence.count > 0 && weir_arms_interval(&settings, &arm->test, def->alpha / r->arm_count, &gain, NULL))
        gain = (weir_sequence_interval){NAN, NAN, NAN};
    cJSON *values = cJSON_AddObjectToObject(to, "e_values");
    return values && add_number(values, "better", e.better_peak) && add_number(values, "worse", e.worse_peak) &&
           add_number(values, "needed", weir_rollout_better_needed(def, r)) && add_number(values, "worse_needed", weir_rollout_worse_needed(def, r)) &&
           add_interval(to, "gain", &gain);
}

static bool add_split(cJSON *to, const weir_rollout_arm *arm) {
    double outcomes = arm->test.count[0] + arm->test.count[1], measured = outcomes > 0 ? arm->test.count[1] / outcomes : NAN;
    cJSON *split = cJSON_AddObjectToObject(to, "split");
    return split && add_number(split, "measured", measured) && add_number(split, "planned", isnan(measured) ? NAN : measured - arm->ratio.mean) &&
           add_number(split, "e_value", weir_rollout_ratio_e(arm)) && add_number(split, "alarm", 2 / WEIR_ROLLOUT_RATIO_ALPHA);
}

/* What shadows have shown; nothing where there was none. */
static bool add_pairs(cJSON *to, const weir_rollout_def *def, const weir_rollout *r, const weir_rollout_arm *arm) {
    const weir_evidence_settings settings = weir_rollout_pair_settings(def);
    const weir_e_values e = weir_evidence_e(&settings, &arm->pairs);
    weir_sequence_interval gain = {NAN, NAN, NAN};
    if (!r->shadow) return true;
    if (arm->pairs.count > 0 && weir_evidence_interval(&settings, &arm->pairs, def->alpha / r->arm_count, &gain, NULL))
        gain = (weir_sequence_interval){NAN, NAN, NAN};
    cJSON *pairs = cJSON_AddObjectToObject(to, "shadow");
    return pairs && add_number(pairs, "pairs", arm->pairs.count) && add_number(pairs, "better", e.better_peak) && add_number(pairs, "worse", e.worse_peak) &&
           add_interval(pairs, "gain", &gain);
}

static bool add_estimate(cJSON *to, const char *name, const weir_estimate *estimate) {
    cJSON *object = cJSON_AddObjectToObject(to, name);
    return object && add_number(object, "value", estimate->value) && add_number(object, "low", estimate->low) && add_number(object, "high", estimate->high);
}

/* The loss if the arm had all the traffic. */
static bool add_all(cJSON *to, const weir_offpolicy *sums) {
    weir_offpolicy_report report;
    if (sums->weights <= 0 || weir_offpolicy_report_of(sums, 0.95, &report, NULL)) return cJSON_AddNullToObject(to, "all_traffic") != NULL;
    cJSON *object = cJSON_AddObjectToObject(to, "all_traffic");
    return object && add_estimate(object, "ips", &report.ips) && add_estimate(object, "snips", &report.snips) &&
           add_estimate(object, "robust", &report.robust) && add_number(object, "effective_count", report.effective_count) &&
           cJSON_AddBoolToObject(object, "extreme", report.extreme);
}

static bool add_arm(cJSON *arms, const char *name, double share, double count, double mean, const weir_offpolicy *sums, cJSON **ret_arm) {
    *ret_arm = cJSON_AddObjectToObject(arms, name);
    return *ret_arm && add_number(*ret_arm, "share", share) && add_number(*ret_arm, "outcomes", count) &&
           add_number(*ret_arm, "loss", count > 0 ? mean : NAN) && add_all(*ret_arm, sums);
}

/* By the number of the bucket; nothing without a context. */
static bool add_buckets(cJSON *to, const weir_rollout_def *def, const weir_rollout *r, int arm) {
    cJSON *list = r->bucket_count ? cJSON_AddArrayToObject(to, "buckets") : NULL;
    bool ok = list || !r->bucket_count;
    for (int b = 0; ok && b < r->bucket_count; b++) {
        cJSON *item = cJSON_CreateObject();
        ok = item && cJSON_AddItemToArray(list, item) && add_number(item, "share", weir_rollout_bucket_share(r, b, arm)) &&
             add_number(item, "outcomes", weir_rollout_bucket_outcomes(r, b, arm)) && add_number(item, "loss", weir_rollout_bucket_loss(def, r, b, arm));
    }
    return ok;
}

static bool add_arms(cJSON *json, const weir_rollout_def *def, const weir_rollout *r) {
    const weir_arms_test *most = &r->arms[0].test;
    cJSON *arms = cJSON_AddObjectToObject(json, "arms"), *object;
    for (int a = 0; a < r->arm_count; a++) most = r->arms[a].test.count[0] > most->count[0] ? &r->arms[a].test : most;
    bool ok = arms && add_arm(arms, "champion", weir_rollout_champion_share(r), most->count[0], most->mean[0], &r->champion, &object) &&
              add_buckets(object, def, r, WEIR_ROLLOUT_NOBODY);
    for (int a = 0; ok && a < r->arm_count; a++) {
        const weir_rollout_arm *arm = &r->arms[a];
        ok = add_arm(arms, weir_challenger_names[a], arm->share, arm->test.count[1], arm->test.mean[1], &arm->all, &object) &&
             cJSON_AddBoolToObject(object, "stopped", arm->stopped) && add_number(object, "step_rows", arm->step_rows) &&
             add_number(object, "left_out", arm->left_out) && add_test(object, def, r, arm) && add_split(object, arm) && add_pairs(object, def, r, arm) &&
             add_buckets(object, def, r, a);
    }
    return ok;
}

cJSON *weir_rollout_evidence_json(const weir_rollout_def *def, const weir_rollout *r) {
    const weir_rollout_arm *first = &r->arms[0];
    cJSON *json = cJSON_CreateObject();
    bool ok = json && cJSON_AddStringToObject(json, "loss", weir_loss_names[def->loss]) && add_number(json, "alpha", def->alpha) &&
              add_number(json, "challengers", r->arm_count) && add_number(json, "step_rows", first->step_rows) &&
              add_number(json, "left_out", first->left_out) && add_test(json, def, r, first) && add_split(json, first) && add_arms(json, def, r);
    if (ok) return json;
    cJSON_Delete(json);
    return NULL;
}

/* Of each bucket; nothing without a context. */
static bool add_shares(cJSON *to, const weir_rollout *r, int arm) {
    cJSON *list = r->bucket_count ? cJSON_AddArrayToObject(to, "shares") : NULL;
    bool ok = list || !r->bucket_count;
    for (int b = 0; ok && b < r->bucket_count; b++) {
        cJSON *share = cJSON_CreateNumber(r->buckets[b].shares[arm]);
        ok = share && cJSON_AddItemToArray(list, share);
    }
    return ok;
}

cJSON *weir_rollout_arms_json(const weir_rollout_def *def, const weir_rollout_record *record) {
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    for (int a = 0; ok && a < record->rollout.arm_count; a++) {
        char version[96];
        cJSON *item = cJSON_CreateObject();
        snprintf(version, sizeof version, "%s/%d", record->challengers[a].model, record->challengers[a].version);
        ok = item && cJSON_AddItemToArray(list, item) && cJSON_AddStringToObject(item, "arm", weir_challenger_names[a]) &&
             cJSON_AddStringToObject(item, "version", version) && add_number(item, "share", record->rollout.arms[a].share) &&
             add_shares(item, &record->rollout, a) && add_number(item, "shadow", weir_rollout_shadows(&record->rollout, a) ? def->shadow_share : 0);
    }
    if (ok) return list;
    cJSON_Delete(list);
    return NULL;
}
