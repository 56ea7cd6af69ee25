/* Every metric of Weir, declared once. docs/reference.md is made from it; monitoring/ may use no other name. */
#include "core/metrics.h"

const weir_metric_def weir_metric_table[] = {
    /* every worker */
    {"weir_worker_ready", WEIR_GAUGE, "1 while the worker is ready: initialised, partitions assigned, nothing being retried", {"pipeline", "worker"}},
    {"weir_worker_records_total", WEIR_COUNTER, "records taken from Kafka whose effects are durable", {"pipeline", "worker", "topic"}},
    {"weir_worker_batch_seconds", WEIR_HISTOGRAM, "time to make one batch durable", {"pipeline", "worker"}},
    {"weir_worker_retries_total", WEIR_COUNTER, "batches that failed and were tried again", {"pipeline", "worker"}},
    {"weir_worker_lag_records", WEIR_GAUGE, "records between the position and the end of the partition", {"pipeline", "worker", "topic", "partition"}},
    {"weir_worker_lag_seconds", WEIR_GAUGE, "age of the record handled last, 0 when nothing is left to do", {"pipeline", "worker", "topic", "partition"}},
    {"weir_worker_deadletters_total", WEIR_COUNTER, "records sent to the dead letters", {"pipeline", "worker", "topic", "class"}},
    /* ingest */
    {"weir_ingest_events_total",
     WEIR_COUNTER,
     "records by what became of them: accepted, rejected; and of these: rekeyed to another partition, duplicate",
     {"pipeline", "topic", "outcome"}},
    {"weir_ingest_features_total", WEIR_COUNTER, "feature records produced", {"pipeline", "view"}},
    {"weir_ingest_corrections_total", WEIR_COUNTER, "values that a late record corrected", {"pipeline", "view"}},
    {"weir_ingest_checkpoint_seconds", WEIR_HISTOGRAM, "time of a checkpoint", {"pipeline"}},
    {"weir_ingest_restore_records", WEIR_GAUGE, "records of the changelog that are still to be read before the states are whole", {"pipeline"}},
    {"weir_ingest_memory_bytes", WEIR_GAUGE, "states in memory", {"pipeline", "view"}},
    {"weir_ingest_event_time_seconds", WEIR_GAUGE, "newest event time seen, seconds since 1970", {"pipeline", "topic"}},
    {"weir_ingest_checks_total", WEIR_COUNTER, "records (of checks of the stream: windows) that failed a check", {"pipeline", "check", "severity"}},
    {"weir_ingest_check_failing", WEIR_GAUGE, "1 while a check of the stream fails", {"pipeline", "check"}},
    {"weir_ingest_check_value",
     WEIR_GAUGE,
     "what a check of the stream found last: seconds behind the clock (freshness), share (completeness), stability index (distribution)",
     {"pipeline", "check"}},
    {"weir_ingest_freshness_seconds", WEIR_GAUGE, "newest event time of a topic behind the clock", {"pipeline", "topic"}},
    /* stores */
    {"weir_online_entities", WEIR_GAUGE, "entities in the online store", {"pipeline", "view", "worker"}},
    {"weir_online_bytes", WEIR_GAUGE, "bytes used by the online store", {"pipeline", "worker"}},
    {"weir_store_rows_total", WEIR_COUNTER, "rows written to the offline store", {"pipeline", "table"}},
    {"weir_store_repeats_total", WEIR_COUNTER, "rows that the offline store had already", {"pipeline"}},
    {"weir_store_compacted_partitions_total", WEIR_COUNTER, "days of feature tables that this worker moved to files by itself", {"pipeline"}},
    {"weir_store_compacted_rows_total", WEIR_COUNTER, "rows in them", {"pipeline"}},
    {"weir_store_compaction_errors_total", WEIR_COUNTER, "runs of that compaction that failed, and are tried again", {"pipeline"}},
    /* training */
    {"weir_train_runs_total", WEIR_COUNTER, "training runs that ended", {"pipeline", "outcome"}},
    {"weir_train_trials_total", WEIR_COUNTER, "trials that this worker ran of searches that another leads", {"pipeline"}},
    {"weir_train_run_seconds", WEIR_HISTOGRAM, "time of a training run", {"pipeline"}},
    {"weir_train_metric_ratio", WEIR_GAUGE, "test metric of a model version (auc_roc, average_precision, ...)", {"pipeline", "model", "version", "metric"}},
    /* scoring */
    {"weir_score_predictions_total", WEIR_COUNTER, "predictions written", {"pipeline", "model", "arm"}},
    {"weir_score_errors_total", WEIR_COUNTER, "vectors that could not be scored", {"pipeline", "model", "arm"}},
    {"weir_score_unserved_total", WEIR_COUNTER, "feature records that came while no model was served", {"pipeline"}},
    {"weir_score_latency_seconds", WEIR_HISTOGRAM, "from the arrival of a feature record in Kafka to its acknowledged prediction", {"pipeline"}},
    {"weir_score_feature_age_seconds", WEIR_HISTOGRAM, "event time of the prediction minus event time of the view state it used", {"pipeline", "view"}},
    {"weir_score_view_answers_total",
     WEIR_COUNTER,
     "reads of another view than the event's own, by what it answered: present, no_record, expired (its ttl), out_of_reach",
     {"pipeline", "view", "outcome"}},
    {"weir_score_model_info", WEIR_GAUGE, "1 for the model version that an arm serves", {"pipeline", "arm", "model", "version", "digest"}},
    {"weir_score_swap_seconds", WEIR_HISTOGRAM, "time to load a model version and swap it in", {"pipeline"}},
    /* HTTP serving */
    {"weir_serve_requests_total", WEIR_COUNTER, "HTTP requests by status class", {"pipeline", "endpoint", "outcome"}},
    {"weir_serve_request_seconds", WEIR_HISTOGRAM, "time to answer a request", {"pipeline", "endpoint"}},
    /* experiments */
    {"weir_experiment_predictions_joined_total", WEIR_COUNTER, "predictions whose label arrived", {"pipeline", "arm"}},
    {"weir_experiment_metric_ratio", WEIR_GAUGE, "metric of a served version on labelled predictions", {"pipeline", "model", "version", "arm", "metric"}},
    {"weir_experiment_share_ratio", WEIR_GAUGE, "measured share of predictions of an arm", {"pipeline", "arm"}},
    /* parity */
    {"weir_parity_vectors_total", WEIR_COUNTER, "served feature vectors of a view that were computed again from history", {"pipeline"}},
    {"weir_parity_mismatches_total", WEIR_COUNTER, "values in them that differ by a bit or more", {"pipeline"}},
    {"weir_parity_incomplete_total", WEIR_COUNTER, "vectors that could not be compared because the offline store lacks records that they read", {"pipeline"}},
    /* schema registry */
    {"weir_registry_requests_total", WEIR_COUNTER, "schema registry requests by status class", {"endpoint", "outcome"}},
    {NULL, WEIR_COUNTER, NULL, {NULL}},
};
