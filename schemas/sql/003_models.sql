-- The model registry: training runs, model versions, aliases and the events about them.
CREATE SCHEMA IF NOT EXISTS weir;

CREATE TABLE weir.runs (
    id           text PRIMARY KEY, -- "run-" + time + random: ordered by start
    pipeline     text NOT NULL,
    status       text NOT NULL CHECK (status IN ('queued', 'running', 'awaiting_labels', 'succeeded', 'failed')),
    request      jsonb NOT NULL,
    detail       jsonb NOT NULL DEFAULT '{}',
    code_version text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz -- set while the status is final
);
CREATE INDEX runs_by_pipeline ON weir.runs (pipeline, status, started_at DESC);

CREATE TABLE weir.model_versions (
    pipeline       text NOT NULL,
    model          text NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    algorithm      text NOT NULL,
    run_id         text REFERENCES weir.runs (id),
    digest         text NOT NULL, -- SHA-256 of the artifact
    artifact_path  text NOT NULL, -- relative to the objects directory
    feature_hash   text NOT NULL,
    dataset_digest text NOT NULL,
    lineage        jsonb NOT NULL DEFAULT '{}',
    signature      jsonb NOT NULL DEFAULT '{}',
    metrics        jsonb,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, model, version),
    UNIQUE (pipeline, model, digest)
);

CREATE TABLE weir.aliases (
    pipeline text NOT NULL,
    alias    text NOT NULL,
    model    text NOT NULL,
    version  integer NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (pipeline, alias),
    FOREIGN KEY (pipeline, model, version) REFERENCES weir.model_versions
);

CREATE TABLE weir.alias_history (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline     text NOT NULL,
    alias        text NOT NULL,
    from_model   text, -- null: the alias was new
    from_version integer,
    to_model     text, -- null: it was removed
    to_version   integer,
    actor        text NOT NULL,
    reason       text NOT NULL,
    moved_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Events for the topic weir.models, written in the transaction of the change. Writers hold one lock from before they draw an id until they commit, so ids become visible in order.
CREATE TABLE weir.outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key           text NOT NULL,
    type          text NOT NULL CHECK (type IN ('version.registered', 'version.evaluated', 'alias.moved')),
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    pipeline      text NOT NULL,
    model         text,
    version       integer,
    digest        text,
    alias         text,
    artifact_path text,
    payload       jsonb NOT NULL DEFAULT '{}',
    sent_at       timestamptz
);
CREATE INDEX outbox_unsent ON weir.outbox (id) WHERE sent_at IS NULL;
