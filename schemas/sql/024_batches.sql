-- Runs of the scheduled batches in the pipelines' files. Any number of schedule workers may run: whoever inserts the row has decided that a run is due, and whoever holds its lease does it.
CREATE TABLE weir.batch_runs (
    pipeline    text NOT NULL,
    batch       text NOT NULL,
    due_at      timestamptz NOT NULL,
    missed      integer NOT NULL CHECK (missed >= 0), -- earlier due times that this stands for
    status      text NOT NULL DEFAULT 'due' CHECK (status IN ('due', 'running', 'succeeded', 'failed')),
    attempts    integer NOT NULL DEFAULT 0,
    not_before  timestamptz NOT NULL DEFAULT clock_timestamp(), -- the next attempt
    worker      text, -- who does it, or did last
    lease_until timestamptz, -- a lease that is over is the sign of a worker that is no more
    started_at  timestamptz, -- of the last attempt
    ended_at    timestamptz,
    file        text,
    out         text,
    model       text,
    version     integer,
    digest      text,
    rows        bigint,
    rejected    bigint,
    resumed     bigint, -- rows that an attempt before had scored
    message     text, -- why the last attempt failed, or the first rows were rejected
    PRIMARY KEY (pipeline, batch, due_at),
    CHECK ((status = 'running') = (lease_until IS NOT NULL))
);
CREATE INDEX batch_runs_to_do ON weir.batch_runs (pipeline, due_at) WHERE status IN ('due', 'running');
