-- What prepare_data, train_model, register_model and validate_model keep beside the runs and versions of 003, where the pipeline of theirs is their "catalog.schema": versions of
-- tables, experiments, what a run was given and measured, and the notes and aliases of the versions of one model.

-- Tables that prepare_data wrote. "space"."table_name" is a view of the newest version, "space"."relation" the table of one.
CREATE TABLE weir.dataset_versions (
    space        text NOT NULL, -- schema of the database: "catalog.schema"
    table_name   text NOT NULL,
    version      integer NOT NULL CHECK (version > 0),
    relation     text NOT NULL, -- "train_set__v3"
    row_count    bigint NOT NULL,
    column_count integer NOT NULL,
    digest       text NOT NULL, -- of the set of its rows, in whatever order
    source       jsonb NOT NULL, -- what it was made from, and how it was split
    created_by   name NOT NULL DEFAULT current_user,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (space, table_name, version),
    UNIQUE (space, relation)
);

CREATE TABLE weir.experiments (
    name       text PRIMARY KEY, -- "/Shared/catalog/schema/training"
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE weir.experiment_runs (
    run_id         text PRIMARY KEY REFERENCES weir.runs (id),
    experiment     text NOT NULL REFERENCES weir.experiments (name),
    model          text NOT NULL,
    algorithm      text, -- this and what follows: null until the run succeeded
    digest         text, -- SHA-256 of the artifact
    artifact_path  text, -- relative to the objects directory
    signature      jsonb,
    beats_baseline boolean
);
CREATE INDEX experiment_runs_by_model ON weir.experiment_runs (experiment, model);

CREATE TABLE weir.run_params (
    run_id text NOT NULL REFERENCES weir.runs (id),
    name   text NOT NULL,
    value  text NOT NULL,
    PRIMARY KEY (run_id, name)
);
CREATE TABLE weir.run_metrics (
    run_id text NOT NULL REFERENCES weir.runs (id),
    name   text NOT NULL,
    value  double precision, -- null: not defined for these rows
    PRIMARY KEY (run_id, name)
);
CREATE TABLE weir.run_tags (
    run_id text NOT NULL REFERENCES weir.runs (id),
    name   text NOT NULL,
    value  text NOT NULL,
    PRIMARY KEY (run_id, name)
);
CREATE TABLE weir.run_datasets (
    run_id     text NOT NULL REFERENCES weir.runs (id),
    context    text NOT NULL CHECK (context IN ('train', 'test')),
    space      text NOT NULL,
    table_name text NOT NULL,
    version    integer, -- null: a table that prepare_data did not write
    row_count  bigint NOT NULL,
    digest     text NOT NULL,
    PRIMARY KEY (run_id, context)
);

CREATE TABLE weir.registered_models (
    space      text NOT NULL,
    model      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (space, model)
);
CREATE TABLE weir.version_descriptions (
    pipeline    text NOT NULL,
    model       text NOT NULL,
    version     integer NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (pipeline, model, version),
    FOREIGN KEY (pipeline, model, version) REFERENCES weir.model_versions
);
CREATE TABLE weir.version_tags (
    pipeline text NOT NULL,
    model    text NOT NULL,
    version  integer NOT NULL,
    name     text NOT NULL,
    value    text NOT NULL,
    PRIMARY KEY (pipeline, model, version, name),
    FOREIGN KEY (pipeline, model, version) REFERENCES weir.model_versions
);
CREATE TABLE weir.model_aliases (
    pipeline text NOT NULL,
    model    text NOT NULL,
    alias    text NOT NULL,
    version  integer NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, model, alias),
    FOREIGN KEY (pipeline, model, version) REFERENCES weir.model_versions
);
CREATE TABLE weir.model_alias_history (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline     text NOT NULL,
    model        text NOT NULL,
    alias        text NOT NULL,
    from_version integer, -- null: the alias was new
    to_version   integer NOT NULL,
    actor        name NOT NULL DEFAULT current_user,
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Lets a login run the four commands; what it may read and write of the catalogs is granted on their schemas.
CREATE FUNCTION weir.grant_lifecycle(login name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA weir TO %I', login);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON weir.dataset_versions, weir.experiments, weir.experiment_runs, weir.run_params, weir.run_metrics, weir.run_tags, weir.run_datasets, '
                   'weir.registered_models, weir.version_descriptions, weir.version_tags, weir.model_aliases, weir.model_alias_history, weir.runs, weir.model_versions, weir.outbox TO %I', login);
END $$;
REVOKE EXECUTE ON FUNCTION weir.grant_lifecycle(name) FROM PUBLIC;
