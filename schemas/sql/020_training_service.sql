-- Training runs as a service: a queue that workers of every pipeline take from, attempts with leases, and what is still to be told. All times are the database's.
ALTER TABLE weir.runs DROP CONSTRAINT runs_status_check;
ALTER TABLE weir.runs ADD CONSTRAINT runs_status_check CHECK (status IN ('queued', 'running', 'awaiting_labels', 'succeeded', 'failed', 'cancelled'));

-- A row for each run that somebody requested. (Runs of commands that train by themselves have none.)
CREATE TABLE weir.run_queue (
    run_id        text PRIMARY KEY REFERENCES weir.runs (id) ON DELETE CASCADE,
    pipeline      text NOT NULL,
    request_id    text NOT NULL, -- a request that comes twice is one run
    step          text CHECK (step IN ('fit', 'evaluate')), -- what is to be done; null: nothing now, the run is over or awaits labels
    failures      integer NOT NULL DEFAULT 0, -- attempts at this step that ended by what may pass, or whose worker went away
    not_before    timestamptz NOT NULL DEFAULT clock_timestamp(),
    cancel_at     timestamptz, -- somebody wants it to end
    cancel_by     text,
    cancel_reason text,
    UNIQUE (pipeline, request_id)
);
CREATE INDEX run_queue_to_do ON weir.run_queue (pipeline, run_id) WHERE step IS NOT NULL;

-- A row for each time that a worker took a run. While it works it renews the lease; a lease that is over is the sign of a worker that is no more.
CREATE TABLE weir.run_attempts (
    run_id      text NOT NULL REFERENCES weir.runs (id) ON DELETE CASCADE,
    attempt     integer NOT NULL CHECK (attempt > 0), -- 1, 2, …
    step        text NOT NULL,
    host        text NOT NULL, -- whose limit it counts for
    worker      text NOT NULL, -- host/instance/process id
    process     text NOT NULL, -- which process of which machine: another of that machine sees at once when it is gone
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_until timestamptz,
    limit_at    timestamptz NOT NULL, -- its time is over then
    progress    jsonb, -- {"what", "done", "of"}
    ended_at    timestamptz,
    outcome     text CHECK (outcome IN ('done', 'transient', 'failed', 'timed_out', 'cancelled', 'interrupted', 'lost')),
    error       text,
    PRIMARY KEY (run_id, attempt),
    CHECK ((ended_at IS NULL) = (lease_until IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX run_attempts_open ON weir.run_attempts (run_id) WHERE ended_at IS NULL; -- nobody works on a run that somebody works on

-- Changes that weir.training.runs is still to hear of, written in the transaction of the change: what a worker that dies has decided is told by another.
CREATE TABLE weir.run_events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id   text NOT NULL REFERENCES weir.runs (id) ON DELETE CASCADE,
    pipeline text NOT NULL,
    status   text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX run_events_by_pipeline ON weir.run_events (pipeline, id);

-- Whether the last run that ended failed. An event on weir.alerts is sent for each change.
CREATE TABLE weir.training_failures (
    pipeline   text PRIMARY KEY,
    run_id     text NOT NULL,
    firing     boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    summary    text NOT NULL,
    sent_at    timestamptz
);

INSERT INTO weir.run_queue (run_id, pipeline, request_id, step)
    SELECT id, pipeline, request ->> 'request_id', CASE WHEN status IN ('queued', 'running') THEN 'fit' END FROM weir.runs
    WHERE request ->> 'request_id' <> '' ORDER BY started_at, id ON CONFLICT DO NOTHING;
