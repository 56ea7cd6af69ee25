-- Tracking for every run, of pipelines and of the lifecycle commands alike: metrics over steps, artifacts, queries of data sets. Versions get a semantic version, can be deleted, and an
-- alias remembers by which rule it moved and can go back.

-- ---- runs ----
ALTER TABLE weir.experiment_runs ALTER COLUMN model DROP NOT NULL; -- null: a run that makes several models, as those of pipelines do

CREATE TABLE weir.run_metric_steps (
    run_id text NOT NULL REFERENCES weir.runs (id) ON DELETE CASCADE,
    name   text NOT NULL,
    step   bigint NOT NULL,
    value  double precision, -- null: not defined at this step
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, name, step)
);
COMMENT ON TABLE weir.run_metrics IS 'of each metric the value at its last step';

CREATE TABLE weir.run_artifacts (
    run_id text NOT NULL REFERENCES weir.runs (id) ON DELETE CASCADE,
    path   text NOT NULL, -- relative to the objects directory
    kind   text NOT NULL, -- model, report, …
    digest text, -- SHA-256
    bytes  bigint,
    PRIMARY KEY (run_id, path)
);

ALTER TABLE weir.run_datasets ADD COLUMN query text; -- what gave the rows; null: the table itself
ALTER TABLE weir.run_datasets DROP CONSTRAINT run_datasets_context_check;
ALTER TABLE weir.run_datasets ADD CONSTRAINT run_datasets_context_check CHECK (context IN ('train', 'validation', 'test'));
CREATE INDEX run_datasets_by_name ON weir.run_datasets (space, table_name);

-- What was logged goes with its run.
ALTER TABLE weir.experiment_runs DROP CONSTRAINT experiment_runs_run_id_fkey;
ALTER TABLE weir.experiment_runs ADD CONSTRAINT experiment_runs_run_id_fkey FOREIGN KEY (run_id) REFERENCES weir.runs (id) ON DELETE CASCADE;
ALTER TABLE weir.run_params DROP CONSTRAINT run_params_run_id_fkey;
ALTER TABLE weir.run_params ADD CONSTRAINT run_params_run_id_fkey FOREIGN KEY (run_id) REFERENCES weir.runs (id) ON DELETE CASCADE;
ALTER TABLE weir.run_metrics DROP CONSTRAINT run_metrics_run_id_fkey;
ALTER TABLE weir.run_metrics ADD CONSTRAINT run_metrics_run_id_fkey FOREIGN KEY (run_id) REFERENCES weir.runs (id) ON DELETE CASCADE;
ALTER TABLE weir.run_tags DROP CONSTRAINT run_tags_run_id_fkey;
ALTER TABLE weir.run_tags ADD CONSTRAINT run_tags_run_id_fkey FOREIGN KEY (run_id) REFERENCES weir.runs (id) ON DELETE CASCADE;
ALTER TABLE weir.run_datasets DROP CONSTRAINT run_datasets_run_id_fkey;
ALTER TABLE weir.run_datasets ADD CONSTRAINT run_datasets_run_id_fkey FOREIGN KEY (run_id) REFERENCES weir.runs (id) ON DELETE CASCADE;

-- ---- versions ----
ALTER TABLE weir.model_versions ADD COLUMN semver integer[]; -- {major, minor, patch}: arrays have the order of versions
UPDATE weir.model_versions SET semver = ARRAY[1, version - 1, 0];
ALTER TABLE weir.model_versions ALTER COLUMN semver SET NOT NULL;
ALTER TABLE weir.model_versions ADD CONSTRAINT model_versions_semver_check CHECK (cardinality(semver) = 3 AND 0 <= ALL (semver));
ALTER TABLE weir.model_versions ADD CONSTRAINT model_versions_semver_key UNIQUE (pipeline, model, semver);
ALTER TABLE weir.model_versions ADD COLUMN deleted_at timestamptz; -- the row stays: what it predicted can still be told
ALTER TABLE weir.model_versions DROP CONSTRAINT model_versions_pipeline_model_digest_key;
CREATE UNIQUE INDEX model_versions_digest ON weir.model_versions (pipeline, model, digest) WHERE deleted_at IS NULL;
CREATE INDEX model_versions_by_artifact ON weir.model_versions (artifact_path) WHERE deleted_at IS NULL;

-- ---- aliases ----
ALTER TABLE weir.alias_history ADD COLUMN verdict jsonb; -- what was checked: environment, metric, value, minimum, passed, forced; null: nothing
ALTER TABLE weir.alias_history ADD COLUMN undoes bigint REFERENCES weir.alias_history (id) ON DELETE CASCADE; -- this move took that one back
CREATE INDEX alias_history_by_alias ON weir.alias_history (pipeline, alias, id DESC);
CREATE UNIQUE INDEX alias_history_undone ON weir.alias_history (undoes) WHERE undoes IS NOT NULL; -- once

ALTER TABLE weir.outbox DROP CONSTRAINT outbox_type_check;
ALTER TABLE weir.outbox ADD CONSTRAINT outbox_type_check CHECK (type IN ('version.registered', 'version.evaluated', 'version.described', 'version.deleted', 'alias.moved'));

CREATE OR REPLACE FUNCTION weir.grant_lifecycle(login name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA weir TO %I', login);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON weir.dataset_versions, weir.experiments, weir.experiment_runs, weir.run_params, weir.run_metrics, weir.run_metric_steps, '
                   'weir.run_artifacts, weir.run_tags, weir.run_datasets, weir.registered_models, weir.version_descriptions, weir.version_tags, weir.model_aliases, '
                   'weir.model_alias_history, weir.runs, weir.model_versions, weir.outbox TO %I', login);
END $$;
-- Logins that may log runs may log all of a run.
DO $$
DECLARE
    login name;
BEGIN
    FOR login IN SELECT DISTINCT grantee FROM information_schema.role_table_grants
                 WHERE table_schema = 'weir' AND table_name = 'run_metrics' AND privilege_type = 'INSERT' AND grantee NOT IN ('PUBLIC', current_user)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON weir.run_metric_steps, weir.run_artifacts TO %I', login);
    END LOOP;
END $$;
